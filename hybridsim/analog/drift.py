"""Drift: conductances decay as a power of time, each device with an exponent of its own.

g_D(t) = g_P ((t + t0) / t0)^-nu with nu = |mu(r) + sd(r) N|, drawn once per programming from the
target state r = g / g_max: mu = clip(a ln r + b), sd = clip(c ln r + d). Low states drift faster.

Source: Nandakumar et al., ICECS 2019, in the form of aihwkit's ``PCMLikeNoiseModel``.
"""

import math

import numpy as np
from numpy.typing import NDArray

from hybridsim.analog.device import PcmDevice

F32 = NDArray[np.float32]

_LEAST_STATE = np.float32(1e-7)
"""States below this count as this: ln r must be finite (the same constant as aihwkit's)."""


def _line(g: F32, line: tuple[float, float], limits: tuple[float, float], g_max: float) -> F32:
    slope, offset = (np.float32(c) for c in line)
    r = np.maximum(g / np.float32(g_max), _LEAST_STATE)
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


def decay(exponents: F32, seconds: float, device: PcmDevice) -> F32:
    """Return g_D / g_P after ``seconds``: 1 at 0 s."""
    elapsed = math.log((seconds + device.first_read) / device.first_read)
    left: F32 = np.exp(exponents * np.float32(-elapsed))
    return left
