"""How far numbers are from exact: adapter kernels in the cluster's format, and analog tiles."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

from hybridsim.analog import AnalogSettings, Fidelity, layer_fidelity, random_weights
from hybridsim.analog.fidelity import random_vectors
from hybridsim.arch import Cluster
from hybridsim.components.matrix_engine import MatrixEngine
from hybridsim.components.parts import GemmUnit
from hybridsim.errors import UnsupportedError
from hybridsim.kernels.check import AdapterShape, NumericsRow, check_numerics
from hybridsim.kernels.split import CoreSplit, EngineSplit, Order, Split
from hybridsim.measure.result import AnalogNoiseResult, AnalogNoiseRow, NumericsResult
from hybridsim.strategies import LayerDecision, Schedule
from hybridsim.workload import Linear, Network

SEED = 2026
"""Of random operands, weights, vectors and chips: the same run gives the same answer."""


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
    engine = cluster.matrix_engine
    if choice.unit != "cores" and isinstance(engine, GemmUnit):
        raise UnsupportedError(
            f"check-numerics: nothing is known of the order in which {engine.part} sums; leave it "
            "out, or choose strategy.unit=cores"
        )
    if choice.unit != "cores" and isinstance(engine, MatrixEngine):
        array = engine.array_height, engine.array_width, engine.pipe_regs
        units.append(EngineSplit(*array, taken=engine.padded))
    if choice.unit != "matrix_engine":
        units.append(_on_cores(cluster, choice.order == "swapped"))
    return [_Way(unit, choice.order == "swapped", float(adapter.scale)) for unit in units]


def _on_cores(cluster: Cluster, swapped: bool) -> CoreSplit:
    """Return the order of summation of the kernels that the cores run with streams and FREP."""
    if swapped:  # one element of A^T after the other times a row of X^T
        return CoreSplit(cluster.cores.count)
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


CHIPS = 3
"""Programmed chips that are averaged."""
TOKENS = 64
"""Vectors per layer."""
WEIGHTS = "random: standard normal, as are the vectors; the network gives shapes only"


def analog_noise_of(
    network: Network, seconds: Sequence[float], settings: AnalogSettings | None = None
) -> AnalogNoiseResult:
    """Return the noise of every static linear layer of a network, holding random weights.

    Layers of one shape differ in nothing but their name, so each shape is drawn once; of layers
    wider than a crossbar only one crossbar of outputs is, as outputs are independent.

    Raises:
        UnsupportedError: The network has no static linear layer, or no time is given.
    """
    if not network.matrices or not seconds:
        raise UnsupportedError("analog noise: a network with linear layers and a time would do")
    settings = settings or AnalogSettings()
    rows = [row for layer in network.matrices for row in _rows(layer, seconds, settings)]
    return AnalogNoiseResult(
        weights=WEIGHTS, chips=CHIPS, settings=settings.to_text(), rows=tuple(rows)
    )


def _rows(
    layer: Linear, seconds: Sequence[float], settings: AnalogSettings
) -> list[AnalogNoiseRow]:
    _, inputs, outputs = layer.matrices
    drawn = min(outputs, settings.columns)
    found = _of_shape(inputs, drawn, tuple(seconds), settings)
    fields = [asdict(row) | {"layer": layer.name} for row in found]
    return [
        AnalogNoiseRow(**{key: value for key, value in row.items() if key != "chips"})
        for row in fields
    ]


@lru_cache(maxsize=64)
def _of_shape(
    in_features: int, out_features: int, seconds: tuple[float, ...], settings: AnalogSettings
) -> tuple[Fidelity, ...]:
    name = f"{in_features}x{out_features}"
    weights = random_weights(in_features, out_features, SEED)
    x = random_vectors(name, TOKENS, in_features, SEED)
    return tuple(layer_fidelity(name, weights, x, seconds, settings, CHIPS, SEED))
