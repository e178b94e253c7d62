"""How far analog layers are from their definition, over time since programming."""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hybridsim.analog.converters import calibrated_range
from hybridsim.analog.device import F32
from hybridsim.analog.layer import AnalogLayer
from hybridsim.analog.tile import AnalogSettings
from hybridsim.errors import UnsupportedError


@dataclass(frozen=True, slots=True)
class Fidelity:
    """One layer at one time, over several programmed chips."""

    layer: str
    seconds: float
    """Time since programming [s]."""
    chips: int
    relative_error: float
    """||y - exact|| / ||exact|| over all vectors, mean over chips; exact is the float product
    with the weights before clipping."""
    relative_error_sd: float
    """Its standard deviation over chips; 0 for a single one."""
    snr_db: float
    """Signal to noise [dB]: -20 log10 of the mean relative error."""
    cosine_error: float
    """1 - cos(y, exact), mean over vectors and chips."""
    alpha: float
    """Factor of the drift compensation, mean over crossbars and chips."""
    clipping_error: float
    """||W - clipped|| / ||W||."""


def relative_error(exact: F32, found: F32) -> float:
    """Return ||found - exact|| / ||exact|| over all elements.

    Raises:
        UnsupportedError: The exact values are all zero.
    """
    size = float(np.linalg.norm(exact.astype(np.float64)))
    if not size:
        raise UnsupportedError("the exact outputs are all zero; other weights or vectors would do")
    return float(np.linalg.norm(found.astype(np.float64) - exact)) / size


def cosine_error(exact: F32, found: F32) -> float:
    """Return 1 - cos of the angle between vectors (rows), mean over them."""
    a, b = exact.astype(np.float64), found.astype(np.float64)
    sizes = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.mean(1 - np.einsum("ij,ij->i", a, b) / np.maximum(sizes, 1e-300)))


def layer_fidelity(
    name: str,
    weights: F32,
    x: F32,
    seconds: Sequence[float],
    settings: AnalogSettings | None = None,
    chips: int = 3,
    seed: int = 0,
) -> list[Fidelity]:
    """Return one row per time for a layer (out, in) and its input vectors (tokens, in).

    A layer with fixed input scaling is calibrated on ``x``.
    """
    settings = settings or AnalogSettings()
    fixed = settings.converters.input_scaling == "fixed"
    layer = AnalogLayer(weights, settings, calibrated_range(x) if fixed else None)
    exact = np.asarray(x, np.float32) @ layer.weights.T
    stream = zlib.crc32(name.encode())  # the same layer gets the same chips, whatever is beside it
    found: dict[float, list[tuple[float, float, float]]] = {t: [] for t in seconds}
    for chip in range(chips):
        programmed = layer.program((seed, chip, stream))
        for t in seconds:
            state = programmed.at(t)
            y = state.mvm(x)
            found[t].append((relative_error(exact, y), cosine_error(exact, y), state.alpha))
    return [_row(name, t, rows, layer.clipping_error) for t, rows in found.items()]


def _row(
    name: str, seconds: float, rows: list[tuple[float, float, float]], clipping: float
) -> Fidelity:
    errors, cosines, alphas = np.array(rows).T
    mean = float(errors.mean())
    return Fidelity(
        layer=name,
        seconds=seconds,
        chips=len(rows),
        relative_error=mean,
        relative_error_sd=float(errors.std(ddof=1)) if len(rows) > 1 else 0.0,
        snr_db=-20 * math.log10(mean) if mean else math.inf,
        cosine_error=float(cosines.mean()),
        alpha=float(alphas.mean()),
        clipping_error=clipping,
    )


def network_fidelity(
    layers: Mapping[str, F32],
    seconds: Sequence[float],
    settings: AnalogSettings | None = None,
    chips: int = 3,
    seed: int = 0,
    tokens: int = 64,
) -> list[Fidelity]:
    """Return the rows of every layer, name -> weights (out, in), on standard normal vectors."""
    rows = []
    for name, weights in layers.items():
        x = random_vectors(name, tokens, weights.shape[1], seed)
        rows += layer_fidelity(name, weights, x, seconds, settings, chips, seed)
    return rows


def random_weights(in_features: int, out_features: int, seed: int = 0) -> F32:
    """Return normal weights of shape (out, in): what stands in for weights that are not given."""
    rng = np.random.default_rng([seed, in_features, out_features])
    return rng.standard_normal((out_features, in_features), dtype=np.float32)


def random_vectors(name: str, tokens: int, in_features: int, seed: int = 0) -> F32:
    """Return standard normal vectors (tokens, in) for the layer of that name."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return rng.standard_normal((tokens, in_features), dtype=np.float32)
