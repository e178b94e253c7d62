"""Why each task started when it did, in one code per task."""

from dataclasses import dataclass

import numpy as np

from hybridsim.measure.critical_path import started_by
from hybridsim.plan import Bools, Plan, Timeline
from hybridsim.units import Ints

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
    order = np.zeros(len(plan.need), bool) if plan.order is None else plan.order
    data = _last(plan, timeline, ~plan.room & ~order)
    unhindered = (timeline.start == timeline.ready) & (timeline.start > 0)
    by_data = data == timeline.ready
    by_room = _last(plan, timeline, plan.room & ~order) == timeline.ready
    why = np.where(unhindered & ~by_data, np.where(by_room, ROOM, TURN), why)
    return Waits(why, cause, data)


def _last(plan: Plan, timeline: Timeline, counts: Bools) -> Ints:
    """Return when the last of those needs of each task ended that count [ps]; 0 without one."""
    ended = np.where(counts, timeline.end[plan.need], 0)
    result = np.zeros(len(plan), np.int64)
    some = np.diff(plan.need_first) > 0
    if some.any():
        result[some] = np.maximum.reduceat(ended, plan.need_first[:-1][some])
    return result
