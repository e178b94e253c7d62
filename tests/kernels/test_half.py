"""Rounding to half against NumPy's conversion; fused operations against rational arithmetic."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hybridsim.kernels import half
from hybridsim.kernels.half import (
    fma_half,
    fma_single,
    multiply_add_half,
    round_half,
    sum_single,
    sum_singles,
    to_half,
)
from tests.kernels import oracles
from tests.kernels.oracles import JIT, amount, assert_same_bits, law

EVERY_HALF = np.arange(2**16, dtype=np.uint16).view(np.float16)
FINITE = EVERY_HALF[np.isfinite(EVERY_HALF)].astype(np.float64)

halves = st.sampled_from(FINITE.tolist())
singles = st.floats(width=32, allow_nan=False, allow_infinity=False)


def numpy_half(values):
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(np.float16).astype(np.float32)


def random_halves(rng, size):
    """Halves whose exponents are spread evenly, subnormals included."""
    return rng.choice(FINITE, size)


def test_every_half_is_its_own_rounding():
    values = EVERY_HALF.astype(np.float32)
    number = ~np.isnan(values)
    assert_same_bits(to_half(values)[number], values[number])
    assert np.isnan(to_half(values)[~number]).all()


@pytest.mark.parametrize("wide", [np.float32, np.float64])
@pytest.mark.parametrize("side", [-1, 0, 1])
def test_around_the_midpoints_of_all_neighbouring_halves(wide, side):
    """On the midpoint the even neighbour wins; one step of the wide format aside, the nearer."""
    positive = np.append(np.sort(FINITE[FINITE >= 0]), 65536.0)[:: amount(1, 64)]
    midpoints = ((positive[1:] + positive[:-1]) / 2).astype(wide)
    beside = midpoints if side == 0 else np.nextafter(midpoints, wide(side * np.inf))
    for values in (beside, -beside):
        assert_same_bits(to_half(values), numpy_half(values))


def test_millions_of_random_numbers_round_like_numpy():
    rng = np.random.default_rng(1)
    size = amount(4_000_000, 4_000)
    patterns = rng.integers(0, 2**32, size, np.uint32).view(np.float32)
    patterns = patterns[~np.isnan(patterns)]
    near = np.ldexp(rng.uniform(-2, 2, size), rng.integers(-30, 20, size))
    for values in (patterns, near):
        assert_same_bits(to_half(values), numpy_half(values))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, 0.0),
        (-0.0, -0.0),
        (65519.999, 65504.0),
        (65520.0, np.inf),
        (-65520.0, -np.inf),
        (1e300, np.inf),
        (np.inf, np.inf),
        (-np.inf, -np.inf),
        (2.0**-25, 0.0),
        (-(2.0**-25), -0.0),
        (np.nextafter(2.0**-25, 1), 2.0**-24),
        (5e-324, 0.0),
        (1 + 2.0**-11 + 2.0**-40, 1 + 2.0**-10),  # via float32 it would tie and give 1
    ],
)
def test_the_corners(value, expected):
    found = round_half(value)
    assert (found, np.signbit(found)) == (expected, np.signbit(expected))


def test_not_a_number_stays_one():
    assert np.isnan(round_half(np.nan))
    assert np.isnan(fma_half(np.nan, 0.0, 1.0))


def test_shapes_and_strides_survive():
    values = np.arange(24, dtype=np.float64).reshape(2, 3, 4)[:, ::-1, 1:] / 7
    assert_same_bits(to_half(values), numpy_half(values))
    assert to_half(0.1).shape == ()


@law
@given(halves, halves, halves)
@example(255.875, 255.875, 0.0)  # 65,472.02: inexact, near the top
@example(2.0**-24, 2.0**-24, 65504.0)  # needs 64 bits: the float64 sum is inexact
@example(2.0**-24, -(2.0**-24), 32768.0)  # just below a power of two
@example(2.0**-24, 0.5, 0.0)  # tie at the smallest half
@example(65504.0, 65504.0, -65504.0)
@example(1 + 2.0**-10, 1 + 2.0**-10, -1 - 2.0**-9)  # all but the last bit cancels
def test_the_fused_half_operation_rounds_the_exact_result_once(a, b, c):
    assert fma_half(a, b, c) == oracles.half(oracles.fma(a, b, c))


def test_the_fused_half_operation_over_all_exponents():
    """Significands at random, exponents everywhere; and addends chosen to come near a tie."""
    rng = np.random.default_rng(2)
    a, b, c = random_halves(rng, (3, amount(20_000, 1_000)))
    products = np.clip(a * b, -65504, 65504)
    near_ties = to_half(products * 2.0 ** rng.integers(-12, 13, products.size))
    for addend in (c, near_ties.astype(np.float64), -to_half(products).astype(np.float64)):
        addend = np.where(np.isfinite(addend), addend, 1.0)
        found = [fma_half(*case) for case in zip(a, b, addend, strict=True)]
        exact = [oracles.half(oracles.fma(*case)) for case in zip(a, b, addend, strict=True)]
        assert found == exact


def products_close_to_ties():
    """Triples of significands (a, b) and k: a b is nearly, not quite, an odd multiple of 2^k."""
    b = np.arange(1024, 2048)
    for a, k in product(range(1024, 2048, amount(1, 16)), range(17, 22)):
        odd = np.round((a * b / 2**k - 1) / 2) * 2 + 1
        hair = np.abs(a * b - odd * 2**k)
        for close in b[(hair > 0) & (hair < 2.0 ** (k - 13))]:
            yield a, int(close), k


def test_the_fused_half_operation_close_to_ties():
    """2^k is half the last bit of c: a sum rounded to single on its way would look like a tie."""
    rng = np.random.default_rng(5)
    differ = 0
    for a, b, k in products_close_to_ties():
        for sign in (-1, 1):
            c = float(rng.integers(1200, 2000)) * 2.0 ** (k + 1 - 20)
            case = (a / 1024, sign * b / 1024, c)
            expected = oracles.half(oracles.fma(*case))
            assert fma_half(*case) == expected
            differ += float(np.float16(np.float32(case[0] * case[1] + c))) != expected
    assert differ > amount(100, 1)


def test_fused_and_separate_differ_where_they_should():
    """(1 + e)^2 - (1 + 2 e) is e^2 when fused; a product rounded first leaves nothing."""
    e = 2.0**-10
    assert fma_half(1 + e, 1 + e, -(1 + 2 * e)) == e * e
    assert multiply_add_half(1 + e, 1 + e, -(1 + 2 * e)) == 0.0


@law
@given(halves, halves, halves)
def test_the_separate_half_operation_is_that_of_numpy(a, b, c):
    with np.errstate(over="ignore", invalid="ignore"):
        expected = float(np.float16(a) * np.float16(b) + np.float16(c))
        np.testing.assert_equal(multiply_add_half(a, b, c), expected)


@law
@given(singles, singles, singles)
@example(1 - 2.0**-23, 2.0**-24 * (1 + 2.0**-23), 1 + 2.0**-23)  # float64 alone ties and errs
@example(-(1 - 2.0**-23), 2.0**-24 * (1 + 2.0**-23), -1 - 2.0**-23)
@example(2.0**-126, 2.0**-24, 2.0**-149)
@example(3e38, 3e38, -3e38)
@example(1.0, 1.0, -1.0)
def test_the_fused_single_operation_rounds_the_exact_result_once(a, b, c):
    with np.errstate(over="ignore"):
        assert fma_single(a, b, c) == oracles.single(oracles.fma(a, b, c))


def test_rounding_a_single_twice_would_be_wrong():
    """1 + 2^-23 plus just less than half its last bit: float64 sees a tie, and ties go up here."""
    a, b, c = 1 - 2.0**-23, 2.0**-24 * (1 + 2.0**-23), 1 + 2.0**-23
    assert np.float32(a * b + c) == 1 + 2.0**-22
    assert fma_single(a, b, c) == 1 + 2.0**-23


@law
@given(halves, halves, halves, halves, singles)
@example(1.0, 2.0**-24, 2.0**-24, 2.0**-24, 1.0)  # 1 + tie + a trace
@example(1.0, 2.0**-24, -(2.0**-24), 2.0**-24, 1.0)
@example(65504.0, 65504.0, -65504.0, 65504.0, 2.0**-149)
def test_the_dot_product_of_two_rounds_the_exact_sum_once(a, b, c, d, e):
    exact = Fraction(a) * Fraction(b) + Fraction(c) * Fraction(d) + Fraction(e)
    with np.errstate(over="ignore"):
        assert sum_single(a * b, c * d, e) == oracles.single(exact)


@law
@given(singles, singles, singles)
@example(1.0, 2.0**-24, 2.0**-149)
@example(1 + 2.0**-23, 2.0**-24, -(2.0**-149))
@example(2.0**100, -(2.0**100), 2.0**-149)
@example(2.0**-149, 2.0**100, -(2.0**100))
def test_the_sum_of_three_rounds_the_exact_sum_once_in_any_order(a, b, c):
    expected = oracles.single(Fraction(a) + Fraction(b) + Fraction(c))
    with np.errstate(over="ignore"):
        for terms in ((a, b, c), (b, c, a), (c, a, b), (c, b, a)):
            assert sum_single(*terms) == expected
        parts = (np.full((2, 1), term, np.float32) for term in (a, b, c))
        assert (sum_singles(*parts) == np.float32(expected)).all()


def test_the_sum_of_three_keeps_the_faintest_trace():
    """All but 2^-256 of these terms adds up to a tie; only the sum of the errors is inexact."""
    terms = (2.0**-203, -(1 + 2.0**-52) * 2.0**-150, (1 - 2.0**-53) * 2.0**-203)
    assert sum(map(Fraction, terms)) == -Fraction(1, 2**150) - Fraction(1, 2**256)
    assert sum_single(*terms) == -(2.0**-149)


def test_arguments_in_single_precision_are_not_computed_in_it():
    a, b, c = np.float32(1025 / 1024), np.float32(1023 / 2**21), np.float32(1025 / 1024)
    assert fma_half(a, b, c) == oracles.half(oracles.fma(a, b, c)) == 1025 / 1024
    a, b, c = np.float32(1.0), np.float32(2.0**-24), np.float32(2.0**-60)
    assert sum_single(a, b, c) == 1 + 2.0**-23
    a, b, c = np.float32(1 + 2.0**-23), np.float32(1 + 2.0**-23), np.float32(-1 - 2.0**-22)
    assert fma_single(a, b, c) == 2.0**-46


def test_infinities_pass_through_the_single_operations():
    with np.errstate(invalid="ignore", over="ignore"):
        assert fma_single(np.inf, 1.0, 1.0) == np.inf
        assert fma_single(1.0, 1.0, -np.inf) == -np.inf
        assert np.isnan(fma_single(np.inf, 1.0, -np.inf))
        assert sum_single(1.0, -np.inf, 1.0) == -np.inf
        assert np.isnan(sum_single(np.inf, -np.inf, 1.0))


@pytest.mark.skipif(not JIT, reason="nothing is compiled")
@pytest.mark.parametrize("name", ["fma_half", "multiply_add_half", "fma_single", "sum_single"])
def test_compiled_operations_equal_their_python_source(name, monkeypatch):
    compiled = getattr(half, name)
    rng = np.random.default_rng(3)
    cases = random_halves(rng, (300, 3))
    found = [compiled(*case) for case in cases]
    for inner in ("round_half", "_addition_error", "_add_to_odd", "_to_odd"):
        monkeypatch.setattr(half, inner, getattr(half, inner).py_func)
    np.testing.assert_array_equal(found, [compiled.py_func(*case) for case in cases])
