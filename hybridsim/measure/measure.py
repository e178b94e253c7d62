"""From a plan and its timeline to a Result."""

from collections.abc import Mapping as MappingType
from typing import Any, cast

import numpy as np
import pandas as pd

from hybridsim._version import __version__
from hybridsim.measure.area import area_of
from hybridsim.measure.coverage import coverage_of
from hybridsim.measure.critical_path import critical_path
from hybridsim.measure.energy import energy_result
from hybridsim.measure.result import LayerResult, OpResult, ResourceResult, Result
from hybridsim.measure.usage import usage
from hybridsim.plan import Plan, Timeline
from hybridsim.strategies import Job, LayerDecision, Schedule


def measure(
    job: Job,
    schedule: Schedule,
    timeline: Timeline,
    yardstick: tuple[Schedule, Timeline],
    labels: MappingType[str, str],
    inputs: dict[str, Any],
    layer_by_layer_ps: int | None = None,
) -> Result:
    """Return what a run shows, beside the run of the same network without adapters.

    ``labels`` names the strategy and the engine. ``layer_by_layer_ps`` is how long all-analog
    layers take in turn [ps], None for a strategy that covers more than layers.
    """
    plan = schedule.plan
    alone = _latency_by_op(*yardstick)
    path = _kinds_on_path(plan, timeline)
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
        bound=_largest(path.sum().to_dict()),
        critical_path_share=_shares(path.sum()),
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
        layers=_layers(job, schedule, timeline, alone, path),
        ops=_ops(schedule, timeline),
        free_ops=schedule.free,
        resources=_resources(plan, timeline),
        energy=energy_result(job, schedule, timeline, yardstick),
        area=area_of(job.machine, job.mapping.tiles),
        notes=(*schedule.notes, *([_ANOMALY] if latency < least else [])),
        inputs=inputs,
    )


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
    path: pd.DataFrame,
) -> tuple[LayerResult, ...]:
    plan = schedule.plan
    latency = _latency_by_op(schedule, timeline)
    busy = _busy_by_layer(plan, timeline)
    for layer, carrier in schedule.carried_by.items():
        busy[layer] = {**busy[carrier], **busy.get(layer, {})}
    kind_time = dict(zip(path.index, path.to_dict("records"), strict=True))
    return tuple(
        _layer(
            job,
            decided,
            latency[decided.layer.name],
            yardstick[decided.layer.name],
            busy[decided.layer.name],
            kind_time.get(_carrier(schedule, decided.layer.name, kind_time), {}),
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
        occupancy=job.mapping.layer_occupancy(layer),
        tcdm_bytes=decided.tcdm_bytes,
        latency_ps=latency,
        yardstick_ps=yardstick,
        overhead_percent=overhead_percent(latency, yardstick),
        bound=_largest(on_path),
        utilization={kind: time / latency for kind, time in busy.items()},
    )


def _uses(plan: Plan, timeline: Timeline) -> pd.DataFrame:
    """Return one row per use of a resource: op, resource, kind, duration."""
    holder = plan.holder
    kinds = np.array([resource.kind for resource in plan.resources], dtype=object)
    return pd.DataFrame(
        {
            "op": plan.op[holder],
            "resource": plan.use,
            "kind": kinds[plan.use],
            "duration_ps": timeline.duration[holder],
        }
    )


def _busy_by_layer(plan: Plan, timeline: Timeline) -> dict[str, dict[str, float]]:
    """Return op name -> kind -> mean busy time of the resources of that kind it uses [ps]."""
    busy = (
        _uses(plan, timeline).groupby(["op", "kind", "resource"], sort=True)["duration_ps"].sum()
    )
    mean = busy.groupby(level=["op", "kind"], sort=True).mean()
    found: dict[str, dict[str, float]] = {name: {} for name in plan.ops}
    for key, value in mean.items():
        op, kind = cast(tuple[int, str], key)
        found[plan.ops[op]][kind] = float(value)
    return found


def _kinds_on_path(plan: Plan, timeline: Timeline) -> pd.DataFrame:
    """Return the time on the critical path [ps]: one row per op, one column per kind.

    A task that holds several parts counts for the first of them, which is the one it works on.
    """
    path = critical_path(plan, timeline)
    task = path["task"].to_numpy()
    uses = np.diff(plan.use_first)[task] > 0
    kinds = np.array([*(resource.kind for resource in plan.resources), "delay"], dtype=object)
    first = np.full(len(task), len(plan.resources))
    first[uses] = plan.use[plan.use_first[task[uses]]]
    names = np.array(plan.ops, dtype=object)
    table = pd.DataFrame(
        {"op": names[plan.op[task]], "kind": kinds[first], "ps": timeline.duration[task]}
    )
    return table.pivot_table("ps", "op", "kind", aggfunc="sum", fill_value=0)


def _largest(times: MappingType[Any, Any]) -> str:
    """Return the kind with the largest time, the first in the alphabet on a tie."""
    longest = max(times.values(), default=0)
    return min(
        (str(kind) for kind, time in times.items() if time == longest > 0), default="nothing"
    )


def _shares(times: "pd.Series[Any]") -> dict[str, float]:
    total = times.sum()
    ordered = times.sort_values(ascending=False, kind="stable")
    return {str(kind): float(time / total) for kind, time in ordered.items() if time}


def _utilization_by_kind(plan: Plan, timeline: Timeline) -> dict[str, float]:
    """Return kind -> share of the run that its parts are busy, each part of the machine alike."""
    table = usage(plan, timeline)
    parts = np.array([resource.parts for resource in plan.resources])
    weighted = pd.DataFrame(
        {
            "kind": [resource.kind for resource in plan.resources],
            "busy": table["busy_ps"].to_numpy(float) * parts,
            "there": (table["busy_ps"] + table["idle_ps"]).to_numpy(float) * parts,
        }
    )
    total = weighted.groupby("kind", sort=True).sum()
    return {str(k): float(r.busy / r.there) if r.there else 0.0 for k, r in total.iterrows()}


def _resources(plan: Plan, timeline: Timeline) -> tuple[ResourceResult, ...]:
    table = usage(plan, timeline)
    return tuple(
        ResourceResult(
            name=resource.name,
            kind=resource.kind,
            parts=resource.parts,
            busy_ps=int(busy),
            idle_ps=int(idle),
            utilization=float(share),
        )
        for resource, busy, idle, share in zip(
            plan.resources,
            table["busy_ps"],
            table["idle_ps"],
            table["utilization"],
            strict=True,
        )
    )
