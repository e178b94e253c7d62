"""Reserving ahead of time: the order of a plan's tasks fixed as needs, before it is executed.

The execution rule starts what is ready and fits. A reserving dispatcher instead visits the tasks
once, level by level of the graph, and gives each the earliest gap in its resources that is long
enough; what is placed never moves. Source: HARP (IEEE TPDS 2026, DOI
10.1109/TPDS.2026.3706975), whose schedules are made so.

A reserved start is the end of a need, or the end of what holds the resource right before. With
both as needs, an engine executes the plan at exactly the reserved times.
"""

from dataclasses import dataclass, replace

import numpy as np

from hybridsim.engines._frozen_pieces import Piece
from hybridsim.engines._reserved_times import Reserver
from hybridsim.machine_code import machine_code
from hybridsim.plan import Bools, Plan, Timeline
from hybridsim.units import Ints

_compiled = machine_code(_nrt=False)
_NEVER = 2**62
_MOVES = {(part, kind) for part in ("link", "edge") for kind in ("move", "weights")}
"""Part and kind of works that bring operands, and are visited with the task that reads them."""


def reserved(plan: Plan, time_ps: Ints) -> tuple[Plan, Timeline]:
    """Return ``plan`` with its reserved order as needs, and when its tasks run.

    ``time_ps`` gives the time of each work [ps]. Tasks of the new plan are in the order of their
    reserved starts; the timeline is the one that an engine finds for it.
    """
    visited = visiting_order(plan)
    timeline, lane = reserve(plan, time_ps, visited)
    by_start = visited[np.argsort(timeline.start[visited], kind="stable")]
    earlier, later = _neighbours(by_start, plan.use_first, lane)
    start = timeline.start[by_start]
    # what a task waits for, turns included, ends when it starts
    return _ordered(plan, by_start, earlier, later), Timeline(start, start, timeline.end[by_start])


def visiting_order(plan: Plan) -> Ints:
    """Return the tasks in the order in which they are given their places: level by level.

    It depends on needs and kinds of works alone, not on how long anything takes. Moves of operands
    are visited with the first task that reads them.
    """
    moves = plan.which(lambda work: (work.part, work.kind) in _MOVES)
    level = np.zeros(len(plan), np.int64)
    first_reader = np.full(len(plan), _NEVER, np.int64)
    _levels(plan.need_first, plan.need, moves, level, first_reader)
    return np.argsort(level, kind="stable")


def reserve(plan: Plan, time_ps: Ints, visited: Ints) -> tuple[Timeline, Ints]:
    """Return the times of the tasks visited in some order, and the unit of each use.

    ``ready`` of the timeline is when the needs of a task have ended. Units are numbered over all
    resources, in their order.
    """
    duration = plan.times(time_ps)
    end, unit = Reserver(plan, visited).one(time_ps)
    ready = np.zeros(len(plan), np.int64)
    _ready(plan.need_first, plan.need, end, ready)
    return Timeline(ready, end - duration, end), unit


def visiting(plan: Plan) -> Plan:
    """Return ``plan`` with its tasks in the order in which they are visited."""
    none = np.empty(0, np.int64)
    return _ordered(plan, visiting_order(plan), none, none)


@dataclass(eq=False)
class ReservedPiece:
    """A piece of a plan that is reserved in plan order at each point.

    No order is kept, as to prove that it holds takes as long as reserving anew.
    """

    piece: Piece
    proven: int = 0
    executed: int = 0

    def __post_init__(self) -> None:
        plan = self.piece.plan
        self._reserver = Reserver(plan, np.arange(len(plan)))

    def makespans(self, time_ps: Ints) -> tuple[Ints, Bools]:
        """Return the last end of each point, and whether what the next piece waits for is that."""
        latest = np.empty(time_ps.shape[1], np.int64)
        apart = np.empty(time_ps.shape[1], np.bool_)
        for points, end, found in self._reserver.blocks(time_ps[self.piece.works]):
            latest[points] = found[: len(points)]
            apart[points] = self.piece.ends_together(end, found)[: len(points)]
        self.executed += len(latest)
        return latest, apart


