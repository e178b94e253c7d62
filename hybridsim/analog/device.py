"""The phase-change device: its constants as published, programming, reading and drift.

A layer's weights are clipped, each column is scaled to the full range, and every weight is split
into two devices. With r = g / g_max:

* programming: g_P = max(g + s(r) N, 0), s(r) = c0 + c1 r + c2 r^2 [uS], scaled by g_max / 25 uS;
* reading at time t: g = max(g_D + g_D Q(r_P) sqrt(ln((t + t0 + t_read) / (2 t_read))) N, 0);
* drift: g_D(t) = g_P ((t + t0) / t0)^-nu with nu = |mu(r) + sd(r) N|, drawn once per programming
  from the target state: mu = clip(a ln r + b), sd = clip(c ln r + d). Low states drift faster.

Source: Nandakumar et al., ICECS 2019, in the form of aihwkit's ``PCMLikeNoiseModel``.
"""

import math
import re
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BeforeValidator, Field, PlainSerializer

from hybridsim.errors import UnsupportedError
from hybridsim.units import Spec

F32 = NDArray[np.float32]
"""An array of single-precision floats: weights, conductances, vectors."""

_CONDUCTANCE = re.compile(r"(\d+(?:\.\d+)?)\s*uS")


def _microsiemens(value: object) -> float:
    match = _CONDUCTANCE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or float(match[1]) <= 0:
        raise ValueError(f"found {str(value)[:60]!r}; a conductance above 0 would do, as '25 uS'")
    return float(match[1])


Conductance = Annotated[
    float,
    BeforeValidator(_microsiemens),
    PlainSerializer(lambda g: f"{g:g} uS", return_type=str),
]
"""A conductance, in microsiemens."""
Seconds = Annotated[float, Field(gt=0)]
"""A constant of a published fit, in seconds."""
Kelvin = Annotated[float, Field(ge=200, le=450)]
"""Between cold outdoors and where phases begin to change [K]; assumed."""
Factor = Annotated[float, Field(ge=0)]
"""A factor on a published effect; 1 is as published, 0 switches it off."""

Share = Annotated[float, Field(ge=0, le=1)]
"""A share of devices."""

FITTED_G_MAX = 25.0
"""The largest conductance of the devices on which programming noise was fitted [uS]."""


class PcmDevice(Spec):
    """A phase-change memory device, one of the two that hold a weight.

    Constants: the statistical model of Nandakumar et al., "Phase-change memory models for deep
    learning training and inference", ICECS 2019, as IBM's aihwkit carries it
    (``inference/noise/pcm.py``).
    """

    g_max: Conductance = 25.0
    """Conductance that the largest weight is mapped to [uS]. Source: 25 uS in the paper."""
    programming: tuple[float, float, float] = (0.26348, 1.9650, -1.1731)
    """Polynomial of the programming noise in g / g_max, for a g_max of 25 uS [uS]."""
    drift_mean: tuple[float, float] = (-0.0155, 0.0244)
    """Slope and offset of the mean drift exponent over ln(g / g_max)."""
    drift_mean_limits: tuple[float, float] = (0.049, 0.1)
    """Least and most of the mean drift exponent."""
    drift_spread: tuple[float, float] = (-0.0125, -0.0059)
    """Slope and offset of the exponent's standard deviation over ln(g / g_max)."""
    drift_spread_limits: tuple[float, float] = (0.008, 0.045)
    """Least and most of the exponent's standard deviation."""
    first_read: Seconds = 20.0
    """t0: when a device was first read after programming, and drift counts from [s]."""
    read_time: Seconds = 250e-9
    """How long a read takes [s]; it sets how much 1/f noise accumulates."""
    read_noise: tuple[float, float, float] = (0.0088, 0.65, 0.2)
    """a, b and limit of the 1/f noise level Q = min(a / (g / g_max)^b, limit)."""
    programming_scale: Factor = 1.0
    """Factor on the programming noise, for studies."""
    drift_scale: Factor = 1.0
    """Factor on the drift exponents, for studies."""
    read_scale: Factor = 1.0
    """Factor on the read noise, for studies."""
    temperature: Kelvin = 300.0
    """At which it is read [K]; it was programmed, and the fits were made, at 300 K (assumed)."""
    activation: tuple[float, float] = (0.0, 0.0)
    """Slope and offset of the activation energy of conduction over ln(g / g_max) [eV], not below
    zero: amorphous states, with low g, conduct the more by heat. Assumed where it is not 0; at 0
    the temperature changes nothing."""
    stuck_low: Share = 0.0
    """Share of devices that stay at zero whatever is programmed; assumed where it is not 0."""
    stuck_high: Share = 0.0
    """Share of devices that stay at g_max; they drift as others do. Assumed where it is not 0."""


