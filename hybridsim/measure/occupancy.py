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
chunks of a layer or for the whole run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd

from hybridsim.measure.levels import levels
from hybridsim.measure.result import Result
from hybridsim.plan import Plan, Timeline
from hybridsim.programs import Kernel, LoraProgram
from hybridsim.strategies import Job, LayerSchedule, Schedule
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
    one cluster named ``clusters`` that holds what lies in all of them. A machine without clusters
    gives no rows.
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
    pooled = _pool(run.schedule.plan) is not None
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


def _pool(plan: Plan) -> int | None:
    """Return the resource that stands for all clusters, or None if each has its own parts."""
    kinds = [resource.kind for resource in plan.resources]
    return kinds.index("cluster") if "cluster" in kinds else None


def _cluster_names(run: Executed) -> list[str]:
    plan = run.schedule.plan
    if _pool(plan) is not None:
        return [POOL]
    cores = (r.name for r in plan.resources if r.kind == "cores")
    return [name.rpartition(".")[0] for name in cores]


def _pool_buffers(run: Executed) -> Iterator[_Buffers]:
    """Yield what the tasks on a pool of clusters hold while they run, and adapters that stay."""
    plan, timeline = run.schedule.plan, run.timeline
    pool = _pool(plan)
    assert pool is not None
    kept = run.schedule.kept_bytes
    if kept:
        zero, makespan = np.zeros(1, np.int64), np.array([timeline.makespan])
        size = np.array([kept * plan.resources[pool].units])
        yield _Buffers(zero, zero - 1, "adapters", zero, zero, makespan, size)
    adapted = [layer for layer in run.schedule.layers if layer.choice is not None]
    yield from _at_home(run, [layer for layer in adapted if layer.homes])
    size_of = {op.op.name: op.tcdm_bytes for op in run.schedule.ops}
    size_of |= {layer.layer.name: layer.tcdm_bytes - layer.kept_bytes - kept for layer in adapted}
    sizes = np.array([size_of.get(name, 0) for name in plan.ops], np.int64)
    task = np.repeat(np.arange(len(plan)), np.diff(plan.use_first))[plan.use == pool]
    op, zeros = plan.op[task], np.zeros(len(task), np.int64)
    start, end = timeline.start[task], timeline.end[task]
    yield _Buffers(zeros, op, "op", plan.item[task], start, end, sizes[op])


def _at_home(run: Executed, layers: Sequence[LayerSchedule]) -> Iterator[_Buffers]:
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
        yield _Buffers(zero, one * op, "adapters", zero, one * begin, one * last, size)


def _layers(run: Executed) -> Iterator[_Buffers]:
    """Yield the buffers of each layer that is adapted on a cluster of its own."""
    plan = run.schedule.plan
    place = {name: index for index, name in enumerate(plan.ops)}
    owner = _owners(plan)
    by_op = np.argsort(owner, kind="stable")
    first = np.searchsorted(owner[by_op], np.arange(len(plan.ops) + 1))
    for decided in run.schedule.layers:
        op = place.get(decided.layer.name)
        if decided.choice is not None and op is not None:
            yield from _Adapter(run, decided, op, by_op[first[op] : first[op + 1]]).buffers()


def _owners(plan: Plan) -> Ints:
    """Return the op each task works for; for weights fetched ahead, the op that reads them."""
    owner = plan.op.copy()
    ahead = np.array([action.startswith("prefetch") for action in plan.labels], np.bool_)
    if ahead.any():
        user = np.repeat(np.arange(len(plan)), np.diff(plan.need_first))
        reads = ahead[plan.label[plan.need]]
        owner[plan.need[reads]] = plan.op[user[reads]]
    return owner


