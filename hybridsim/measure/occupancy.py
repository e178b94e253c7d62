"""What lies in the scratchpads, over time.

A buffer holds data from the start of what first writes it to the end of what last needs it:

*   A and B from the start of their transfer to the end of the layer's last kernel on the cluster;
*   X of a batch from the start of its transfer to the end of the kernels that free it;
*   U of a batch from the start of what zeroes or first writes it to the end of the kernels that
    free it;
*   a slice of Y from the start of its transfer to the end of the store of Z, which lies in its
    place; a slice of V from the kernel that fills it to the end of the one that adds it.

These are the buffers of :meth:`hybridsim.programs.LoraProgram.tcdm_bytes`, which reserves each as
often as batches are in flight; so what lies in a scratchpad is never more than what was reserved,
and less while buffers are empty.

Strategies for whole networks take clusters from a pool: there each task holds what was decided
for its op, operands and results, as long as it runs; only A and B may stay in between, for the
batches of a layer or for the whole run.
"""

from collections.abc import Iterator, Sequence
from collections.abc import Mapping as MappingType
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd

from hybridsim.measure.layer_tasks import LayerTasks, layer_tasks
from hybridsim.measure.result import Result
from hybridsim.measure.usage import levels
from hybridsim.plan import Plan, Timeline
from hybridsim.programs import Kernel, LoraProgram
from hybridsim.strategies import Job, LayerDecision, Schedule, StepOfBatch
from hybridsim.units import Ints

POOL = "clusters"
"""How the clusters of a pool, which are not told apart, are called together."""


class Executed(Protocol):
    """What is known of a run; :class:`hybridsim.simulation.Run` is one."""

    @property
    def job(self) -> Job:
        """The network on the machine."""

    @property
    def schedule(self) -> Schedule:
        """The plan, and what was decided."""

    @property
    def timeline(self) -> Timeline:
        """When each task ran."""

    @property
    def result(self) -> Result:
        """What was measured."""


def tcdm_occupancy(run: Executed) -> pd.DataFrame:
    """Return what lies in the scratchpad of each cluster over time: cluster, time_ps, bytes.

    ``bytes`` lie there from ``time_ps`` until the next row of the same cluster. The rows of a
    cluster are in the order of time, begin at 0, and end with what is left behind, which is
    nothing unless adapters stay. A pool of clusters, as strategies for whole networks have it, is
    one cluster named ``clusters`` that holds what lies in all of them; of several kinds each has a
    pool. A machine without clusters gives no rows.
    """
    table = tcdm_buffers(run)
    names = _cluster_names(run)
    place = {name: index for index, name in enumerate(names)}
    group = np.array([place[name] for name in table["cluster"]], np.int64)
    size = table["bytes"].to_numpy(np.int64)
    times = np.concatenate((table["from_ps"].to_numpy(), table["until_ps"].to_numpy()))
    both = np.concatenate((group, group))
    change = np.concatenate((size, -size))
    return levels(both, times.astype(np.int64), change, names, ("cluster", "bytes"))


def tcdm_buffers(run: Executed) -> pd.DataFrame:
    """Return each buffer: cluster, op, buffer, item, from_ps, until_ps, bytes.

    ``buffer`` is ``a``, ``b``, ``x``, ``u``, ``v`` or ``y``; where an op takes its scratchpad as a
    whole it is ``op``, and adapters that stay are ``adapters``. ``item`` is the
    batch of tokens.
    """
    pooled = bool(_pools(run.schedule.plan))
    parts = [*(_pool_buffers(run) if pooled else _layers(run))]
    length = [len(part.size) for part in parts]

    def column(values: Sequence[Ints]) -> Ints:
        return np.concatenate([np.empty(0, np.int64), *values])

    clusters, ops = (np.array(names, dtype=object) for names in (
        _cluster_names(run), [*run.schedule.plan.ops, ""]))  # fmt: skip
    return pd.DataFrame(
        {
            "cluster": clusters[column([part.cluster for part in parts])],
            "op": ops[column([part.op for part in parts])],
            "buffer": np.repeat(np.array([part.buffer for part in parts], dtype=object), length),
            "item": column([part.item for part in parts]),
            "from_ps": column([part.begin for part in parts]),
            "until_ps": column([part.end for part in parts]),
            "bytes": column([part.size for part in parts]),
        }
    )


