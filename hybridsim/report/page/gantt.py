"""The tasks of a window of time, as columns that a script turns into bars, and why each waited."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybridsim.errors import InputError
from hybridsim.measure.critical_path import critical_path, started_by
from hybridsim.measure.stalls import data_ready, last_end
from hybridsim.plan import Plan, Timeline
from hybridsim.units import Ints, format_ps

MOST_TASKS = 40_000
"""Tasks that a page holds: about 2 MB, which a browser still pans through without a pause."""
_ORDER = ("dram", "link", "tile", "periphery", "dma", "matrix_engine", "cores")
"""Kinds of parts from top to bottom; others follow."""

_DOING = (
    "tile", "periphery", "matrix_engine", "cores", "row_unit", "cluster", "dma", "link", "dram",
)  # fmt: skip
_BY_DOING = {kind: float(place) for place, kind in enumerate(_DOING)}
"""Of the parts that a task holds, the first of these does it; others come before the transfers."""

Window = tuple[int, int]
"""Begin and end of a stretch of time [ps]."""


@dataclass(frozen=True, slots=True)
class Gantt:
    """What a page holds of a timeline."""

    window: Window
    """The stretch whose tasks are all there."""
    shown: Window
    """The stretch that is shown first."""
    tasks: int
    """Tasks in the window."""
    of: int
    """Tasks of the run."""
    layers: tuple[tuple[str, int, int], ...]
    """Op, first start and last end [ps] of those that begin in the window."""
    data: dict[str, Any]
    """Columns for the script."""

    @property
    def whole(self) -> bool:
        """Whether all tasks of the run are there."""
        return self.tasks == self.of


def gantt(plan: Plan, timeline: Timeline, chosen: Window | None = None) -> Gantt:
    """Return the tasks that run in a window, first to last.

    Without a choice it is the whole run, or, of a run with too many tasks, as many as fit from the
    longest op on.

    Raises:
        InputError: The window lies outside of the run, or holds too many tasks.
    """
    spans = _spans(plan, timeline)
    inside, window = _inside(timeline, chosen, spans)
    layers = tuple(
        (plan.ops[op], int(spans[0][op]), int(spans[1][op]))
        for op in np.argsort(spans[0], kind="stable").tolist()
        if window[0] <= spans[0][op] < window[1]
    )
    return Gantt(
        window=window,
        shown=chosen or _first_look(plan, timeline, spans, window),
        tasks=len(inside),
        of=len(plan),
        layers=layers,
        data=_columns(plan, timeline, inside),
    )


def _spans(plan: Plan, timeline: Timeline) -> tuple[Ints, Ints]:
    """Return first start and last end of each op; of one without tasks, beyond the run."""
    first = np.full(len(plan.ops), np.iinfo(np.int64).max)
    last = np.zeros(len(plan.ops), np.int64)
    np.minimum.at(first, plan.op, timeline.start)
    np.maximum.at(last, plan.op, timeline.end)
    return first, last


def _inside(
    timeline: Timeline, chosen: Window | None, spans: tuple[Ints, Ints]
) -> tuple[Ints, Window]:
    by_start = np.argsort(timeline.start, kind="stable")
    run = (0, timeline.makespan)
    if chosen is None:
        if len(by_start) <= MOST_TASKS:
            return by_start, run
        begin = int(spans[0][np.argmax(spans[1] - spans[0])])
        starts = timeline.start[by_start]
        # some of what runs at the beginning started before it
        count = MOST_TASKS * 9 // 10
        first = min(int(np.searchsorted(starts, begin)), len(by_start) - count)
        after = first + count
        until = int(starts[after]) if after < len(starts) else run[1]
        window = (int(starts[first]), max(until, int(starts[first]) + 1))
        return _overlapping(timeline, by_start, window), window
    begin, end = chosen
    if not 0 <= begin < end or begin >= run[1]:
        raise InputError(
            f"--window: found {format_ps(begin)} to {format_ps(end)}; a stretch within 0 to "
            f"{format_ps(run[1])} would do"
        )
    inside = _overlapping(timeline, by_start, chosen)
    if len(inside) > MOST_TASKS:
        raise InputError(
            f"--window: {len(inside):,} tasks run between {format_ps(begin)} and "
            f"{format_ps(end)}; a page holds {MOST_TASKS:,}: give a shorter stretch"
        )
    return inside, (begin, min(end, run[1]))


def _overlapping(timeline: Timeline, tasks: Ints, window: Window) -> Ints:
    """Return those of some tasks that run in a window."""
    return tasks[(timeline.start[tasks] < window[1]) & (timeline.end[tasks] > window[0])]


def _first_look(
    plan: Plan, timeline: Timeline, spans: tuple[Ints, Ints], window: Window
) -> Window:
    """Return the first op in the window that takes several kinds of parts, with its neighbours.

    A run that fits the eye is shown as a whole.
    """
    if len(plan) <= 400:
        return window
    counts = np.bincount(plan.op, minlength=len(plan.ops))
    within = (spans[0] >= window[0]) & (spans[1] <= window[1])
    busy = np.flatnonzero(within & (counts >= max(8, int(np.median(counts)))))
    if not len(busy):
        return window
    op = busy[np.argmin(spans[0][busy])]
    length = int(spans[1][op] - spans[0][op])
    begin = max(window[0], int(spans[0][op]) - length // 10)
    return begin, min(window[1], int(spans[1][op]) + length // 10)


def _columns(plan: Plan, timeline: Timeline, inside: Ints) -> dict[str, Any]:
    """Return the columns; times are told by differences, which are shorter."""
    waits = waits_of(plan, timeline)
    place = np.full(len(plan) + 1, -1, np.int64)  # the last entry stands for no cause
    place[inside] = np.arange(len(inside))
    critical = np.zeros(len(plan), bool)
    critical[critical_path(plan, timeline)["task"].to_numpy()] = True
    users: dict[tuple[int, ...], int] = {}
    uses = [
        users.setdefault(tuple(plan.uses_of(task).tolist()), len(users))
        for task in inside.tolist()
    ]
    start, actions = timeline.start[inside], Actions.in_plan(plan)
    return {
        "step": np.diff(start, prepend=0).tolist(),
        "duration": timeline.duration[inside].tolist(),
        "room": (timeline.ready - waits.data)[inside].tolist(),
        "taken": (timeline.start - timeline.ready)[inside].tolist(),
        "why": waits.why[inside].tolist(),
        "cause": place[waits.cause[inside]].tolist(),
        "op": plan.op[inside].tolist(),
        "action": actions.of[inside].tolist(),
        "item": plan.item[inside].tolist(),
        "use": uses,
        "users": [list(user) for user in users],
        "critical": np.flatnonzero(critical[inside]).tolist(),
        "ops": list(plan.ops),
        "actions": list(actions.names),
        "part_of_action": list(actions.parts),
        "resources": [[r.name, r.told, r.units * r.parts] for r in plan.resources],
        "kinds": sorted({r.told for r in plan.resources}, key=_rank),
        "first_resource": RESOURCE,
    }


@dataclass(frozen=True, slots=True)
class Actions:
    """What the tasks of a plan do, told apart by the kind of part that does it."""

    names: tuple[str, ...]
    """The action; with its part where several kinds of parts do it."""
    parts: tuple[str, ...]
    """The kind of part whose colour each has: the one that does it."""
    of: Ints
    """The action of each task, as an index into :attr:`names`."""

    @classmethod
    def in_plan(cls, plan: Plan) -> "Actions":
        """Return the actions of a plan, in the order of their first tasks."""
        kinds = [*dict.fromkeys(resource.told for resource in plan.resources), "delay"]
        order = np.array([_BY_DOING.get(r.kind, len(_DOING) - 3.5) for r in plan.resources])
        place = np.lexsort((np.arange(len(order)), order))  # the parts, what does most first
        rank = np.empty(len(order), np.int64)
        rank[place] = np.arange(len(order))
        best = np.full(len(plan), len(order))
        np.minimum.at(best, plan.holder, rank[plan.use])
        kind = np.array([*(kinds.index(plan.resources[at].told) for at in place), len(kinds) - 1])
        pairs = plan.label * len(kinds) + kind[best]
        found, first, of = np.unique(pairs, return_index=True, return_inverse=True)
        order = np.argsort(first)
        done = [divmod(pair, len(kinds)) for pair in found[order].tolist()]
        by = Counter(label for label, _ in done)
        names = tuple(
            plan.labels[label] + (f" ({kinds[k].replace('_', ' ')})" if by[label] > 1 else "")
            for label, k in done
        )
        number = np.empty_like(order)
        number[order] = np.arange(len(order))
        return cls(names, tuple(kinds[k] for _, k in done), number[of])


def _rank(kind: str) -> tuple[int, str]:
    part = kind.partition(":")[0]
    return (_ORDER.index(part) if part in _ORDER else len(_ORDER), kind)


START, DATA, ROOM, TURN, RESOURCE = range(5)
"""Codes; that of resource ``r`` is ``RESOURCE + r``."""


@dataclass(frozen=True, slots=True, eq=False)
class Waits:
    """One entry per task, in the order of the plan."""

    why: Ints
    """What let it start in the end, as a code."""
    cause: Ints
    """The task whose end did, or -1."""
    data: Ints
    """When the last of its data was there [ps]."""


def waits_of(plan: Plan, timeline: Timeline) -> Waits:
    """Return why each task started when it did.

    ``DATA``: the last operand had just come; ``ROOM``: a buffer downstream had just been emptied;
    ``TURN``: the strategy lets another task go first; a resource: all its units were taken. Of
    several causes at the same instant the one named first is told.
    """
    told = started_by(plan, timeline)
    cause, code = told["cause"].to_numpy(), told["why"].cat.codes.to_numpy().astype(np.int64)
    # start, data, room, one per resource, turn
    why = np.where(code < TURN, code, np.where(code < TURN + len(plan.resources), code + 1, TURN))
    data = data_ready(plan, timeline)
    unhindered = (timeline.start == timeline.ready) & (timeline.start > 0)
    by_data = data == timeline.ready
    by_room = last_end(plan, timeline, plan.room & ~plan.turn) == timeline.ready
    why = np.where(unhindered & ~by_data, np.where(by_room, ROOM, TURN), why)
    return Waits(why, cause, data)