@dataclass(frozen=True)
class _Adapter:
    """The tasks of one adapted layer, in plan order."""

    run: Executed
    decided: LayerSchedule
    op: int
    tasks: Ints

    def buffers(self) -> Iterator[_Buffers]:
        """Yield A and B on each cluster, and the buffers of all batches."""
        program = self.program
        element, rank = program.element_bytes, program.rank
        yield self._weights("a", rank * program.in_features * element)
        yield self._weights("b", rank * program.out_features * element)
        yield self._batches("x", 0, self.tokens * program.in_features * element)
        yield self._batches("u", 0, self.rows * rank * element)
        for index, width in enumerate(program.slices):
            yield self._batches("y", index, self.rows * width * element)
            if program.choice.add == "separate":
                yield self._batches("v", index, self.rows * width * element)

    def _weights(self, buffer: str, size: int) -> _Buffers:
        """Return A or B on each cluster, from its transfer to the last task there."""
        loads = self._of_actions([f"load {buffer}", f"prefetch {buffer}"])
        cluster, end = self._cluster_of, self.run.timeline.end[self.tasks]
        last = np.array([end[cluster == own].max() for own in cluster[loads]], np.int64)
        begin, zeros = self.run.timeline.start[self.tasks[loads]], np.zeros_like(last)
        return _Buffers(cluster[loads], zeros + self.op, buffer, zeros, begin, last, zeros + size)

    def _batches(self, buffer: str, index: int, size: Ints) -> _Buffers:
        """Return one buffer of every batch; ``index`` is the slice of Y or V."""
        begin, end = self._life(buffer, index)
        cluster = self._cluster_of[self._steps["load x"][:, 0]]
        item, op = np.arange(len(size)), np.full(len(size), self.op, np.int64)
        return _Buffers(cluster, op, buffer, item, begin, end, size)

    def _life(self, buffer: str, index: int) -> tuple[Ints, Ints]:
        """Return (start of the first write, end of the last read) of a buffer in every batch."""
        kernels = self._kernels
        if buffer == "y":
            return self._start("load y", index), self._end("store z", index)
        if buffer == "x":
            writers = [("load x", 0)]
            freers = [key for key, kernel in kernels if "x" in kernel.frees]
        elif buffer == "u":
            writers = [
                key
                for key, kernel in kernels
                if not kernel.slice_work and not kernel.action.startswith("transpose x")
            ]
            freers = [key for key, kernel in kernels if "u" in kernel.frees]
        else:
            own = [(key, kernel) for key, kernel in kernels if kernel.slice == index]
            writers = [key for key, kernel in own if "v" in kernel.fills]
            freers = [key for key, kernel in own if "v" in kernel.frees]
        begin = np.min([self._start(*key) for key in writers], axis=0)
        return begin, np.max([self._end(*key) for key in freers], axis=0)

    def _start(self, action: str, index: int) -> Ints:
        return self.run.timeline.start[self.tasks[self._steps[action][:, index]]]

    def _end(self, action: str, index: int) -> Ints:
        return self.run.timeline.end[self.tasks[self._steps[action][:, index]]]

    @cached_property
    def program(self) -> LoraProgram:
        """The program of a full batch."""
        cluster, choice = self.run.job.machine.cluster, self.decided.choice
        adapter, op = self.decided.layer.adapter, self.decided.layer.op
        assert cluster is not None
        assert choice is not None
        assert adapter is not None
        slices = len(self._of_actions(["store z"])) // len(self._of_actions(["load x"]))
        width = self.run.job.machine.tile.columns if slices > 1 else None
        shape = (op.in_features, op.out_features, adapter.rank, self.decided.batch)
        return LoraProgram(cluster, *shape, choice, width)

    @cached_property
    def _kernels(self) -> list[tuple[tuple[str, int], Kernel]]:
        """The kernels of a batch, each with its action and how often that came before."""
        seen: dict[str, int] = {}
        found = []
        for kernel in _kernels_of(self.program):
            count = seen.get(kernel.action, 0)
            seen[kernel.action] = count + 1
            found.append(((kernel.action, count), kernel))
        return found

    @cached_property
    def _steps(self) -> dict[str, Ints]:
        """Action -> places among the tasks, shape (batches, times it is done in a batch)."""
        plan = self.run.schedule.plan
        batches = len(self._of_actions(["load x"]))
        found = {}
        for code in np.unique(plan.label[self.tasks]):
            places = np.flatnonzero(plan.label[self.tasks] == code)
            if len(places) % batches == 0:
                by_batch = np.argsort(plan.item[self.tasks[places]], kind="stable")
                found[plan.labels[code]] = places[by_batch].reshape(batches, -1)
        return found

    def _of_actions(self, actions: Sequence[str]) -> Ints:
        """Return the places of all tasks that do one of ``actions``."""
        plan = self.run.schedule.plan
        codes = [code for code, action in enumerate(plan.labels) if action in actions]
        return np.flatnonzero(np.isin(plan.label[self.tasks], codes))

    @cached_property
    def tokens(self) -> Ints:
        """Tokens of each batch: what its MVMs took tells, or all batches but the last are full."""
        job, layer = self.run.job, self.decided.layer
        mvm = self._of_actions(["mvm"])
        batches = len(self._of_actions(["load x"]))
        if len(mvm) == batches:
            order = np.argsort(self.run.schedule.plan.item[self.tasks[mvm]], kind="stable")
            return self.run.schedule.plan.tokens[self.tasks[mvm[order]]]
        full = np.full(batches, self.decided.batch, np.int64)
        full[-1] = job.tokens_of(layer) - (batches - 1) * self.decided.batch
        return full

    @property
    def rows(self) -> Ints:
        """Rows of U, V and Y in each batch: the engine writes full rows of its array."""
        engine, choice = self.program.cluster.matrix_engine, self.program.choice
        if choice.unit == "cores" or choice.order != "direct" or engine is None:
            return self.tokens
        return engine.buffer_rows(self.tokens)

    @cached_property
    def _cluster_of(self) -> Ints:
        """Which cluster each task runs on; -1 for tasks on tiles."""
        plan = self.run.schedule.plan
        of_resource = np.full(len(plan.resources) + 1, -1, np.int64)
        for index, cluster in enumerate(self.run.job.resources.clusters):
            parts = [cluster.cores, cluster.dma, cluster.matrix_engine]
            of_resource[[part for part in parts if part is not None]] = index
        first = np.full(len(self.tasks), -1, np.int64)
        some = np.diff(plan.use_first)[self.tasks] > 0
        first[some] = plan.use[plan.use_first[self.tasks[some]]]
        return of_resource[first]


@lru_cache(maxsize=256)
def _kernels_of(program: LoraProgram) -> tuple[Kernel, ...]:
    """Return the kernels of a program; layers alike share them."""
    return program.kernels