def check_shares(device: PcmDevice) -> None:
    """Refuse more stuck devices than there are.

    Raises:
        UnsupportedError: They are.
    """
    stuck = device.stuck_low + device.stuck_high
    if stuck > 1:
        raise UnsupportedError(
            f"stuck_low, stuck_high: found {stuck:g} of the devices together; at most 1 would do"
        )


_LEAST_MAXIMUM = np.float32(1e-7)
"""A column of zeros is scaled as if its largest weight were this (the constant of aihwkit)."""


def as_weights(weights: ArrayLike, what: str = "weights") -> F32:
    """Return a weight matrix as float32.

    Raises:
        UnsupportedError: It has other than two dimensions, is empty, or holds infinity or NaN.
    """
    matrix = np.asarray(weights, np.float32)
    if matrix.ndim != 2 or not matrix.size:
        raise UnsupportedError(
            f"{what}: found the shape {matrix.shape}; a matrix (out, in) would do"
        )
    if not np.isfinite(matrix).all():
        raise UnsupportedError(f"{what}: found infinity or NaN; finite numbers would do")
    return matrix


def clip(weights: F32, sigmas: float | None, spread: float | None = None) -> F32:
    """Return the weights of a layer cut at ``sigmas`` standard deviations of the layer.

    ``spread`` is the standard deviation where it is not that of these weights.

    Source: the paper clips layer-wise at three standard deviations ("layer gaussian"). It is
    done once; None leaves the weights alone.
    """
    if sigmas is None:
        return weights
    limit = np.float32(sigmas * (float(weights.std()) if spread is None else spread))
    return np.clip(weights, -limit, limit)


def column_maxima(block: F32, per_column: bool) -> F32:
    """Return what each column of a (rows, columns) block is divided by, shape (columns,).

    Per column: its own largest magnitude, so that every column uses the full conductance range;
    else the largest of the block for all. The division is undone digitally after the ADC.
    """
    largest = np.abs(block).max(axis=0)
    if not per_column:
        largest = np.full_like(largest, largest.max())
    maxima: F32 = np.maximum(largest, _LEAST_MAXIMUM)
    return maxima


def split(relative: F32, g_max: float) -> tuple[F32, F32]:
    """Return the two targets [uS] of weights in [-1, 1]: one device is always at zero."""
    g = relative * np.float32(g_max)
    return np.maximum(g, np.float32(0)), np.maximum(-g, np.float32(0))


_LEAST_READ_STATE = np.float32(1e-6)
"""Below this r the read noise level is at its limit, so r^b need not be exact there."""


def programming_sigma(g: F32, device: PcmDevice) -> F32:
    """Return the standard deviation of programming a conductance ``g`` [uS]."""
    c0, c1, c2 = (np.float32(c) for c in device.programming)
    r = g / np.float32(device.g_max)
    scale = np.float32(device.g_max / FITTED_G_MAX * device.programming_scale)
    sigma: F32 = (c0 + r * (c1 + r * c2)) * scale
    return sigma


def program(g: F32, device: PcmDevice, rng: np.random.Generator) -> F32:
    """Return what devices hold after programming to ``g`` [uS]; never below zero."""
    noise = rng.standard_normal(g.shape, dtype=np.float32)
    found = np.maximum(g + programming_sigma(g, device) * noise, np.float32(0))
    if not device.stuck_low and not device.stuck_high:
        return found
    drawn = rng.random(g.shape, dtype=np.float32)
    found = np.where(drawn < device.stuck_low, np.float32(0), found)
    high = drawn > 1 - np.float32(device.stuck_high)
    return np.where(high, np.float32(device.g_max), found)


