"""How each resource spent the run: its share of the time, and the queue before it over time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hybridsim.errors import TooLongError
from hybridsim.plan import Bools, Plan, Timeline
from hybridsim.units import Ints, format_ps

if TYPE_CHECKING:
    import pandas as pd


def busy_and_idle(plan: Plan, timeline: Timeline) -> tuple[Ints, Ints]:
    """Return how long each resource is busy and idle, summed over its units [ps].

    Both add up to units times makespan, whatever the plan.

    Raises:
        TooLongError: Units times makespan do not fit 64 bits.
    """
    units = np.array([resource.units for resource in plan.resources], np.int64)
    busy = np.zeros(len(units), np.int64)
    held = np.repeat(timeline.end - timeline.start, np.diff(plan.use_first))
    np.add.at(busy, plan.use, held)
    if int(units.max(initial=0)) * timeline.makespan >= 2**63:
        raise TooLongError(
            f"a run of {format_ps(timeline.makespan)} on {units.max():,} equal units does not fit "
            "64 bits; faster parts or fewer tokens would do"
        )
    return busy, units * timeline.makespan - busy


def usage(plan: Plan, timeline: Timeline) -> "pd.DataFrame":
    """Return one row per resource: kind, units, busy_ps, idle_ps, utilization [0..1].

    The index is the name of the resource; rows are in the order of the plan. Times are those of
    :func:`busy_and_idle`. Why a resource was idle is told by :mod:`hybridsim.measure.stalls`.
    """
    import pandas as pd  # here and below: slow to import

    busy, idle = busy_and_idle(plan, timeline)
    return pd.DataFrame(
        {
            "kind": [resource.kind for resource in plan.resources],
            "units": np.array([resource.units for resource in plan.resources], np.int64),
            "busy_ps": busy,
            "idle_ps": idle,
            "utilization": busy / np.maximum(busy + idle, 1),
        },
        index=pd.Index([resource.name for resource in plan.resources], name="resource"),
    )


def queue_depths(plan: Plan, timeline: Timeline) -> "pd.DataFrame":
    """Return the queue of each resource: resource, time_ps, waiting.

    ``waiting`` counts the tasks that use the resource, are ready and have not started, from
    ``time_ps`` until the next row of the same resource. The rows of a resource are in the order
    of time and begin at 0. A task that uses several resources stands in the queue of each, also
    where only one of them keeps it.
    """
    holder = plan.holder
    waited = (timeline.start > timeline.ready)[holder]
    holder, resource = holder[waited], plan.use[waited]
    return levels(
        np.concatenate((resource, resource)),
        np.concatenate((timeline.ready[holder], timeline.start[holder])),
        np.repeat(np.array([1, -1], np.int64), len(holder)),
        [r.name for r in plan.resources],
        ("resource", "waiting"),
    )


def levels(
    group: Ints, time: Ints, change: Ints, names: Sequence[str], column: tuple[str, str]
) -> "pd.DataFrame":
    """Return the running sum of ``change`` for each group, one row per instant at which it moves.

    ``group`` indexes ``names``. Columns: the group under the name ``column[0]``, ``time_ps``, and
    ``column[1]``: the level from that time until the next row of the same group. Each group
    begins with a row at 0; one that never moves has that row alone.
    """
    import pandas as pd

    every = np.arange(len(names), dtype=np.int64)
    group = np.concatenate((every, group))
    time = np.concatenate((np.zeros_like(every), time))
    change = np.concatenate((np.zeros_like(every), change))
    order = np.lexsort((time, group))
    group, time, total = group[order], time[order], np.cumsum(change[order])
    ends = np.searchsorted(group, every, side="right") - 1
    level = total - np.concatenate(([0], total[ends]))[group]
    settled = _differs(group) | _differs(time)
    group, time, level = (column[settled] for column in (group, time, level))
    # of rows with the same level in a row the first is kept
    moves = np.roll(_differs(group) | _differs(level), 1)
    labels = np.array([*names], dtype=object)
    return pd.DataFrame(
        {column[0]: labels[group[moves]], "time_ps": time[moves], column[1]: level[moves]}
    )


def _differs(values: Ints) -> Bools:
    """Return where a value is not that of the next row; the last row has none."""
    return np.append(values[1:] != values[:-1], np.ones(min(1, len(values)), np.bool_))
