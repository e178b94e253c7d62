"""Global drift compensation: one digital factor per tile, from a calibration read.

Right after programming every row is read once (a one-hot input each), and the mean magnitude of
all outputs is kept. Later the same read is repeated, and outputs are multiplied by
alpha = mean|y(programmed)| / mean|y(now)|, the latter at least 1e-4.

Source: aihwkit's ``GlobalDriftCompensation``, whose code reads one-hot vectors and takes the mean
(its documentation describes one vector of ones and a sum).
"""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hybridsim.analog.converters import Bits, Converters, quantize
from hybridsim.units import Count, Spec

F32 = NDArray[np.float32]

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