def read_level(g: F32, device: PcmDevice) -> F32:
    """Return Q, the level of the 1/f noise relative to the conductance, from ``g`` [uS]."""
    a, b, limit = (np.float32(c) for c in device.read_noise)
    r = np.maximum(g / np.float32(device.g_max), _LEAST_READ_STATE)
    level: F32 = np.minimum(a * np.exp(-b * np.log(r)), limit)
    return level


def accumulated(seconds: float, device: PcmDevice) -> float:
    """Return the growth sqrt(ln((t + t0 + t_read) / (2 t_read))) of 1/f noise until ``seconds``.

    At 0 s the device has waited t0 already, so that read noise is there from the start.
    """
    since = seconds + device.first_read + device.read_time
    return math.sqrt(math.log(since / (2 * device.read_time)))


def read(
    drifted: F32, programmed: F32, seconds: float, device: PcmDevice, rng: np.random.Generator
) -> F32:
    """Return what a read at ``seconds`` finds of ``drifted`` conductances [uS].

    The noise level follows the conductance as ``programmed``; see the module for the equation.
    """
    growth = np.float32(accumulated(seconds, device) * device.read_scale)
    noise = rng.standard_normal(drifted.shape, dtype=np.float32)
    spread = read_level(programmed, device) * growth * noise
    return np.maximum(drifted + drifted * spread, np.float32(0))


_LEAST_DRIFT_STATE = np.float32(1e-7)
"""States below this count as this: ln r must be finite (the same constant as aihwkit's)."""


def _line(g: F32, line: tuple[float, float], limits: tuple[float, float], g_max: float) -> F32:
    slope, offset = (np.float32(c) for c in line)
    r = np.maximum(g / np.float32(g_max), _LEAST_DRIFT_STATE)
    line_at: F32 = slope * np.log(r) + offset
    return np.clip(line_at, np.float32(limits[0]), np.float32(limits[1]))


def exponent_mean(g: F32, device: PcmDevice) -> F32:
    """Return mu, the mean drift exponent of devices with target ``g`` [uS]."""
    return _line(g, device.drift_mean, device.drift_mean_limits, device.g_max)


def exponent_spread(g: F32, device: PcmDevice) -> F32:
    """Return sd, the standard deviation of the drift exponent at target ``g`` [uS]."""
    return _line(g, device.drift_spread, device.drift_spread_limits, device.g_max)


def draw_exponents(g: F32, device: PcmDevice, rng: np.random.Generator) -> F32:
    """Return a drift exponent for every device with target ``g`` [uS]; never negative."""
    noise = rng.standard_normal(g.shape, dtype=np.float32)
    drawn = np.abs(exponent_mean(g, device) + exponent_spread(g, device) * noise)
    exponents: F32 = drawn * np.float32(device.drift_scale)
    return exponents


BOLTZMANN = 8.617333e-5
"""[eV/K]. Source: CODATA 2018."""
REFERENCE_K = 300.0
"""The temperature of programming [K]; assumed."""


def warmed(programmed: F32, device: PcmDevice) -> F32 | None:
    """Return g(T) / g(300 K) of devices that were programmed to ``programmed`` [uS]; None for 1.

    exp(-E / k (1 / T - 1 / T0)), E = slope ln(g / g_max) + offset: conduction activated by heat,
    to first order, the same at all times. Source of the law: Arrhenius; that the energy depends
    on the state, and that analog tiles need a compensation for it: Boybat et al., IEDM 2021. That
    drift is faster in the heat is left out.
    """
    slope, offset = device.activation
    colder = 1 / device.temperature - 1 / REFERENCE_K
    if not colder or not (slope or offset):
        return None
    r = np.maximum(programmed / np.float32(device.g_max), _LEAST_DRIFT_STATE)
    energy = np.maximum(np.float32(slope) * np.log(r) + np.float32(offset), np.float32(0))
    factor: F32 = np.exp(energy * np.float32(-colder / BOLTZMANN))
    return factor


def decay(exponents: F32, seconds: float, device: PcmDevice) -> F32:
    """Return g_D / g_P after ``seconds``: 1 at 0 s."""
    elapsed = math.log((seconds + device.first_read) / device.first_read)
    left: F32 = np.exp(exponents * np.float32(-elapsed))
    return left
