"""The order of tasks that were reserved ahead of time, in the gaps that those before them left.

Tasks are looked at in plan order, and what is reserved never moves. So the order of a reservation
is, for each task, what stood before and behind it on its units when it was its turn.
"""

import numba
import numpy as np

from hybridsim.engines._frozen_order import Bytes, Held, Order, offsets, tables
from hybridsim.plan import Bools, Plan, Timeline
from hybridsim.units import Ints


def freeze_gaps(plan: Plan, timeline: Timeline, unit: Ints) -> Order:
    """Return the order of a reservation of ``plan``; ``unit`` is the unit of each use.

    Units are numbered over all resources, in their order.
    """
    units = np.array([resource.units for resource in plan.resources], np.int64)
    user = np.repeat(np.arange(len(plan)), np.diff(plan.use_first))
    kept = _scarce(plan.use_first, plan.use, units)[plan.use] != 0
    use, unit, user = plan.use[kept], unit[kept], user[kept]
    use_first = offsets(np.bincount(user, minlength=len(plan)))
    by_start = np.lexsort((timeline.start[user], unit))
    lane_first = offsets(np.bincount(unit, minlength=int(units.sum())))
    width = units[use]
    tail_first = offsets(width)
    first_unit = offsets(units)[use]
    before, behind, tail = _neighbours(
        user, unit, first_unit, tail_first, by_start, lane_first, timeline.start, timeline.end
    )
    previous = np.full(len(use), -1, np.int64)
    inner = np.flatnonzero(unit[by_start][1:] == unit[by_start][:-1])
    previous[by_start[inner + 1]] = by_start[inner]
    after = (_counted(use_first, behind >= 0), user[behind[behind >= 0]])
    lower = np.arange(len(tail)) - np.repeat(tail_first[:-1] + unit - first_unit, width) < 0
    passed = (_counted(tail_first[use_first], lower), user[tail[lower]])
    return tables(
        plan, np.arange(len(plan)),
        Held(use_first, width, before, previous, tail_first, tail, after, passed),
    )  # fmt: skip


def _counted(first: Ints, chosen: Bools) -> Ints:
    """Return offsets into the chosen items of lists."""
    return offsets(chosen.astype(np.int64))[first]


@numba.njit(cache=True)
def _scarce(use_first: Ints, use: Ints, units: Ints) -> Bytes:
    """Return whether each resource can decide anything.

    It cannot if all of its tasks use another one that has one unit: they never overlap.
    """
    companion = np.full(len(units), -1, np.int64)
    seen = np.zeros(len(units), np.int8)
    for task in range(len(use_first) - 1):
        own = use[use_first[task] : use_first[task + 1]]
        for resource in own:
            if not seen[resource]:
                seen[resource] = 1
                for other in own:
                    # the first of two that are used alike is kept
                    if units[other] == 1 and (units[resource] > 1 or other < resource):
                        companion[resource] = other
            found = False
            for other in own:
                found = found or other == companion[resource]
            if not found:
                companion[resource] = -1
    kept = np.ones(len(units), np.int8)
    for resource in range(len(units)):
        if companion[resource] >= 0:
            kept[resource] = 0
    return kept


@numba.njit(cache=True)
def _neighbours(
    user: Ints, unit: Ints, first_unit: Ints, tail_first: Ints, by_start: Ints, lane_first: Ints,
    start: Ints, end: Ints,
) -> tuple[Ints, Ints, Ints]:  # fmt: skip
    """Return what stood before and behind each use, and what could block it on every unit.

    The uses of a unit, sorted by their start, are taken out again from the last task on: what
    then stands beside a use is what stood there when it was reserved.
    """
    count = len(user)
    left, right = np.full(count, -1, np.int64), np.full(count, -1, np.int64)
    for lane in range(len(lane_first) - 1):
        for at in range(lane_first[lane] + 1, lane_first[lane + 1]):
            left[by_start[at]], right[by_start[at - 1]] = by_start[at - 1], by_start[at]
    tail = np.full(tail_first[-1], -1, np.int64)
    for use in range(count - 1, -1, -1):
        before, behind = left[use], right[use]
        if before >= 0:
            right[before] = behind
        if behind >= 0:
            left[behind] = before
        task = user[use]
        for k in range(tail_first[use], tail_first[use + 1]):
            lane = first_unit[use] + k - tail_first[use]
            if lane == unit[use]:
                tail[k] = before
                continue
            low, high = lane_first[lane], lane_first[lane + 1]
            while low < high:
                middle = (low + high) // 2
                if start[user[by_start[middle]]] < end[task]:
                    low = middle + 1
                else:
                    high = middle
            low -= 1
            while low >= lane_first[lane] and user[by_start[low]] >= task:
                low -= 1
            tail[k] = by_start[low] if low >= lane_first[lane] else -1
    return left, right, tail
