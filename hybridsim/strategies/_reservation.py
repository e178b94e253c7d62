"""Reserving ahead of time: the order of a plan's tasks fixed as needs, before it is executed.

The execution rule starts what is ready and fits. A reserving dispatcher instead visits the tasks
once, level by level of the graph, and gives each the earliest gap in its resources that is long
enough; what is placed never moves. Source: HARP (IEEE TPDS 2026, DOI
10.1109/TPDS.2026.3706975), whose schedules are made so.

A reserved start is the end of a need, or the end of what holds the resource right before. With
both as needs, an engine executes the plan at exactly the reserved times.
"""

from collections.abc import Callable, Collection
from dataclasses import replace

import numba
import numpy as np
from numpy.typing import NDArray

from hybridsim.engines._frozen_gaps import freeze_gaps
from hybridsim.engines._frozen_order import Order
from hybridsim.plan import Bools, Plan, Timeline
from hybridsim.units import Ints

_NEVER = 2**62


def reserved(plan: Plan, transfers: Collection[str] = ()) -> tuple[Plan, Timeline]:
    """Return ``plan`` with its reserved order as needs, and the times that were reserved.

    ``transfers`` are actions that are visited with the first task that reads them. Tasks of the
    new plan are in the order of their reserved starts; the timeline has the same order.
    """
    visited = visiting(plan, transfers)
    timeline, before, after, _ = reserve(visited)
    by_start = np.argsort(timeline.start, kind="stable")
    order = _permuted(visited, by_start, after, before)
    return order, Timeline(
        timeline.ready[by_start], timeline.start[by_start], timeline.end[by_start]
    )


def visiting(plan: Plan, transfers: Collection[str] = ()) -> Plan:
    """Return ``plan`` with its tasks in the order in which they are visited.

    That depends on the graph alone, whatever the durations.
    """
    moves = np.isin(plan.action, [i for i, a in enumerate(plan.actions) if a in transfers])
    level = _levels(plan.need_first, plan.need, moves)
    return _permuted(plan, np.argsort(level, kind="stable"))


def reserve(plan: Plan) -> tuple[Timeline, Ints, Ints, Ints]:
    """Return the times of the tasks visited in plan order, and who follows whom in a resource.

    The second and third column name pairs of tasks: one, and the next one on the same unit. The
    last one is the unit of each use, numbered over all resources.
    """
    units = np.array([resource.units for resource in plan.resources], np.int64)
    lanes = np.concatenate(([0], np.cumsum(units))).astype(np.int64)
    room = np.repeat(np.bincount(plan.use, minlength=len(units)), units)
    ready, start, end, before, after, unit = _reserve(
        plan.duration, plan.need_first, plan.need, plan.use_first, plan.use, lanes, room
    )
    return Timeline(ready, start, end), before, after, unit


def reservation(plan: Plan) -> tuple[Timeline, Callable[[], Order]]:
    """Reserve a plan in plan order, for :class:`~hybridsim.engines.frozen.Frozen`."""
    timeline, _, _, unit = reserve(plan)
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
def _reserve(
    duration: Ints,
    need_first: Ints,
    need: Ints,
    use_first: Ints,
    use: Ints,
    lanes: Ints,
    room: Ints,
) -> tuple[Ints, Ints, Ints, Ints, Ints, Ints]:
    """Give each task, in order, the earliest gap; lanes of resource r: lanes[r] to lanes[r + 1].

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
    for task in range(tasks):
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
        duration=plan.duration[by],
        use_first=use_first,
        use=plan.use[use],
        need_first=need_first,
        need=need,
        room=room,
        order=added if len(users) else plan.order,
        op=plan.op[by],
        action=plan.action[by],
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
