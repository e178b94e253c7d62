"""Digital-to-analog and analog-to-digital conversion around a crossbar, and drift compensation.

A vector is scaled to the input range, rounded by the DAC, multiplied by the crossbar, joined by
output noise, rounded and cut by the ADC, and scaled back. A quantizer of b bits over
[-bound, bound] has a step of 2 bound / (2^b - 2), rounds to nearest and then cuts. Source: the
paper (8 bits in and out as 1 / (2^8 - 2), output noise 4 %), aihwkit's ``analog_mvm.py`` for the
order of the steps.

Global drift compensation is one digital factor per tile, from a calibration read. Right after
programming every row is read once (a one-hot input each), and the mean magnitude of all outputs
is kept. Later the same read is repeated, and outputs are multiplied by
alpha = mean|y(programmed)| / mean|y(now)|, the latter at least 1e-4. Source: aihwkit's
``GlobalDriftCompensation``, whose code reads one-hot vectors and takes the mean (its
documentation describes one vector of ones and a sum).
"""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hybridsim.analog.device import F32
from hybridsim.errors import UnsupportedError
from hybridsim.units import Count, Spec

Bits = Annotated[int, Field(strict=True, ge=2, le=24)]
"""Resolution of a converter, with sign."""


class Converters(Spec):
    """The converters of a tile. Weights and inputs count from -1 to 1 at the crossbar."""

    dac_bits: Bits | None = 8
    """Resolution of the inputs; null for none. Source: 8 bit in the paper."""
    adc_bits: Bits | None = 8
    """Resolution of the outputs; null for none. Source: 8 bit in the paper."""
    output_bound: Annotated[float, Field(gt=0)] = 12.0
    """The largest output of the ADC, in full inputs times full weights. Source: the default of
    aihwkit's ``IOParameters``."""
    output_noise: Annotated[float, Field(ge=0)] = 0.04
    """Standard deviation of the noise at the ADC, in full inputs times full weights. Source: 4 %
    in the paper, as aihwkit's ``out_noise``."""
    input_scaling: Literal["per_vector", "fixed"] = "per_vector"
    """``per_vector`` scales each vector by its own largest magnitude (aihwkit: ABS_MAX);
    ``fixed`` by the layer's input range, and cuts what lies beyond it."""
    input_range: Annotated[float, Field(gt=0)] | None = None
    """The largest input with fixed scaling; null for what the layer is given or calibrated to."""
    bound_management: Literal["clamp", "iterative"] = "clamp"
    """What happens to a vector whose output exceeds the bound: it is cut, or the vector is
    halved and computed again until it fits (aihwkit: ITERATIVE)."""
    bound_rounds: Annotated[int, Field(strict=True, ge=1, le=20)] = 6
    """How often an iterative vector is tried at most; 6 is aihwkit's limit at 8-bit inputs."""


def quantize(values: F32, bits: int | None, bound: float) -> F32:
    """Return values rounded to the steps of a converter and cut at +-``bound``.

    Without ``bits`` they are only cut.
    """
    limit = np.float32(bound)
    if bits is not None:
        step = max(np.float32(2 * bound / (2**bits - 2)), np.finfo(np.float32).smallest_subnormal)
        # a value too many steps away for float32 is beyond the bound as well, and cut there
        with np.errstate(over="ignore"):
            values = np.rint(values / step) * step
    return np.clip(values, -limit, limit)


def input_scales(x: F32, converters: Converters, input_range: float | None) -> F32:
    """Return what each vector of ``x`` (tokens, in) is divided by, shape (tokens, 1).

    Raises:
        UnsupportedError: The scaling is fixed and the layer has no input range.
    """
    if converters.input_scaling == "fixed":
        input_range = input_range or converters.input_range
        if input_range is None:
            raise UnsupportedError(
                "input_scaling: found 'fixed' without an input range; give the layer one, as "
                "from calibrated_range(x), or take 'per_vector'"
            )
        return np.full((len(x), 1), input_range, np.float32)
    largest = np.abs(x).max(axis=1, keepdims=True)
    return np.where(largest > 0, largest, np.float32(1))


