"""Times of a plan that is reserved ahead of time: points by themselves, or eight side by side.

Tasks are visited once; each is given the earliest gap in its resources that is long enough, and
keeps it. A lane is one unit of a resource: what holds it, sorted by its start, in two columns.

Points side by side take the same way through the plan. What holds a lane lies at other instants
for each, and maybe in another order, but there are as many intervals, so that the gaps of all
points are searched, and tasks put in, row by row. Of several units points may choose different
ones; where a lane has fewer intervals at a point than at others, the rest never begin.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from hybridsim.machine_code import machine_code
from hybridsim.plan import Plan
from hybridsim.units import Ints

if TYPE_CHECKING:
    from hybridsim.engines._abreast import (
        alike,
        before,
        choose,
        differ,
        item,
        larger,
        minus,
        plus,
        put,
        same,
        some,
    )

_ABREAST = "hybridsim.engines._abreast"  # importing it takes as long as Numba does
_compiled = machine_code(names_from=_ABREAST, _nrt=False)
_inlined = machine_code(names_from=_ABREAST, _nrt=False, inline="always")

_NEVER = 2**62
_NEAR = 8  # intervals from the end of a lane that are looked at one by one


class Reserver:
    """Reserves one plan, whose tasks are visited in one order, at any prices."""

    def __init__(self, plan: Plan, visited: Ints) -> None:
        self._plan, self._visited = plan, visited
        units = np.array([resource.units for resource in plan.resources], np.int64)
        # any lane may be given all tasks of its resource
        room = np.repeat(np.bincount(plan.use, minlength=len(units)), units)
        self._units = np.concatenate(([0], np.cumsum(units))).astype(np.int64)
        self._first = np.concatenate(([0], np.cumsum(room))).astype(np.int64)

    def one(self, time_ps: Ints) -> tuple[Ints, Ints]:
        """Return the end of each task [ps] and the lane of each use; shape of times: (works,)."""
        end, lane = np.empty(len(self._plan), np.int64), np.empty(len(self._plan.use), np.int64)
        self._fill(time_ps, self._room(()), end, np.empty(1, np.int64), lane)
        return end, lane

    def blocks(self, time_ps: Ints) -> Iterator[tuple[Ints, Ints, Ints]]:
        """Yield points, the ends of all tasks and the last end [ps] at each, and what fills up.

        ``time_ps`` has the shape (works, points), ends have (tasks, WIDTH); they are overwritten
        by the next block.
        """
        from hybridsim.engines._abreast import WIDTH

        room, lane = self._room((WIDTH,)), np.empty(0, np.int64)
        end, latest = np.empty((len(self._plan), WIDTH), np.int64), np.empty((1, WIDTH), np.int64)
        for first in range(0, time_ps.shape[1], WIDTH):
            points = np.arange(first, min(first + WIDTH, time_ps.shape[1]))
            filled = np.concatenate((points, np.repeat(points[-1:], WIDTH - len(points))))
            self._fill(np.ascontiguousarray(time_ps[:, filled]), room, end, latest, lane)
            yield points, end, latest[0]

    def _room(self, width: tuple[int, ...]) -> tuple[Ints, Ints]:
        shape = (int(self._first[-1]), *width)
        return np.empty(shape, np.int64), np.empty(shape, np.int64)

    def _fill(
        self, time_ps: Ints, room: tuple[Ints, Ints], end: Ints, latest: Ints, lane: Ints
    ) -> None:
        plan = self._plan
        _reserve(
            self._visited, plan.work, time_ps, plan.need_first, plan.need, plan.use_first,
            plan.use, self._units, self._first, *room, end, latest, lane, self._first[:-1].copy(),
        )  # fmt: skip


@_compiled
def _reserve(
    visited: Ints, work: Ints, time_ps: Ints, need_first: Ints, need: Ints, use_first: Ints,
    use: Ints, units: Ints, first: Ints, begins: Ints, ends: Ints, end: Ints, latest: Ints,
    lane_of: Ints, last: Ints,
) -> None:  # fmt: skip
    """Give each task, as visited, the earliest gap; lanes of resource r: units[r] to units[r + 1].

    ``lane_of`` is filled in for points by themselves alone; ``last`` is where each lane ends,
    which at first is where it begins.
    """
    most = alike(0, time_ps)
    for task in visited:
        length, ready = item(time_ps, work[task]), alike(0, time_ps)
        for k in range(need_first[task], need_first[task + 1]):
            ready = larger(ready, item(end, need[k]))
        stop = plus(ready, length)
        # resources are asked in turn until as many as there are agree one after the other
        begin, behind = use_first[task], use_first[task + 1]
        k, agreed = begin, 0
        while agreed < behind - begin:
            lane, next_lane = units[use[k]], units[use[k] + 1]
            fits = _gap(begins, ends, first[lane], last[lane], stop, length)
            while lane + 1 < next_lane and some(differ(fits, stop)):
                lane += 1
                other = _gap(begins, ends, first[lane], last[lane], stop, length)
                fits = choose(before(other, fits), other, fits)
            agreed = 1 if some(differ(fits, stop)) else agreed + 1
            stop = fits
            k = k + 1 if k + 1 < behind else begin
        put(end, task, stop)
        most = larger(most, stop)
        start = minus(stop, length)
        for k in range(begin, behind):
            lane, next_lane = units[use[k]], units[use[k] + 1]
            if next_lane - lane == 1:
                last[lane] = _hold(begins, ends, first[lane], last[lane], start, stop)
            else:
                lane = _hold_one(begins, ends, first, last, lane, next_lane, start, stop)
            if len(lane_of):
                lane_of[k] = lane
    put(latest, 0, most)


@_inlined
def _gap(begins: Ints, ends: Ints, first: int, last: int, stop: Ints, length: Ints) -> Ints:
    """Return the earliest end, from ``stop`` on, of a gap of ``length`` in a lane."""
    start = minus(stop, length)
    # mostly the gap is near the end of the lane; further away steps double
    step, low = 1, last
    while low > first and some(before(start, item(ends, low - 1))):
        if last - low >= _NEAR:
            step *= 2
        low = max(first, low - step)
    if step > 1:
        low = _first_open(ends, low, min(low + step, last), start)
    for at in range(low, last):
        held = before(item(begins, at), stop)
        if not some(held):
            break
        stop = choose(held, larger(stop, plus(item(ends, at), length)), stop)
    return stop


@_compiled
def _first_open(ends: Ints, low: int, high: int, start: Ints) -> int:
    """Return the first interval between two that ends after a start at any point."""
    while low < high:
        middle = (low + high) // 2
        if some(before(start, item(ends, middle))):
            high = middle
        else:
            low = middle + 1
    return low


@_inlined
def _hold(begins: Ints, ends: Ints, first: int, last: int, start: Ints, stop: Ints) -> int:
    """Put an interval into a lane, and return where the lane now ends.

    One that begins where the interval before it ends, at all points, makes that one longer.
    """
    low = last
    while low > first and some(before(start, item(begins, low - 1))):
        low -= 1
    if low > first and not some(differ(item(ends, low - 1), start)):
        put(ends, low - 1, stop)
        return last
    for at in range(last, low, -1):
        begin, end = item(begins, at - 1), item(ends, at - 1)
        later = before(start, begin)
        # where it does not begin later the interval in hand goes here, and that one is next
        put(begins, at, choose(later, begin, start))
        put(ends, at, choose(later, end, stop))
        start, stop = choose(later, start, begin), choose(later, stop, end)
    put(begins, low, start)
    put(ends, low, stop)
    return last + 1


@_compiled
def _hold_one(
    begins: Ints, ends: Ints, first: Ints, last: Ints, lane: int, next_lane: int, start: Ints,
    stop: Ints,
) -> int:  # fmt: skip
    """Put an interval into the first of some lanes that has room at each point; return the last.

    At points that have another lane an interval is put in that never begins.
    """
    never, length = alike(_NEVER, begins), minus(stop, start)
    begin, until = start, stop  # of points that have no lane yet
    while True:
        here = same(_gap(begins, ends, first[lane], last[lane], stop, length), until)
        if some(here):
            last[lane] = _hold(
                begins, ends, first[lane], last[lane], choose(here, begin, never),
                choose(here, until, never),
            )  # fmt: skip
            begin, until = choose(here, never, begin), choose(here, never, until)
        if lane + 1 == next_lane or not some(differ(until, never)):
            return lane
        lane += 1
