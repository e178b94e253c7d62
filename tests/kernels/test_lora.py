"""Adapters in three formats: against rational arithmetic, and against themselves when split."""

import os
import subprocess
import sys
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hybridsim.errors import SpecError, UnsupportedError
from hybridsim.kernels import lora as lora_module
from hybridsim.kernels.half import to_half
from hybridsim.kernels.lora import gemm, gemm_int8, lora
from hybridsim.kernels.quantize import LONGEST_SUM, LoraScales, calibrate, quantize
from hybridsim.kernels.split import CoreSplit, EngineSplit, Order
from tests.kernels import oracles
from tests.kernels.oracles import JIT, amount, assert_same_bits, law

ORDERS = {
    "fp32": [Order.SEQUENTIAL, Order.SIMD],
    "fp16": [Order.SEQUENTIAL, Order.SEPARATE, Order.SIMD, Order.EXPANDING],
    "int8": [Order.SEQUENTIAL, Order.SIMD],
}
FORMATS = {"fp32": oracles.single, "fp16": oracles.half}
ENGINE = EngineSplit(height=4, width=12, pipe_regs=3)

precisions = st.sampled_from(list(ORDERS))
seeds = st.integers(0, 2**32)
most = amount(40, 12)
tokens = st.one_of(st.integers(1, 9), st.integers(1, most))  # often fewer tokens than cores
adapters = st.tuples(tokens, st.integers(1, most), st.integers(1, 16), st.integers(1, most))
"""Tokens, in, rank, out."""


def random_adapter(seed, sizes):
    t, i, r, o = sizes
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal(shape) for shape in ((t, i), (i, r), (r, o), (t, o)))


def random_half(rng, *shape):
    """Halves of all sizes between 2^-12 and 2^4, so that sums round and sometimes underflow."""
    values = rng.uniform(-1, 1, shape) * 2.0 ** rng.integers(-12, 5, shape)
    return to_half(values)


def naive_lora(x, a, b, y, scale):
    """The definition, in float64, with nothing clever."""
    return y + scale * ((x @ a) @ b)


# --- one product against exact definitions ---


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize("shape", [(1, 9, 3), (3, 8, 2), (2, 30, 5), (4, 1, 1)])
def test_sequential_sums_are_fused_multiply_adds_in_order(precision, shape):
    """The engine's order: from y on, n = 0..N-1, one rounding each, in rational arithmetic."""
    (m, n, k), rng = shape, np.random.default_rng(10)
    x, w, y = random_half(rng, m, n), random_half(rng, n, k), random_half(rng, m, k)
    found = gemm(x, w, y, precision=precision, order=Order.SEQUENTIAL)
    assert_same_bits(found, oracles.sequential(x, w, y, FORMATS[precision]))


def test_separate_sums_are_those_of_numpy_float16():
    rng = np.random.default_rng(11)
    x, w, y = random_half(rng, 5, 60), random_half(rng, 60, 7), random_half(rng, 5, 7)
    z = y.astype(np.float16)
    for n in range(60):
        z = z + x[:, n : n + 1].astype(np.float16) * w[n].astype(np.float16)
    assert_same_bits(gemm(x, w, y, precision="fp16", order=Order.SEPARATE), z)


def simd_element(precision, x, w, y):
    """One output of the packed kernels, lane by lane, in rational arithmetic."""
    lanes = {"fp32": 2, "fp16": 4}[precision]
    to_format = FORMATS[precision]
    sums = [0.0] * lanes
    if precision == "fp16":
        sums[0] = float(y)
    for n in range(len(x)):
        sums[n % lanes] = to_format(oracles.fma(x[n], w[n], sums[n % lanes]))
    if precision == "fp32":
        return oracles.single(Fraction(float(y)) + Fraction(sums[0]) + Fraction(sums[1]))
    pairs = [oracles.single(Fraction(sums[i]) + Fraction(sums[i + 1])) for i in (0, 2)]
    return oracles.half(oracles.single(Fraction(pairs[0]) + Fraction(pairs[1])))


