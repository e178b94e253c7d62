"""From a plan and its timeline to a Result."""

from collections.abc import Iterable, Iterator
from collections.abc import Mapping as MappingType
from typing import Any

import numpy as np

from hybridsim._version import __version__
from hybridsim.arch import USUAL_CLUSTER, USUAL_TILE, taken_as_usual
from hybridsim.mapping import PlacedLayer
from hybridsim.measure.area import area_of
from hybridsim.measure.coverage import coverage_of
from hybridsim.measure.critical_path import chain_of
from hybridsim.measure.elasticity import Elasticities, bound_of
from hybridsim.measure.energy import energy_result
from hybridsim.measure.result import LayerResult, OpResult, ResourceResult, Result
from hybridsim.measure.usage import busy_and_idle
from hybridsim.plan import Plan, Timeline
from hybridsim.strategies import Job, LayerDecision, Schedule

Times = dict[str, dict[str, int]]
"""Op -> kind of part -> time [ps]."""


def measure(
    job: Job,
    schedule: Schedule,
    timeline: Timeline,
    yardstick: tuple[Schedule, Timeline],
    labels: MappingType[str, str],
    inputs: dict[str, Any],
    worth: Elasticities,
    layer_by_layer_ps: int | None = None,
) -> Result:
    """Return what a run shows, beside the run of the same network without adapters.

    ``labels`` names the strategy and the engine; ``worth`` is what each part is worth.
    ``layer_by_layer_ps`` is how long all-analog layers take in turn [ps], None for a strategy that
    covers more than layers.
    """
    plan = schedule.plan
    alone = _latency_by_op(*yardstick)
    path = _kinds_on_path(plan, timeline)
    on_path = _in_all(path.values())
    latency, least = timeline.makespan, yardstick[1].makespan
    by_layer = layer_by_layer_ps
    return Result(
        hybridsim_version=__version__,
        network=job.mapping.network.name,
        machine=job.machine.name,
        **labels,
        tokens=job.tokens,
        past=job.past,
        latency_ps=latency,
        yardstick_ps=least,
        overhead_percent=overhead_percent(latency, least),
        layer_by_layer_ps=by_layer,
        layer_by_layer_percent=None if by_layer is None else overhead_percent(latency, by_layer),
        covers=coverage_of(job, schedule),
        throughput_tokens_per_s=job.tokens * 1e12 / timeline.makespan if len(plan) else 0.0,
        bound=bound_of(worth.run, on_path),
        elasticity=dict(worth.run),
        critical_path_share=_shares(on_path),
        tiles=job.mapping.tiles,
        crossbars=job.mapping.crossbars,
        occupancy=job.mapping.occupancy,
        tcdm_bytes=max(
            [layer.tcdm_bytes for layer in schedule.layers]
            + [op.tcdm_bytes for op in schedule.ops],
            default=0,
        ),
        tasks=len(plan),
        utilization=_utilization_by_kind(plan, timeline),
        layers=_layers(job, schedule, timeline, alone, path, worth.ops),
        ops=_ops(schedule, timeline),
        free_ops=schedule.free,
        resources=_resources(plan, timeline),
        energy=energy_result(job, schedule, timeline, yardstick),
        area=area_of(job.machine, job.mapping.used_tiles),
        notes=tuple(_notes(job, schedule, anomaly=latency < least)),
        inputs=inputs,
    )


def _notes(job: Job, schedule: Schedule, anomaly: bool) -> Iterator[str]:
    """Yield what is to be known of a run besides its numbers."""
    network, tokens = job.mapping.network, job.past + job.tokens
    yield from job.mapping.notes
    if network.max_sequence_length is not None and tokens > network.max_sequence_length:
        yield (
            f"{tokens:,} tokens are more than the {network.max_sequence_length:,} that "
            f"{network.name} has positions for: times hold for such shapes, answers of the "
            "network need not"
        )
    yield from taken_as_usual(job.machine)
    yield from (f"not modelled: {each}" for each in network.not_modelled)
    yield from schedule.notes
    if anomaly:
        yield _ANOMALY


_ANOMALY = (
    "faster than its yardstick, a scheduling anomaly: with adapters parts start what is ready in "
    "another order, which happens to suit the network better (docs/strategies.md)"
)
"""What is said of a negative overhead: the yardstick has the same freedom."""


