"""All that an analog layer depends on, with the paper's values."""

from typing import Annotated, Literal

from pydantic import Field

from hybridsim.analog.compensation import DriftCompensation
from hybridsim.analog.converters import Converters
from hybridsim.analog.device import PcmDevice
from hybridsim.units import Count, Spec


class AnalogSettings(Spec):
    """Device, mapping, converters and compensation of analog layers.

    IR drop, asymmetry between the two devices of a pair, and stuck devices are left out.
    """

    rows: Count = 512
    """Word lines of a crossbar [inputs]. Source: 512x512 tiles in the paper."""
    columns: Count = 512
    """Bit lines of a crossbar [outputs]. Source: as rows."""
    clip_sigmas: Annotated[float, Field(gt=0)] | None = 3.0
    """Where weights are cut, in standard deviations of their layer; null for nowhere. Source:
    3 sigma, layer gaussian, in the paper."""
    scaling: Literal["column", "tile"] = "column"
    """Whether each column or each tile is scaled to the full conductance range. Source: the paper
    scales per column."""
    pair: Literal["net", "devices"] = "net"
    """What drifts: the net conductance of a pair as programmed, put on one device anew, as
    aihwkit computes it; or each of both devices for itself, which adds the drift and read noise
    of the device that should be at zero."""
    device: PcmDevice = PcmDevice()
    """The phase-change device."""
    converters: Converters = Converters()
    """DAC, ADC and output noise."""
    compensation: DriftCompensation = DriftCompensation()
    """The calibration read against drift."""
