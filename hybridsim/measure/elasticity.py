"""What bounds a run, by trial: each part a tenth faster, the same decisions, and run again.

The elasticity of a part is the relative gain in speed of the run over the relative gain in speed
of the part: 1 where it alone sets the pace, 0 where it waits for others anyway. A transfer by DMA
over the link takes as long as the slower of both, so each of them has an elasticity of its own.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hybridsim.arch import Machine
from hybridsim.engines import Engine, makespan_ps
from hybridsim.plan import Plan
from hybridsim.records import record
from hybridsim.strategies import Schedule
from hybridsim.units import Ints, ceil_div
from hybridsim.work import Pricing, Work, price

FASTER = 11, 10
"""How much faster a part is made: 11 steps in the time of 10."""
NOTHING = "nothing"
"""What a run without works is bound by."""
_OF_PART = {"periphery": "tile"}
"""Part of a work -> the part that it is told as, where that is another."""


@record(frozen=True, slots=True)
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


@record(frozen=True, slots=True)
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
    for name, own in _of_ops(plan):
        key = _shape_of(plan, own)
        if key not in known:
            alone = replace(schedule, plan=replace(plan, loops=(), **own))
            known[key] = _elasticities(parts, alone, time_ps, run)
        ops[name] = known[key]
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


def _of_ops(plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each op that has tasks, and the columns of the plan of these alone: its tasks in their
    order, and what they need of each other."""
    tasks, count = np.argsort(plan.op, kind="stable"), np.bincount(plan.op)
    first, op = np.cumsum(count) - count, plan.op[tasks]
    place = np.empty(len(tasks), np.int64)
    place[tasks] = np.arange(len(tasks)) - first[op]
    need, needs = _rows(plan.need_first, tasks)
    user = np.repeat(np.arange(len(tasks)), needs)
    kept = plan.op[plan.need[need]] == op[user]
    need, needs = need[kept], np.bincount(user[kept], minlength=len(tasks))
    use, uses = _rows(plan.use_first, tasks)
    by_task = {"work": plan.work[tasks], "op": op, "item": plan.item[tasks]}
    by_need = {"need": place[plan.need[need]], "room": plan.room[need]}
    by_need |= {} if plan.order is None else {"order": plan.order[need]}
    rows = {"need_first": (needs, by_need), "use_first": (uses, {"use": plan.use[use]})}
    offsets = {name: np.concatenate(([0], np.cumsum(own))) for name, (own, _) in rows.items()}
    for number in np.flatnonzero(count).tolist():
        begin, end = int(first[number]), int(first[number] + count[number])
        columns = {name: column[begin:end] for name, column in by_task.items()}
        for name, (_, lists) in rows.items():
            own = offsets[name][begin : end + 1]
            columns[name] = own - own[0]
            columns |= {each: column[own[0] : own[-1]] for each, column in lists.items()}
        yield plan.ops[number], columns


def _rows(first: Ints, tasks: Ints) -> tuple[Ints, Ints]:
    """Return the places of what some tasks own, one after the other, and how many each has."""
    count = np.diff(first)[tasks]
    before = np.cumsum(count) - count
    return np.arange(int(count.sum())) + np.repeat(first[tasks] - before, count), count


def _shape_of(plan: Plan, columns: Mapping[str, Any]) -> tuple[bytes, ...]:
    """Return what ops have in common that take equally long by themselves, with works alike.

    Resources are numbered as they are met: layers alike lie on other tiles.
    """
    number: dict[int, int] = {}
    use = [number.setdefault(each, len(number)) for each in columns["use"].tolist()]
    units = [plan.resources[each].units for each in number]
    own = (columns[name] for name in ("work", "need_first", "need", "room", "use_first"))
    return tuple(column.tobytes() for column in (*own, np.array(use), np.array(units)))


def bound_of(elasticity: Mapping[str, float], on_path: Mapping[str, float]) -> str:
    """Return the part whose gain is largest.

    Where no single one gains anything, as where two take equally long side by side, it is the one
    with the longest time on the critical path.
    """
    part, most = next(iter(elasticity.items()), (NOTHING, 0.0))
    if most > 0:
        return part
    return max(sorted(on_path), key=lambda kind: on_path[kind], default=part)
