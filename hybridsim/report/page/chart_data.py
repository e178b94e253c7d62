"""What the charts of a run draw: parts at work in time, steps between latencies, roofs."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridsim.arch import Machine
from hybridsim.measure.result import LayerResult, Result
from hybridsim.plan import Plan, Timeline
from hybridsim.simulation import Run
from hybridsim.units import Ints

Floats = NDArray[np.float64]

BINS = 200
"""Bins that a run is cut into; a bin is a few pixels wide."""


def activity(plan: Plan, timeline: Timeline, until_ps: int, bins: int = BINS) -> pd.DataFrame:
    """Return part, start_ps, end_ps and busy: the share of a stretch of time, 0 to 1.

    A kind of part is busy while at least one part of that kind is. Bins that follow each other
    with the same share are one row; those without any work are left out.
    """
    edges = np.linspace(0, max(until_ps, 1), bins + 1)
    holder = plan.holder
    kinds = np.array([resource.told for resource in plan.resources], dtype=object)
    tables = []
    for kind in dict.fromkeys(kinds):
        tasks = holder[np.isin(plan.use, np.flatnonzero(kinds == kind))]
        starts, ends = merged(timeline.start[tasks], timeline.end[tasks])
        share = np.diff(_worked(starts, ends, edges)) / np.diff(edges)
        tables.append(_runs(str(kind), edges, np.round(share, 3)))
    return pd.concat(tables, ignore_index=True)


def merged(start: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Return stretches without overlap that cover the same time, first to last."""
    if not len(start):
        return start, end
    order = np.argsort(start, kind="stable")
    start, reach = start[order], np.maximum.accumulate(end[order])
    first = np.append(True, start[1:] > reach[:-1])
    return start[first], reach[np.append(first[1:], True)]


def _worked(start: Ints, end: Ints, until: Floats) -> Floats:
    """Return how much of the time before each instant the stretches cover [ps]."""
    if not len(start):
        return np.zeros(len(until))
    corners = np.stack((start, end), axis=1).reshape(-1)
    covered = np.cumsum(np.stack((np.zeros(len(start), np.int64), end - start), axis=1))
    worked: Floats = np.interp(until, corners, covered)
    return worked


def _runs(kind: str, edges: Floats, share: Floats) -> pd.DataFrame:
    first = np.flatnonzero(np.append(True, share[1:] != share[:-1]))
    last = np.append(first[1:], len(share))
    some = share[first] > 0
    return pd.DataFrame(
        {
            "part": kind,
            "start_ps": edges[first].astype(np.int64),
            "end_ps": edges[last].astype(np.int64),
            "busy": share[first],
        }
    )[some]


class Activities:
    """When the parts worked in several runs, on one time axis."""

    def __init__(self) -> None:
        self._tables: list[pd.DataFrame] = []

    def add(self, strategy: str, run: Run) -> None:
        """Take up a run; its plan is not kept."""
        found = activity(run.schedule.plan, run.timeline, run.timeline.makespan)
        found.insert(0, "strategy", strategy)
        self._tables.append(found)

    def to_frame(self) -> pd.DataFrame:
        """Return strategy, part, start_ps, end_ps and busy; see :func:`activity`."""
        empty = pd.DataFrame(columns=["strategy", "part", "start_ps", "end_ps", "busy"])
        return pd.concat(self._tables, ignore_index=True) if self._tables else empty


MOST_STRETCHES = 1200
"""Stretches of one cluster that are drawn, about one per pixel."""


def stretches(occupancy: pd.DataFrame, until_ps: int) -> pd.DataFrame:
    """Return cluster, start_ps, end_ps and tcdm_bytes: one row per stretch of time.

    ``occupancy`` is what :func:`hybridsim.measure.occupancy.tcdm_occupancy` returns. Of more than
    :data:`MOST_STRETCHES`, neighbours are one row with the largest level among them. Clusters
    that never hold anything are left out.
    """
    tables = [pd.DataFrame({"cluster": [], "start_ps": [], "end_ps": [], "tcdm_bytes": []})]
    for cluster, rows in occupancy.groupby("cluster", sort=False):
        start, level = rows["time_ps"].to_numpy(np.int64), rows["bytes"].to_numpy(np.int64)
        if not level.any():
            continue
        if len(start) > MOST_STRETCHES:
            cut = np.arange(MOST_STRETCHES) * len(start) // MOST_STRETCHES
            level, start = np.maximum.reduceat(level, cut), start[cut]
        end = np.append(start[1:], until_ps)
        tables.append(
            pd.DataFrame(
                {"cluster": cluster, "start_ps": start, "end_ps": end, "tcdm_bytes": level}
            )[end > start]
        )
    return pd.concat(tables[1:], ignore_index=True) if len(tables) > 1 else tables[0]


MOST_STEPS = 12
"""Kinds of layers with a step of their own; the others are one step."""
_ANALOG = ("mvm", "move")
"""Actions of a layer that it has without an adapter as well."""
_Change = tuple[str, int, int]


def waterfall(result: Result, path: pd.DataFrame) -> pd.DataFrame:
    """Return step, layers, from_ps, to_ps and kind: ``total``, ``more`` or ``less``.

    ``path`` is the critical path. Kinds are layers whose names differ in numbers alone. Where
    layers run one after the other, each kind adds what its layers take more than without adapter
    work. Where they overlap, it adds what its adapters take on the critical path, and what they
    hide of other work is a step of its own. Each step begins where the one before it ended.
    """
    changes = _by_layer(result) if result.layers_in_turn else _on_path(result, path)
    changes.sort(key=lambda change: -abs(change[2]))
    steps, rest = changes[:MOST_STEPS], changes[MOST_STEPS:]
    if rest:
        name = f"{len(rest)} other kinds"
        steps.append((name, sum(n for _, n, _ in rest), sum(ps for _, _, ps in rest)))
    left = result.latency_ps - result.yardstick_ps - sum(ps for _, _, ps in steps)
    if left:
        name = "other work, now hidden" if left < 0 else "waits between layers"
        steps.append((name, len(result.layers), left))
    before = "without adapters" if result.ops else "all-analog"
    level = result.yardstick_ps
    rows = [(before, len(result.layers), 0, level, "total")]
    for name, count, ps in steps:
        rows.append((name, count, level, level + ps, "more" if ps > 0 else "less"))
        level += ps
    rows.append(("hybrid", len(result.layers), 0, result.latency_ps, "total"))
    return pd.DataFrame(rows, columns=["step", "layers", "from_ps", "to_ps", "kind"])


def _by_layer(result: Result) -> list[_Change]:
    added: dict[str, list[int]] = {}
    for layer in result.layers:
        added.setdefault(kind_of_layer(layer.name), []).append(
            layer.latency_ps - layer.yardstick_ps
        )
    return [(kind, len(each), sum(each)) for kind, each in added.items() if sum(each)]


def _on_path(result: Result, path: pd.DataFrame) -> list[_Change]:
    adapted = {layer.name for layer in result.layers if layer.rank}
    own = path[path["op"].isin(adapted) & ~path["action"].isin(_ANALOG)]
    time = (own["end_ps"] - own["start_ps"]).groupby(own["op"]).sum()
    found: dict[str, list[int]] = {}
    for op, ps in time.items():
        found.setdefault(kind_of_layer(str(op)), []).append(int(ps))
    return [(kind, len(each), sum(each)) for kind, each in found.items()]


def kind_of_layer(layer: str) -> str:
    """Return what a layer is called in each block: its name without numbers."""
    return re.sub(r"\d+", "*", layer)


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
    holder = plan.holder
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
