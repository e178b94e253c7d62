"""Points of strategies that treat a network as a whole: decided, laid out once, priced in blocks.

Points differ in the machine alone. Each is decided; those that lead to equal decisions share one
plan, whose times at all of them are found side by side.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from hybridsim.engines import engine
from hybridsim.engines.frozen import Frozen
from hybridsim.engines.looped import Looped
from hybridsim.engines.reservation import ReservedPiece, visiting
from hybridsim.errors import CapacityError, InputError, UnsupportedError
from hybridsim.mapping import Mapping as PlacedNetwork
from hybridsim.plan import Bools
from hybridsim.strategies import Job, LayerDecisions, NetworkStrategy, Strategy
from hybridsim.strategies.job import Decisions, LayerDecision
from hybridsim.sweeps.machines import Columns, different, prices, with_columns
from hybridsim.sweeps.whole_runs import DOES_NOT_FIT
from hybridsim.units import Ints
from hybridsim.work import Work

_NEVER = np.iinfo(np.int64).max
_MOST_DIFFERENT = 0.5
"""Share of its tasks that a reserved plan is reserved in pieces for: they may come to nothing."""
_MOST_KNOWN = 4096
"""Values that decisions depend on, with what was decided, that are remembered."""
_ONLY_PRICES = frozenset(
    {"tile.integration_time", "link.clock.frequency", "link.width", "link.latency",
     "memory.dram.bandwidth", "chips.link.bandwidth", "chips.link.latency"}
)  # fmt: skip
"""Fields that no decision of a strategy for whole networks reads unless it compares candidates."""

_FASTEST_LINK = {"link.clock.frequency": np.max, "link.width": np.max, "link.latency": np.min}
"""Fields of links, and which of their values is the fastest."""
_MOST_LINKS = 64
"""Groups of points with different links whose bounds are asked for on their own."""


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """A plan that points share."""

    works: tuple[Work, ...]
    makespans: Callable[[Ints], Ints]
    """Times of the works at each point [ps] -> last ends [ps]."""
    at_least: Callable[[Ints], Ints]
    """The same -> what no last end is before [ps]: found at once, and mostly close."""
    tasks: int
    layers: tuple[LayerDecision, ...]
    tcdm_bytes: int
    number: int
    """Of the plans of a :class:`PlanPoints`."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What the points of a block come to."""

    latency_ps: Ints
    plans: list[Planned]
    plan: Ints
    """Which of the plans each point has; without meaning where there is a problem."""
    problem: NDArray[np.object_]
    """Why a point has no result, or an empty text."""


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """The points that a plan is a candidate of."""

    at: Ints
    place: Ints
    """The place of the plan among the candidates of each."""
    time_ps: Ints
    least_ps: Ints
    """What the plan surely takes at each [ps]."""

    def better(self, taken: Ints, best: Ints, rank: Ints) -> Bools:
        """Return where so much time beats the best so far; of equal ones the first is best."""
        now = best[self.at]
        found: Bools = (taken < now) | ((taken == now) & (self.place < rank[self.at]))
        return found

    def that_may_be_better(self, best: Ints, rank: Ints) -> "_Asked":
        """Return the points at which the plan is not surely beaten."""
        left = self.better(self.least_ps, best, rank)
        return _Asked(self.at[left], self.place[left], self.time_ps[:, left], self.least_ps[left])


@dataclass(frozen=True, slots=True)
class _Best:
    """The best so far of each point."""

    latency_ps: Ints
    rank: Ints
    """The place of its candidate; of equally fast ones the first is taken."""
    plan: Ints
    problem: NDArray[np.object_]
    plans: list[Planned] = field(default_factory=list)

    @classmethod
    def of(cls, points: int) -> "_Best":
        """Return that nothing is known yet."""
        nothing = np.zeros(points, np.int64)
        never = np.full(points, _NEVER, np.int64)
        return cls(never, nothing, nothing.copy(), np.full(points, "", dtype=object))

    def take(self, at: Ints, taken: Ints, place: Ints, planned: Planned) -> None:
        """Remember a plan that is better at some points."""
        self.latency_ps[at], self.rank[at], self.plan[at] = taken, place, len(self.plans)
        self.plans.append(planned)


@dataclass(frozen=True, slots=True)
class _Candidates:
    """What was decided, with the points that it is a candidate of, and its place there."""

    at: dict[Decisions, list[tuple[int, Ints]]] = field(default_factory=dict)

    def add(self, decided: list[tuple[int, Decisions]], points: Ints) -> None:
        """Add candidates of some points."""
        for place, decisions in decided:
            self.at.setdefault(decisions, []).append((place, points))


