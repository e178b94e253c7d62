"""Points that are left to evaluate: stretches of places, not a list of all of them."""

from collections.abc import Callable, Sequence

import numpy as np

from hybridsim.sweeps.pareto import Bools
from hybridsim.units import Ints


class Left:
    """Places of points in the order of evaluation, from which stretches are taken in turn.

    Places from one multiple of each of the ``sizes`` to the next share much work: a stretch ends
    between two multiples of the first, which is the largest, or else of the next, if it can.
    """

    def __init__(
        self, first: int, done: Bools, sizes: Sequence[int], at: Callable[[Ints], Ints]
    ) -> None:
        """Leave the places from ``first`` on that are not ``done``; ``at`` tells their points."""
        edges = np.flatnonzero(np.diff(np.concatenate(([True], done, [True]))))
        self._stretches = [(first + int(a), first + int(b)) for a, b in edges.reshape(-1, 2)[::-1]]
        """First places and ends, the next ones last."""
        self._sizes, self._at = sizes, at
        self._count = int(len(done) - np.count_nonzero(done))

    def __len__(self) -> int:
        return self._count

    def take(self, most: int) -> Ints:
        """Return the next points, ``most`` of them or less; none where none are left."""
        found: list[Ints] = []
        room = most
        while room and self._stretches:
            first, end = self._stretches.pop()
            cut = min(end, first + room)
            if cut < end:
                whole = [cut // size * size for size in self._sizes]
                ends = [place for place in whole if place > first]
                if ends:
                    cut = ends[0]
                elif found:  # the rest of a case waits for the next time
                    cut = first
                self._stretches.append((cut, end))
                room = 0
            room -= min(room, cut - first)
            found.append(np.arange(first, cut, dtype=np.int64))
        places = np.concatenate(found or [np.empty(0, np.int64)])
        self._count -= len(places)
        return self._at(places)


class Listed:
    """Points that are left, one by one."""

    def __init__(self, points: Ints) -> None:
        """Leave some points."""
        self._points = points

    def __len__(self) -> int:
        return len(self._points)

    def take(self, most: int) -> Ints:
        """Return the next points, ``most`` of them or less."""
        taken, self._points = self._points[:most], self._points[most:]
        return taken