@_compiled
def _ready(need_first: Ints, need: Ints, end: Ints, ready: Ints) -> None:
    """Fill in when the needs of each task have ended; ``ready`` is zeros."""
    for task in range(len(end)):
        for k in range(need_first[task], need_first[task + 1]):
            ready[task] = max(ready[task], end[need[k]])


@_compiled
def _levels(need_first: Ints, need: Ints, moves: Bools, level: Ints, first_reader: Ints) -> None:
    """Fill in the longest way to each task; a move counts nothing and goes with its reader.

    ``level`` is zeros, and ``first_reader`` never.
    """
    for task in range(len(moves)):
        for k in range(need_first[task], need_first[task + 1]):
            level[task] = max(level[task], level[need[k]] + (not moves[need[k]]))
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


def _neighbours(by_start: Ints, use_first: Ints, lane: Ints) -> tuple[Ints, Ints]:
    """Return the pairs of tasks that follow each other on a lane, lane by lane."""
    counts = np.diff(use_first)
    # uses in the order of the starts of their tasks, then by lane
    owner = np.repeat(by_start, counts[by_start])
    begin = np.repeat(use_first[by_start], counts[by_start])
    place = np.arange(len(owner)) - np.repeat(np.cumsum(counts[by_start]), counts[by_start])
    use = begin + place + np.repeat(counts[by_start], counts[by_start])
    by_lane = np.argsort(lane[use], kind="stable")
    owner, held = owner[by_lane], lane[use][by_lane]
    follows = held[1:] == held[:-1]
    return owner[:-1][follows], owner[1:][follows]


def _ordered(plan: Plan, by: Ints, earlier: Ints, later: Ints) -> Plan:
    """Return ``plan`` with its tasks in the order ``by``, and a need from each pair's later task.

    What is added comes behind the needs that a task had.
    """
    use_first, need_first, rank = _starts(by, plan.use_first, plan.need_first, later)
    use, need = np.empty(len(plan.use), np.int64), np.empty(need_first[-1], np.int64)
    room, order = np.zeros(len(need), np.bool_), np.ones(len(need), np.bool_)
    _columns(
        by, plan.use_first, plan.use, plan.need_first, plan.need, plan.room, rank[earlier],
        rank[later], rank, use_first, use, need_first, need, room, order,
        np.empty(len(by), np.int64),
    )  # fmt: skip
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


def _starts(by: Ints, use_first: Ints, need_first: Ints, later: Ints) -> tuple[Ints, Ints, Ints]:
    """Return where uses and needs begin in the order ``by``, and the place of each task there."""
    rank = np.empty(len(by), np.int64)
    rank[by] = np.arange(len(by))
    needs = np.diff(need_first) + np.bincount(later, minlength=len(by))
    begins = [np.concatenate(([0], np.cumsum(own[by]))) for own in (np.diff(use_first), needs)]
    return begins[0].astype(np.int64), begins[1].astype(np.int64), rank


@_compiled
def _columns(
    by: Ints, use_first: Ints, use: Ints, need_first: Ints, need: Ints, room: Bools,
    earlier: Ints, later: Ints, rank: Ints, new_use_first: Ints, new_use: Ints,
    new_need_first: Ints, new_need: Ints, new_room: Bools, added: Bools, free: Ints,
) -> None:  # fmt: skip
    """Fill in uses and needs of the tasks in the order ``by``; ``added`` tells the added ones.

    ``earlier`` and ``later`` are places in that order, ``rank`` is the place of each task;
    ``free`` is where the next added need of each place goes.
    """
    for place in range(len(by)):
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
        new_need[free[later[pair]]] = earlier[pair]
        free[later[pair]] += 1