def expanding_element(x, w, y):
    """One output of the kernel on vfdotpex.s.h: 4 elements a step, two to each fp32 lane."""
    sums = [Fraction(float(y)), Fraction(0)]
    products = [Fraction(float(a)) * Fraction(float(b)) for a, b in zip(x, w, strict=True)]
    products += [Fraction(0)] * (-len(products) % 4)
    for n in range(0, len(products), 4):
        for lane in (0, 1):
            pair = products[n + 2 * lane] + products[n + 2 * lane + 1]
            sums[lane] = Fraction(oracles.single(sums[lane] + pair))
    return oracles.half(oracles.single(sums[0] + sums[1]))


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize("reduction", [1, 2, 3, 4, 5, 8, 17, 64])
def test_simd_sums_are_one_partial_sum_per_lane(precision, reduction):
    rng = np.random.default_rng(12)
    x, w, y = (
        random_half(rng, 3, reduction),
        random_half(rng, reduction, 4),
        random_half(rng, 3, 4),
    )
    expected = [
        [simd_element(precision, x[m], w[:, k], y[m, k]) for k in range(4)] for m in range(3)
    ]
    assert_same_bits(gemm(x, w, y, precision=precision, order=Order.SIMD), expected)


def test_neighbouring_simd_lanes_are_added_first():
    """1024 and -1024 cancel; what the lane beside one of them keeps depends on the pairing."""
    w = np.array([[1024.0], [2.0**-14 * (1 + 2.0**-10)], [-1024.0], [0.0]], np.float32)
    x, y = np.ones((1, 4), np.float32), np.zeros((1, 1), np.float32)
    found = gemm(x, w, y, precision="fp16", order=Order.SIMD)
    assert found[0, 0] == 2.0**-13  # half the last bit of 1024 in single precision: rounded up
    assert found[0, 0] == simd_element("fp16", x[0], w[:, 0], y[0, 0])


@pytest.mark.parametrize("reduction", [1, 2, 3, 4, 5, 8, 17, 64])
def test_expanding_sums_are_two_fused_dot_products_in_single_precision(reduction):
    rng = np.random.default_rng(13)
    x, w, y = (
        random_half(rng, 3, reduction),
        random_half(rng, reduction, 4),
        random_half(rng, 3, 4),
    )
    expected = [[expanding_element(x[m], w[:, k], y[m, k]) for k in range(4)] for m in range(3)]
    assert_same_bits(gemm(x, w, y, precision="fp16", order=Order.EXPANDING), expected)


def test_the_orders_are_different_orders():
    """On a long sum no two of them agree in every bit, so the tests above can tell them apart."""
    rng = np.random.default_rng(14)
    x, w = to_half(rng.standard_normal((4, 200))), to_half(rng.standard_normal((200, 6)))
    results = [
        gemm(x, w, np.zeros((4, 6), np.float32), precision="fp16", order=order).tobytes()
        for order in ORDERS["fp16"]
    ]
    assert len(set(results)) == len(results)


@law
@given(seeds, st.integers(1, 30), st.integers(1, 300), st.integers(1, 12))
def test_integer_sums_are_exact(seed, m, n, k):
    rng = np.random.default_rng(seed)
    x, w = (rng.integers(-127, 128, shape).astype(np.int8) for shape in ((m, n), (n, k)))
    y = rng.integers(-(2**20), 2**20, (m, k)).astype(np.int32)
    z = gemm_int8(x, w, y)
    assert z.dtype == np.int32
    np.testing.assert_array_equal(z, y + x.astype(np.int64) @ w.astype(np.int64))


def test_the_longest_integer_sum_does_not_wrap():
    longest = LONGEST_SUM if JIT else 500
    x = np.full((1, longest), 127, np.int8)
    w = np.stack([np.full(longest, 127), np.full(longest, -127)], axis=1).astype(np.int8)
    z = gemm_int8(x, w, np.zeros((1, 2), np.int32))
    np.testing.assert_array_equal(z, [[longest * 127**2, -longest * 127**2]])


