r"""Programming noise and read noise of a phase-change device.

With r = g / g_max:

* programming: g_P = max(g + s(r) N, 0), s(r) = c0 + c1 r + c2 r^2 [uS], scaled by g_max / 25 uS;
* reading at time t: g = max(g_D + g_D Q(r_P) sqrt(ln((t + t0 + t_read) / (2 t_read))) N, 0).

Source: Nandakumar et al., ICECS 2019, in the form of aihwkit's ``PCMLikeNoiseModel``.
"""

import math

import numpy as np
from numpy.typing import NDArray

from hybridsim.analog.device import FITTED_G_MAX, PcmDevice

F32 = NDArray[np.float32]

_LEAST_STATE = np.float32(1e-6)
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
    return np.maximum(g + programming_sigma(g, device) * noise, np.float32(0))


def read_level(g: F32, device: PcmDevice) -> F32:
    """Return Q, the level of the 1/f noise relative to the conductance, from ``g`` [uS]."""
    a, b, limit = (np.float32(c) for c in device.read_noise)
    r = np.maximum(g / np.float32(device.g_max), _LEAST_STATE)
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