def _latency_by_op(schedule: Schedule, timeline: Timeline) -> dict[str, int]:
    """Return op -> time from its first ready task to its last end [ps].

    The MVMs of a layer may be the tasks of another op, which does those of its siblings as well.
    """
    plan = schedule.plan
    first = np.full(len(plan.ops), np.iinfo(np.int64).max)
    last = np.zeros(len(plan.ops), np.int64)
    np.minimum.at(first, plan.op, timeline.ready)
    np.maximum.at(last, plan.op, timeline.end)
    place = {name: index for index, name in enumerate(plan.ops)}
    found = {name: int(last[index] - first[index]) for name, index in place.items()}
    for layer, carrier in schedule.carried_by.items():
        at = place[carrier]
        mvm = plan.which(lambda work: work.kind == "mvm")
        tasks = (plan.op == at) & mvm
        begin, end = int(timeline.ready[tasks].min()), int(timeline.end[tasks].max())
        if layer in place:
            begin = min(begin, int(first[place[layer]]))
            end = max(end, int(last[place[layer]]))
        found[layer] = end - begin
    return found


def _ops(schedule: Schedule, timeline: Timeline) -> tuple[OpResult, ...]:
    """Return a row for each op that is no linear layer."""
    if not schedule.ops:
        return ()
    plan = schedule.plan
    latency = _latency_by_op(schedule, timeline)
    moves = plan.which(lambda work: work.kind == "move")
    busy = np.zeros(len(plan.ops), np.int64)
    np.add.at(busy, plan.op[~moves], timeline.duration[~moves])
    place = {name: index for index, name in enumerate(plan.ops)}
    return tuple(
        OpResult(
            name=decided.op.name,
            kind=decided.op.kind,
            block=decided.op.block,
            tokens=decided.tokens,
            where=decided.where,
            pieces=decided.pieces,
            cost_from=decided.cost_from,
            tcdm_bytes=decided.tcdm_bytes,
            latency_ps=latency[decided.op.name],
            busy_ps=int(busy[place[decided.op.name]]),
        )
        for decided in schedule.ops
    )


def overhead_percent(latency: int, yardstick: int) -> float:
    """Return (latency - yardstick) / yardstick in percent; 0 where there is nothing to do."""
    return (latency - yardstick) * 100 / yardstick if yardstick else 0.0


def _layers(
    job: Job,
    schedule: Schedule,
    timeline: Timeline,
    yardstick: dict[str, int],
    path: Times,
    worth: MappingType[str, MappingType[str, float]],
) -> tuple[LayerResult, ...]:
    plan = schedule.plan
    latency = _latency_by_op(schedule, timeline)
    busy = _busy_by_layer(plan, timeline)
    for layer, carrier in schedule.carried_by.items():
        busy[layer] = {**busy[carrier], **busy.get(layer, {})}
    return tuple(
        _layer(
            job,
            decided,
            latency[decided.layer.name],
            yardstick[decided.layer.name],
            busy[decided.layer.name],
            path.get(_carrier(schedule, decided.layer.name, path), {}),
            worth.get(_carrier(schedule, decided.layer.name, worth), {}),
        )
        for decided in schedule.layers
    )


def _carrier(schedule: Schedule, layer: str, known: MappingType[Any, Any]) -> str:
    """Return the op that tells what a layer is bound by: itself, or the one that carries it."""
    return layer if layer in known else schedule.carried_by.get(layer, layer)


def _layer(
    job: Job,
    decided: LayerDecision,
    latency: int,
    yardstick: int,
    busy: dict[str, float],
    on_path: MappingType[Any, Any],
    worth: MappingType[str, float],
) -> LayerResult:
    layer = decided.layer
    return LayerResult(
        name=layer.name,
        block=layer.op.block,
        in_features=layer.op.in_features,
        out_features=layer.op.out_features,
        rank=layer.adapter.rank if layer.adapter else 0,
        tokens=job.tokens_of(layer),
        batch=decided.batch,
        buffers=decided.buffers,
        unit=str(decided.choice) if decided.choice else "",
        clusters=decided.batching.order.clusters if decided.batching else 0,
        tiles=len(layer.tiles),
        copies=layer.copies,
        occupancy=job.mapping.layer_occupancy(layer),
        tcdm_bytes=decided.tcdm_bytes,
        latency_ps=latency,
        yardstick_ps=yardstick,
        overhead_percent=overhead_percent(latency, yardstick),
        bound=bound_of(worth, on_path),
        elasticity=dict(worth),
        utilization={kind: time / latency for kind, time in busy.items()},
        **_kinds(job, layer),
    )


