"""Where time was lost: tasks that could not run, and resources that had nothing to run.

A task, from the moment it has all its data:

*   ``blocked``: it lacks room, downstream; until its last room need has ended as well;
*   ``waiting``: something it uses is taken, or it is not its turn in an order that was reserved
    ahead of time; until it starts.

A task that needs no data has all of it from 0 on, so the last token of a long input counts as
blocked, or waiting, for most of the run.

A resource, while a unit of it is free, by the state of its tasks that have not started:

*   ``waiting``: one of them has data and room, so it waits for another resource or its turn;
*   ``blocked``: none has both, but one lacks nothing but room;
*   ``starved``: none has all its data;
*   ``finished``: there are none left.

The first that applies counts. So every instant of every free unit falls under exactly one, and
with the busy time they add up to units times makespan.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from hybridsim.plan import Bools, Plan, Timeline
from hybridsim.units import Ints

_NONE = "delay"


def stalls_by_task(plan: Plan, timeline: Timeline) -> pd.DataFrame:
    """Return one row per task, in the order of the plan: blocked_ps, waiting_ps."""
    return pd.DataFrame(
        {
            "blocked_ps": room_ready(plan, timeline) - data_ready(plan, timeline),
            "waiting_ps": timeline.start - room_ready(plan, timeline),
        },
        index=pd.RangeIndex(len(plan), name="task"),
    )


def stalls_by_resource(plan: Plan, timeline: Timeline) -> pd.DataFrame:
    """Return one row per resource: kind, units, and where its time went.

    The columns busy_ps, waiting_ps, blocked_ps, starved_ps and finished_ps are sums over the
    units, and add up to units times makespan. The last four together are the idle_ps of
    :func:`hybridsim.measure.usage.usage`. The index is the name of the resource.
    """
    units = np.array([resource.units for resource in plan.resources], np.int64)
    stretch = _stretches(plan, timeline)
    table = pd.DataFrame(
        {
            "kind": [resource.kind for resource in plan.resources],
            "units": units,
            "busy_ps": _sum(stretch.resource, stretch.length * stretch.held, len(units)),
        },
        index=pd.Index([resource.name for resource in plan.resources], name="resource"),
    )
    left = stretch.length * (units[stretch.resource] - stretch.held)
    for column, applies in (
        ("waiting_ps", stretch.waiting > 0),
        ("blocked_ps", stretch.blocked > 0),
        ("starved_ps", stretch.coming > 0),
        ("finished_ps", stretch.coming == 0),
    ):
        table[column] = _sum(stretch.resource[applies], left[applies], len(units))
        left[applies] = 0
    return table


def stalls_by_kind(plan: Plan, timeline: Timeline) -> pd.DataFrame:
    """Return one row per kind of resource: what its tasks suffered, summed over them.

    The columns are tasks (how many hold a resource of this kind), running_ps, blocked_ps and
    waiting_ps. A task that holds resources of several kinds counts under each of them; one that
    holds none, under ``delay``. The index is the kind, in the order of the plan.
    """
    kinds = [*dict.fromkeys([*(resource.kind for resource in plan.resources), _NONE])]
    kind_of = np.array([kinds.index(resource.kind) for resource in plan.resources], np.int64)
    uses = np.diff(plan.use_first)
    delays = np.flatnonzero(uses == 0)
    task = np.append(np.repeat(np.arange(len(plan)), uses), delays)
    kind = np.append(kind_of[plan.use], np.full_like(delays, kinds.index(_NONE)))
    task, kind = np.divmod(np.unique(task * len(kinds) + kind), len(kinds))
    stalls = stalls_by_task(plan, timeline)
    table = pd.DataFrame(
        {
            "tasks": np.bincount(kind, minlength=len(kinds)),
            "running_ps": _sum(kind, timeline.duration[task], len(kinds)),
            "blocked_ps": _sum(kind, stalls["blocked_ps"].to_numpy()[task], len(kinds)),
            "waiting_ps": _sum(kind, stalls["waiting_ps"].to_numpy()[task], len(kinds)),
        },
        index=pd.Index(kinds, name="kind"),
    )
    return table[(table.index != _NONE) | (table["tasks"] > 0)]


def data_ready(plan: Plan, timeline: Timeline) -> Ints:
    """Return when the last data need of each task ended [ps], shape (tasks,); 0 without one."""
    return last_end(plan, timeline, ~plan.room & ~plan.turn)


def room_ready(plan: Plan, timeline: Timeline) -> Ints:
    """Return when each task had its data and its room [ps], shape (tasks,).

    That is when it was ready, but for needs that only fix whose turn it is.
    """
    return last_end(plan, timeline, ~plan.turn)


def last_end(plan: Plan, timeline: Timeline, counted: Bools) -> Ints:
    """Return when the last of the needs that count ended, task by task; 0 without one."""
    ended = np.where(counted, timeline.end[plan.need], 0)
    result = np.zeros(len(plan), np.int64)
    some = np.diff(plan.need_first) > 0
    if some.any():
        result[some] = np.maximum.reduceat(ended, plan.need_first[:-1][some])
    return result


class _Stretches(NamedTuple):
    """Stretches of time in which nothing changes for a resource; each column is one array."""

    resource: Ints
    length: Ints
    """How long it lasts [ps]."""
    held: Ints
    """How many tasks run on the resource."""
    waiting: Ints
    """How many have data and room but have not started."""
    blocked: Ints
    """How many have their data but no room."""
    coming: Ints
    """How many have not started, in whatever state they are."""


_BEGIN, _HOLD, _GIVE_BACK, _WAIT, _WAIT_NO_MORE, _BLOCK, _UNBLOCK = range(7)


def _stretches(plan: Plan, timeline: Timeline) -> _Stretches:
    """Cut the run of each resource wherever the state of one of its tasks changes."""
    holder = plan.holder
    data, ready = data_ready(plan, timeline)[holder], room_ready(plan, timeline)[holder]
    start, end = timeline.start[holder], timeline.end[holder]
    waits, blocks = ready < start, data < ready
    resources = np.arange(len(plan.resources))
    changes = (
        (_BEGIN, resources, np.zeros_like(resources)),
        (_HOLD, plan.use, start),
        (_GIVE_BACK, plan.use, end),
        (_WAIT, plan.use[waits], ready[waits]),
        (_WAIT_NO_MORE, plan.use[waits], start[waits]),
        (_BLOCK, plan.use[blocks], data[blocks]),
        (_UNBLOCK, plan.use[blocks], ready[blocks]),
    )
    change = np.repeat([c[0] for c in changes], [len(c[1]) for c in changes])
    resource = np.concatenate([c[1] for c in changes])
    time = np.concatenate([c[2] for c in changes])
    order = np.lexsort((time, resource))
    change, resource, time = change[order], resource[order], time[order]
    until = np.append(time[1:], timeline.makespan)
    until[np.append(resource[1:] != resource[:-1], True)] = timeline.makespan
    tasks_so_far = np.cumsum(np.bincount(plan.use, minlength=len(resources)))
    return _Stretches(
        resource=resource,
        length=until - time,
        held=np.cumsum(change == _HOLD) - np.cumsum(change == _GIVE_BACK),
        waiting=np.cumsum(change == _WAIT) - np.cumsum(change == _WAIT_NO_MORE),
        blocked=np.cumsum(change == _BLOCK) - np.cumsum(change == _UNBLOCK),
        coming=tasks_so_far[resource] - np.cumsum(change == _HOLD),
    )


def _sum(label: Ints, value: Ints, labels: int) -> Ints:
    """Return the sum of ``value`` over each label, exact where a float would not be."""
    total = np.zeros(labels, np.int64)
    np.add.at(total, label, value)
    return total
