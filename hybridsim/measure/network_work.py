"""What tasks of whole networks do inside the clusters that they take as a whole.

Such a task is one piece of time in its plan. What the units of the cluster do meanwhile follows
from what was decided: the program of an adapter and the tokens of its chunks, or the heads,
queries and keys of an attention.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hybridsim.arch import Cluster
from hybridsim.plan import Plan
from hybridsim.programs import LoraProgram
from hybridsim.programs.attention import AttentionRun
from hybridsim.programs.lora_activity import batch_activity, weights_activity
from hybridsim.strategies import Job, Schedule
from hybridsim.units import Ints, ceil_div

ADAPTING = ("adapt", "x a", "u b + y")
"""Actions of adapters: as a whole, or in two tasks between which U is stored."""
_FIRST_HALF = ("load x", "load a", "zero u", "transpose x", "transpose u", "xa")


@dataclass(frozen=True, slots=True)
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

    def times(self, tasks: Ints, count: int) -> "ClusterWork":
        """Return ``count`` times the work, done by some tasks."""
        return ClusterWork(
            tasks,
            self.engine_ps * count,
            self.cores_ps * count,
            self.macs * count,
            self.engine_slots * count,
            self.tcdm_bytes * count,
        )


def cluster_work(job: Job, schedule: Schedule) -> Iterator[ClusterWork]:
    """Yield adapter tasks and attention tasks on whole clusters with what they do, each once."""
    if job.machine.cluster is None:
        return
    yield from _attentions(job.machine.cluster, schedule)
    yield from _adapters(job.machine.cluster, schedule)


def _attentions(cluster: Cluster, schedule: Schedule) -> Iterator[ClusterWork]:
    """Yield attentions, those of equal heads and keys together."""
    plan = schedule.plan
    tasks = _by_op(plan, ("attend",))
    alike: dict[int, list[Ints]] = defaultdict(list)
    known: dict[int, AttentionRun] = {}
    count: dict[int, int] = defaultdict(int)
    for decided in schedule.ops:
        if not decided.runs or decided.op.name not in tasks:
            continue
        pieces = tasks[decided.op.name].reshape(-1, len(decided.runs))
        which = np.array([id(run) for run in decided.runs])
        known.update({id(run): run for run in decided.runs})
        for key in dict.fromkeys(which.tolist()):
            same = which == key
            alike[key].append(pieces[:, same].ravel())
            count[key] += int(same.sum())
    peak = cluster.matrix_engine.peak if cluster.matrix_engine else 0
    for key, own in alike.items():
        run = known[key]
        slots = run.engine_ps * cluster.clock.frequency // 10**12 * peak
        macs = run.macs if run.engine_ps else 0
        one = ClusterWork(
            own[0], run.engine_ps, run.cores_ps, macs, max(slots, macs), run.moved_bytes
        )
        yield one.times(np.concatenate(own), count[key])


def _adapters(cluster: Cluster, schedule: Schedule) -> Iterator[ClusterWork]:
    """Yield adapter tasks, those of equal shapes and tokens together."""
    plan = schedule.plan
    rows = _rows_of_chunks(schedule)
    loads = {name: len(own) for name, own in _by_op(plan, ("load a b",)).items()}
    alike: dict[tuple[LoraProgram, str, int, bool], list[Ints]] = defaultdict(list)
    for action in ADAPTING:
        tasks = _by_op(plan, (action,))
        for decided in schedule.layers:
            name, program = decided.layer.name, decided.program
            if decided.shared is not None:
                program = decided.shared[action != "x a"]
            if program is None or name not in tasks:
                continue
            own, chunks = tasks[name], rows[name]
            item, fetched = plan.item[own], loads.get(name, 0)
            pieces = 1 if decided.shared else len(own) // len(chunks)
            each = ceil_div(chunks, pieces)[item]
            loaded = np.full(len(own), fetched > 0) & ((item == 0) | (fetched == len(chunks)))
            for size in np.flatnonzero(np.bincount(each)).tolist():
                for with_weights in (False, True):
                    same = own[(each == size) & (loaded == with_weights)]
                    if len(same):
                        alike[program, action, size, with_weights].append(same)
    for (program, action, size, with_weights), parts in alike.items():
        together = np.concatenate(parts)
        work = _adapting(program, cluster, action, size, with_weights)
        yield work.times(together, len(together))


@lru_cache(maxsize=4096)
def _adapting(
    program: LoraProgram, cluster: Cluster, action: str, rows: int, weights: bool
) -> ClusterWork:
    """Return what one task does that adapts so many tokens, batch after batch."""
    time = {"matrix_engine": 0, "cores": 0, "dma": 0}
    macs = slots = moved = 0
    batches = [min(program.tokens, rows - at) for at in range(0, rows, program.tokens)]
    for tokens in batches:
        part = program.of_tokens(tokens).on(cluster)
        for kernel, cycles in zip(part.kernels, part.cycles(cluster), strict=True):
            if _belongs(kernel.work.label, action):
                time[kernel.unit] += int(cluster.to_ps(cycles))
        for (name, unit), activity in batch_activity(part, cluster).items():
            if _belongs(name, action):
                moved += activity.tcdm_bytes
                slots += activity.engine_slots
                macs += activity.macs if unit == "matrix_engine" else 0
    if weights:
        passes = len(batches) if program.slice_inputs is not None else 1
        for (name, _), activity in weights_activity(program, cluster).items():
            moved += passes * activity.tcdm_bytes if _belongs(name, action) else 0
    if action != "adapt":  # U goes out, and comes in again
        moved += rows * program.rank * cluster.element_bytes
    nothing = np.empty(0, np.int64)
    return ClusterWork(nothing, time["matrix_engine"], time["cores"], macs, slots, moved)


def _belongs(name: str, action: str) -> bool:
    """Return whether a kernel or transfer is part of a task."""
    return action == "adapt" or (action == "x a") == (name in _FIRST_HALF)


def _rows_of_chunks(schedule: Schedule) -> dict[str, Ints]:
    """Return layer -> tokens of each of its chunks, as the MVMs of the chunks last."""
    carrier = {
        decided.layer.name: schedule.carried_by.get(decided.layer.name, decided.layer.name)
        for decided in schedule.layers
    }
    mvms = _by_op(schedule.plan, ("mvm",))
    chunks = {name: schedule.plan.tokens[own] for name, own in mvms.items()}
    return {name: chunks[other] for name, other in carrier.items() if other in chunks}


def _by_op(plan: Plan, actions: tuple[str, ...]) -> dict[str, Ints]:
    """Return op -> its tasks of some actions, in plan order."""
    numbers = [plan.labels.index(action) for action in actions if action in plan.labels]
    tasks = np.flatnonzero(np.isin(plan.label, numbers))
    order = tasks[np.argsort(plan.op[tasks], kind="stable")]
    ops, first = np.unique(plan.op[order], return_index=True)
    parts = np.split(order, first[1:]) if len(ops) else []
    return {plan.ops[op]: part for op, part in zip(ops.tolist(), parts, strict=True)}