class _Buffers(NamedTuple):
    """Buffers of one kind, each field one array."""

    cluster: Ints
    """As an index into the names of the clusters."""
    op: Ints
    """As an index into the ops of the plan; -1 for none."""
    buffer: str
    item: Ints
    begin: Ints
    end: Ints
    size: Ints


def _pools(plan: Plan) -> list[int]:
    """Return the resources that stand for all clusters of a kind, the usual one first; none if
    each cluster has its own parts."""
    pools = [k for k, resource in enumerate(plan.resources) if resource.kind == "cluster"]
    sorts = {plan.resources[pool].sort: pool for pool in reversed(pools)}  # of the first chip
    return sorted(sorts.values())


def _cluster_names(run: Executed) -> list[str]:
    plan = run.schedule.plan
    if pools := _pools(plan):
        return [POOL, *(plan.resources[pool].name for pool in pools[1:])]
    cores = (r.name for r in plan.resources if r.kind == "cores")
    return [name.rpartition(".")[0] for name in cores]


def _pool_buffers(run: Executed) -> Iterator[_Buffers]:
    """Yield what the tasks on a pool of clusters hold while they run, and adapters that stay."""
    plan, timeline, schedule = run.schedule.plan, run.timeline, run.schedule
    pools = _pools(plan)
    kept = {"": schedule.kept_bytes, **schedule.kept_of_kinds}
    number = {plan.resources[pool].sort: place for place, pool in enumerate(pools)}
    for sort, held in kept.items():
        if held:
            zero, makespan = np.zeros(1, np.int64), np.array([timeline.makespan])
            whole = np.array([held * plan.resources[pools[number[sort]]].units])
            first = zero + number[sort]
            yield _Buffers(first, zero - 1, "adapters", zero, zero, makespan, whole)
    adapted = [layer for layer in schedule.layers if layer.choice is not None or layer.tcdm_bytes]
    yield from _at_home(run, [layer for layer in adapted if layer.homes], number)
    size_of = {op.op.name: op.tcdm_bytes for op in schedule.ops}
    for layer in adapted:
        own = layer.kept_bytes + kept[layer.layer.cluster_sort]
        size_of[layer.layer.name] = layer.tcdm_bytes - own
    sizes = np.array([size_of.get(name, 0) for name in plan.ops], np.int64)
    for place, pool in enumerate(pools):
        task = plan.holder[plan.use == pool]
        op, where = plan.op[task], np.full(len(task), place, np.int64)
        start, end = timeline.start[task], timeline.end[task]
        yield _Buffers(where, op, "op", plan.item[task], start, end, sizes[op])


def _at_home(
    run: Executed, layers: Sequence[LayerDecision], number: MappingType[str, int]
) -> Iterator[_Buffers]:
    """Yield A and B of layers that keep them: from their fetch to the last use."""
    plan, timeline = run.schedule.plan, run.timeline
    place = {name: index for index, name in enumerate(plan.ops)}
    fetches = plan.which(lambda work: work.kind == "weights")
    for layer in layers:
        op = place[layer.layer.name]
        own = np.flatnonzero(plan.op == op)
        begin = timeline.start[own[fetches[own]]].min(initial=timeline.makespan)
        one, zero = np.ones(1, np.int64), np.zeros(1, np.int64)
        size = one * layer.kept_bytes * layer.homes
        last = timeline.end[own].max(initial=0)
        where = zero + number[layer.layer.cluster_sort]
        yield _Buffers(where, one * op, "adapters", zero, one * begin, one * last, size)


def _layers(run: Executed) -> Iterator[_Buffers]:
    """Yield the buffers of each layer that is adapted on clusters of its own."""
    for tasks in layer_tasks(run.schedule):
        yield from _Adapter(run, tasks).buffers()