# --- whole adapters ---


def test_the_definition_in_fp16_is_two_exact_products_on_rounded_operands():
    """Operands to half, scale folded into B, U from zero, Z from y: all in rational arithmetic."""
    x, a, b, y = random_adapter(20, (3, 13, 5, 4))
    scale = 0.3
    half = np.vectorize(oracles.half)
    xh, ah, yh, folded = half(x), half(a), half(y), half(scale * b)
    hidden = oracles.sequential(xh, ah, np.zeros((3, 5)), oracles.half)
    expected = oracles.sequential(hidden, folded, yh, oracles.half)
    assert_same_bits(lora(x, a, b, y, scale, precision="fp16"), expected)
    assert_same_bits(lora(x, a, b, y, scale, precision="fp16", unit=ENGINE), expected)


@pytest.mark.parametrize("from_y", [False, True])
@pytest.mark.parametrize(("xa", "ub"), list(product(ORDERS["fp16"], repeat=2)))
def test_each_product_is_summed_in_its_own_order(xa, ub, from_y):
    x, a, b, y = map(to_half, random_adapter(29, (4, 60, 16, 9)))
    zeros = np.zeros((4, 16), np.float32), np.zeros((4, 9), np.float32)
    hidden = gemm(x, a, zeros[0], precision="fp16", order=xa)
    change = gemm(hidden, b, y if from_y else zeros[1], precision="fp16", order=ub)
    expected = change if from_y else to_half(change.astype(np.float64) + y)
    unit = CoreSplit(cores=3, xa=xa, ub=ub, from_y=from_y)
    assert_same_bits(lora(x, a, b, y, 1, unit=unit), expected)


def test_cores_sum_from_zero_and_add_y_at_the_end():
    x, a, b, y = random_adapter(21, (3, 13, 5, 4))
    half = np.vectorize(oracles.half)
    hidden = oracles.sequential(half(x), half(a), np.zeros((3, 5)), oracles.half)
    change = oracles.sequential(hidden, half(2 * b), np.zeros((3, 4)), oracles.half)
    found = lora(x, a, b, y, 2, precision="fp16", unit=CoreSplit())
    assert_same_bits(found, half(change.astype(np.float64) + half(y)))


def test_int8_is_exact_integers_and_one_rounding_at_the_end():
    x, a, b, y = random_adapter(22, (4, 50, 7, 9))
    s = calibrate(x, a, 0.7 * b)
    multiplier = s.requantizer
    xq, aq = quantize(x, s.x).astype(object), quantize(a, s.a).astype(object)
    bq = quantize(0.7 * b, s.b).astype(object)
    ratio = Fraction(multiplier.mantissa, 2**multiplier.shift)
    hidden = np.vectorize(lambda v: min(max(round(v * ratio), -127), 127), otypes=[object])(
        xq @ aq
    )
    step = Fraction(float(np.float32(s.output)))
    y32 = y.astype(np.float32)
    expected = [
        [oracles.single(Fraction(float(y32[i])) + v * step) for i, v in np.ndenumerate(row)]
        for y32, row in zip(y32, hidden @ bq, strict=True)
    ]
    assert_same_bits(lora(x, a, b, y, 0.7, precision="int8"), expected)


def test_int8_saturates_where_given_scales_are_too_fine():
    scales = LoraScales(x=0.01, a=0.01, hidden=0.01, b=0.01)
    one = np.ones((1, 1))
    z = lora(100 * one, one, one, 0 * one, 1, precision="int8", scales=scales)
    # x saturates at 1.27, U = 1.27 * 1.00 is its largest code, B is 1.00
    assert z[0, 0] == np.float32(np.float64(127 * 100) * np.float64(np.float32(1e-4)))


