"""How each resource spent the run."""

import numpy as np
import pandas as pd

from hybridsim.plan import Plan, Timeline


def usage(plan: Plan, timeline: Timeline) -> pd.DataFrame:
    """Return one row per resource: kind, units, busy_ps, idle_ps, utilization [0..1].

    The index is the name of the resource; rows are in the order of the plan. Times are summed
    over the units, so busy and idle add up to units times makespan, whatever the plan. Why a
    resource was idle is told by :mod:`hybridsim.measure.stalls`.
    """
    units = np.array([resource.units for resource in plan.resources], np.int64)
    busy = np.zeros(len(units), np.int64)
    held = np.repeat(timeline.end - timeline.start, np.diff(plan.use_first))
    np.add.at(busy, plan.use, held)
    available = units * timeline.makespan
    return pd.DataFrame(
        {
            "kind": [resource.kind for resource in plan.resources],
            "units": units,
            "busy_ps": busy,
            "idle_ps": available - busy,
            "utilization": busy / np.maximum(available, 1),
        },
        index=pd.Index([resource.name for resource in plan.resources], name="resource"),
    )
