"""What the tasks of adapted layers do in all: events per op, action and unit.

A plan knows how long its tasks last, not what they move or multiply. That follows from what was
decided for a layer (shape, rank, choice) and from the sizes of its batches, which the MVMs tell.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from hybridsim.plan import Plan
from hybridsim.programs import LoraProgram
from hybridsim.programs.lora_activity import Activity, Doing, batch_activity, weights_activity
from hybridsim.strategies import Job, LayerSchedule, Schedule
from hybridsim.units import Ints

UNITS = ("matrix_engine", "cores", "dma")
"""Kinds of resources that are single units of a cluster."""
FETCHES = ("load a", "load b", "prefetch a", "prefetch b")
"""Actions that bring an adapter; once per layer and cluster, maybe beside another layer."""


@dataclass(frozen=True, slots=True)
class Group:
    """Tasks of an op that do the same on the same kind of unit, and what they do in all."""

    tasks: Ints
    unit: str
    activity: Activity


def groups_of(job: Job, schedule: Schedule) -> Iterator[Group]:
    """Yield the tasks on units of clusters with what they do, each task once.

    Layers that are alike are one group. Tasks that no count is known for (an action that is not
    of an adapter program) are left out.
    """
    plan = schedule.plan
    unit = _unit_of_task(plan)
    by_op = _tasks_by_op(plan, np.flatnonzero(unit >= 0))
    mvms = _tasks_by_op(plan, _with_action(plan, np.arange(len(plan)), "mvm"))
    batches = _Batches.of(plan, mvms)
    place = {name: index for index, name in enumerate(plan.ops)}
    alike: dict[object, list[LayerSchedule]] = defaultdict(list)
    waiting: list[LayerSchedule] = []
    for decided in schedule.layers:
        op = place.get(decided.layer.name, -1)
        if decided.choice is not None and op in by_op:
            alike[_shape(job, decided), batches.key(op)].append(decided)
            if not batches.fetches[op]:
                waiting.append(decided)
    for layers in alike.values():
        ops = [place[decided.layer.name] for decided in layers]
        program = _program(job, layers[0], batches.slices(ops[0]))
        sizes = _batch_sizes(job, layers[0], plan, batches.items[ops[0]], mvms[ops[0]])
        done = _layer_activity(program, sizes)
        tasks = np.concatenate([by_op[op] for op in ops])
        yield from _split(plan, tasks, unit, done, len(layers))
        yield from _own_fetches(plan, tasks, program)
    yield from _prefetches(plan, unit, [_program(job, decided, 1) for decided in waiting])


@dataclass(frozen=True, slots=True)
class _Batches:
    """What the tasks of each op tell of its batches, one entry per op."""

    items: Ints
    """Batches that are stored."""
    stores: Ints
    """Stores of all batches: one per slice."""
    fetches: Ints
    """Transfers of A that are its own."""
    mvms: Ints
    first: Ints
    """Tokens of the first MVM task, and of the last one."""
    last: Ints

    @classmethod
    def of(cls, plan: Plan, mvms: dict[int, Ints]) -> "_Batches":
        """Return what the tasks of a plan tell."""
        count, everything = len(plan.ops), np.arange(len(plan))
        stores = _with_action(plan, everything, "store z")
        fetches = _with_action(plan, everything, "load a")
        items = np.zeros(count, np.int64)
        np.maximum.at(items, plan.op[stores], plan.item[stores] + 1)
        number, first, last = (np.zeros(count, np.int64) for _ in range(3))
        for op, tasks in mvms.items():
            number[op] = len(tasks)
            first[op], last[op] = plan.tokens[tasks[0]], plan.tokens[tasks[-1]]
        return cls(
            items,
            np.bincount(plan.op[stores], minlength=count),
            np.bincount(plan.op[fetches], minlength=count),
            number,
            first,
            last,
        )

    def key(self, op: int) -> tuple[int, ...]:
        """Return what tells the batches of layers of one shape apart."""
        columns = (self.items, self.stores, self.fetches, self.mvms, self.first, self.last)
        return tuple(int(column[op]) for column in columns)

    def slices(self, op: int) -> int:
        """Return into how many slices the outputs of an op are cut."""
        return int(self.stores[op]) // max(1, int(self.items[op]))


def _shape(job: Job, decided: LayerSchedule) -> tuple[object, ...]:
    layer = decided.layer
    rank = layer.adapter.rank if layer.adapter else 0
    op = layer.op
    tokens = job.tokens_of(layer)
    return (op.in_features, op.out_features, rank, decided.batch, str(decided.choice), tokens)


def _unit_of_task(plan: Plan) -> Ints:
    """Return for each task which of :data:`UNITS` it holds first, or -1."""
    of_resource = np.array(
        [UNITS.index(r.kind) if r.kind in UNITS else -1 for r in plan.resources], np.int64
    )
    found = np.full(len(plan), -1, np.int64)
    if len(plan.use):
        held = np.flatnonzero(np.diff(plan.use_first))
        found[held] = of_resource[plan.use[plan.use_first[held]]]
    return found


def _tasks_by_op(plan: Plan, tasks: Ints) -> dict[int, Ints]:
    """Return op -> its tasks among ``tasks``, in plan order."""
    if not len(tasks):
        return {}
    order = tasks[np.argsort(plan.op[tasks], kind="stable")]
    ops, first = np.unique(plan.op[order], return_index=True)
    return {int(op): part for op, part in zip(ops, np.split(order, first[1:]), strict=True)}


def _with_action(plan: Plan, tasks: Ints, action: str) -> Ints:
    known = action in plan.labels
    found: Ints = tasks[plan.label[tasks] == (plan.labels.index(action) if known else -1)]
    return found


def _program(job: Job, decided: LayerSchedule, slices: int) -> LoraProgram:
    """Return the program of a full batch."""
    layer = decided.layer
    assert job.machine.cluster is not None
    assert layer.adapter is not None
    assert decided.choice is not None
    return LoraProgram(
        job.machine.cluster,
        layer.op.in_features,
        layer.op.out_features,
        layer.adapter.rank,
        decided.batch,
        decided.choice,
        job.machine.tile.columns if slices > 1 else None,
    )


def _batch_sizes(
    job: Job, decided: LayerSchedule, plan: Plan, items: int, mvms: Ints
) -> list[tuple[int, int]]:
    """Return (tokens, how many batches of them), as the MVMs of the batches last."""
    if len(mvms) == items:
        sizes = Counter(plan.tokens[mvms].tolist())
    else:  # all tokens in one task: full batches, and what is left over
        full, rest = divmod(job.tokens_of(decided.layer), decided.batch)
        sizes = Counter({decided.batch: full}) + Counter({rest: 1} if rest else {})
    return sorted(sizes.items())


def _layer_activity(program: LoraProgram, sizes: list[tuple[int, int]]) -> dict[Doing, Activity]:
    """Return what adapting all batches does."""
    total: dict[Doing, Activity] = defaultdict(Activity)
    for size, count in sizes:
        for doing, activity in batch_activity(replace(program, tokens=size)).items():
            total[doing] += activity * count
    return dict(total)


def _split(
    plan: Plan, tasks: Ints, unit: Ints, done: dict[Doing, Activity], layers: int
) -> Iterator[Group]:
    """Yield the tasks of layers alike by action and unit; kernels without rows do nothing."""
    for action in np.flatnonzero(np.bincount(plan.label[tasks])):
        name = plan.labels[action]
        if name in FETCHES:
            continue
        same = tasks[plan.label[tasks] == action]
        for index in np.flatnonzero(np.bincount(unit[same])):
            activity = done.get((name, UNITS[index]), Activity())
            yield Group(same[unit[same] == index], UNITS[index], activity * layers)


def _own_fetches(plan: Plan, tasks: Ints, program: LoraProgram) -> Iterator[Group]:
    """Yield the transfers of A and B that are tasks of the layers themselves."""
    for (action, name), activity in weights_activity(program).items():
        own = _with_action(plan, tasks, action)
        if own.size:
            yield Group(own, name, activity * len(own))


def _prefetches(plan: Plan, unit: Ints, programs: list[LoraProgram]) -> Iterator[Group]:
    """Yield the transfers of A and B beside an earlier layer.

    They stand in the plan in the order of the layers that they are for, which are those that
    bring no adapter themselves; every layer has one per cluster.
    """
    if not programs:
        return
    for letter in ("a", "b"):
        tasks = _with_action(plan, np.flatnonzero(unit >= 0), f"prefetch {letter}")
        for part, program in zip(np.array_split(tasks, len(programs)), programs, strict=True):
            each = weights_activity(program)[f"load {letter}", "dma"]
            if part.size:
                yield Group(part, "dma", each * len(part))
