"""How noisy the static layers of a network are on analog tiles, beside how long they take."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache

from hybridsim.analog import AnalogSettings, Fidelity, layer_fidelity, random_weights
from hybridsim.analog.fidelity import random_vectors
from hybridsim.errors import UnsupportedError
from hybridsim.measure.analog_result import AnalogNoiseResult, AnalogNoiseRow
from hybridsim.workload import Linear, Network

SEED = 2026
"""Of weights, vectors and chips: the same run gives the same answer."""
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
    if not network.static_linear_layers or not seconds:
        raise UnsupportedError("analog noise: a network with linear layers and a time would do")
    settings = settings or AnalogSettings()
    rows = [
        row for layer in network.static_linear_layers for row in _rows(layer, seconds, settings)
    ]
    return AnalogNoiseResult(
        weights=WEIGHTS, chips=CHIPS, settings=settings.to_text(), rows=tuple(rows)
    )


def _rows(
    layer: Linear, seconds: Sequence[float], settings: AnalogSettings
) -> list[AnalogNoiseRow]:
    drawn = min(layer.out_features, settings.columns)
    found = _of_shape(layer.in_features, drawn, tuple(seconds), settings)
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
