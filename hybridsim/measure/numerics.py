"""Running the adapter kernels of a schedule on random weights, split as it splits them."""

from dataclasses import dataclass

from hybridsim.arch import Cluster
from hybridsim.kernels.check import AdapterShape, NumericsRow, check_numerics
from hybridsim.kernels.split import CoreSplit, EngineSplit, Order, Split
from hybridsim.measure.result import NumericsResult
from hybridsim.strategies import LayerDecision, Schedule

SEED = 2026
"""Of the random operands: the same run gives the same answer."""


@dataclass(frozen=True, slots=True)
class _Way:
    """A unit and operand order that some layers are computed with."""

    unit: Split
    swapped: bool
    scale: float


def numerics_of(schedule: Schedule, cluster: Cluster) -> NumericsResult | None:
    """Return the worst errors over all layers of a schedule, or None if none has an adapter.

    Raises:
        UnsupportedError: A unit cannot compute in the cluster's number format.
    """
    groups: dict[_Way, list[AdapterShape]] = {}
    for layer in schedule.layers:
        for way in _ways(layer, cluster):
            groups.setdefault(way, []).append(_shape(layer))
    rows = [
        row
        for way, shapes in groups.items()
        for row in check_numerics(
            shapes, cluster.precision, SEED, unit=way.unit, swapped=way.swapped, scale=way.scale
        )
    ]
    return _summary(rows) if rows else None


def _ways(layer: LayerDecision, cluster: Cluster) -> list[_Way]:
    choice, adapter = layer.choice, layer.layer.adapter
    if choice is None or adapter is None:
        return []
    units: list[Split] = []
    if choice.unit != "cores" and cluster.matrix_engine is not None:
        engine = cluster.matrix_engine
        units.append(EngineSplit(engine.array_height, engine.array_width, engine.pipe_regs))
    if choice.unit != "matrix_engine":
        units.append(_on_cores(cluster))
    return [_Way(unit, choice.order == "swapped", float(adapter.scale)) for unit in units]


def _on_cores(cluster: Cluster) -> CoreSplit:
    """Return the order of summation of the kernels that the cores run with streams and FREP."""
    first = {"fp32": Order.SIMD, "fp16": Order.EXPANDING, "int8": Order.SEQUENTIAL}
    return CoreSplit(cluster.cores.count, xa=first[cluster.precision])


def _shape(layer: LayerDecision) -> AdapterShape:
    op, adapter = layer.layer.op, layer.layer.adapter
    assert adapter is not None
    return AdapterShape(op.name, op.in_features, op.out_features, adapter.rank, layer.batch)


def _summary(rows: list[NumericsRow]) -> NumericsResult:
    worst = max(rows, key=lambda row: row.worst_relative_error)
    shapes = {(r.in_features, r.out_features, r.rank, r.tokens) for r in rows}
    return NumericsResult(
        precision=worst.precision,
        shapes=len(shapes),
        worst_absolute_error=max(row.worst_absolute_error for row in rows),
        worst_relative_error=worst.worst_relative_error,
        worst_layer=worst.name,
        within_bound=all(row.bound_holds for row in rows),
        equals_unsplit=all(row.equals_unsplit for row in rows),
    )
