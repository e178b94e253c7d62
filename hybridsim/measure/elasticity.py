"""What bounds a run, by trial: each part a tenth faster, the same decisions, and run again.

The elasticity of a part is the relative gain in speed of the run over the relative gain in speed
of the part: 1 where it alone sets the pace, 0 where it waits for others anyway. A transfer by DMA
over the link takes as long as the slower of both, so each of them has an elasticity of its own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hybridsim.arch import Machine
from hybridsim.engines import Engine, makespan_ps
from hybridsim.plan import Plan
from hybridsim.strategies import Schedule
from hybridsim.units import Ints, ceil_div
from hybridsim.work import Pricing, Work, price

FASTER = 11, 10
"""How much faster a part is made: 11 steps in the time of 10."""
NOTHING = "nothing"
"""What a run without works is bound by."""
_OF_PART = {"periphery": "tile"}
"""Part of a work -> the part that it is told as, where that is another."""


@dataclass(frozen=True, slots=True)
class Faster:
    """A machine one part of which takes 10/11 of its time for everything; it prices works."""

    machine: Machine
    part: str

    def time_ps(self, work: Work) -> Any:
        """Return how long a work takes [ps], rounded up.

        Raises:
            UnsupportedError: The machine lacks the part, or that does not know the work.
        """
        if is_transfer(work):
            machine = self.machine.seen(cluster=work.sort)
            dma, link = machine.transfer_parts_ps(work.shape[0])
            dma = _shorter(dma) if self.part == parts_of(work)[0] else dma
            return max(dma, _shorter(link) if self.part == "link" else link)
        time_ps = self.machine.time_ps(work)
        return _shorter(time_ps) if self.part in parts_of(work) else time_ps


def _shorter(time_ps: int) -> int:
    more, less = FASTER
    return ceil_div(time_ps * less, more)


def is_transfer(work: Work) -> bool:
    """Return whether a work is a transfer by the DMA of a cluster over the link."""
    return work.kind == "transfer"


def parts_of(work: Work) -> tuple[str, ...]:
    """Return the parts that set the price of a work; none for a mere delay."""
    sort = f":{work.sort}" if work.sort else ""
    if is_transfer(work):
        return f"dma{sort}", "link"
    return () if work.part == "delay" else (_OF_PART.get(work.part, work.part) + sort,)


def parts_of_all(works: Iterable[Work]) -> tuple[str, ...]:
    """Return the parts that set any of the prices, each once, in the order of the alphabet."""
    return tuple(sorted({part for work in works for part in parts_of(work)}))


@dataclass(frozen=True, slots=True)
class Elasticities:
    """What parts are worth to a run, and to each of its ops on its own."""

    run: Mapping[str, float]
    """Part -> elasticity, the largest first, of equal ones the first in the alphabet."""
    ops: Mapping[str, Mapping[str, float]]
    """Op -> the same of its tasks alone, as if nothing else ran."""


def elasticities(schedule: Schedule, machine: Machine, run: Engine) -> Elasticities:
    """Return what each part is worth, with all that was decided as it is.

    What reserves an order ahead of time is given as it was before, and reserves anew.
    """
    plan = schedule.plan
    parts = parts_of_all(plan.works)
    pricings: list[Pricing] = [machine, *(Faster(machine, part) for part in parts)]
    time_ps = np.stack([price(plan.works, own).time_ps for own in pricings])
    known: dict[tuple[bytes, ...], Mapping[str, float]] = {}
    ops: dict[str, Mapping[str, float]] = {}
    tasks = np.split(np.argsort(plan.op, kind="stable"), np.cumsum(np.bincount(plan.op))[:-1])
    for own in tasks if len(plan) else ():
        if not len(own):
            continue
        alone = of_tasks(plan, own)
        key = _shape_of(alone)
        if key not in known:
            known[key] = _elasticities(parts, replace(schedule, plan=alone), time_ps, run)
        ops[plan.ops[plan.op[own[0]]]] = known[key]
    return Elasticities(_elasticities(parts, schedule, time_ps, run), ops)


def _elasticities(
    parts: tuple[str, ...], schedule: Schedule, time_ps: Ints, run: Engine
) -> dict[str, float]:
    """Return part -> elasticity; row 0 of the times is of the machine, the others of the parts."""
    plan, dispatch = schedule.plan, schedule.dispatch
    before = makespan_ps(plan, time_ps[0], dispatch, run)
    more, less = FASTER
    found = {}
    for part, own in zip(parts, time_ps[1:], strict=True):
        same = (own == time_ps[0])[plan.work].all()
        after = before if same else makespan_ps(plan, own, dispatch, run)
        found[part] = (before - after) * less / (after * (more - less)) if after else 0.0
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def of_tasks(plan: Plan, tasks: Ints) -> Plan:
    """Return some tasks of a plan, ascending, and what they need of each other."""
    place = np.full(len(plan), -1, np.int64)
    place[tasks] = np.arange(len(tasks))
    need, need_count = _rows(plan.need_first, tasks)
    use, use_count = _rows(plan.use_first, tasks)
    kept = place[plan.need[need]] >= 0
    user = np.repeat(np.arange(len(tasks)), need_count)
    need_count = np.bincount(user[kept], minlength=len(tasks))
    return replace(
        plan,
        work=plan.work[tasks],
        op=plan.op[tasks],
        item=plan.item[tasks],
        use_first=np.concatenate(([0], np.cumsum(use_count))),
        use=plan.use[use],
        need_first=np.concatenate(([0], np.cumsum(need_count))),
        need=place[plan.need[need]][kept],
        room=plan.room[need][kept],
        loops=(),
        order=None if plan.order is None else plan.order[need][kept],
    )


def _rows(first: Ints, tasks: Ints) -> tuple[Ints, Ints]:
    """Return the places of what some tasks own, one after the other, and how many each has."""
    count = np.diff(first)[tasks]
    before = np.cumsum(count) - count
    return np.arange(int(count.sum())) + np.repeat(first[tasks] - before, count), count


def _shape_of(plan: Plan) -> tuple[bytes, ...]:
    """Return what plans of the same works have in common that take equally long.

    Resources are numbered as they are met: layers alike lie on other tiles.
    """
    _, first, inverse = np.unique(plan.use, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    units = np.array([resource.units for resource in plan.resources], np.int64)[plan.use]
    columns = (plan.work, plan.need_first, plan.need, plan.room, plan.use_first, rank[inverse])
    return tuple(column.tobytes() for column in (*columns, units))


def bound_of(elasticity: Mapping[str, float], on_path: Mapping[str, float]) -> str:
    """Return the part whose gain is largest.

    Where no single one gains anything, as where two take equally long side by side, it is the one
    with the longest time on the critical path.
    """
    part, most = next(iter(elasticity.items()), (NOTHING, 0.0))
    if most > 0:
        return part
    return max(sorted(on_path), key=lambda kind: on_path[kind], default=part)
