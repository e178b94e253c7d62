"""What tasks on clusters do in all: on single units, or on clusters that they take as a whole.

On single units, of adapted layers, it follows from what was decided for a layer: the program of a
batch of each size, and how many batches there are of it. Layers that are alike are counted
together.

A task of a whole network that takes a cluster is one piece of time in its plan. What the units of
the cluster do meanwhile is told by its work: the program of an adapter and the tokens of its
batch, or the heads, queries and keys of an attention.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hybridsim.arch import Cluster
from hybridsim.measure.layer_tasks import LayerTasks, layer_tasks
from hybridsim.plan import Plan
from hybridsim.programs import Kernel
from hybridsim.programs.adapting import AdapterWork
from hybridsim.programs.attention_runs import AttentionShape, AttentionWork
from hybridsim.programs.lora_activity import (
    Activity,
    batch_activity,
    kernel_activity,
    moved,
    weights_activity,
)
from hybridsim.programs.product import ProductWork
from hybridsim.records import record
from hybridsim.strategies import Batching, Job, Schedule, StepOfBatch, steps_of
from hybridsim.units import Ints

UNITS = ("matrix_engine", "cores", "dma")
"""Kinds of resources that are single units of a cluster."""
_FIRST_HALF = ("load x", "load a", "zero u", "transpose x", "transpose u", "xa")


# --- on single units ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    """Tasks that do the same on the same kind of unit, and what they do in all."""

    tasks: Ints
    unit: str
    sort: str
    """Which of several kinds of clusters they are on."""
    activity: Activity


def groups_of(job: Job, schedule: Schedule) -> Iterator[Group]:
    """Yield the tasks on units of clusters with what they do, each task once.

    Tasks of strategies that take clusters as a whole are left out.
    """
    if job.machine.cluster is None:
        return
    alike: dict[Hashable, list[LayerTasks]] = defaultdict(list)
    for own in layer_tasks(schedule):
        sort, batching, ahead = own.decided.layer.cluster_sort, own.batching, own.fetches_ahead
        key = (batching.program, batching.sizes, batching.order.overlap, ahead)
        alike[key, 0 if ahead else len(own.weights), sort].append(own)
    for layers in alike.values():
        cluster = job.machine.cluster_of(layers[0].decided.layer.cluster_sort)
        assert cluster is not None
        yield from _batches(cluster, layers)
        if layers[0].fetches_ahead:
            for own in layers:
                yield from _weights(cluster, [own])
        else:
            yield from _weights(cluster, layers)


def _batches(cluster: Cluster, layers: list[LayerTasks]) -> Iterator[Group]:
    """Yield the tasks of all batches of layers alike, those that do the same together."""
    batching, sort = layers[0].batching, layers[0].decided.layer.cluster_sort
    together: dict[Hashable, list[StepOfBatch]] = defaultdict(list)
    for step in steps_of(batching):
        if step.action != "mvm":
            together[_kind(batching, step)].append(step)
    counts = batching.sizes.counts
    for steps in together.values():
        total = Activity()
        for size, count in counts.items():
            for step in steps:
                total += _activity(cluster, batching, step, size) * count
        tasks = []
        for own in layers:
            places = [own.place[step] for step in steps]
            tasks.append(own.batches[:, places].reshape(-1))
        unit = batching.program.kernels[steps[0].number].unit if steps[0].kernel else "dma"
        yield Group(np.concatenate(tasks), unit, sort, total * len(layers))


def _kind(batching: Batching, step: StepOfBatch) -> Hashable:
    """Return what tells steps apart whose energy is counted: operands, and the unit."""
    if not step.kernel:
        return step.action
    kernel: Kernel = batching.program.kernels[step.number]
    return (kernel.unit, kernel.work.kind, kernel.reads, kernel.slice_work)


def _activity(cluster: Cluster, batching: Batching, step: StepOfBatch, tokens: int) -> Activity:
    """Return what a step of a batch of so many tokens does."""
    program = batching.program_of(tokens)
    if step.kernel:
        return kernel_activity(program.kernels[step.number], program, cluster) or Activity()
    width = program.in_features if step.action == "load x" else program.slices[step.number]
    return moved(tokens * width * cluster.element_bytes)


def _weights(cluster: Cluster, layers: list[LayerTasks]) -> Iterator[Group]:
    """Yield the transfers of A and of B of layers alike."""
    program, sort = layers[0].batching.program, layers[0].decided.layer.cluster_sort
    for number, features in enumerate((program.in_features, program.out_features)):
        tasks = np.concatenate([own.weights[:, number] for own in layers])
        each = moved(features * program.rank * cluster.element_bytes)
        yield Group(tasks, "dma", sort, each * len(tasks))


# --- on whole clusters --------------------------------------------------------------------------


@record(frozen=True, slots=True)
class ClusterWork:
    """Tasks that do the same, and what they do in all."""

    tasks: Ints
    engine_ps: int
    """How long matrix engines work [ps]."""
    cores_ps: int
    """How long cores work [ps]."""
    macs: int
    """Multiply-accumulates on matrix engines."""
    engine_slots: int
    """Multiply-accumulates that the arrays had time for."""
    tcdm_bytes: int
    """Bytes that the DMA writes to or reads from the TCDM."""
    unit_ps: int = 0
    """How long units work that take kernels of rows from the cores [ps]."""

    def times(self, tasks: Ints, count: int) -> "ClusterWork":
        """Return ``count`` times the work, done by some tasks."""
        return ClusterWork(
            tasks,
            self.engine_ps * count,
            self.cores_ps * count,
            self.macs * count,
            self.engine_slots * count,
            self.tcdm_bytes * count,
            self.unit_ps * count,
        )


def cluster_work(job: Job, schedule: Schedule, sort: str = "") -> Iterator[ClusterWork]:
    """Yield adapter tasks and attention tasks on whole clusters with what they do, each once.

    Those on a kind of clusters: attention is done by the usual ones.
    """
    cluster, plan = job.machine.cluster_of(sort), schedule.plan
    if cluster is None:
        return
    if not sort:
        for shape, tasks in _attentions(schedule).items():
            yield _attending(cluster, shape, tasks, len(tasks) // shape.batches)
    for product, tasks in _products(plan, sort).items():
        yield _multiplying(cluster, product).times(tasks, len(tasks))
    adapted = [t.layer.name for t in schedule.layers if t.layer.cluster_sort == sort]
    for program, tasks in _adapters(plan, adapted).items():
        yield _adapting(cluster, program).times(tasks, len(tasks))


def _attentions(schedule: Schedule) -> dict[AttentionShape, Ints]:
    """Return the tasks of equal heads and keys, attention by attention.

    The tasks of an attention are given to its clusters in turn, in plan order. Where an order was
    reserved that need not be who does them, if some have more heads than others.
    """
    plan, found = schedule.plan, defaultdict[AttentionShape, list[Ints]](list)
    by_op: dict[int, Ints] = _by_op(plan, AttentionWork)
    place = {name: index for index, name in enumerate(plan.ops)}
    for told in schedule.ops:
        own = by_op.get(place.get(told.op.name, -1))
        if own is None:
            continue
        shapes = [plan.works[number].shape[0].shape for number in plan.work[own].tolist()]
        count = Counter(shapes)
        # clusters with more heads come first
        ordered = sorted(count, key=lambda shape: -shape.heads)
        turns = [shape for shape in ordered for _ in range(count[shape] // shape.batches)]
        for shape in ordered:
            columns = [turn == shape for turn in turns]
            found[shape].append(own.reshape(-1, len(turns))[:, columns].ravel())
    return {shape: np.concatenate(parts) for shape, parts in found.items()}


def _adapters(plan: Plan, layers: Sequence[str]) -> dict[AdapterWork, Ints]:
    """Return the tasks that do the same to adapt a layer, layer by layer as given."""
    found = defaultdict[AdapterWork, list[Ints]](list)
    by_op = _by_op(plan, AdapterWork)
    place = {name: index for index, name in enumerate(plan.ops)}
    for name in layers:
        own = by_op.get(place.get(name, -1))
        if own is None:
            continue
        numbers = plan.work[own]
        for number in np.unique(numbers).tolist():
            found[plan.works[number].shape[0]].append(own[numbers == number])
    return {program: np.concatenate(parts) for program, parts in found.items()}


def _products(plan: Plan, sort: str) -> dict[ProductWork, Ints]:
    """Return the tasks of a kind of clusters that do the same of layers without tiles."""
    found: dict[ProductWork, Ints] = {}
    for number, work in enumerate(plan.works):
        program = work.shape[0] if work.kind == "program" else None
        if isinstance(program, ProductWork) and work.sort == sort:
            found[program] = np.flatnonzero(plan.work == number)
    return found


@lru_cache(maxsize=1024)
def _multiplying(cluster: Cluster, work: ProductWork) -> ClusterWork:
    """Return what one task does that computes a layer, block after block."""
    cycles = work.product_cycles(cluster)
    time = int(cluster.to_ps(cycles))
    nothing, moved = np.empty(0, np.int64), work.moved_bytes(cluster)
    if not work.on_engine:
        return ClusterWork(nothing, 0, time, 0, 0, moved)
    macs = work.rows * work.inputs * work.columns
    return ClusterWork(nothing, time, 0, macs, cycles * cluster.engine.peak, moved)


def _by_op(plan: Plan, program: type) -> dict[int, Ints]:
    """Return op -> its tasks that do a kind of program on a whole cluster, in plan order."""
    tasks = np.flatnonzero(
        plan.which(lambda work: work.kind == "program" and isinstance(work.shape[0], program))
    )
    order = tasks[np.argsort(plan.op[tasks], kind="stable")]
    ops, first = np.unique(plan.op[order], return_index=True)
    parts = np.split(order, first[1:]) if len(ops) else []
    return dict(zip(ops.tolist(), parts, strict=True))


def _attending(cluster: Cluster, shape: AttentionShape, tasks: Ints, count: int) -> ClusterWork:
    """Return what all batches of equal heads do, ``count`` times."""
    run = shape.run(cluster)
    macs = run.macs if run.engine_ps else 0
    slots = max(run.engine_slots, macs)
    one = ClusterWork(
        tasks, run.engine_ps, run.cores_ps, macs, slots, run.moved_bytes, run.unit_ps
    )
    return one.times(tasks, count)


@lru_cache(maxsize=4096)
def _adapting(cluster: Cluster, work: AdapterWork) -> ClusterWork:
    """Return what one task does that adapts some tokens, batch after batch."""
    program = work.program
    time = {"matrix_engine": 0, "cores": 0, "dma": 0}
    macs = slots = moved = 0
    for tokens, count in work.batches.items():
        part = program.of_tokens(tokens).on(cluster)
        for kernel, cycles in zip(part.kernels, part.cycles(cluster), strict=True):
            if work.half == "both" or (work.half == "second") == kernel.slice_work:
                time[kernel.unit] += count * int(cluster.to_ps(cycles))
        for (name, unit), activity in batch_activity(part, cluster).items():
            if _belongs(name, work):
                moved += count * activity.tcdm_bytes
                slots += count * activity.engine_slots
                macs += count * activity.macs if unit == "matrix_engine" else 0
    if work.weights:
        for (name, _), activity in weights_activity(program, cluster).items():
            moved += work.fetches * activity.tcdm_bytes if _belongs(name, work) else 0
    if work.half != "both":  # U goes out, and comes in again
        moved += work.rows * program.rank * cluster.element_bytes
    nothing = np.empty(0, np.int64)
    return ClusterWork(nothing, time["matrix_engine"], time["cores"], macs, slots, moved)


def _belongs(name: str, work: AdapterWork) -> bool:
    """Return whether what is done of an adapter is part of a work."""
    return work.half == "both" or (work.half == "first") == (name in _FIRST_HALF)
