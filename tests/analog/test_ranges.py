"""Bounds of converters against the closed form for Gaussian values."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hybridsim.analog import Converters, Ranges, calibrated_bound, calibrated_converters
from hybridsim.analog.ranges import least_error_bound, squared_error

VALUES = np.random.default_rng(1).standard_normal(200_000).astype(np.float32)


def moments(a, b):
    """The integrals of 1, x and x^2 under the standard normal density from a to b."""
    density = [
        0.0 if math.isinf(z) else math.exp(-z * z / 2) / math.sqrt(2 * math.pi) for z in (a, b)
    ]
    zeroth = (math.erf(b / math.sqrt(2)) - math.erf(a / math.sqrt(2))) / 2
    edges = [0.0 if math.isinf(z) else z * d for z, d in zip((a, b), density, strict=True)]
    return zeroth, density[0] - density[1], zeroth + edges[0] - edges[1]


def gaussian_error(bits, bound):
    """The squared error of 2^b - 1 levels on standard normal values, cell by cell, exactly."""
    most = 2 ** (bits - 1) - 1
    step, total = bound / most, 0.0
    for level in range(-most, most + 1):
        low = -math.inf if level == -most else (level - 0.5) * step
        high = math.inf if level == most else (level + 0.5) * step
        zeroth, first, second = moments(low, high)
        total += second - 2 * level * step * first + (level * step) ** 2 * zeroth
    return total


def best_bound(bits):
    """The minimum of the closed form, by halving."""
    low, high = 0.5, 8.0
    for _ in range(80):
        thirds = low + (high - low) / 3, high - (high - low) / 3
        if gaussian_error(bits, thirds[0]) < gaussian_error(bits, thirds[1]):
            high = thirds[1]
        else:
            low = thirds[0]
    return (low + high) / 2


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
def test_the_error_on_normal_values_is_the_closed_form(bits):
    bound = best_bound(bits)
    assert squared_error(VALUES, bits, bound) == pytest.approx(
        gaussian_error(bits, bound), rel=0.04 if bits < 8 else 0.1
    )


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("spread", [0.3, 7.0])
def test_the_best_bound_of_normal_values_is_that_of_the_closed_form(bits, spread):
    found = least_error_bound(VALUES * np.float32(spread), bits) / spread
    assert found == pytest.approx(best_bound(bits), rel=0.06)
    # what matters is the error, which is flat about its minimum
    assert gaussian_error(bits, found) == pytest.approx(
        gaussian_error(bits, best_bound(bits)), rel=0.02 if bits < 8 else 0.05
    )


def test_it_grows_with_the_bits_as_the_module_says():
    bounds = [best_bound(bits) for bits in (4, 5, 8)]
    assert bounds == pytest.approx([2.5, 2.9, 3.9], abs=0.05)


@given(
    arrays(np.float32, 60, elements=st.floats(-30, 30, width=32)), st.integers(2, 9),
    st.floats(0.02, 1),
)  # fmt: skip
def test_no_other_bound_does_much_better(v, bits, share):
    bound = least_error_bound(v, bits)
    assert bound > 0
    largest = float(np.abs(v).max())
    if largest > 1e-3:
        # few values make a ragged error; whatever is tried first is no better than what is found
        for tried in np.geomspace(0.02 * largest, largest, 48):
            assert (
                squared_error(v, bits, bound)
                <= squared_error(v, bits, float(tried)) * (1 + 1e-5) + 1e-9
            )


def test_a_quantile_is_that_share_of_the_magnitudes():
    bound = calibrated_bound(VALUES, 5, Ranges(kind="quantile", quantile=0.99))
    assert bound == pytest.approx(2.5758, rel=0.02)


def test_ranges_that_are_given_stay():
    how = Converters(adc_bits=5)
    assert calibrated_converters(VALUES, VALUES, how, Ranges()) is how


def test_a_fixed_input_range_is_calibrated_too_and_the_bound_counts_in_it():
    how = Converters(input_scaling="fixed", dac_bits=None, adc_bits=None)
    found = calibrated_converters(2 * VALUES, 6 * VALUES, how, Ranges(kind="quantile", quantile=1))
    largest = float(np.abs(VALUES).max())
    assert found.input_range == pytest.approx(2 * largest)
    assert found.output_bound == pytest.approx(3.0, rel=1e-5)
