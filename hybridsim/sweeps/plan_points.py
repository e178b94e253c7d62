"""Points of strategies that treat a network as a whole: decided, laid out once, priced in blocks.

Points differ in the machine alone. Each is decided; those that lead to equal decisions share one
plan, whose times at all of them are found side by side.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from hybridsim.engines import engine
from hybridsim.engines.frozen import Frozen
from hybridsim.engines.looped import Looped
from hybridsim.engines.reservation import reservation, visiting
from hybridsim.errors import CapacityError, InputError
from hybridsim.mapping import Mapping as PlacedNetwork
from hybridsim.strategies import Job, LayerDecisions, NetworkStrategy, Strategy
from hybridsim.strategies.job import Decisions, LayerDecision
from hybridsim.sweeps.machines import Columns, different, prices, with_columns
from hybridsim.units import Ints
from hybridsim.work import Work

RESERVED_ORDERS = 4
"""Orders of a reservation that are kept: each takes about as long to try as reserving anew."""
_ONLY_PRICES = frozenset(
    {"tile.integration_time", "link.clock.frequency", "link.width", "link.latency",
     "memory.dram.bandwidth", "chips.link.bandwidth", "chips.link.latency"}
)  # fmt: skip
"""Fields that no decision of a strategy for whole networks reads unless it compares candidates."""


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """A plan that points share."""

    works: tuple[Work, ...]
    makespans: Callable[[Ints], Ints]
    """Times of the works at each point [ps] -> last ends [ps]."""
    tasks: int
    layers: tuple[LayerDecision, ...]
    tcdm_bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What the points of a block come to."""

    latency_ps: Ints
    plans: list[Planned | None]
    """The plan of each point; None where there is a problem."""
    problems: list[str]
    """Why a point has no result, or an empty text."""


@dataclass
class PlanPoints:
    """The points of one placed network and one strategy; ``does_not_fit`` replaces its reasons."""

    mapping: PlacedNetwork
    strategy: Strategy
    tokens: int
    does_not_fit: str
    _planned: dict[Decisions, Planned] = field(default_factory=dict)

    def evaluate(self, columns: Columns, points: int) -> Outcome:
        """Return what points are whose ``columns`` hold values of the machine."""
        settings, which = different([*columns.values()], points)
        own = {path: np.array(each, np.int64) for path, each in
               zip(columns, zip(*settings, strict=True), strict=True)}  # fmt: skip
        found = self._evaluate(own, len(settings))
        where = which.tolist()
        return Outcome(
            found.latency_ps[which],
            [found.plans[at] for at in where],
            [found.problems[at] for at in where],
        )

    def without_adapters(self) -> "PlanPoints":
        """Return the same points for the network without adapters."""
        bare = self.mapping.without_adapters()
        return PlanPoints(bare, self.strategy, self.tokens, self.does_not_fit)

    def _evaluate(self, columns: Columns, points: int) -> Outcome:
        latency = np.zeros(points, np.int64)
        plans: list[Planned | None] = [None] * points
        problems = [""] * points
        candidates: dict[Decisions, list[int]] = {}
        for alike in self._read_alike(columns, points):
            try:
                found = self._decided(columns, alike[0])
            except InputError as error:
                for point in alike:
                    problems[point] = self._reason(error)
                continue
            for decisions in found:
                candidates.setdefault(decisions, []).extend(alike)
        for decisions, own_points in candidates.items():
            planned, members = self._plan(decisions), own_points
            at: Ints = np.array(members, np.int64)
            own = {path: column[at] for path, column in columns.items()}
            time_ps = prices(planned.works, self.mapping.machine, own, len(at))
            for point, taken in zip(members, planned.makespans(time_ps).tolist(), strict=True):
                # of several candidates the fastest, and of equal ones the first
                if plans[point] is None or taken < latency[point]:
                    latency[point], plans[point] = taken, planned
        return Outcome(latency, plans, problems)

    def _read_alike(self, columns: Columns, points: int) -> list[list[int]]:
        """Return the points in groups that surely lead to the same decisions."""
        read = [*columns]
        if isinstance(self.strategy, NetworkStrategy):
            where, strategy = self.strategy.where, self.strategy
            compares = where.add == "best" or strategy.share_adapters == "best"
            if not compares:
                read = [path for path in columns if path not in _ONLY_PRICES]
        settings, which = different([columns[path] for path in read], points)
        groups: list[list[int]] = [[] for _ in settings]
        for point, group in enumerate(which.tolist()):
            groups[group].append(point)
        return groups

    def _decided(self, columns: Columns, point: int) -> list[Decisions]:
        """Return what is decided at a point, or all of which the fastest is to be taken.

        Raises:
            InputError: Nothing fits, or the machine lacks a unit.
        """
        own = {path: int(column[point]) for path, column in columns.items()}
        job = self._job(own)
        strategy = self.strategy
        if not isinstance(strategy, NetworkStrategy):
            return [strategy.decide(job)]
        found: list[Decisions] = []
        problem: CapacityError | None = None
        for choice in strategy.candidates(job):
            try:
                found.append(strategy.decide_for(job, choice))
            except CapacityError as error:
                problem = problem or error
        if problem is not None and not found:
            raise problem
        return found

    def _reason(self, error: InputError) -> str:
        """Return a problem in words; of a network as a whole it may be any of its memories."""
        if isinstance(error, CapacityError) and not isinstance(self.strategy, NetworkStrategy):
            return self.does_not_fit
        return " ".join(str(error).split())

    def _job(self, values: dict[str, int]) -> Job:
        machine = with_columns(self.mapping.machine, values)
        mapping = PlacedNetwork(
            self.mapping.network, machine, self.mapping.layers, self.mapping.crossbars
        )
        return Job(mapping, self.tokens, engine("compiled"))

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
                looped.works, looped.makespans, len(draft.outline), draft.layers,
                max((layer.tcdm_bytes for layer in draft.layers), default=0),
            )  # fmt: skip
        schedule = decisions.lay_out(job)
        if schedule.dispatch == "reserved":
            frozen = Frozen(visiting(schedule.plan), reservation, RESERVED_ORDERS)
        else:
            frozen = Frozen(schedule.plan)
        sizes = [layer.tcdm_bytes for layer in schedule.layers]
        sizes += [op.tcdm_bytes for op in schedule.ops]
        return Planned(
            schedule.plan.works, frozen.makespans, len(schedule.plan), schedule.layers,
            max(sizes, default=0),
        )  # fmt: skip
