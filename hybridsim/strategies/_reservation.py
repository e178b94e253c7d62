"""Reserving ahead of time: the order of a plan's tasks fixed as needs, before it is executed.

The execution rule starts what is ready and fits. A reserving dispatcher instead visits the tasks
once, level by level of the graph, and gives each the earliest gap in its resources that is long
enough; what is placed never moves. Source: HARP (IEEE TPDS 2026, DOI
10.1109/TPDS.2026.3706975), whose schedules are made so.

A reserved start is the end of a need, or the end of what holds the resource right before. With
both as needs, an engine executes the plan at exactly the reserved times.
"""

from dataclasses import replace

import numba
import numpy as np
from numpy.typing import NDArray

from hybridsim.plan import Bools, Plan, Timeline
from hybridsim.units import Ints

_NEVER = 2**62


def reserved(plan: Plan, time_ps: Ints) -> tuple[Plan, Timeline]:
    """Return ``plan`` with its reserved order as needs, and the times that were reserved.

    ``time_ps`` gives the time of each work [ps]. Moves of operands are visited with the first task
    that reads them. Tasks of the new plan are in the order of their reserved starts; the timeline
    has the same order.
    """
    moves = plan.which(lambda work: work.kind == "move")
    level = _levels(plan.need_first, plan.need, moves)
    visited = _permuted(plan, np.argsort(level, kind="stable"))
    timeline, before, after = reserve(visited, time_ps)
    by_start = np.argsort(timeline.start, kind="stable")
    order = _permuted(visited, by_start, after, before)
    return order, Timeline(
        timeline.ready[by_start], timeline.start[by_start], timeline.end[by_start]
    )


def reserve(plan: Plan, time_ps: Ints) -> tuple[Timeline, Ints, Ints]:
    """Return the times of the tasks visited in plan order, and who follows whom in a resource.

    The second and third column name pairs of tasks: one, and the next one on the same unit.
    """
    units = np.array([resource.units for resource in plan.resources], np.int64)
    lanes = np.concatenate(([0], np.cumsum(units))).astype(np.int64)
    room = np.repeat(np.bincount(plan.use, minlength=len(units)), units)
    ready, start, end, before, after = _reserve(
        plan.times(time_ps), plan.need_first, plan.need, plan.use_first, plan.use, lanes, room
    )
    return Timeline(ready, start, end), before, after


@numba.njit(cache=True)
def _levels(need_first: Ints, need: Ints, moves: Bools) -> Ints:
    """Return the longest way to each task; a move counts nothing and goes with its reader."""
    level = np.zeros(len(moves), np.int64)
    for task in range(len(moves)):
        for k in range(need_first[task], need_first[task + 1]):
            level[task] = max(level[task], level[need[k]] + (not moves[need[k]]))
    first_reader = np.full(len(moves), _NEVER, np.int64)
    for task in range(len(moves)):
        if not moves[task]:
            for k in range(need_first[task], need_first[task + 1]):
                first_reader[need[k]] = min(first_reader[need[k]], level[task])
    # from the last task on, as a move may be read by a move
    for task in range(len(moves) - 1, -1, -1):
        if moves[task] and first_reader[task] < _NEVER:
            level[task] = first_reader[task]
        if moves[task]:
            for k in range(need_first[task], need_first[task + 1]):
                if moves[need[k]]:
                    first_reader[need[k]] = min(first_reader[need[k]], level[task])
    return level


