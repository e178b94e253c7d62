"""Reserving ahead of time: the order of a plan's tasks fixed as needs, before it is executed.

The execution rule starts what is ready and fits. A reserving dispatcher instead visits the tasks
once, level by level of the graph, and gives each the earliest gap in its resources that is long
enough; what is placed never moves. Source: HARP (IEEE TPDS 2026, DOI
10.1109/TPDS.2026.3706975), whose schedules are made so.

A reserved start is the end of a need, or the end of what holds the resource right before. With
both as needs, an engine executes the plan at exactly the reserved times.
"""

from collections.abc import Callable
from dataclasses import replace

import numba
import numpy as np

from hybridsim.engines._frozen_gaps import freeze_gaps
from hybridsim.engines._frozen_order import Order
from hybridsim.plan import Bools, Plan, Timeline
from hybridsim.units import Ints

_NEVER = 2**62
_MOVES = {(part, kind) for part in ("link", "edge") for kind in ("move", "weights")}
"""Part and kind of works that bring operands, and are visited with the task that reads them."""


def reserved(plan: Plan, time_ps: Ints) -> tuple[Plan, Timeline]:
    """Return ``plan`` with its reserved order as needs, and when its tasks run.

    ``time_ps`` gives the time of each work [ps]. Tasks of the new plan are in the order of their
    reserved starts; the timeline is the one that an engine finds for it.
    """
    visited = visiting_order(plan)
    timeline, earlier, later, _ = reserve(plan, time_ps, visited)
    by_start = visited[np.argsort(timeline.start[visited], kind="stable")]
    start = timeline.start[by_start]
    # what a task waits for, turns included, ends when it starts
    return _ordered(plan, by_start, earlier, later), Timeline(start, start, timeline.end[by_start])


def visiting_order(plan: Plan) -> Ints:
    """Return the tasks in the order in which they are given their places: level by level.

    It depends on needs and kinds of works alone, not on how long anything takes. Moves of operands
    are visited with the first task that reads them.
    """
    moves = plan.which(lambda work: (work.part, work.kind) in _MOVES)
    return _by_level(_levels(plan.need_first, plan.need, moves))


def reserve(plan: Plan, time_ps: Ints, visited: Ints) -> tuple[Timeline, Ints, Ints, Ints]:
    """Return the times of the tasks given in some order, and who follows whom in a resource.

    ``ready`` of the timeline is when the needs of a task have ended. The second and third column
    name pairs of tasks: one, and the next one on the same unit. The last one is the unit of each
    use, numbered over all resources.
    """
    units = np.array([resource.units for resource in plan.resources], np.int64)
    lanes = np.concatenate(([0], np.cumsum(units))).astype(np.int64)
    room = np.repeat(np.bincount(plan.use, minlength=len(units)), units)
    ready, start, end, earlier, later, unit = _reserve(
        visited, plan.times(time_ps), plan.need_first, plan.need, plan.use_first, plan.use,
        lanes, room,
    )  # fmt: skip
    return Timeline(ready, start, end), earlier, later, unit


def visiting(plan: Plan) -> Plan:
    """Return ``plan`` with its tasks in the order in which they are visited."""
    none = np.empty(0, np.int64)
    return _ordered(plan, visiting_order(plan), none, none)


def reservation(plan: Plan, time_ps: Ints) -> tuple[Timeline, Callable[[], Order]]:
    """Reserve a plan in plan order, for :class:`~hybridsim.engines.frozen.Frozen`."""
    timeline, _, _, unit = reserve(plan, time_ps, np.arange(len(plan)))
    return timeline, lambda: freeze_gaps(plan, timeline, unit)


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
def _by_level(level: Ints) -> Ints:
    """Return the tasks level by level, those of a level in plan order."""
    begin = np.zeros(level.max() + 2 if len(level) else 1, np.int64)
    for each in level:
        begin[each + 1] += 1
    begin = np.cumsum(begin)
    order = np.empty(len(level), np.int64)
    for task in range(len(level)):
        order[begin[level[task]]] = task
        begin[level[task]] += 1
    return order