def _kinds(job: Job, layer: PlacedLayer) -> dict[str, str]:
    """Return what kinds of parts a layer is on, where there are several."""
    machine = job.machine
    return {
        "placed_on": _placed_on(job, layer),
        "adapter_on": (layer.cluster_sort or USUAL_CLUSTER)
        if machine.clusters and layer.adapter
        else "",
    }


def _placed_on(job: Job, layer: PlacedLayer) -> str:
    if not job.mapping.spread:
        return ""
    if layer.tiles:
        return layer.sort or USUAL_TILE
    return layer.cluster_sort or USUAL_CLUSTER


def _busy_by_layer(plan: Plan, timeline: Timeline) -> dict[str, dict[str, float]]:
    """Return op name -> kind -> mean busy time of the resources of that kind it uses [ps]."""
    holder, parts = plan.holder, len(plan.resources)
    # an op and a resource make one number
    pairs, place = np.unique(plan.op[holder] * parts + plan.use, return_inverse=True)
    busy = np.zeros(len(pairs), np.int64)
    np.add.at(busy, place, timeline.duration[holder])
    each: dict[str, dict[str, list[int]]] = {name: {} for name in plan.ops}
    for pair, time in zip(pairs.tolist(), busy.tolist(), strict=True):
        op, resource = divmod(pair, parts)
        each[plan.ops[op]].setdefault(plan.resources[resource].told, []).append(time)
    return {
        op: {kind: sum(times) / len(times) for kind, times in sorted(kinds.items())}
        for op, kinds in each.items()
    }


def _kinds_on_path(plan: Plan, timeline: Timeline) -> Times:
    """Return the time on the critical path by op and kind of part [ps].

    A task that holds several parts counts for the first of them, which is the one it works on;
    one that holds none, as ``delay``.
    """
    tasks, _ = chain_of(plan, timeline)
    kinds = [*(resource.told for resource in plan.resources), "delay"]
    uses = np.diff(plan.use_first)[tasks] > 0
    first = np.full(len(tasks), len(plan.resources))
    first[uses] = plan.use[plan.use_first[tasks[uses]]]
    found: Times = {}
    for op, part, time in zip(
        plan.op[tasks].tolist(), first.tolist(), timeline.duration[tasks].tolist(), strict=True
    ):
        own = found.setdefault(plan.ops[op], {})
        own[kinds[part]] = own.get(kinds[part], 0) + time
    return found


def _in_all(each: Iterable[MappingType[str, int]]) -> dict[str, int]:
    """Return kind -> time of all ops together [ps], in the order of the alphabet."""
    total: dict[str, int] = {}
    for times in each:
        for kind, time in times.items():
            total[kind] = total.get(kind, 0) + time
    return dict(sorted(total.items()))


def _shares(times: MappingType[str, int]) -> dict[str, float]:
    """Return kind -> share of all times, the largest first."""
    total = sum(times.values())
    ordered = sorted(times.items(), key=lambda item: -item[1])
    return {kind: time / total for kind, time in ordered if time}


def _utilization_by_kind(plan: Plan, timeline: Timeline) -> dict[str, float]:
    """Return kind -> share of the run that its parts are busy, each part of the machine alike."""
    busy, there = dict[str, int](), dict[str, int]()
    for resource, own, idle in zip(plan.resources, *_usage(plan, timeline), strict=True):
        kind, parts = resource.told, resource.parts
        busy[kind] = busy.get(kind, 0) + own * parts
        there[kind] = there.get(kind, 0) + (own + idle) * parts
    return {kind: busy[kind] / there[kind] if there[kind] else 0.0 for kind in sorted(busy)}


def _resources(plan: Plan, timeline: Timeline) -> tuple[ResourceResult, ...]:
    return tuple(
        ResourceResult(
            name=resource.name,
            kind=resource.kind,
            parts=resource.parts,
            busy_ps=busy,
            idle_ps=idle,
            utilization=busy / max(busy + idle, 1),
            sort=resource.sort,
        )
        for resource, busy, idle in zip(plan.resources, *_usage(plan, timeline), strict=True)
    )


def _usage(plan: Plan, timeline: Timeline) -> tuple[list[int], list[int]]:
    busy, idle = busy_and_idle(plan, timeline)
    return busy.tolist(), idle.tolist()
