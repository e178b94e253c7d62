"""The adapter kernels beside what the cluster could do at best."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hybridsim.arch import Machine
from hybridsim.measure.result import LayerResult, Result
from hybridsim.plan import Plan, Timeline
from hybridsim.report.page.activity import merged

_COMPUTE = ("matrix_engine", "cores", "cluster")


@dataclass(frozen=True, slots=True)
class Roofline:
    """Roofs of one cluster, and the adapters under them."""

    roofs: pd.DataFrame
    """roof, operations_per_s: the most that a unit computes."""
    bandwidth_bytes_per_s: float
    """What the DMA moves."""
    kernels: pd.DataFrame
    """One row per shape, batch and unit: layers, operations per byte, operations per second."""


def roofline(machine: Machine, plan: Plan, timeline: Timeline, result: Result) -> Roofline | None:
    """Return the roofline of one cluster, or None where nothing is adapted.

    Operations are two per multiply-accumulate of X A and U B, for one sequence; bytes are X, Y and
    Z once per token, A and B once per sequence. The time is that in which a unit of the cluster
    works on the adapter, without waits and transfers.
    """
    cluster = machine.cluster
    adapted = [layer for layer in result.layers if layer.rank]
    if cluster is None or not adapted:
        return None
    frequency = cluster.clock.frequency
    lanes = cluster.cores.count * cluster.cores.lanes(cluster.precision)
    roofs = [("cores", 2.0 * lanes * frequency)]
    if cluster.matrix_engine is not None:
        roofs.append(("matrix engine", 2.0 * cluster.matrix_engine.macs_per_cycle * frequency))
    times = _compute_ps(plan, timeline)
    alike: dict[tuple[object, ...], list[LayerResult]] = {}
    for layer in adapted:
        key = (layer.in_features, layer.out_features, layer.rank, layer.batch, layer.unit)
        alike.setdefault(key, []).append(layer)
    rows = [
        _kernel(layers, cluster.element_bytes, times.get(layers[0].name, 0))
        for layers in alike.values()
    ]
    return Roofline(
        pd.DataFrame(roofs, columns=["roof", "operations_per_s"]),
        float(cluster.dma.bytes_per_cycle * frequency),
        pd.DataFrame([row for row in rows if row["operations_per_s"] > 0]),
    )


def _kernel(layers: list[LayerResult], element: int, compute_ps: int) -> dict[str, Any]:
    layer = layers[0]
    ends = layer.in_features + layer.out_features
    operations = 2 * layer.tokens * layer.rank * ends
    moved = element * (layer.tokens * (ends + layer.out_features) + layer.rank * ends)
    return {
        "kernel": f"{layer.in_features} x {layer.out_features}, rank {layer.rank}",
        "example": layer.name,
        "layers": len(layers),
        "batch": layer.batch,
        "unit": layer.unit or "cluster",
        "operations": operations,
        "bytes": moved,
        "compute_ps": compute_ps,
        "operations_per_byte": operations / moved,
        "operations_per_s": operations * 1e12 / compute_ps if compute_ps else 0.0,
    }


def _compute_ps(plan: Plan, timeline: Timeline) -> dict[str, int]:
    """Return op -> time that clusters compute for it, summed over clusters [ps].

    Units of one cluster that work at once count once; tasks of a pool count each.
    """
    holder = np.repeat(np.arange(len(plan)), np.diff(plan.use_first))
    found: dict[str, int] = {}
    clusters: dict[str, list[int]] = {}
    for index, resource in enumerate(plan.resources):
        if resource.kind in _COMPUTE:
            clusters.setdefault(resource.name.rpartition(".")[0], []).append(index)
    for name, indices in clusters.items():
        tasks = np.unique(holder[np.isin(plan.use, indices)])
        tasks = tasks[np.argsort(plan.op[tasks], kind="stable")]
        for of_op in np.split(tasks, np.flatnonzero(np.diff(plan.op[tasks])) + 1):
            if not len(of_op):
                continue
            start, end = timeline.start[of_op], timeline.end[of_op]
            if name:  # a cluster of its own, not a pool
                start, end = merged(start, end)
            op = plan.ops[plan.op[of_op[0]]]
            found[op] = found.get(op, 0) + int((end - start).sum())
    return found
