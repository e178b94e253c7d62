"""Ranges of converters before their bits: bounds that are measured on unlabelled vectors.

A converter of few bits rounds finely over a small range and cuts what lies beyond. With the bound
of 12 that 8 bits can afford, the columns of a pretrained layer use a third of a 5-bit ADC; so a
comparison of bits at one bound compares bounds. The bound that loses least for Gaussian outputs of
deviation s is where d/dc of the squared error of :func:`~.converters.quantize` is zero: 2.5 s at
4 bits, 2.9 s at 5, 3.9 s at 8 (J. Max, *Quantizing for minimum distortion*, IRE Trans. IT 6, 1960,
for the question; here with 2^b - 1 levels, solved in the tests).
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from hybridsim.analog.converters import Bits, Converters, quantize
from hybridsim.analog.device import F32
from hybridsim.units import Count, Spec


class Ranges(Spec):
    """How the bound of the ADC, and a fixed input range, come about for each layer."""

    kind: Literal["given", "quantile", "least_error"] = "given"
    """``given`` takes ``converters.output_bound`` as it stands; ``quantile`` a quantile of the
    magnitudes; ``least_error`` the bound whose rounding and cutting together lose least."""
    quantile: Annotated[float, Field(gt=0.5, le=1)] = 0.999
    """Share of the magnitudes that lie within the bound of ``quantile``; assumed."""
    when: Literal["once", "then"] = "once"
    """``once`` measures on the weights as they should be; ``then`` on the chip as it is at each
    time, whose outputs have shrunk with drift."""
    sentences: Count = 96
    """Unlabelled sentences, the first of the training part."""
    vectors: Count = 512
    """Vectors of a layer that are looked at, at most."""


MOST_VALUES = 2**15
"""Outputs that a search for the least error looks at; more change the bound by less than 1 %."""
_GRID = 48
"""Bounds that a search tries first, and once more between the neighbours of the best."""
_SMALLEST = 0.02
"""The smallest bound that is tried, in largest magnitudes."""


def squared_error(values: F32, bits: Bits | None, bound: float) -> float:
    """Return the mean squared error of a converter on some values."""
    error = quantize(values, bits, bound) - values
    return float(np.mean(np.square(error, dtype=np.float64)))


def least_error_bound(values: F32, bits: Bits | None) -> float:
    """Return the bound at which a converter of ``bits`` changes the values least.

    Without bits that is the largest magnitude. It is found by trying bounds in equal ratios, and
    again around the best; 1 for values that are all zero.
    """
    flat = np.abs(np.asarray(values, np.float32).ravel())
    largest = float(flat.max(initial=0.0))
    if not largest or bits is None:
        return largest or 1.0
    some = flat[:: max(1, flat.size // MOST_VALUES)]
    low, high = largest * _SMALLEST, largest
    best = (np.inf, largest)
    for _ in range(2):
        tried = np.geomspace(low, high, _GRID)
        errors = [squared_error(some, bits, float(bound)) for bound in tried]
        at = int(np.argmin(errors))
        best = min(best, (errors[at], float(tried[at])))
        low, high = float(tried[max(at - 1, 0)]), float(tried[min(at + 1, _GRID - 1)])
    return best[1]


def calibrated_bound(values: F32, bits: Bits | None, how: Ranges) -> float:
    """Return the bound of a converter of ``bits`` for values like these; always above zero."""
    if how.kind == "least_error":
        return least_error_bound(values, bits)
    # rounded, as NumPy before 2 interpolates in float64 and a range that is learned is a float32
    return float(np.float32(np.quantile(np.abs(values), how.quantile))) or 1.0


def calibrated_converters(
    inputs: F32,
    outputs: F32,
    converters: Converters,
    how: Ranges,
    input_range: float | None = None,
) -> Converters:
    """Return the converters of a layer with ranges for such inputs and outputs.

    Args:
        inputs: Of the layer, in their own units; they set a fixed input range.
        outputs: Of its crossbars for vectors scaled as the converters scale each, or as they are
            where the scaling is fixed, times full weights; they set the ADC's bound.
        converters: As given.
        how: Nothing changes where it is ``given``.
        input_range: A fixed input range that is known; None for one that suits the inputs.
    """
    if how.kind == "given":
        return converters
    found: dict[str, float] = {}
    if converters.input_scaling == "fixed":
        own = input_range or calibrated_bound(inputs, converters.dac_bits, how)
        found["input_range"] = own
        outputs = outputs / np.float32(found["input_range"])
    found["output_bound"] = calibrated_bound(outputs, converters.adc_bits, how)
    return converters.model_copy(update=found)
