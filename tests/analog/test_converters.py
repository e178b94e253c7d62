import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hybridsim.analog import Converters, calibrated_range
from hybridsim.analog.converters import multiply, quantize
from hybridsim.errors import UnsupportedError

QUIET = {"output_noise": 0.0}
values = arrays(np.float32, 40, elements=st.floats(-30, 30, width=32))
bits = st.integers(2, 12)


def naive_quantize(value, bits, bound):
    """The definition, one value at a time, in Python's own numbers."""
    step = 2 * bound / (2**bits - 2)
    return min(max(round(value / step) * step, -bound), bound)


@given(values, bits, st.sampled_from([1.0, 4.0, 12.0]))
def test_it_equals_the_definition_but_on_ties(v, b, bound):
    step = 2 * bound / (2**b - 2)
    found = quantize(v, b, bound)
    away_from_tie = np.abs(np.abs(v / step) % 1 - 0.5) > 1e-3
    expected = [naive_quantize(float(x), b, bound) for x in v]
    np.testing.assert_allclose(found[away_from_tie], np.array(expected)[away_from_tie], atol=1e-5)


@given(values, bits)
def test_laws_of_a_quantizer(v, b):
    found = quantize(v, b, 12.0)
    step = 24.0 / (2**b - 2)
    inside = np.abs(v) <= 12
    assert np.abs(found).max(initial=0) <= 12
    assert np.abs(found - v)[inside].max(initial=0) <= step / 2 * (1 + 1e-5)
    np.testing.assert_allclose(quantize(found, b, 12.0), found, atol=1e-5)
    assert (quantize(-v, b, 12.0) == -found).all()
    assert (np.diff(quantize(np.sort(v), b, 12.0)) >= 0).all()


@pytest.mark.parametrize("bound", [1e-45, 4.7e-38, 1e-30, 1e30])
def test_no_bound_is_too_small_or_too_large_for_float32(bound):
    found = quantize(np.float32([-3e38, -bound, 0, bound, 3e38]), 8, bound)
    assert found == pytest.approx(np.float32([-bound, -bound, 0, bound, bound]), rel=0.01)


def test_eight_bits_have_255_levels():
    assert np.unique(quantize(np.linspace(-2, 2, 100_001, dtype=np.float32), 8, 1.0)).size == 255


def test_without_bits_and_noise_the_product_is_exact():
    rng = np.random.default_rng(1)
    x, w = (rng.uniform(-1, 1, s).astype(np.float32) for s in ((5, 30), (30, 7)))
    found = multiply(x, w, Converters(dac_bits=None, adc_bits=None, **QUIET), rng)
    np.testing.assert_allclose(found, x @ w, rtol=1e-4, atol=1e-5)


@given(st.floats(1e-3, 1e3))
def test_scaling_a_vector_scales_its_output(factor):
    """Inputs are scaled to the range, so the rounding does not depend on their size."""
    rng = np.random.default_rng(2)
    x, w = (rng.uniform(-1, 1, s).astype(np.float32) for s in ((4, 30), (30, 7)))
    quiet = Converters(dac_bits=None, **QUIET)
    a, b = multiply(x, w, quiet, rng), multiply(x * np.float32(factor), w, quiet, rng)
    assert np.mean(np.isclose(a * factor, b, rtol=1e-4)) > 0.9  # the rest sits on a tie


def test_the_noise_has_the_given_spread_in_units_of_the_input_scale():
    x, w = np.full((500, 4), 3.0, np.float32), np.zeros((4, 200), np.float32)
    found = multiply(x, w, Converters(adc_bits=None), np.random.default_rng(3))
    assert found.std() == pytest.approx(3 * 0.04, rel=5 / math.sqrt(2 * found.size))


def test_rounding_adds_a_twelfth_of_a_squared_step():
    rng = np.random.default_rng(4)
    x, w = (rng.uniform(-1, 1, s).astype(np.float32) for s in ((400, 64), (64, 50)))
    quiet = Converters(dac_bits=None, **QUIET)
    error = multiply(x, w, quiet, rng) / np.abs(x).max(axis=1, keepdims=True)
    error -= x / np.abs(x).max(axis=1, keepdims=True) @ w
    assert error.std() == pytest.approx(24 / 254 / math.sqrt(12), rel=0.02)


def test_a_vector_of_zeros_gives_noise_only():
    x, w = np.zeros((3, 8), np.float32), np.ones((8, 2), np.float32)
    assert not multiply(x, w, Converters(**QUIET), np.random.default_rng(5)).any()


def test_an_output_beyond_the_bound_is_cut_or_computed_again():
    x, w = np.ones((2, 100), np.float32), np.ones((100, 3), np.float32)
    x[1] = 0.0
    x[1, 0] = 1.0  # fits the first time
    clamped = multiply(x, w, Converters(**QUIET), np.random.default_rng(6))
    again = multiply(
        x, w, Converters(bound_management="iterative", **QUIET), np.random.default_rng(6)
    )
    np.testing.assert_allclose(clamped[0], 12.0)
    np.testing.assert_allclose(again[0], 100.0, rtol=0.02)  # 100 / 16 fits below 12
    np.testing.assert_allclose(again[1], clamped[1])


def test_iteration_ends_where_it_is_told():
    x, w = np.ones((1, 4096), np.float32), np.ones((4096, 1), np.float32)
    short = Converters(bound_management="iterative", bound_rounds=3, **QUIET)
    assert multiply(x, w, short, np.random.default_rng(7))[0, 0] == pytest.approx(48.0)


def test_a_fixed_range_cuts_and_needs_a_number():
    fixed = Converters(input_scaling="fixed", adc_bits=None, **QUIET)
    x, w = np.float32([[1.0, 9.0]]), np.eye(2, dtype=np.float32)
    found = multiply(x, w, fixed, np.random.default_rng(8), input_range=3.0)
    np.testing.assert_allclose(found, [[1.0, 3.0]], atol=3 / 254 * 1.01)
    with pytest.raises(UnsupportedError, match="calibrated_range"):
        multiply(x, w, fixed, np.random.default_rng(8))


def test_a_calibrated_range_is_three_deviations():
    x = np.random.default_rng(9).standard_normal((100, 100)) * 2
    assert calibrated_range(x) == pytest.approx(6, rel=0.05)
    assert calibrated_range(np.zeros((2, 2))) == 1.0
