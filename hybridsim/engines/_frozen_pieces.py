"""Pieces of a plan that run one after the other, each different one once.

A plan may be *cut* before a task if what stands from there on waits for the task right before the
cut, as far as it waits for nothing else behind the cut. If that task, or others that are waited
for at the cut, ends last of all before it, the rest of the plan begins there with all units free.
The execution rule knows no absolute time, so such pieces add up, and pieces alike take equally
long. Whether what is waited for ends last depends on prices, so it is looked at for each point;
the plan alone decides where to look.
"""

from collections.abc import Sequence

import numpy as np

from hybridsim.plan import Bools, Plan
from hybridsim.records import record
from hybridsim.units import Ints


@record(frozen=True, slots=True, eq=False)
class Piece:
    """A piece of a plan as a plan of its own, and how often it occurs."""

    plan: Plan
    works: Ints
    """The works that occur in it, as indices into those of the whole plan."""
    exits: tuple[Ints, ...]
    """What the next piece waits for: of each of these sets one task ends last in this one."""
    times: int = 1

    def ends_together(self, end: Ints, latest: Ints | int) -> Bools:
        """Return whether each exit ends last; ``end`` has the shape (tasks, ...)."""
        holds = np.ones(end.shape[1:], np.bool_)
        for tasks in self.exits:
            holds &= end[tasks].max(axis=0, initial=0) == latest
        return holds


def pieces(plan: Plan) -> list[Piece]:
    """Return the different pieces of a plan."""
    latest = _latest_needs(plan)
    cuts = _cuts(latest)
    found: dict[tuple[object, ...], tuple[int, int, tuple[Ints, ...]]] = {}
    count: dict[tuple[object, ...], int] = {}
    units = np.array([resource.units for resource in plan.resources], np.int64)
    for k in range(len(cuts) - 1):
        first, last = int(cuts[k]), int(cuts[k + 1])
        following = int(cuts[k + 2]) if k + 2 < len(cuts) else last
        exits = _exits(plan, latest, first, last, following)
        key = _key(plan, units, first, last, exits)
        found.setdefault(key, (first, last, exits))
        count[key] = count.get(key, 0) + 1
    if len(count) == 1 and sum(count.values()) == 1:
        return [whole(plan)]
    return [_piece(plan, *found[key], times) for key, times in count.items()]


def whole(plan: Plan) -> Piece:
    """Return the plan as one piece."""
    return Piece(plan, np.arange(len(plan.works)), ())


def _latest_needs(plan: Plan) -> Ints:
    """Return for each task the last one that it waits for, or -1."""
    latest = np.full(len(plan), -1, np.int64)
    waiting = np.flatnonzero(np.diff(plan.need_first))
    if len(waiting):
        latest[waiting] = np.maximum.reduceat(plan.need, plan.need_first[waiting])
    return latest


def _cuts(latest: Ints) -> Ints:
    """Return the tasks before which the plan may be cut, and its length; 0 is the first."""
    tasks = len(latest)
    # a task whose last need is n stands in the way of cuts from n + 2 on up to itself
    change = np.zeros(tasks + 2, np.int64)
    begin = np.minimum(latest + 2, np.arange(tasks) + 1)
    np.add.at(change, begin, 1)
    np.subtract.at(change, np.arange(tasks) + 1, 1)
    free = np.cumsum(change)[1:tasks] == 0
    cuts = np.concatenate(([0], np.flatnonzero(free) + 1, [tasks]))
    return np.unique(cuts).astype(np.int64)


def _exits(plan: Plan, latest: Ints, first: int, last: int, following: int) -> tuple[Ints, ...]:
    """Return what the tasks of the next piece wait for in this one, if for nothing in their own.

    Each set is given once. Only those that hold no other one matter.
    """
    sets: dict[tuple[int, ...], None] = {}
    for task in (last + np.flatnonzero(latest[last:following] < last)).tolist():
        needs = plan.needs_of(task)
        sets[tuple(np.unique(needs[needs >= first] - first).tolist())] = None
    return tuple(np.array(one, np.int64) for one in sets)


def _key(
    plan: Plan, units: Ints, first: int, last: int, exits: Sequence[Ints]
) -> tuple[object, ...]:
    """Return what two pieces agree in if they take equally long."""
    needs, need = _inside(plan, first, last)
    used = plan.use[plan.use_first[first] : plan.use_first[last]]
    names, number = _renamed(used)
    return (
        needs.tobytes(),
        need.tobytes(),
        np.diff(plan.use_first[first : last + 1]).tobytes(),
        number.tobytes(),
        units[names].tobytes(),
        plan.work[first:last].tobytes(),
        tuple(one.tobytes() for one in exits),
    )


def _inside(plan: Plan, first: int, last: int) -> tuple[Ints, Ints]:
    """Return how many needs within the piece each task has, and these relative to its start."""
    begin, end = plan.need_first[first], plan.need_first[last]
    user = np.repeat(np.arange(last - first), np.diff(plan.need_first[first : last + 1]))
    need = plan.need[begin:end] - first
    return np.bincount(user[need >= 0], minlength=last - first), need[need >= 0]


def _renamed(used: Ints) -> tuple[Ints, Ints]:
    """Return resources in the order of their first use, and the uses as indices into them."""
    names, at, number = np.unique(used, return_index=True, return_inverse=True)
    order = np.argsort(at)
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    return names[order], rank[number]


def _piece(plan: Plan, first: int, last: int, exits: tuple[Ints, ...], times: int) -> Piece:
    """Return the tasks from ``first`` until ``last`` as a plan of their own."""
    needs, need = _inside(plan, first, last)
    names, number = _renamed(plan.use[plan.use_first[first] : plan.use_first[last]])
    works, local = np.unique(plan.work[first:last], return_inverse=True)
    own = Plan(
        resources=tuple(plan.resources[name] for name in names),
        works=tuple(plan.works[number] for number in works),
        work=local.astype(np.int64),
        use_first=plan.use_first[first : last + 1] - plan.use_first[first],
        use=number,
        need_first=np.concatenate(([0], np.cumsum(needs))).astype(np.int64),
        need=need,
        room=np.zeros(len(need), np.bool_),
        op=np.zeros(last - first, np.int64),
        item=np.zeros(last - first, np.int64),
        ops=("piece",),
    )
    return Piece(own, works, exits, times)