@numba.njit(cache=True)
def _reserve(
    duration: Ints,
    need_first: Ints,
    need: Ints,
    use_first: Ints,
    use: Ints,
    lanes: Ints,
    room: Ints,
) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Give each task, in order, the earliest gap; lanes of resource r: lanes[r] to lanes[r + 1].

    A lane is one unit of a resource: a sorted list of intervals (begin, end, task), the rows of
    ``held``; ``room`` is the most that each can hold.
    """
    tasks = len(duration)
    ready, start, end = (
        np.zeros(tasks, np.int64),
        np.empty(tasks, np.int64),
        np.zeros(tasks, np.int64),
    )
    first = np.zeros(len(room) + 1, np.int64)
    first[1:] = np.cumsum(room)
    size = np.zeros(len(room), np.int64)
    held = np.empty((first[-1], 3), np.int64)
    lane_of = np.empty(len(use), np.int64)
    for task in range(tasks):
        for k in range(need_first[task], need_first[task + 1]):
            ready[task] = max(ready[task], end[need[k]])
        at, last = use_first[task], use_first[task + 1]
        time = ready[task]
        while True:
            fits = _later(
                time, duration[task], use[at:last], lane_of[at:last], lanes, first, size, held
            )
            if fits == time:
                break
            time = fits
        start[task], end[task] = time, time + duration[task]
        for lane in lane_of[at:last]:
            _insert(held[first[lane] : first[lane + 1]], size[lane], time, end[task], task)
            size[lane] += 1
    earlier, later = _neighbours(first, size, held)
    return ready, start, end, earlier, later


@numba.njit(cache=True)
def _later(
    time: int,
    length: int,
    uses: Ints,
    lane_of: Ints,
    lanes: Ints,
    first: Ints,
    size: Ints,
    held: Ints,
) -> int:
    """Return when the resources have room one after the other, and note a lane of each.

    If that is ``time`` itself, all of them have.
    """
    for k in range(len(uses)):
        best = _NEVER
        for lane in range(lanes[uses[k]], lanes[uses[k] + 1]):
            gap = _gap(held[first[lane] : first[lane] + size[lane]], time, length)
            if gap < best:
                best = gap
                lane_of[k] = lane
            if gap == time:
                break
        time = best
    return time


@numba.njit(cache=True)
def _insert(lane: Ints, size: int, begin: int, end: int, task: int) -> None:
    """Put an interval where it belongs; mostly that is near the end."""
    at = size
    while at > 0 and lane[at - 1, 0] > begin:
        lane[at] = lane[at - 1]
        at -= 1
    lane[at, 0], lane[at, 1], lane[at, 2] = begin, end, task


@numba.njit(cache=True)
def _neighbours(first: Ints, size: Ints, held: Ints) -> tuple[Ints, Ints]:
    """Return the pairs of tasks that follow each other on a lane."""
    pairs = np.maximum(size - 1, 0).sum()
    earlier, later = np.empty(pairs, np.int64), np.empty(pairs, np.int64)
    pair = 0
    for lane in range(len(size)):
        for at in range(first[lane] + 1, first[lane] + size[lane]):
            earlier[pair], later[pair] = held[at - 1, 2], held[at, 2]
            pair += 1
    return earlier, later


@numba.njit(cache=True)
def _gap(lane: Ints, time: int, length: int) -> int:
    """Return the earliest start from ``time`` on of a gap of ``length`` in a lane."""
    low, high = 0, len(lane)
    while low < high:
        middle = (low + high) // 2
        if lane[middle, 1] <= time:
            low = middle + 1
        else:
            high = middle
    while low < len(lane) and lane[low, 0] < time + length:
        time = max(time, lane[low, 1])
        low += 1
    return time


def _permuted(
    plan: Plan, by: Ints, users: Ints | None = None, sources: Ints | None = None
) -> Plan:
    """Return ``plan`` with its tasks in the order ``by``, and order needs added."""
    count = len(plan)
    rank = np.empty(count, np.int64)
    rank[by] = np.arange(count)
    none = np.empty(0, np.int64)
    users, sources = (none, none) if users is None or sources is None else (users, sources)
    use_first, use = _places(plan.use_first, by)
    own_first, own = _places(plan.need_first, by)
    # what is added comes behind the needs that each task had
    user = rank[users]
    more = _ends(np.bincount(user, minlength=count))
    need_first = own_first + more
    moved = np.arange(len(own)) + np.repeat(more[:-1], np.diff(own_first))
    need = np.empty(need_first[-1], np.int64)
    room, added = np.zeros(len(need), np.bool_), np.ones(len(need), np.bool_)
    need[moved], room[moved], added[moved] = rank[plan.need[own]], plan.room[own], False
    need[added] = rank[sources[np.argsort(user, kind="stable")]]
    return replace(
        plan,
        work=plan.work[by],
        use_first=use_first,
        use=plan.use[use],
        need_first=need_first,
        need=need,
        room=room,
        order=added if len(users) else plan.order,
        op=plan.op[by],
        item=plan.item[by],
        loops=(),
    )


def _places(first: Ints, by: Ints) -> tuple[Ints, Ints]:
    """Return where the lists of owners in the order ``by`` begin, and where their items were."""
    lengths = np.diff(first)[by]
    begin = _ends(lengths)
    return begin, np.repeat(first[by] - begin[:-1], lengths) + np.arange(begin[-1])


def _ends(lengths: NDArray[np.int64]) -> Ints:
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
