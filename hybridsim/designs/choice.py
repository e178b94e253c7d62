"""Which design of a front is told, what its decisions and its limits cost, and what conflicts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from hybridsim.designs.limits import Limit
from hybridsim.designs.search import Budget, Search
from hybridsim.designs.seen import Floats, Seen, coordinates
from hybridsim.sweeps.columns import ACCURACY, Constraint
from hybridsim.units import Ints

RELAXED = 0.1
"""By how much of its bound a limit is relaxed to tell its price."""
RELAXED_POINTS = 0.5
"""By how many points one of accuracy is."""
RUNS_PER_PRICE = 150
"""Runs that the price of a limit may take, or the conflict of two."""


def choose(seen: Seen, constraints: Sequence[Constraint], base: Ints) -> int | None:
    """Return the place of the design to take, or of the nearest one; None where nothing ran.

    Of the front it is the point with the least loss in all: of each objective its distance from
    the best of the front, over that best. Of points that miss limits it is the one that misses
    least, each over its bound. Of equal points it is the one with fewest values that the base has
    not.
    """
    best, weighed, feasible = seen.best(constraints)
    if not best:
        return None
    if feasible:
        top = weighed[best].min(axis=0)
        losses = ((weighed[best] - top) / np.where(top == 0, 1, np.abs(top))).sum(axis=1)
    else:
        losses = weighed[best].sum(axis=1)
    place = best[int(np.argmin(losses))]
    ran = np.isfinite(seen.values()).all(axis=1)
    if feasible:
        ran &= (seen.excess(constraints) == 0).all(axis=1)
    equal = np.flatnonzero(ran & (weighed == weighed[place]).all(axis=1))
    changed = (coordinates(seen.inputs, [seen.index[p] for p in equal]) != base).sum(axis=1)
    return int(equal[np.argmin(changed)])


def as_near(seen: Seen, constraints: Sequence[Constraint], place: int) -> list[Constraint]:
    """Return limits that the nearest point meets: those that it misses are as wide as it needs."""
    found = []
    for own in constraints:
        value = float(seen.column(own.column)[place])
        kept = bool(np.isnan(value) or own.compare(value))
        sign = own.sign if kept else {"<": "<=", ">": ">="}.get(own.sign, own.sign)
        found.append(own if kept else replace(own, sign=sign, bound=value))
    return found


@dataclass(frozen=True)
class Alternative:
    """Another value of one axis, all else as it is."""

    label: str
    index: int
    changes: dict[str, float]
    """Objective -> how it changes [%]; nothing where the point has no result."""
    misses: tuple[str, ...]
    """Limits that it misses."""


@dataclass(frozen=True)
class Decision:
    """What was chosen on one axis, and what else there is."""

    axis: str
    label: str
    alternatives: tuple[Alternative, ...]
    """All other values, the least bad first."""


def decisions_of(seen: Seen, limits: Sequence[Limit], place: int) -> list[Decision]:
    """Return each decision of a design with what its alternatives cost; all of them are run."""
    inputs, index = seen.inputs, seen.index[place]
    own = coordinates(inputs, [index])[0]
    around: dict[int, list[int]] = {}
    for k, axis in enumerate(inputs.axes):
        places = np.repeat(own[None], len(axis), axis=0)
        places[:, k] = np.arange(len(axis))
        around[k] = np.ravel_multi_index(tuple(places.T), inputs.shape).tolist()
    seen.know([other for each in around.values() for other in each])
    found = []
    for k, axis in enumerate(inputs.axes):
        others = [
            _alternative(seen, limits, place, axis.labels[value], other)
            for value, other in enumerate(around[k])
            if other != index
        ]
        others.sort(key=_badness)
        found.append(Decision(axis.name, axis.labels[own[k]], tuple(others)))
    return found


def _alternative(
    seen: Seen, limits: Sequence[Limit], place: int, label: str, index: int
) -> Alternative:
    there = seen.place(index)
    changes = {}
    for name in seen.objectives:
        was, now = seen.column(name)[place], seen.column(name)[there]
        if np.isfinite(now):
            changes[name] = float((now - was) / (abs(was) or 1) * 100)
    known = [limit for limit in limits if limit.constraint is not None]
    far = seen.excess([own.constraint for own in known if own.constraint])[there]
    misses = tuple(own.text for own, by in zip(known, far, strict=True) if by > 0)
    return Alternative(label, index, changes, misses)


def _badness(other: Alternative) -> tuple[bool, bool, float]:
    return not other.changes, bool(other.misses), sum(other.changes.values())


@dataclass(frozen=True)
class Price:
    """What relaxing one limit buys."""

    limit: str
    bound: float
    relaxed: float
    """The bound that was tried instead."""
    gains: dict[str, tuple[float, float]]
    """Objective -> its best value under all limits, and with this one relaxed."""
    index: int
    """The design that is chosen then."""

    @property
    def binds(self) -> bool:
        """Whether any objective gains by it, by more than a thousandth."""
        return any(abs(new - old) > 1e-3 * abs(old) for old, new in self.gains.values())


def look_beyond(seen: Seen, limits: Sequence[Limit], which: int, budget: Budget) -> bool:
    """Run what a wider limit may buy; return whether there was time for it.

    The search goes on from the front, so that it takes a few neighbours.
    """
    if budget.over(len(seen)):
        return False
    front, _, _ = seen.best(others := _wider(limits, which))
    Search(seen, others, budget.some(len(seen), RUNS_PER_PRICE)).run(
        [seen.index[place] for place in front], widely=False
    )
    return True


def price_of(seen: Seen, limits: Sequence[Limit], which: int, base: Ints) -> Price:
    """Return what one wider limit would buy, by what was run."""
    own = limits[which].constraint
    assert own is not None
    before = _tops(seen, [limit.constraint for limit in limits if limit.constraint])
    others = _wider(limits, which)
    after = _tops(seen, others)
    place = choose(seen, others, base)
    assert place is not None
    gains = {name: (before[name], after[name]) for name in seen.objectives}
    return Price(limits[which].text, own.bound, relaxed(own).bound, gains, seen.index[place])


def _wider(limits: Sequence[Limit], which: int) -> list[Constraint]:
    own = limits[which].constraint
    assert own is not None
    constraints = [limit.constraint for limit in limits if limit.constraint]
    return [relaxed(own) if each is own else each for each in constraints]


def relaxed(own: Constraint) -> Constraint:
    """Return a limit that is a little wider."""
    step = RELAXED_POINTS if own.column == ACCURACY else RELAXED * (abs(own.bound) or 1)
    return replace(own, bound=own.bound + (step if own.sign.startswith("<") else -step))


def _tops(seen: Seen, constraints: Sequence[Constraint]) -> dict[str, float]:
    best, weighed, _ = seen.best(constraints)
    signs = [1 if d == "minimise" else -1 for d in seen.objectives.values()]
    tops: Floats = weighed[best].min(axis=0) * signs
    return dict(zip(seen.objectives, tops.tolist(), strict=True))


@dataclass(frozen=True)
class Conflict:
    """Two limits that no point meets together, as far as was searched; or one that none meets."""

    limits: tuple[str, ...]
    nearest: dict[str, int]
    """Limit -> the design that meets it and comes nearest to the other one."""


def conflicts_of(
    seen: Seen, limits: Sequence[Limit], budget: Budget, base: Ints
) -> list[Conflict]:
    """Return which limits conflict: alone where none meets one, then pair by pair."""
    known = [own for own in limits if own.constraint is not None]
    alone = [own for own in known if not _meets(seen, [own], budget)]
    found = [Conflict((own.text,), {own.text: _nearest(seen, [own], base)}) for own in alone]
    if alone:
        return found
    for first, second in combinations(known, 2):
        if not _meets(seen, [first, second], budget):
            nearest = {
                own.text: _nearest(seen, [own, other], base, strictly=own)
                for own, other in ((first, second), (second, first))
            }
            found.append(Conflict((first.text, second.text), nearest))
    return found


def _meets(seen: Seen, limits: Sequence[Limit], budget: Budget) -> bool:
    """Return whether a point meets some limits, after looking for one."""
    constraints = [own.constraint for own in limits if own.constraint]
    front, _, feasible = seen.best(constraints)
    if not feasible and not budget.over(len(seen)):
        some = budget.some(len(seen), RUNS_PER_PRICE)
        search = Search(seen, constraints, some, until_feasible=True)
        search.run([seen.index[place] for place in front], widely=False)
    return seen.best(constraints)[2]


def _nearest(
    seen: Seen, limits: Sequence[Limit], base: Ints, strictly: Limit | None = None
) -> int:
    """Return the point that comes nearest to limits, of those that meet one of them strictly.

    Of equally near ones it is the one with the best first objective.
    """
    far = seen.excess([own.constraint for own in limits if own.constraint])
    total = np.where(np.isfinite(seen.values()).all(axis=1), far.sum(axis=1), np.inf)
    if strictly is not None:
        met = far[:, [own is strictly for own in limits]].max(axis=1) == 0
        total = np.where(met, total, np.inf)
    equal = np.flatnonzero(total == total.min())
    return seen.index[int(equal[np.argmin(seen.values()[equal, 0])])]
