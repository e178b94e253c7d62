"""8-bit codes against rational arithmetic in Python integers."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hybridsim.errors import UnsupportedError
from hybridsim.kernels import quantize as quantize_module
from hybridsim.kernels.quantize import (
    LONGEST_SUM,
    Multiplier,
    calibrate,
    quantize,
    requantize,
    scale_for,
)
from tests.kernels.oracles import JIT, law

ratios = st.floats(2.0**-31, 2.0**29)
sums = st.integers(-(2**31), 2**31 - 1)


def test_the_largest_magnitude_gets_the_largest_code():
    values = np.array([[0.5, -2.54], [1.0, 0.0]])
    assert scale_for(values) == pytest.approx(0.02, rel=1e-15)
    np.testing.assert_array_equal(quantize(values, scale_for(values)), [[25, -127], [50, 0]])


def test_a_tensor_of_zeros_has_a_scale_and_zero_codes():
    assert scale_for(np.zeros(3)) == 1.0
    np.testing.assert_array_equal(quantize(np.zeros(3), 1.0), [0, 0, 0])


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2), (126.5, 126),
        (127.4, 127), (127.5, 127), (128.0, 127), (1e30, 127),
        (-127.5, -127), (-128.0, -127), (-1e30, -127),
    ],
)  # fmt: skip
def test_ties_go_to_even_and_what_is_beyond_saturates(value, code):
    assert quantize(np.array([value]), 1.0)[0] == code


@law
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_a_value_and_its_code_are_at_most_half_a_step_apart(values):
    scale = scale_for(values)
    restored = quantize(values, scale) * scale
    assert (np.abs(restored - values) <= scale / 2 * (1 + 1e-12)).all()


@law
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=20), st.integers(-20, 20))
def test_codes_do_not_change_when_tensor_and_scale_grow_together(values, exponent):
    """Which is why an adapter's scale folded into B costs int8 nothing."""
    factor = 2.0**exponent
    scaled = np.multiply(values, factor)
    np.testing.assert_array_equal(quantize(values, 0.25), quantize(scaled, 0.25 * factor))


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_has_no_code(bad):
    with pytest.raises(UnsupportedError, match="infinity or NaN"):
        quantize(np.array([1.0, bad]), 1.0)
    with pytest.raises(UnsupportedError, match="infinity or NaN"):
        scale_for(np.array([bad]))


@law
@given(ratios)
@example(1.0)
@example(2.0**-31)
@example(1 - 2.0**-53)  # rounds up to a mantissa of 2^31, which is halved
def test_a_multiplier_is_its_ratio_to_31_bits(ratio):
    multiplier = Multiplier.nearest(ratio)
    value = Fraction(multiplier.mantissa, 2**multiplier.shift)
    assert abs(value / Fraction(ratio) - 1) <= Fraction(1, 2**31)
    assert 2**30 <= multiplier.mantissa < 2**31
    assert 1 <= multiplier.shift <= 61


@pytest.mark.parametrize("ratio", [0.0, -1.0, 2.0**-32, 2.0**30, np.inf, np.nan])
def test_a_ratio_that_no_shift_can_do_is_refused(ratio):
    with pytest.raises(UnsupportedError, match="ratio of scales"):
        Multiplier.nearest(ratio)


@law
@given(st.lists(sums, min_size=1, max_size=30), ratios)
@example([-(2**31), 2**31 - 1], 2.0**29)
@example([-3, -1, 1, 3, 5, 253, 255, -255], 0.5)  # ties
def test_requantization_rounds_the_exact_product_half_to_even_and_saturates(values, ratio):
    multiplier = Multiplier.nearest(ratio)
    exact = [round(Fraction(v * multiplier.mantissa, 2**multiplier.shift)) for v in values]
    expected = [min(max(code, -127), 127) for code in exact]
    found = requantize(np.array([values], np.int32), multiplier)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, [expected])


def test_the_longest_sum_fits_32_bits_and_one_more_product_does_not():
    assert LONGEST_SUM * 127**2 < 2**31 <= (LONGEST_SUM + 1) * 127**2


@law
@given(
    st.integers(0, 2**32),
    st.integers(1, 40),
    st.floats(1e-12, 1e12),
    st.floats(1e-12, 1e12),
)
def test_calibrated_scales_use_the_range_and_always_have_a_multiplier(seed, inputs, wide, narrow):
    rng = np.random.default_rng(seed)
    x = wide * rng.standard_normal((3, inputs))
    a, b = narrow * rng.standard_normal((inputs, 2)), rng.standard_normal((2, 4))
    scales = calibrate(x, a, b)
    assert np.abs(x @ a).max() <= 127 * scales.hidden * (1 + 1e-12)
    assert Fraction(scales.requantizer.mantissa, 2**scales.requantizer.shift) <= 1
    assert scales.output == scales.hidden * scales.b


@pytest.mark.parametrize("zeroed", ["x", "a", "b"])
def test_an_adapter_of_zeros_can_be_calibrated(zeroed):
    operands = {"x": np.full((1, 2), 1e9), "a": np.full((2, 1), 1e9), "b": np.ones((1, 2))}
    operands[zeroed] = np.zeros_like(operands[zeroed])
    scales = calibrate(operands["x"], operands["a"], operands["b"])
    assert scales.requantizer.shift >= 1


def test_products_that_cancel_do_not_ask_for_more_resolution_than_the_sums_have():
    x, a = np.array([[1.0, 1.0]]), np.array([[1.0], [-1.0 + 2.0**-40]])
    scales = calibrate(x, a, np.ones((1, 1)))
    assert scales.hidden == scales.x * scales.a


@pytest.mark.skipif(not JIT, reason="nothing is compiled")
def test_the_compiled_requantization_equals_its_python_source():
    rng = np.random.default_rng(4)
    values = rng.integers(-(2**31), 2**31, 200).astype(np.int32)
    compiled = quantize_module._requantize
    for mantissa, shift in ((2**30, 31), (2**31 - 1, 60), (1_234_567_891, 40)):
        np.testing.assert_array_equal(
            compiled(values, mantissa, shift), compiled.py_func(values, mantissa, shift)
        )