@dataclass(frozen=True)
class _Adapter:
    """One adapted layer: its tasks, and when they ran."""

    run: Executed
    own: LayerTasks

    def buffers(self) -> Iterator[_Buffers]:
        """Yield A and B on each cluster, and the buffers of all batches."""
        program = self.program
        element = self.run.job.shape_of(self.own.decided.layer).element_bytes
        rank, rows = program.rank, self._rows
        yield self._weights("a", 0, rank * program.in_features * element)
        yield self._weights("b", 1, rank * program.out_features * element)
        yield self._batches("x", 0, self._tokens * program.in_features * element)
        yield self._batches("u", 0, rows * rank * element)
        for index, width in enumerate(program.slices):
            yield self._batches("y", index, rows * width * element)
            if program.choice.add == "separate":
                yield self._batches("v", index, rows * width * element)

    def _weights(self, buffer: str, place: int, size: int) -> _Buffers:
        """Return A or B on each cluster, from its transfer to the last task there."""
        own, line = self.own, self.run.timeline
        clusters, of_batches = own.clusters(self.run.job)
        # a batch is off the tiles when its last step on the cluster has ended
        on_cluster = [p for step, p in own.place.items() if step.action != "mvm"]
        ends = line.end[own.batches[:, on_cluster]].max(axis=1)
        last = line.end[own.weights].max(axis=1)
        for number, cluster in enumerate(clusters):
            last[number] = max(last[number], ends[of_batches == cluster].max(initial=0))
        begin, zeros = line.start[own.weights[:, place]], np.zeros_like(last)
        return _Buffers(clusters, zeros + own.op, buffer, zeros, begin, last, zeros + size)

    def _batches(self, buffer: str, index: int, size: Ints) -> _Buffers:
        """Return one buffer of every batch; ``index`` is the slice of Y or V."""
        begin, end = self._life(buffer, index)
        item, op = np.arange(len(size)), np.full(len(size), self.own.op, np.int64)
        return _Buffers(self.own.clusters(self.run.job)[1], op, buffer, item, begin, end, size)

    def _life(self, buffer: str, index: int) -> tuple[Ints, Ints]:
        """Return (start of the first write, end of the last read) of a buffer in every batch."""
        line, kernels = self.run.timeline, list(enumerate(self.program.kernels))
        if buffer == "y":
            writers, freers = [StepOfBatch("load y", index)], [StepOfBatch("store z", index)]
        elif buffer == "x":
            writers = [StepOfBatch("load x")]
            freers = [StepOfBatch("kernel", i) for i, k in kernels if "x" in k.frees]
        elif buffer == "u":
            writers = [StepOfBatch("kernel", i) for i, k in kernels if _writes_u(k)]
            freers = [StepOfBatch("kernel", i) for i, k in kernels if "u" in k.frees]
        else:
            of_slice = [(i, k) for i, k in kernels if k.slice == index]
            writers = [StepOfBatch("kernel", i) for i, k in of_slice if "v" in k.fills]
            freers = [StepOfBatch("kernel", i) for i, k in of_slice if "v" in k.frees]
        begin = np.min([line.start[self.own.of(step)] for step in writers], axis=0)
        return begin, np.max([line.end[self.own.of(step)] for step in freers], axis=0)

    @property
    def program(self) -> LoraProgram:
        """The program of a full batch."""
        return self.own.batching.program

    @cached_property
    def _tokens(self) -> Ints:
        """Tokens of each batch."""
        return self.own.batching.sizes.each()

    @property
    def _rows(self) -> Ints:
        """Rows of U, V and Y in each batch: the engine writes full rows of its array."""
        cluster = self.run.job.machine.cluster_of(self.own.decided.layer.cluster_sort)
        assert cluster is not None
        sizes = self.own.batching.sizes
        rows = {n: self.program.of_tokens(n).buffer_rows(cluster) for n in sizes.different}
        return np.array([rows[size] for size in self._tokens.tolist()], np.int64)


def _writes_u(kernel: Kernel) -> bool:
    """Whether a kernel writes U: all before the slices do, but for turning X."""
    turns_x = kernel.work.kind == "transpose" and "x" in kernel.reads
    return not kernel.slice_work and not turns_x