@law
@given(seeds, adapters, precisions)
def test_every_format_is_close_to_the_definition(seed, sizes, precision):
    x, a, b, y = random_adapter(seed, sizes)
    found = lora(x, a, b, y, 0.5, precision=precision)
    size = np.abs(y) + 0.5 * (np.abs(x) @ np.abs(a)) @ np.abs(b)
    step = {"fp32": 2.0**-18, "fp16": 2.0**-5, "int8": 0.25}[precision]
    assert (np.abs(found - naive_lora(x, a, b, y, 0.5)) <= step * (size + size.max())).all()


def bitwise_units():
    """Splits over cores with every order that some format knows."""
    orders = st.sampled_from(list(Order))
    return st.builds(
        CoreSplit, cores=st.integers(1, 12), xa=orders, ub=orders, from_y=st.booleans()
    )


@law
@given(seeds, adapters, precisions, bitwise_units(), st.booleans())
def test_a_split_over_cores_changes_no_bit(seed, sizes, precision, unit, swapped):
    x, a, b, y = random_adapter(seed, sizes)
    if not {unit.xa, unit.ub} <= set(ORDERS[precision]):
        unit = CoreSplit(unit.cores, Order.SIMD, Order.SIMD, unit.from_y)
    found = lora(x, a, b, y, 4, precision=precision, unit=unit, swapped=swapped)
    assert_same_bits(found, lora(x, a, b, y, 4, precision=precision, unit=unit.unsplit))


engines = st.builds(
    EngineSplit,
    height=st.sampled_from([2, 4, 8]),
    width=st.sampled_from([4, 8, 12, 24]),
    pipe_regs=st.integers(0, 3),
)


@law
@given(seeds, adapters, engines, st.booleans())
@example(0, (1, 128, 8, 128), ENGINE, True)
@example(0, (13, 30, 3, 21), ENGINE, False)
def test_a_split_over_engine_tiles_changes_no_bit(seed, sizes, unit, swapped):
    """Random operands have no result of -0, the one value that zero padding can change."""
    x, a, b, y = random_adapter(seed, sizes)
    found = lora(x, a, b, y, 4, unit=unit, swapped=swapped)
    assert_same_bits(found, lora(x, a, b, y, 4))


@law
@given(seeds, adapters)
def test_cores_that_start_from_y_equal_the_engine(seed, sizes):
    x, a, b, y = random_adapter(seed, sizes)
    assert_same_bits(
        lora(x, a, b, y, 4, unit=CoreSplit(from_y=True)), lora(x, a, b, y, 4, unit=ENGINE)
    )


def test_padding_turns_a_negative_zero_positive_and_nothing_else():
    """fma(0, 0, -0) is +0 in IEEE 754: y = -0 survives only where the engine does not pad."""
    x, b, y = np.ones((1, 1)), -np.ones((1, 1)), np.array([[-0.0]])
    a = np.zeros((1, 1))
    plain = lora(x, a, b, y, 1)
    padded = lora(x, a, b, y, 1, unit=ENGINE)
    assert (plain[0, 0], np.signbit(plain[0, 0])) == (0, True)
    assert (padded[0, 0], np.signbit(padded[0, 0])) == (0, False)


@law
@given(seeds, adapters, st.sampled_from(["fp16", "fp32"]))
def test_a_token_alone_gets_the_bits_it_gets_in_a_batch(seed, sizes, precision):
    x, a, b, y = random_adapter(seed, sizes)
    batch = lora(x, a, b, y, 4, precision=precision)
    for t in {0, len(x) - 1}:
        alone = lora(x[t], a, b, y[t], 4, precision=precision)
        assert alone.shape == (b.shape[1],)
        assert_same_bits(alone, batch[t])


def test_a_token_alone_gets_the_bits_it_gets_in_a_batch_in_int8_with_the_batch_scales():
    x, a, b, y = random_adapter(23, (5, 20, 4, 6))
    scales = calibrate(x, a, 4 * b)
    batch = lora(x, a, b, y, 4, precision="int8", scales=scales)
    for t in range(5):
        assert_same_bits(lora(x[t], a, b, y[t], 4, precision="int8", scales=scales), batch[t])


