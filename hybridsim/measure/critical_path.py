"""Which tasks made the run as long as it was."""

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from hybridsim.errors import PlanError
from hybridsim.plan import Plan, Timeline
from hybridsim.units import Ints

if TYPE_CHECKING:
    import pandas as pd

By: TypeAlias = Literal["resource", "kind", "op", "action", "why"]


def critical_path(plan: Plan, timeline: Timeline) -> "pd.DataFrame":
    """Return a chain of tasks that fills the run from 0 to its last end without a gap.

    One row per task, first to last: ``task`` (index in the plan), ``op``, ``action``, ``item``,
    ``start_ps``, ``end_ps`` and ``why`` it started when it did:

    *   ``start``: it could run at 0;
    *   ``data``: a data need, the task before it in the chain, ended;
    *   ``room``: so did a room need, and no data need ended as late;
    *   ``resource <name>``: it was ready before, but all units of this resource were taken until
        the task before it in the chain gave one back.

    Each task starts when the one before it ends, so the durations add up to the makespan. Of
    several causes at the same instant the one listed first is taken, and of several tasks that end
    last the first in the plan.

    Raises:
        PlanError: The timeline is not one that the execution rule gives for this plan.
    """
    import pandas as pd  # here and below: slow to import

    chain, why = chain_of(plan, timeline)
    return pd.DataFrame(
        {
            "task": chain,
            "op": _named(plan.ops, plan.op[chain]),
            "action": _named(plan.labels, plan.label[chain]),
            "item": plan.item[chain],
            "start_ps": timeline.start[chain],
            "end_ps": timeline.end[chain],
            "why": why,
        }
    )


def critical_share(plan: Plan, timeline: Timeline, by: By = "resource") -> "pd.DataFrame":
    """Return what the critical path consists of: time_ps and share [0..1], longest first.

    The index is what ``by`` names: the resources that the tasks of the path hold, their kinds,
    the ops they work for, what they do, or why they started. A task that holds several resources
    counts once, under all their names as in ``dma + link``; one that holds none, as ``delay``.
    The times add up to the makespan.
    """
    import pandas as pd

    path = critical_path(plan, timeline)
    held = by in ("resource", "kind")
    label = _held(plan, path["task"].to_numpy(), by) if held else path[by].to_list()
    time = (path["end_ps"] - path["start_ps"]).groupby(label).sum()
    time = time.sort_values(ascending=False, kind="stable")
    table = pd.DataFrame({"time_ps": time, "share": time / max(timeline.makespan, 1)})
    return table.rename_axis(by)


def started_by(plan: Plan, timeline: Timeline) -> "pd.DataFrame":
    """Return why each task started when it did, in the order of the plan: cause, why.

    ``why`` is that of :func:`critical_path`, as a category; ``cause`` is the task whose end let it
    start, -1 where there is none. A task that waited for several resources at once may have none
    of them alone as its reason, and is then said to have waited for its ``turn``.
    """
    import pandas as pd

    cause, reason = _causes(plan, timeline)
    names = ["start", "data", "room", *(f"resource {r.name}" for r in plan.resources), "turn"]
    reason = np.where((cause < 0) & (timeline.start > 0), len(names) - 1, reason)
    return pd.DataFrame(
        {"cause": cause, "why": pd.Categorical.from_codes(reason, pd.Index(names))}
    )


def chain_of(plan: Plan, timeline: Timeline) -> tuple[Ints, list[str]]:
    """Return the tasks of the critical path, first to last, and why each one started.

    Raises:
        PlanError: As :func:`critical_path`.
    """
    if not len(plan):
        return np.empty(0, np.int64), []
    cause, reason = _causes(plan, timeline)
    start, before = timeline.start.tolist(), cause.tolist()
    task = int(timeline.end.argmax())
    chain = [task]
    while start[task] > 0:
        if before[task] < 0:
            raise PlanError(f"{plan.name(task)}: nothing in the plan makes it start when it does")
        task = before[task]
        chain.append(task)
    chain.reverse()
    reasons = ["start", "data", "room", *(f"resource {r.name}" for r in plan.resources)]
    return np.array(chain, np.int64), [reasons[code] for code in reason[chain].tolist()]


_START, _DATA, _ROOM, _RESOURCE = range(4)


def _causes(plan: Plan, timeline: Timeline) -> tuple[Ints, Ints]:
    """Return (cause, reason): the task whose end let each task start, and in what way.

    The reason is one of the codes above; that of resource ``r`` is ``_RESOURCE + r``.
    """
    cause, reason = np.full(len(plan), -1, np.int64), np.full(len(plan), _START, np.int64)
    user = plan.user
    last = (timeline.end[plan.need] == timeline.ready[user]) & (
        timeline.ready[user] == timeline.start[user]
    )
    for code, edges in ((_ROOM, last & plan.room), (_DATA, last & ~plan.room)):
        # the later assignment wins: data over room, and the first of a list over the others
        cause[user[edges][::-1]] = plan.need[edges][::-1]
        reason[user[edges]] = code
    holder, resource, releaser = _releases(plan, timeline)
    cause[holder[::-1]], reason[holder[::-1]] = releaser[::-1], _RESOURCE + resource[::-1]
    return cause, reason


def _releases(plan: Plan, timeline: Timeline) -> tuple[Ints, Ints, Ints]:
    """Return (holder, resource, releaser) wherever a full resource kept a ready task waiting.

    At its start, ``releaser`` gave back a unit of ``resource``, of which none was free before.
    """
    holder = plan.holder
    waited = (timeline.start > timeline.ready)[holder]
    # instants are numbered, so that a resource and an instant make one number to sort by
    instants, ended = np.unique(np.append(timeline.end, 0), return_inverse=True)
    first = plan.use * len(instants)
    starts = first + np.searchsorted(instants, timeline.start)[holder]
    ends = first + ended[holder]
    by_end = np.argsort(ends, kind="stable")
    sought, resource = starts[waited], plan.use[waited]
    position = np.searchsorted(ends[by_end], sought)
    held = np.searchsorted(np.sort(starts), sought) - position
    position = np.minimum(position, len(ends) - 1)
    units = np.array([r.units for r in plan.resources], np.int64)
    released = (ends[by_end[position]] == sought) & (held == units[resource])
    releaser = holder[by_end[position]]
    return holder[waited][released], resource[released], releaser[released]


def _held(plan: Plan, tasks: Ints, by: By) -> list[str]:
    """Return a label for what each task holds."""
    names = [r.name if by == "resource" else r.kind for r in plan.resources]
    labels: dict[tuple[int, ...], str] = {}
    result = []
    for task in tasks.tolist():
        uses = tuple(plan.uses_of(task).tolist())
        if uses not in labels:
            held = dict.fromkeys(names[resource] for resource in sorted(uses))
            labels[uses] = " + ".join(held) or "delay"
        result.append(labels[uses])
    return result


def _named(names: tuple[str, ...], codes: Ints) -> list[str]:
    return [names[code] for code in codes.tolist()]
