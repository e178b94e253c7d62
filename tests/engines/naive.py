"""The execution rule word for word, as slow as it comes: the judge of both engines."""

import numpy as np

from hybridsim.plan import Plan, Timeline
from hybridsim.units import Ints


def run(plan: Plan, time_ps: Ints) -> Timeline:
    """Go from instant to instant; at each, look at every task."""
    tasks = range(len(plan))
    ready, start, end = ({} for _ in range(3))
    running: set[int] = set()
    free = [resource.units for resource in plan.resources]
    now = 0
    while True:
        for task in sorted(running):  # completions first
            if end[task] == now:
                running.remove(task)
                for resource in plan.uses_of(task):
                    free[resource] += 1
        done = start.keys() - running
        for task in tasks:
            if task not in ready and done.issuperset(plan.needs_of(task).tolist()):
                ready[task] = now
        for task in tasks:  # then one visit, in plan order
            uses = plan.uses_of(task)
            if task in ready and task not in start and all(free[r] > 0 for r in uses):
                for resource in uses:
                    free[resource] -= 1
                start[task], end[task] = now, now + int(time_ps[plan.work[task]])
                running.add(task)
        if not running:
            break
        now = min(end[task] for task in running)
    return Timeline(*(np.array([x[t] for t in tasks], np.int64) for x in (ready, start, end)))
