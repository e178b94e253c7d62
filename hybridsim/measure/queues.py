"""How many tasks stood before each resource, over time."""

import numpy as np
import pandas as pd

from hybridsim.measure.levels import levels
from hybridsim.plan import Plan, Timeline


def queue_depths(plan: Plan, timeline: Timeline) -> pd.DataFrame:
    """Return the queue of each resource: resource, time_ps, waiting.

    ``waiting`` counts the tasks that use the resource, are ready and have not started, from
    ``time_ps`` until the next row of the same resource. The rows of a resource are in the order
    of time and begin at 0. A task that uses several resources stands in the queue of each, also
    where only one of them keeps it.
    """
    holder = np.repeat(np.arange(len(plan)), np.diff(plan.use_first))
    waited = (timeline.start > timeline.ready)[holder]
    holder, resource = holder[waited], plan.use[waited]
    return levels(
        np.concatenate((resource, resource)),
        np.concatenate((timeline.ready[holder], timeline.start[holder])),
        np.repeat(np.array([1, -1], np.int64), len(holder)),
        [r.name for r in plan.resources],
        ("resource", "waiting"),
    )
