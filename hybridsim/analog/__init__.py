"""Analog tiles as numbers: programming noise, drift, read noise, converters, compensation.

::

    from hybridsim.analog import AnalogLayer, parse_time

    layer = AnalogLayer(weights)            # (out, in)
    chip = layer.program(seed=1)
    y = chip.at(parse_time("1y")).mvm(x)    # (tokens, in) -> (tokens, out)
"""

from hybridsim.analog.converters import Converters, DriftCompensation, calibrated_range
from hybridsim.analog.correction import Correction, Residuals, fit, helps
from hybridsim.analog.device import PcmDevice
from hybridsim.analog.fidelity import Fidelity, layer_fidelity, network_fidelity, random_weights
from hybridsim.analog.layer import AnalogLayer, LayerState, ProgrammedLayer
from hybridsim.analog.ranges import Ranges, calibrated_bound, calibrated_converters
from hybridsim.analog.tile import AnalogSettings, ProgrammedTile, TileState
from hybridsim.analog.times import STANDARD_TIMES, ElapsedTime, format_time, parse_time

__all__ = [
    "STANDARD_TIMES",
    "AnalogLayer",
    "AnalogSettings",
    "Converters",
    "Correction",
    "DriftCompensation",
    "ElapsedTime",
    "Fidelity",
    "LayerState",
    "PcmDevice",
    "ProgrammedLayer",
    "ProgrammedTile",
    "Ranges",
    "Residuals",
    "TileState",
    "calibrated_bound",
    "calibrated_converters",
    "calibrated_range",
    "fit",
    "format_time",
    "helps",
    "layer_fidelity",
    "network_fidelity",
    "parse_time",
    "random_weights",
]
