"""Definitions in exact rational arithmetic, with nothing of the package in them."""

from fractions import Fraction
from math import inf, isfinite

import numba
import numpy as np
from hypothesis import settings

JIT = not numba.config.DISABLE_JIT


def amount(compiled, interpreted):
    """How many cases to try: fewer when the kernels run as plain Python."""
    return compiled if JIT else interpreted


law = settings(deadline=None, max_examples=amount(100, 10))
"""For Hypothesis: a first call compiles, so no deadline."""


def rounded(value: Fraction, bits: int, least: int, most: int) -> float:
    """The number of ``bits`` significant bits nearest to ``value``; ties go to the even one.

    Exponents of normal numbers run from ``least`` to ``most``; Fraction rounds half to even.
    """
    if value == 0:
        return 0.0
    size = abs(value)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if size < Fraction(2) ** exponent:
        exponent -= 1
    quantum = Fraction(2) ** (max(exponent, least) - bits + 1)
    nearest = round(value / quantum) * quantum
    if abs(nearest) >= Fraction(2) ** (most + 1):
        return inf if value > 0 else -inf
    return float(nearest)


def half(value) -> float:
    return rounded(Fraction(value), 11, -14, 15)


def single(value) -> float:
    return rounded(Fraction(value), 24, -126, 127)


def fma(a, b, c) -> Fraction:
    return Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))


def sequential(x, w, y, to_format):
    """Z = X W + Y by fused multiply-adds from Y on, n = 0..N-1, each rounded once."""
    z = np.array(y, np.float64)
    for m, k in np.ndindex(z.shape):
        for n in range(x.shape[1]):
            assert isfinite(z[m, k]), "the exact definition has no infinities"
            z[m, k] = to_format(fma(x[m, n], w[n, k], z[m, k]))
    return z.astype(np.float32)


def bits(values):
    return np.ascontiguousarray(values, np.float32).view(np.uint32)


def assert_same_bits(found, expected):
    np.testing.assert_array_equal(bits(found), bits(expected))
