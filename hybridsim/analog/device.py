"""The phase-change device: its constants, each as published."""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer

from hybridsim.units import Spec

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
Factor = Annotated[float, Field(ge=0)]
"""A factor on a published effect; 1 is as published, 0 switches it off."""

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
