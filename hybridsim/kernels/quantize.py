r"""Symmetric 8-bit integers: codes q in [-127, 127], one scale s per tensor, value s q.

The code -128 is never used, so that the range is symmetric, every product of two codes is at most
127^2 in magnitude, and the negative of a code is a code. Rounding is to nearest, ties to even;
what lies beyond the range saturates.

Between the two products of an adapter the 32-bit sums are brought back to 8 bits with integers
alone: a multiplier of 31 bits and a shift, as in Jacob et al., CVPR 2018, sec. 2.2 (there with
ties away from zero).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybridsim.errors import UnsupportedError
from hybridsim.machine_code import machine_code

Int8s = NDArray[np.int8]
Int32s = NDArray[np.int32]

LARGEST_CODE = 127
"""The largest magnitude of a code: 8 bits with a sign, without -128."""
LONGEST_SUM = (2**31 - 1) // LARGEST_CODE**2
"""The most products of two codes whose sum fits 32 bits with certainty: 133,144."""

_MULTIPLIER_BITS = 31


def scale_for(values: ArrayLike) -> float:
    """Return the scale that maps the largest magnitude in ``values`` to 127; 1 if all are zero.

    Raises:
        UnsupportedError: A value is infinite or NaN.
    """
    largest = float(np.abs(_finite(values)).max(initial=0.0))
    return largest / LARGEST_CODE or 1.0


def quantize(values: ArrayLike, scale: float) -> Int8s:
    """Return the codes of ``values``: values / scale, rounded to nearest even, saturated.

    Raises:
        UnsupportedError: A value is infinite or NaN.
    """
    codes = np.rint(_finite(values) / scale)
    return np.clip(codes, -LARGEST_CODE, LARGEST_CODE).astype(np.int8)


@dataclass(frozen=True, slots=True)
class Multiplier:
    """A positive real number as mantissa / 2^shift, the mantissa in [2^30, 2^31)."""

    mantissa: int
    shift: int

    @classmethod
    def nearest(cls, real: float) -> "Multiplier":
        """Return the multiplier nearest to ``real``; the relative error is at most 2^-31.

        Raises:
            UnsupportedError: ``real`` is not in [2^-31, 2^30), the range of the integer shift.
        """
        if not 2.0**-31 <= real < 2.0**30:
            raise UnsupportedError(
                f"int8: a ratio of scales of {real:g} is outside [2^-31, 2^30); "
                "choose a hidden scale nearer to (scale of x) * (scale of A)"
            )
        fraction, exponent = math.frexp(real)
        mantissa, shift = round(fraction * 2**_MULTIPLIER_BITS), _MULTIPLIER_BITS - exponent
        if mantissa == 2**_MULTIPLIER_BITS:
            mantissa, shift = mantissa // 2, shift - 1
        return cls(mantissa, shift)


def requantize(sums: Int32s, multiplier: Multiplier) -> Int8s:
    """Return the codes of sums * mantissa / 2^shift: exact, then nearest even, then saturated."""
    flat = np.ascontiguousarray(sums).reshape(-1)
    return _requantize(flat, multiplier.mantissa, multiplier.shift).reshape(sums.shape)


@machine_code()
def _requantize(sums: Int32s, mantissa: int, shift: int) -> Int8s:
    codes = np.empty(sums.size, np.int8)
    half = 1 << (shift - 1)
    for i in range(sums.size):
        product = int(sums[i]) * mantissa  # below 2^62
        whole = product >> shift
        cut_off = product - (whole << shift)
        if cut_off > half or (cut_off == half and whole & 1 == 1):
            whole += 1
        codes[i] = min(max(whole, -LARGEST_CODE), LARGEST_CODE)
    return codes


@dataclass(frozen=True, slots=True)
class LoraScales:
    """The scales of one adapter's four 8-bit tensors: x, A, U = x A, and B with s folded in."""

    x: float
    a: float
    hidden: float
    b: float

    @property
    def requantizer(self) -> Multiplier:
        """What turns a 32-bit sum of the first product into a code of U."""
        return Multiplier.nearest(self.x * self.a / self.hidden)

    @property
    def output(self) -> float:
        """What one unit of the second product's 32-bit sum is worth, in the unit of y."""
        return self.hidden * self.b


def calibrate(x: ArrayLike, a: ArrayLike, folded_b: ArrayLike) -> LoraScales:
    """Return scales that use the whole range of codes for these tensors.

    Shapes: ``x`` (tokens, in), ``a`` (in, rank), ``folded_b`` (rank, out), the last one already
    multiplied by the adapter's scale. The range of U is taken from x A in float64; a scale of U
    finer than that of its 32-bit sums would resolve nothing, so it is never chosen.

    Raises:
        UnsupportedError: A value is infinite or NaN.
    """
    scale_x, scale_a = scale_for(x), scale_for(a)
    largest = float(np.abs(_finite(x) @ _finite(a)).max(initial=0.0))
    hidden = max(largest / LARGEST_CODE, scale_x * scale_a)
    return LoraScales(scale_x, scale_a, hidden, scale_for(folded_b))


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    given = np.asarray(values, np.float64)
    if not np.isfinite(given).all():
        raise UnsupportedError("int8 has no code for infinity or NaN; use fp16 or fp32")
    return given