@law
@given(seeds, adapters, precisions, st.sampled_from(["a", "b", "ab", "scale"]))
def test_an_adapter_of_zeros_leaves_y_bitwise_unchanged(seed, sizes, precision, zeroed):
    x, a, b, y = random_adapter(seed, sizes)
    y = to_half(y)
    a, b = a * ("a" not in zeroed), b * ("b" not in zeroed)
    scale = 0.0 if zeroed == "scale" else 4.0
    units = [None, *(CoreSplit(xa=order, ub=order) for order in ORDERS[precision])]
    for unit in [*units, ENGINE] if precision == "fp16" else units:
        assert_same_bits(lora(x, a, b, y, scale, precision=precision, unit=unit), y)


# --- the scale ---


@pytest.mark.parametrize(("precision", "held"), [("fp32", np.float32), ("fp16", np.float16)])
def test_the_scale_is_folded_into_b_with_one_rounding(precision, held):
    x, a, b, y = random_adapter(24, (3, 20, 6, 50))
    folded = (0.3 * b).astype(held)
    found = lora(x, a, b, y, 0.3, precision=precision)
    assert_same_bits(found, lora(x, a, folded, y, 1, precision=precision))


@law
@given(seeds, adapters, precisions, st.integers(-3, 3))
def test_a_power_of_two_as_scale_costs_no_rounding(seed, sizes, precision, exponent):
    """The published alpha / rank = 32 / 8 is one. B is kept clear of the subnormal halves."""
    x, a, b, y = random_adapter(seed, sizes)
    b, scale = to_half(np.sign(b) * (1 + np.abs(b))), 2.0**exponent
    folded = lora(x, a, b, y, scale, precision=precision)
    assert_same_bits(folded, lora(x, a, scale * b, y, 1, precision=precision))


# --- corners ---


def test_overflow_is_infinite_and_what_is_not_a_number_stays_so():
    big = np.full((1, 2), 60000.0)
    one = np.ones((2, 1))
    assert lora(big, one, [[1.0]], [[0.0]], 1)[0, 0] == np.inf
    assert lora(big, one, [[1.0]], [[0.0]], 1, precision="fp32")[0, 0] == 120000
    assert np.isnan(lora(big, one, [[1.0]], [[-np.inf]], 1)[0, 0])
    assert np.isnan(lora([np.nan], [[1.0]], [[1.0]], [0.0], 1)[0])
    assert lora([1e300], [[1.0]], [[1.0]], [0.0], 1, precision="fp32")[0] == np.inf


def test_operands_are_left_alone():
    operands = random_adapter(25, (3, 5, 2, 4))
    copies = [operand.copy() for operand in operands]
    for precision in ORDERS:
        lora(*operands, 4, precision=precision)
    for operand, copy in zip(operands, copies, strict=True):
        np.testing.assert_array_equal(operand, copy)


@pytest.mark.parametrize(
    "shapes",
    [
        ((2, 3), (4, 1), (1, 5), (2, 5)),
        ((2, 3), (3, 2), (1, 5), (2, 5)),
        ((2, 3), (3, 1), (1, 5), (2, 4)),
        ((2, 3), (3, 1), (1, 5), (1, 5)),
        ((3,), (3, 1), (1, 5), (1, 5)),
        ((3,), (3,), (1, 5), (5,)),
        ((0, 3), (3, 1), (1, 5), (0, 5)),
        ((2, 3), (3, 0), (0, 5), (2, 5)),
    ],
)
def test_shapes_that_do_not_fit_are_named(shapes):
    with pytest.raises(SpecError, match=r"lora: x \("):
        lora(*(np.ones(shape) for shape in shapes), 1)


