"""How fast the adapters' numerics run: millions of multiply-accumulates per second."""

import numpy as np
import pytest

from hybridsim.kernels.check import AdapterShape, check_numerics
from hybridsim.kernels.half import to_half
from hybridsim.kernels.lora import gemm, gemm_int8, lora
from hybridsim.kernels.split import CoreSplit, EngineSplit, Order

pytestmark = pytest.mark.benchmark

SHAPES = [(128, 768, 8), (128, 8, 768), (1, 768, 8), (128, 512, 128)]
"""M, N, K: both products of an adapter, one token, and a product that fills the registers."""
ENGINE = EngineSplit(height=4, width=12, pipe_regs=3)


def measured(benchmark, macs, function, *args, **options):
    function(*args, **options)  # compile
    result = benchmark(function, *args, **options)
    if benchmark.stats is not None:
        benchmark.extra_info["MMAC/s"] = round(macs / benchmark.stats["median"] / 1e6)
    return result


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("precision", "order"),
    [
        ("fp32", Order.SEQUENTIAL),
        ("fp32", Order.SIMD),
        ("fp16", Order.SEQUENTIAL),
        ("fp16", Order.SEPARATE),
        ("fp16", Order.SIMD),
        ("fp16", Order.EXPANDING),
    ],
)
def test_products_per_second(benchmark, precision, order, shape):
    (m, n, k), rng = shape, np.random.default_rng(0)
    operands = [to_half(rng.standard_normal(s)) for s in ((m, n), (n, k), (m, k))]
    z = measured(benchmark, m * n * k, gemm, *operands, precision=precision, order=order)
    assert z.shape == (m, k)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_integer_products_per_second(benchmark, shape):
    (m, n, k), rng = shape, np.random.default_rng(0)
    x, w = (rng.integers(-127, 128, s).astype(np.int8) for s in ((m, n), (n, k)))
    z = measured(benchmark, m * n * k, gemm_int8, x, w, np.zeros((m, k), np.int32))
    assert z.shape == (m, k)


@pytest.mark.parametrize(
    ("precision", "unit"),
    [("fp32", CoreSplit()), ("fp16", CoreSplit()), ("fp16", ENGINE), ("int8", CoreSplit())],
    ids=["fp32-cores", "fp16-cores", "fp16-engine", "int8-cores"],
)
def test_adapters_per_second(benchmark, precision, unit):
    """A whole adapter of MobileBERT, split, with the conversion of its operands."""
    rng = np.random.default_rng(0)
    shapes = ((128, 512), (512, 8), (8, 128), (128, 128))
    operands = [rng.standard_normal(s) for s in shapes]
    macs = 128 * 8 * (512 + 128)
    z = measured(benchmark, macs, lora, *operands, 4.0, precision=precision, unit=unit)
    assert z.shape == (128, 128)


def test_the_check_of_a_network(benchmark):
    """361 layers of five sizes, like MobileBERT's."""
    sizes = [(128, 128), (512, 128), (128, 512), (384, 512), (512, 2)]
    shapes = [AdapterShape(str(i), *sizes[i % 5], 8, 320) for i in range(361)]
    rows = benchmark(check_numerics, shapes, "fp16", 0, unit=ENGINE)
    assert all(row.bound_holds and row.equals_unsplit for row in rows)
