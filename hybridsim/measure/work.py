"""What each task does: tokens, bytes and cycles, as far as the plan tells."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from hybridsim.measure.occupancy import Executed
from hybridsim.plan import Plan, Resource
from hybridsim.units import Clock, Ints, ceil_div
from hybridsim.work import NOTHING, Work

_WEIGHTS = ("load a", "load b", "load a b", "prefetch a", "prefetch b")
_CLUSTER_PARTS = ("cores", "dma", "matrix_engine", "cluster", "engine_cluster")


def task_work(run: Executed) -> pd.DataFrame:
    """Return one row per task, in the order of the plan: tokens, bytes, cycles.

    ``tokens`` is the size of the batch that the task works on; weights belong to none. ``bytes``
    is what a transfer of adapter operands moves. ``cycles`` is the duration in clock cycles of
    the first part that the task holds, rounded down; tiles and delays have none. What the plan
    does not tell is :data:`NOTHING`.
    """
    plan = run.schedule.plan
    tokens = np.full(len(plan), NOTHING, np.int64)
    size = np.array([work.bytes for work in plan.works], np.int64)[plan.work]
    by_op = np.argsort(plan.op, kind="stable")
    first = np.searchsorted(plan.op[by_op], np.arange(len(plan.ops) + 1))
    own = {name: by_op[first[op] : first[op + 1]] for op, name in enumerate(plan.ops)}
    for name, each in _batch_sizes(run, own):
        tokens[own[name]] = each[plan.item[own[name]]]
    for task, whole in _single_mvms(run):
        tokens[task] = whole
    weights = np.array([action in _WEIGHTS for action in plan.labels], np.bool_)
    if len(plan):
        tokens[weights[plan.label]] = NOTHING
    return pd.DataFrame({"tokens": tokens, "bytes": size, "cycles": _cycles(run)})


def _tokens_of_ops(run: Executed) -> dict[str, int]:
    """Return the tokens of a whole sequence that pass through each op."""
    layers = {d.layer.name: run.job.tokens_of(d.layer) for d in run.schedule.layers}
    return layers | {op.op.name: op.tokens for op in run.schedule.ops}


def _batch_sizes(run: Executed, own: dict[str, Ints]) -> Iterator[tuple[str, Ints]]:
    """Yield each op with the tokens of each of its batches, where the plan tells.

    MVMs tell; other ops with as many tokens in as many batches have the same.
    """
    plan, known = run.schedule.plan, dict[tuple[int, int], Ints]()
    batch = {d.layer.name: d.batch for d in run.schedule.layers}
    mvm = plan.which(_is_mvm)
    left: list[tuple[str, int, int]] = []
    for name, whole in _tokens_of_ops(run).items():
        if name not in own:
            continue
        batches = int(plan.item[own[name]].max(initial=0)) + 1
        sizes = _told_by_mvms(plan, own[name][mvm[own[name]]], batches)
        if sizes is None:
            left.append((name, whole, batches))
        else:
            known[whole, batches] = sizes
            yield name, sizes
    for name, whole, batches in left:
        each = batch.get(name, whole)
        if (whole, batches) in known:
            yield name, known[whole, batches]
        elif ceil_div(whole, each) == batches:
            yield name, np.minimum(each, whole - each * np.arange(batches, dtype=np.int64))


def _told_by_mvms(plan: Plan, mvms: Ints, batches: int) -> Ints | None:
    """Return the tokens of each batch of a layer, or None where it has no MVM for each."""
    if len(mvms) != batches:
        return None
    sizes = np.zeros(batches, np.int64)
    sizes[plan.item[mvms]] = plan.tokens[mvms]
    return sizes


def _single_mvms(run: Executed) -> Iterator[tuple[int, int]]:
    """Yield the MVM tasks that integrate all tokens of a layer at once, with these."""
    plan, tokens = run.schedule.plan, _tokens_of_ops(run)
    mvms = np.flatnonzero(plan.which(_is_mvm))
    op, first, count = np.unique(plan.op[mvms], return_index=True, return_counts=True)
    for index in np.flatnonzero(count == 1):
        yield int(mvms[first[index]]), tokens[plan.ops[op[index]]]


def _is_mvm(work: Work) -> bool:
    return work.kind == "mvm"


def _cycles(run: Executed) -> Ints:
    """Return the duration of each task in cycles of the first part it holds."""
    plan = run.schedule.plan
    clock_of = [_clock(run, resource) for resource in plan.resources]
    rate = np.array([clock.frequency if clock else 0 for clock in clock_of] + [0], np.int64)
    held = np.full(len(plan), len(plan.resources), np.int64)
    some = np.diff(plan.use_first) > 0
    held[some] = plan.use[plan.use_first[:-1][some]]
    hertz = rate[held]
    # whole seconds apart, so that nothing leaves 64 bits
    seconds, rest = np.divmod(run.timeline.duration, 10**12)
    mega, odd = np.divmod(hertz, 10**6)
    cycles = seconds * hertz + (rest * mega + rest * odd // 10**6) // 10**6
    return np.where(hertz > 0, cycles, NOTHING)


def _clock(run: Executed, resource: Resource) -> Clock | None:
    machine = run.job.machine
    if resource.kind in _CLUSTER_PARTS:
        cluster = machine.cluster_of(resource.sort)
        return cluster.clock if cluster else None
    return machine.link.clock if resource.kind == "link" else None


def shapes(run: Executed) -> dict[str, str]:
    """Return the shape of each op, as in ``512x128``; of others than layers, its output length."""
    layers = {
        d.layer.name: f"{d.layer.op.in_features}x{d.layer.op.out_features}"
        for d in run.schedule.layers
    }
    return layers | {op.op.name: str(op.op.out_features) for op in run.schedule.ops}