@pytest.mark.parametrize(
    ("precision", "unit", "message"),
    [
        ("fp8", None, "precision 'fp8'; there is: fp32, fp16, int8"),
        ("fp32", ENGINE, "the matrix engine computes in fp16, not fp32"),
        ("int8", ENGINE, "the matrix engine computes in fp16, not int8"),
        ("fp32", CoreSplit(xa=Order.EXPANDING), "fp32 cannot sum in order expanding"),
        ("fp32", CoreSplit(ub=Order.SEPARATE), "it can: sequential, simd"),
        ("int8", CoreSplit(ub=Order.SEPARATE), "int8 cannot sum in order separate"),
    ],
)
def test_what_the_hardware_cannot_do_is_refused(precision, unit, message):
    with pytest.raises(UnsupportedError, match=message):
        lora([1.0], [[1.0]], [[1.0]], [1.0], 1, precision=precision, unit=unit)


@pytest.mark.parametrize("sizes", [(LONGEST_SUM + 1, 1), (1, LONGEST_SUM + 1)])
def test_int8_refuses_sums_that_may_wrap(sizes):
    inputs, rank = sizes
    with pytest.raises(UnsupportedError, match="may leave 32 bits"):
        lora(np.ones(inputs), np.ones(sizes), np.ones((rank, 1)), [1.0], 1, precision="int8")


# --- compiled and interpreted ---


@pytest.mark.skipif(not JIT, reason="nothing is compiled")
def test_compiled_products_equal_their_python_source():
    rng = np.random.default_rng(26)
    x, w, y = random_half(rng, 2, 9), random_half(rng, 9, 3), random_half(rng, 2, 3)
    for step in (lora_module._FMA_HALF, lora_module._SEPARATE_HALF, lora_module._FMA_SINGLE):
        assert_same_bits(
            lora_module._gemm(step, x, w, y), lora_module._gemm.py_func(step, x, w, y)
        )
    x, w = x[:, :8], w[:8]
    for lane in (0, 1):
        arguments = (np.ascontiguousarray(x), w, lane, y)
        assert_same_bits(
            lora_module._dot_pairs(*arguments), lora_module._dot_pairs.py_func(*arguments)
        )
    codes = [np.rint(100 * v / np.abs(v).max()).astype(np.int8) for v in (x, w)]
    sums = np.arange(6, dtype=np.int32).reshape(2, 3)
    np.testing.assert_array_equal(gemm_int8(*codes, sums), gemm_int8.py_func(*codes, sums))


INTERPRETED = """
import numpy as np
from hybridsim.kernels.lora import lora
from hybridsim.kernels.split import CoreSplit, EngineSplit, Order
rng = np.random.default_rng(27)
x, a, b, y = (rng.standard_normal(s) for s in ((3, 11), (11, 3), (3, 5), (3, 5)))
for precision, unit in (
    ("fp16", EngineSplit(height=2, width=4, pipe_regs=1)),
    ("fp16", CoreSplit(xa=Order.EXPANDING, ub=Order.SEPARATE)),
    ("fp16", CoreSplit(xa=Order.SIMD)),
    ("fp32", CoreSplit(xa=Order.SIMD)),
    ("int8", CoreSplit()),
):
    print(lora(x, a, b, y, 0.3, precision=precision, unit=unit).tobytes().hex())
"""


@pytest.mark.skipif(not JIT, reason="nothing is compiled")
def test_whole_adapters_have_the_same_bits_without_compilation():
    compiled, interpreted = (
        subprocess.run(
            [sys.executable, "-c", INTERPRETED],
            env=os.environ | {"NUMBA_DISABLE_JIT": disable},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for disable in ("0", "1")
    )
    assert compiled == interpreted
    assert len(compiled.split()) == 5


def test_every_order_of_every_format_runs_and_is_repeatable():
    operands = random_adapter(28, (2, 7, 3, 4))
    for precision, orders in ORDERS.items():
        for xa, ub in product(orders, repeat=2):
            unit = CoreSplit(xa=xa, ub=ub)
            once, again = (lora(*operands, 4, precision=precision, unit=unit) for _ in range(2))
            assert once.dtype == np.float32
            assert_same_bits(once, again)