@dataclass
class PlanPoints:
    """The points of one placed network and one strategy."""

    mapping: PlacedNetwork
    strategy: Strategy
    tokens: int
    _planned: dict[Decisions, Planned] = field(default_factory=dict)
    _known: dict[tuple[tuple[str, int], ...], list[tuple[int, Decisions]] | str] = field(
        default_factory=dict
    )

    def evaluate(self, columns: Columns, points: int) -> Outcome:
        """Return what points are whose ``columns`` hold values of the machine."""
        settings, which = different([*columns.values()], points)
        own = {path: np.array(each, np.int64) for path, each in
               zip(columns, zip(*settings, strict=True), strict=True)}  # fmt: skip
        found = self._evaluate(own, len(settings))
        return Outcome(
            found.latency_ps[which], found.plans, found.plan[which], found.problem[which]
        )

    def without_adapters(self) -> "PlanPoints":
        """Return the same points for the network without adapters."""
        return PlanPoints(self.mapping.without_adapters(), self.strategy, self.tokens)

    def _evaluate(self, columns: Columns, points: int) -> Outcome:
        found = _Best.of(points)
        groups = self._read_alike(columns, points)
        candidates = _Candidates()
        for alike in groups:
            decided = self._decided({path: int(c[alike[0]]) for path, c in columns.items()})
            if isinstance(decided, str):
                found.problem[alike] = decided
            else:
                candidates.add(decided, alike)
        self._try(candidates, columns, found)
        if _takes_the_fastest(self.strategy):
            others = _Candidates()
            for alike in groups:
                for some in self._alike_in_links(columns, alike):
                    self._add_others(others, columns, some, found)
            self._try(others, columns, found)
        never = found.latency_ps == _NEVER
        found.problem[~never] = ""
        return Outcome(np.where(never, 0, found.latency_ps), found.plans, found.plan,
                       found.problem)  # fmt: skip

    def _try(self, candidates: "_Candidates", columns: Columns, found: "_Best") -> None:
        """Carry out what may be better than the best so far."""
        plans = [self._plan(decisions) for decisions in candidates.at]
        asked = [self._asked(planned, parts, columns) for planned, parts in
                 zip(plans, candidates.at.values(), strict=True)]  # fmt: skip
        # those that may be fastest come first, so that most of the others need not be carried out
        for number in sorted(range(len(plans)), key=lambda number: asked[number].least_ps.mean()):
            some = asked[number].that_may_be_better(found.latency_ps, found.rank)
            taken = plans[number].makespans(some.time_ps)
            better = some.better(taken, found.latency_ps, found.rank)
            found.take(some.at[better], taken[better], some.place[better], plans[number])

    def _add_others(
        self, others: "_Candidates", columns: Columns, at: Ints, found: "_Best"
    ) -> None:
        """Add the candidates beyond the first ones that no bound excludes at some points.

        Bounds are those of the fastest of their links.
        """
        strategy = self.strategy
        assert isinstance(strategy, NetworkStrategy)
        values = {path: int(column[at[0]]) for path, column in columns.items()}
        for path, best in _FASTEST_LINK.items():
            if path in columns:
                values[path] = int(best(columns[path][at]))
        job = self._job(values)
        choices = strategy.candidates(job)
        first = strategy.leading(job, choices)
        if first == len(choices):
            return
        limit = int(found.latency_ps[at].max())
        bounds = strategy.bounds_ps(job, choices[first:])
        for place in (first + np.flatnonzero(bounds <= limit)).tolist():
            with suppress(InputError):
                decisions = strategy.decide_for(job, choices[place])
                may = found.latency_ps[at] >= bounds[place - first]
                others.add([(place, decisions)], at[may])

    def _alike_in_links(self, columns: Columns, alike: Ints) -> Iterator[Ints]:
        """Yield points in groups whose links are much alike."""
        names = [path for path in _FASTEST_LINK if path in columns]
        if not names:
            yield alike
            return
        order = alike[np.lexsort([columns[path][alike] for path in names])]
        yield from np.array_split(order, min(len(order), _MOST_LINKS))

    def _asked(
        self, planned: Planned, parts: list[tuple[int, Ints]], columns: Columns
    ) -> "_Asked":
        """Return the points that a plan is a candidate of, and what it costs there."""
        at = np.concatenate([alike for _, alike in parts])
        place = np.repeat([own for own, _ in parts], [len(alike) for _, alike in parts])
        own = {path: column[at] for path, column in columns.items()}
        time_ps = prices(planned.works, self.mapping.machine, own, len(at))
        return _Asked(at, place, time_ps, planned.at_least(time_ps))

    def _read(self, columns: Iterable[str]) -> list[str]:
        """Return the columns that decisions may depend on."""
        if _takes_the_fastest(self.strategy):
            compares = self.strategy.where.add == "best" or self.strategy.share_adapters == "best"
            if not compares:
                return [path for path in columns if path not in _ONLY_PRICES]
        return [*columns]

    def _read_alike(self, columns: Columns, points: int) -> list[Ints]:
        """Return the points in groups that surely lead to the same decisions."""
        settings, which = different([columns[path] for path in self._read(columns)], points)
        return [np.flatnonzero(which == group) for group in range(len(settings))]

    def _decided(self, values: dict[str, int]) -> list[tuple[int, Decisions]] | str:
        """Return what is decided, of which the fastest is to be taken, or why nothing can be."""
        key = tuple((path, values[path]) for path in self._read(values))
        if key not in self._known:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            try:
                self._known[key] = self._decide(values)
            except InputError as error:
                self._known[key] = self._reason(error)
        return self._known[key]

    def _decide(self, values: dict[str, int]) -> list[tuple[int, Decisions]]:
        """Return what is decided, or the first of what the fastest is to be taken of, by place.

        Raises:
            InputError: Nothing fits, or the machine lacks a unit.
        """
        job = self._job(values)
        strategy = self.strategy
        if not _takes_the_fastest(strategy):
            return [(0, strategy.decide(job))]
        assert isinstance(strategy, NetworkStrategy)
        found: dict[Decisions, int] = {}
        problem: InputError | None = None
        choices = strategy.candidates(job)
        for place, choice in enumerate(choices[: strategy.leading(job, choices)]):
            try:
                found.setdefault(strategy.decide_for(job, choice), place)
            except (CapacityError, UnsupportedError) as error:
                problem = problem or error
        if problem is not None and not found:
            raise problem
        return [(place, decisions) for decisions, place in found.items()]

    def _reason(self, error: InputError) -> str:
        """Return a problem in words; of a network as a whole it may be any of its memories."""
        if isinstance(error, CapacityError) and not isinstance(self.strategy, NetworkStrategy):
            return DOES_NOT_FIT
        return " ".join(str(error).split())

    def _job(self, values: dict[str, int]) -> Job:
        machine = with_columns(self.mapping.machine, values)
        return Job(replace(self.mapping, machine=machine), self.tokens, engine("compiled"))

    def _plan(self, decisions: Decisions) -> Planned:
        """Return the plan that decisions lead to, laid out once."""
        if decisions not in self._planned:
            self._planned[decisions] = self._laid_out(decisions)
        return self._planned[decisions]

    def _laid_out(self, decisions: Decisions) -> Planned:
        job = self._job({})
        if isinstance(decisions, LayerDecisions):
            draft = decisions.draft(job)
            looped = Looped(draft.outline)
            return Planned(
                looped.works, looped.makespans, _nothing, len(draft.outline), draft.layers,
                max((layer.tcdm_bytes for layer in draft.layers), default=0), len(self._planned),
            )  # fmt: skip
        schedule = decisions.lay_out(job)
        if schedule.dispatch == "reserved":
            frozen = Frozen(visiting(schedule.plan), ReservedPiece, _MOST_DIFFERENT)
        else:
            frozen = Frozen(schedule.plan)
        sizes = [layer.tcdm_bytes for layer in schedule.layers]
        sizes += [op.tcdm_bytes for op in schedule.ops]
        return Planned(
            schedule.plan.works, frozen.makespans, frozen.at_least, len(schedule.plan),
            schedule.layers, max(sizes, default=0), len(self._planned),
        )  # fmt: skip


def _nothing(time_ps: Ints) -> Ints:
    """Return that a plan may take no time at all: said of layers, which have one candidate."""
    return np.zeros(time_ps.shape[1], np.int64)


def _takes_the_fastest(strategy: Strategy) -> TypeGuard[NetworkStrategy]:
    """Return whether the fastest of a strategy's candidates is taken; others decide at once."""
    return isinstance(strategy, NetworkStrategy) and strategy.takes_the_fastest