def calibrated_range(x: NDArray[np.floating], sigmas: float = 3.0) -> float:
    """Return an input range for vectors like ``x``: ``sigmas`` standard deviations about zero.

    Source: aihwkit starts its learned input ranges at three standard deviations.
    """
    return float(sigmas * np.sqrt(np.mean(np.square(x, dtype=np.float64)))) or 1.0


def multiply(
    x: F32,
    weights: F32,
    converters: Converters,
    rng: np.random.Generator,
    input_range: float | None = None,
) -> F32:
    """Return x W through the converters: (tokens, rows) and (rows, columns) to (tokens, columns).

    ``weights`` are relative to the full conductance, within about [-1, 1]; the output is in the
    units of ``x`` times those.
    """
    scales = input_scales(x, converters, input_range)
    y, cut = _one_pass(x / scales, weights, converters, rng)
    if converters.bound_management == "iterative":
        for _ in range(converters.bound_rounds - 1):
            again = np.flatnonzero(cut)
            if not again.size:
                break
            scales[again] *= np.float32(2)
            y[again], cut[again] = _one_pass(x[again] / scales[again], weights, converters, rng)
    result: F32 = y * scales
    return result


def _one_pass(
    u: F32, weights: F32, converters: Converters, rng: np.random.Generator
) -> tuple[F32, NDArray[np.bool_]]:
    """Return the outputs of vectors in the input range, and which of them exceeded the ADC."""
    y = quantize(u, converters.dac_bits, 1.0) @ weights
    if converters.output_noise:
        noise = rng.standard_normal(y.shape, dtype=np.float32)
        y += np.float32(converters.output_noise) * noise
    bound, bits = converters.output_bound, converters.adc_bits
    # a value that rounds to the bound is not cut
    half_step = bound / (2**bits - 2) if bits is not None else 0.0
    cut = np.abs(y).max(axis=1) > bound + half_step
    return quantize(y, bits, bound), cut


def adc_gains(columns: int, per_adc: int, spread: float, rng: np.random.Generator) -> F32:
    """Return the gain of the ADC of every column, shape (columns,): 1 + spread N, one draw for
    each ADC, which converts so many columns side by side."""
    drawn = 1 + spread * rng.standard_normal(-(-columns // per_adc))
    gains: F32 = np.repeat(drawn, per_adc)[:columns].astype(np.float32)
    return gains


LEAST_READOUT = 1e-4
"""The least mean magnitude that is believed (the constant of aihwkit)."""


class DriftCompensation(Spec):
    """How the factor is read. A coarse readout over-corrects: small weights read as zero.

    Measured in aihwkit 1.1.0 and here: at 6 bits over a bound of 12, alpha is 2.99 after ten
    years where 8 bits give 2.21.
    """

    kind: Literal["global", "none"] = "global"
    """``none`` leaves the outputs as they drift."""
    readout_bits: Bits | Literal["converter"] = "converter"
    """Resolution of the readout; ``converter`` takes that of the tile's own ADC."""
    readout_bound: Annotated[float, Field(gt=0)] | None = None
    """Range of the ADC during readouts, in full weights; null for that of the tile. A single row
    never exceeds about 1, so that a bound of 1 reads twelve times as fine."""
    reads: Count = 1
    """How often each row is read and averaged."""
    reference: Literal["programmed", "target"] = "programmed"
    """What the first readout is: measured after programming, or computed from the targets."""


def readout(
    weights: F32, converters: Converters, how: DriftCompensation, rng: np.random.Generator
) -> float:
    """Return the mean magnitude of one-hot reads of a (rows, columns) crossbar.

    A one-hot vector passes every DAC unchanged, so its output is a row of the crossbar.
    """
    bits = converters.adc_bits if how.readout_bits == "converter" else how.readout_bits
    bound = how.readout_bound or converters.output_bound
    total = np.zeros_like(weights)
    for _ in range(how.reads):
        y = weights
        if converters.output_noise:
            noise = rng.standard_normal(weights.shape, dtype=np.float32)
            y = weights + np.float32(converters.output_noise) * noise
        total += quantize(y, bits, bound)
    return max(float(np.abs(total).mean(dtype=np.float64)) / how.reads, LEAST_READOUT)
