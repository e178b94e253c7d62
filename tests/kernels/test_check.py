"""The report on numerics: its bounds hold, and it notices what breaks them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.errors import SpecError, UnsupportedError
from hybridsim.kernels import check
from hybridsim.kernels.check import (
    AdapterShape,
    check_numerics,
    error_bound,
    sum_error_bound,
)
from hybridsim.kernels.half import HALF_ROUNDOFF
from hybridsim.kernels.lora import gemm, lora
from hybridsim.kernels.split import CoreSplit, EngineSplit, Order
from tests.kernels.oracles import JIT, amount, law

ENGINE = EngineSplit(height=4, width=12, pipe_regs=3)
UNITS = [
    ("fp16", ENGINE),
    ("fp16", CoreSplit()),
    ("fp16", CoreSplit(xa=Order.SIMD, ub=Order.SIMD, from_y=True)),
    ("fp16", CoreSplit(xa=Order.SEPARATE, ub=Order.SEPARATE)),
    ("fp16", CoreSplit(xa=Order.EXPANDING)),
    ("fp32", CoreSplit()),
    ("fp32", CoreSplit(xa=Order.SIMD, ub=Order.SIMD, from_y=True)),
    ("int8", CoreSplit()),
]
SHAPES = (
    [
        AdapterShape("query", 128, 128, 8, 32),
        AdapterShape("bottleneck", 512, 128, 8, 13),
        AdapterShape("ffn", 128, 512, 8, 1),
        AdapterShape("rank 16", 96, 64, 16, 5),
    ]
    if JIT
    else [AdapterShape("small", 12, 10, 3, 5)]
)


@pytest.mark.parametrize(("precision", "unit"), UNITS)
@pytest.mark.parametrize("swapped", [False, True])
def test_bounds_hold_and_splits_keep_every_bit(precision, unit, swapped):
    for row in check_numerics(SHAPES, precision, 7, unit=unit, swapped=swapped):
        assert row.bound_holds
        assert row.equals_unsplit
        assert 0 < row.worst_absolute_error <= row.error_bound
        assert 0 < row.share_of_bound <= 1


@law
@given(
    st.integers(0, 2**32),
    st.tuples(*(st.integers(1, amount(30, 8)) for _ in range(4))),
    st.sampled_from(UNITS),
    st.integers(-14, 2),
    st.floats(-8, 8),
)
def test_the_bound_holds_for_any_operands(seed, sizes, how, exponent, scale):
    """Sizes down to one and magnitudes down to underflow, where bounds are easily wrong."""
    (t, i, r, o), (precision, unit) = sizes, how
    rng = np.random.default_rng(seed)
    shapes = ((t, i), (i, r), (r, o), (t, o))
    x, a, b, y = (rng.standard_normal(shape) for shape in shapes)
    x, y = x * 2.0**exponent, y * 2.0 ** (2 * exponent)
    error = np.abs(
        lora(x, a, b, y, scale, precision=precision, unit=unit) - (y + scale * ((x @ a) @ b))
    )
    assert (error <= error_bound(x, a, b, y, scale, precision, unit)).all()


def lost_terms(u, count, lanes):
    """1 in each lane, then terms just below half its last bit: every addition loses its term."""
    return [1.0] * lanes + [u - 2 * u * u] * (count - lanes)


ADVERSE_SUMS = [
    ("fp16", Order.SEQUENTIAL, lost_terms(2.0**-11, 64, 1), 0.9),
    ("fp16", Order.SEPARATE, lost_terms(2.0**-11, 64, 1), 0.9),
    ("fp16", Order.SIMD, lost_terms(2.0**-11, 64, 4), 0.8),
    ("fp32", Order.SEQUENTIAL, lost_terms(2.0**-24, 64, 1), 0.9),
    ("fp32", Order.SIMD, lost_terms(2.0**-24, 64, 2), 0.9),
    ("fp16", Order.EXPANDING, [1.0, 2.0**-11, 2.0**-20], 0.9),  # just above a tie
    ("fp16", Order.SEQUENTIAL, [2.0**-26] * 64, 0.1),  # every product underflows
    ("fp16", Order.SEPARATE, [2.0**-26] * 64, 0.1),
    ("fp16", Order.SIMD, [2.0**-26] * 64, 0.1),
    ("fp16", Order.EXPANDING, [2.0**-26], 0.1),
    ("fp32", Order.SEQUENTIAL, [2.0**-151] * 64, 0.1),
]


@pytest.mark.parametrize(("precision", "order", "products", "attained"), ADVERSE_SUMS)
def test_the_bound_of_one_sum_is_nearly_attained(precision, order, products, attained):
    """The worst products that we know of: neither above the bound nor far below it."""
    factor = 2.0**-13 if products[0] < 1 else 1.0
    if precision == "fp32":
        factor = 2.0**-75 if products[0] < 1 else 1.0
    x = np.full((1, len(products)), factor, np.float32)
    w = (np.array(products, np.float64) / factor).astype(np.float32)[:, None]
    zero = np.zeros((1, 1), np.float32)
    exact = x.astype(np.float64) @ w
    np.testing.assert_array_equal(exact[0, 0], sum(products))
    error = np.abs(gemm(x, w, zero, precision=precision, order=order) - exact)
    bound = sum_error_bound(order, precision, len(products), np.abs(exact))
    assert attained * bound <= error <= bound


def test_the_int8_bound_covers_operands_and_hidden_values_half_a_step_off():
    """x rounds 0.5 to 0, then U rounds 63 / 127 to 0: both lose, and nothing is left of 126.5."""
    x, a = np.array([[127.0, 0.0], [0.5, 63.0]]), np.array([[127.0], [1.0]])
    b, y = np.ones((1, 1)), np.zeros((2, 1))
    found = lora(x, a, b, y, 1.0, precision="int8")
    bound = error_bound(x, a, b, y, 1.0, "int8", CoreSplit())
    assert found[1, 0] == 0.0
    assert 126.5 <= bound[1, 0] < 2.5 * 126.5


def test_the_bound_of_a_whole_adapter_is_nearly_attained():
    """Every operand and every product loses almost half its last bit; adding y loses none."""
    u = HALF_ROUNDOFF
    x, a, b = (np.array([[1 + k * 2 * u + 0.99 * u]]) for k in (5, 100, 34))
    y = np.zeros((1, 1))
    error = np.abs(lora(x, a, b, y, 1.0, unit=CoreSplit()) - x * a * b)
    bound = error_bound(x, a, b, y, 1.0, "fp16", CoreSplit())
    assert 0.75 * bound < error < bound


def test_the_int8_bound_covers_a_b_half_a_step_off():
    x, a, b, y = np.ones((1, 1)), np.ones((1, 1)), np.array([[127.0, 0.5]]), np.zeros((1, 2))
    found = lora(x, a, b, y, 1.0, precision="int8")
    bound = error_bound(x, a, b, y, 1.0, "int8", CoreSplit())
    assert found[0, 1] == 0.0
    assert 0.5 <= bound[0, 1] < 1.1 * 0.5


def test_bounds_are_not_far_from_errors_that_occur():
    """For short sums the bound is a few times the error, so it is not empty."""
    short = [AdapterShape(str(n), n, 64, 1, 64) for n in (1, 2, 4)]
    for precision, unit in UNITS:
        for row in check_numerics(short, precision, 1, unit=unit):
            assert row.share_of_bound > 0.05


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_a_kernel_that_rounds_more_coarsely_breaks_the_bound(monkeypatch, precision):
    """Three bits lost in y alone are noticed where the sums are short."""

    def coarse(x, a, b, y, *rest, **options):
        step = {"fp16": 2.0**-8, "fp32": 2.0**-21}[precision]
        return lora(x, a, b, y, *rest, **options) * np.float32(1 + step)

    monkeypatch.setattr(check, "lora", coarse)
    (row,) = check_numerics([("short", 2, 64, 1, 64)], precision, 1, unit=CoreSplit())
    assert not row.bound_holds
    assert row.share_of_bound > 1


def test_a_result_that_is_not_a_number_breaks_the_bound(monkeypatch):
    monkeypatch.setattr(check, "lora", lambda x, a, b, y, *_, **__: np.full_like(y, np.nan))
    (row,) = check_numerics([("nan", 2, 3, 1, 2)], "fp16", 1, unit=CoreSplit())
    assert not row.bound_holds


def test_a_split_that_changes_a_bit_is_noticed(monkeypatch):
    def last_bit(*operands, unit, **options):
        result = lora(*operands, unit=unit, **options)
        if unit.cores > 1:
            result[0, 0] = np.nextafter(result[0, 0], np.float32(9))
        return result

    monkeypatch.setattr(check, "lora", last_bit)
    (row,) = check_numerics([("s", 4, 4, 2, 3)], "fp32", 1, unit=CoreSplit())
    assert not row.equals_unsplit
    assert row.bound_holds


def test_shapes_of_equal_sizes_are_computed_once_and_named_each(monkeypatch):
    calls = []
    monkeypatch.setattr(
        check, "lora", lambda *args, **opts: calls.append(0) or lora(*args, **opts)
    )
    shapes = [(f"block{i}", 8, 8 + i % 2, 2, 3) for i in range(361)]
    rows = check_numerics(shapes, "fp16", 0, unit=ENGINE)
    assert [row.name for row in rows] == [f"block{i}" for i in range(361)]
    assert len(calls) == 4  # two sizes, split and unsplit
    assert len({row.worst_absolute_error for row in rows}) == 2


def test_a_row_depends_on_the_seed_and_the_sizes_alone():
    shape, other = ("q", 16, 16, 2, 3), ("other", 8, 8, 2, 3)
    (alone,) = check_numerics([shape], "fp16", 5, unit=ENGINE)
    _, after = check_numerics([other, shape], "fp16", 5, unit=ENGINE)
    (reseeded,) = check_numerics([shape], "fp16", 6, unit=ENGINE)
    assert alone == after
    assert alone != reseeded


def test_errors_are_those_against_float64():
    (row,) = check_numerics([("q", 24, 12, 3, 5)], "fp16", 9, unit=ENGINE)
    x, a, b, y = check._draw(AdapterShape("q", 24, 12, 3, 5), 9)
    exact = y + 4 * x @ a @ b
    error = np.abs(lora(x, a, b, y, 4, unit=ENGINE) - exact)
    assert row.worst_absolute_error == pytest.approx(error.max(), rel=1e-9)
    assert row.worst_relative_error == pytest.approx(error.max() / np.abs(exact).max(), rel=1e-9)


def test_longer_reductions_err_more_and_a_wider_format_less():
    sizes = [(str(n), n, 32, 4, 16) for n in (8, 64, amount(1024, 64))]
    half_errors = [r.error_bound for r in check_numerics(sizes, "fp16", 2, unit=CoreSplit())]
    single_errors = [r.error_bound for r in check_numerics(sizes, "fp32", 2, unit=CoreSplit())]
    assert half_errors == sorted(half_errors)
    assert all(s < h / 1000 for s, h in zip(single_errors, half_errors, strict=True))


def test_the_bound_is_finite_beyond_2048_terms_in_half_precision():
    """There n u reaches 1, and the usual gamma_n = n u / (1 - n u) says nothing."""
    x, y = np.ones((1, 4096)), np.ones((1, 1))
    bound = error_bound(x, x.T, y, y, 1.0, "fp16", ENGINE)
    assert np.isfinite(bound).all()


def test_what_cannot_be_checked_is_refused():
    with pytest.raises(UnsupportedError, match="computes in fp16"):
        check_numerics([("q", 8, 8, 2, 3)], "fp32", 0, unit=ENGINE)
    with pytest.raises(SpecError, match="shape 'q': found"):
        check_numerics([("q", 8, 8, 0, 3)], "fp16", 0, unit=ENGINE)
