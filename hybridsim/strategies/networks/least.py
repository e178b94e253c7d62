"""The fastest of many candidates, of which those that a bound excludes are not run."""

from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

import numpy as np

from hybridsim.errors import CapacityError, InputError, UnsupportedError
from hybridsim.records import record
from hybridsim.units import Ints

Choice = TypeVar("Choice")
Found = TypeVar("Found")


@record(frozen=True, slots=True)
class Least(Generic[Found]):
    """The fastest of several candidates."""

    time_ps: int
    what: Found
    run: int
    """How many were run; those that were not cannot be faster."""
    candidates: int


@record(frozen=True, slots=True, eq=False)
class Bounds:
    """Times that candidates do not beat [ps], shape (candidates,), and higher ones of some groups,
    which take longer to find."""

    quick_ps: Ints
    sharper: tuple[tuple[Ints, Callable[[], Ints]], ...] = ()
    """Places of candidates, and what finds their higher bounds; each candidate is in one group at
    most."""

    @classmethod
    def joined(cls, parts: "Sequence[Bounds]") -> "Bounds":
        """Return the bounds of candidates that lie one behind the other."""
        first, groups = 0, list[tuple[Ints, Callable[[], Ints]]]()
        for part in parts:
            groups += [(first + places, find) for places, find in part.sharper]
            first += len(part.quick_ps)
        return cls(np.concatenate([part.quick_ps for part in parts]), tuple(groups))

    @property
    def sharp_ps(self) -> Ints:
        """The highest bounds of all candidates [ps]."""
        found = self.quick_ps.copy()
        for places, find in self.sharper:
            found[places] = find()
        return found


class _Queue:
    """Candidates by their bounds, of which higher ones are found when the quick one is not enough
    to tell that a candidate is not run."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds.quick_ps.tolist()
        self._heap = [(bound, place) for place, bound in enumerate(self._bounds)]
        heapify(self._heap)
        self._groups = dict(enumerate(bounds.sharper))
        self._group = dict[int, int]()
        for number, (places, _) in self._groups.items():
            self._group |= dict.fromkeys(places.tolist(), number)

    def next(self, most_ps: int | None) -> int | None:
        """Return the candidate of the least bound, the first of several; None where none is left
        with a bound of at most so much."""
        while self._heap:
            bound, place = heappop(self._heap)
            if most_ps is not None and bound > most_ps:
                return None
            group = self._groups.pop(self._group.get(place, -1), None)
            if group is not None:
                for other, sharp in zip(group[0].tolist(), group[1]().tolist(), strict=True):
                    self._bounds[other] = sharp
            if self._bounds[place] <= bound:
                return place
            heappush(self._heap, (self._bounds[place], place))
        return None


def least(
    choices: Sequence[Choice], bounds: Bounds, run: Callable[[Choice], tuple[int, Found]]
) -> Least[Found]:
    """Return the fastest of some candidates, the first of several that are equally fast.

    ``run`` returns how long one takes [ps], and what it comes to. The least bound is run first:
    whatever has a bound below the fastest has to be run in any order.

    Raises:
        CapacityError: Not one fits the memory it needs, or there is no cluster.
        UnsupportedError: The machine lacks a unit that all ask for.
    """
    best: tuple[int, int] | None = None
    what: list[Found] = []
    problems: dict[int, InputError] = {}
    ran, queue = 0, _Queue(bounds)
    while (place := queue.next(best and best[0])) is not None:
        try:
            time, found = run(choices[place])
        except (CapacityError, UnsupportedError) as error:
            problems[place] = error
            continue
        ran += 1
        if best is None or (time, place) < best:
            best, what = (time, place), [found]
    if best is None:
        raise problems[min(problems)]
    return Least(best[0], what[0], ran, len(choices))