@numba.njit(cache=True)
def _reserve(
    visited: Ints,
    duration: Ints,
    need_first: Ints,
    need: Ints,
    use_first: Ints,
    use: Ints,
    lanes: Ints,
    room: Ints,
) -> tuple[Ints, Ints, Ints, Ints, Ints, Ints]:
    """Give each task, as visited, the earliest gap; lanes of resource r: lanes[r] to lanes[r + 1].

    A lane is one unit of a resource: intervals sorted by their start, in three columns;
    ``room`` is the most that each can hold.
    """
    tasks = len(duration)
    ready, start = np.zeros(tasks, np.int64), np.empty(tasks, np.int64)
    end = np.zeros(tasks, np.int64)
    first = np.zeros(len(room) + 1, np.int64)
    first[1:] = np.cumsum(room)
    last = first[:-1].copy()
    begins, ends = np.empty(first[-1], np.int64), np.empty(first[-1], np.int64)
    held = np.empty(first[-1], np.int64)
    lane_of = np.empty(len(use), np.int64)
    for task in visited:
        time = 0
        for k in range(need_first[task], need_first[task + 1]):
            time = max(time, end[need[k]])
        ready[task] = time
        length, count = duration[task], use_first[task + 1] - use_first[task]
        # resources are asked in turn until as many as there are agree one after the other
        k, agreed = use_first[task], 0
        while agreed < count:
            fits = _NEVER
            for lane in range(lanes[use[k]], lanes[use[k] + 1]):
                gap = _gap(begins, ends, first[lane], last[lane], time, length)
                if gap < fits:
                    fits, lane_of[k] = gap, lane
                if gap == time:
                    break
            agreed = agreed + 1 if fits == time else 1
            time = fits
            k = k + 1 if k + 1 < use_first[task + 1] else use_first[task]
        start[task], end[task] = time, time + length
        for k in range(use_first[task], use_first[task + 1]):
            lane = lane_of[k]
            at = last[lane]
            # mostly it belongs near the end
            while at > first[lane] and begins[at - 1] > time:
                begins[at], ends[at], held[at] = begins[at - 1], ends[at - 1], held[at - 1]
                at -= 1
            begins[at], ends[at], held[at] = time, time + length, task
            last[lane] += 1
    earlier, later = _neighbours(first, last, held)
    return ready, start, end, earlier, later, lane_of


@numba.njit(cache=True, forceinline=True)
def _gap(begins: Ints, ends: Ints, first: int, last: int, time: int, length: int) -> int:
    """Return the earliest start from ``time`` on of a gap of ``length`` in a lane."""
    if first == last or ends[last - 1] <= time:
        return time
    # mostly the gap is near the end, so the search begins there with steps that double
    step, high = 1, last - 1
    while high - step >= first and ends[high - step] > time:
        high -= step
        step *= 2
    low = max(first, high - step)
    while low < high:
        middle = (low + high) // 2
        if ends[middle] <= time:
            low = middle + 1
        else:
            high = middle
    while low < last and begins[low] < time + length:
        time = max(time, ends[low])
        low += 1
    return time


@numba.njit(cache=True)
def _neighbours(first: Ints, last: Ints, held: Ints) -> tuple[Ints, Ints]:
    """Return the pairs of tasks that follow each other on a lane."""
    pairs = np.maximum(last - first[:-1] - 1, 0).sum()
    earlier, later = np.empty(pairs, np.int64), np.empty(pairs, np.int64)
    pair = 0
    for lane in range(len(last)):
        for at in range(first[lane] + 1, last[lane]):
            earlier[pair], later[pair] = held[at - 1], held[at]
            pair += 1
    return earlier, later


def _ordered(plan: Plan, by: Ints, earlier: Ints, later: Ints) -> Plan:
    """Return ``plan`` with its tasks in the order ``by``, and a need from each pair's later task.

    What is added comes behind the needs that a task had.
    """
    use_first, use, need_first, need, room, order = _columns(
        by, plan.use_first, plan.use, plan.need_first, plan.need, plan.room, earlier, later
    )
    return replace(
        plan,
        work=plan.work[by],
        use_first=use_first,
        use=use,
        need_first=need_first,
        need=need,
        room=room,
        order=order,
        op=plan.op[by],
        item=plan.item[by],
        loops=(),
    )


@numba.njit(cache=True)
def _columns(
    by: Ints,
    use_first: Ints,
    use: Ints,
    need_first: Ints,
    need: Ints,
    room: Bools,
    earlier: Ints,
    later: Ints,
) -> tuple[Ints, Ints, Ints, Ints, Bools, Bools]:
    """Return uses and needs of the tasks in the order ``by``; the last column tells added ones."""
    tasks = len(by)
    rank = np.empty(tasks, np.int64)
    for place in range(tasks):
        rank[by[place]] = place
    # how many needs each task has, shifted by one, then where they begin
    new_use_first = np.zeros(tasks + 1, np.int64)
    new_need_first = np.zeros(tasks + 1, np.int64)
    for place in range(tasks):
        task = by[place]
        new_use_first[place + 1] = use_first[task + 1] - use_first[task]
        new_need_first[place + 1] = need_first[task + 1] - need_first[task]
    for task in later:
        new_need_first[rank[task] + 1] += 1
    new_use_first, new_need_first = np.cumsum(new_use_first), np.cumsum(new_need_first)
    new_use, new_need = np.empty(len(use), np.int64), np.empty(new_need_first[-1], np.int64)
    new_room, added = np.zeros(len(new_need), np.bool_), np.ones(len(new_need), np.bool_)
    free = np.empty(tasks, np.int64)  # where the next added need of each task goes
    for place in range(tasks):
        task, at = by[place], new_use_first[place]
        for k in range(use_first[task], use_first[task + 1]):
            new_use[at] = use[k]
            at += 1
        at = new_need_first[place]
        for k in range(need_first[task], need_first[task + 1]):
            new_need[at], new_room[at], added[at] = rank[need[k]], room[k], False
            at += 1
        free[place] = at
    for pair in range(len(later)):
        place = rank[later[pair]]
        new_need[free[place]] = rank[earlier[pair]]
        free[place] += 1
    return new_use_first, new_use, new_need_first, new_need, new_room, added
