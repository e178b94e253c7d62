r"""Arithmetic in half and single precision, computed in float64 and rounded once.

Numba cannot read float16 arrays on a CPU, so a half is kept in a wider number and rounded after
every operation. Rounding is to nearest, ties to even, with subnormals, infinities and NaN, as
IEEE 754-2019 binary16 (11 significant bits, exponents -14 to 15) and binary32 ask for.

**Why float64 is enough for a fused multiply-add of halves.** The product p of two halves has 22
significant bits and is a multiple of :math:`2^{-48}`, hence exact. Take p + c, with c a half.

* If the float64 sum is exact, rounding it to half rounds once.
* The sum needs more than 53 bits only if its leading bit is 53 or more places above its last one.
  c is a multiple of :math:`2^{-24}` and below :math:`2^{16}`.

  * p leads: then the last bit is that of c, at or above :math:`2^{-24}` (the last bit of p is 21
    below its first), and the first one is at :math:`2^{29}` or more: the result overflows however
    it is rounded.
  * c leads, at :math:`2^e`: the last bit is that of p, so :math:`|p| < 2^{e - 30}`. c is itself
    a half, and the nearest number that lies midway between two halves is :math:`2^{e - 12}` or
    more away: c + p and its float64 value lie on the same side of it and round to the same half.

In single precision the product has 48 bits and this argument fails. There the float64 sum is
rounded *to odd*, which keeps a trace of what was cut off; rounding it to 24 bits then equals a
single rounding, as 53 >= 24 + 2 (Boldo and Melquiond, IEEE Trans. Computers 57(4), 2008).
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybridsim.machine_code import machine_code

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

HALF_ROUNDOFF = 2.0**-11
"""Unit roundoff u of half precision: round(z) = z (1 + d), |d| <= u. IEEE 754-2019, table 3.5."""
HALF_UNDERFLOW = 2.0**-25
"""Largest error of rounding a result below the normal halves: half the subnormal spacing."""
SINGLE_ROUNDOFF = 2.0**-24
"""Unit roundoff of single precision."""
SINGLE_UNDERFLOW = 2.0**-150
"""Largest error of rounding a result below the normal single-precision numbers."""

_EXPONENT_BITS = np.int64(0x7FF0_0000_0000_0000)
_SMALLEST_NORMAL = 2.0**-14
_LARGEST_POWER = 2.0**16
_FIRST_TO_OVERFLOW = 65520.0  # midway between the largest half, 65504, and 2**16
_SHIFT = 1.5 * 2.0**42  # 53 - 11 bits: in 1.5 * 2**(e + 42) the last bit is worth 2**(e - 10)


@machine_code()
def round_half(value: float) -> float:
    """Return the half nearest to a float64, ties to even, as a float64.

    Adding and subtracting a number whose last bit weighs as much as the last bit of the result
    lets the adder do the rounding; below the normal halves that weight stays at 2^-24.
    """
    power = np.int64(np.float64(value).view(np.int64) & _EXPONENT_BITS).view(np.float64)
    shift = min(max(power, _SMALLEST_NORMAL), _LARGEST_POWER) * _SHIFT
    rounded = np.inf if abs(value) >= _FIRST_TO_OVERFLOW else abs((value + shift) - shift)
    return math.copysign(rounded, value)


@machine_code()
def fma_half(a: float, b: float, c: float) -> float:
    """Return the half nearest to a b + c for halves a, b, c: rounded once, like the hardware."""
    return round_half(np.float64(a) * np.float64(b) + np.float64(c))


@machine_code()
def multiply_add_half(a: float, b: float, c: float) -> float:
    """Return the half a b + c for halves a, b, c, with the product rounded before the sum."""
    return round_half(round_half(a * b) + c)


@machine_code()
def fma_single(a: float, b: float, c: float) -> float:
    """Return the single nearest to a b + c for singles a, b, c: rounded once."""
    return np.float64(np.float32(_add_to_odd(np.float64(a) * np.float64(b), np.float64(c))))


@machine_code()
def sum_single(a: float, b: float, c: float) -> float:
    """Return the single nearest to a + b + c, for float64 terms: rounded once.

    Two error-free additions leave a sum of three numbers that do not overlap; what the first one
    lacks matters only by its sign, unless nearly all of it cancelled and the sum is exact.
    """
    a, b, c = np.float64(a), np.float64(b), np.float64(c)
    inner = a + b
    inner_error = _addition_error(a, b, inner)
    outer = inner + c
    outer_error = _addition_error(inner, c, outer)
    rest = inner_error + outer_error
    rest = 0.0 if math.isnan(rest) else rest  # a term is infinite: its errors mean nothing
    rest_error = _addition_error(inner_error, outer_error, rest)
    total = outer + rest
    total_error = _addition_error(outer, rest, total)
    lacking = rest_error if total_error == 0.0 else total_error
    return np.float64(np.float32(_to_odd(total, lacking)))


@machine_code()
def _addition_error(a: float, b: float, total: float) -> float:
    """Return a + b - total exactly, where total is the rounded a + b (Knuth, TAOCP 2, 4.2.2)."""
    of_b = total - a
    return (a - (total - of_b)) + (b - of_b)


@machine_code()
def _add_to_odd(a: float, b: float) -> float:
    total = a + b
    return _to_odd(total, _addition_error(a, b, total))


@machine_code()
def _to_odd(total: float, lacking: float) -> float:
    """Return total + lacking rounded to odd, given total as the nearest float64 to it.

    An infinite total comes with a NaN, which is neither above nor below zero: nothing is done.
    """
    bits = np.float64(total).view(np.int64)
    outward = np.int64(lacking > 0.0) - np.int64(lacking < 0.0)
    step = outward if total > 0.0 else -outward
    return np.int64(bits + (step if bits & 1 == 0 else 0)).view(np.float64)


def to_half(values: ArrayLike) -> F32:
    """Return ``values`` rounded once to half precision, in a float32 array of the same shape."""
    with np.errstate(invalid="ignore"):  # a signalling NaN becomes a quiet one
        given = np.asarray(values, np.float64)
    flat = np.ascontiguousarray(given).reshape(-1)
    return _round_all(flat).reshape(given.shape)


@machine_code()
def _round_all(values: F64) -> F32:
    rounded = np.empty(values.size, np.float32)
    for i in range(values.size):
        rounded[i] = round_half(values[i])
    return rounded


def sum_singles(a: F32, b: F32, c: F32) -> F32:
    """Return a + b + c for three arrays of the same shape, each element rounded once."""
    flat = (np.ascontiguousarray(term).reshape(-1) for term in (a, b, c))
    return _sum_all(*flat).reshape(a.shape)


@machine_code()
def _sum_all(a: F32, b: F32, c: F32) -> F32:
    total = np.empty(a.size, np.float32)
    for i in range(a.size):
        total[i] = sum_single(a[i], b[i], c[i])
    return total
