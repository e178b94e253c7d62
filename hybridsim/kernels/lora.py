r"""What a cluster computes for an adapter: y + s (x A) B, in three formats.

The cluster computes two products, U = X A and Z = U B' + Y, with B' = s B: the adapter's scale
s = alpha / rank is folded into B when the adapter is loaded, so the matrix engine can accumulate
straight onto the analog output. Source of the adapter: Hu et al., LoRA, ICLR 2022, Eq. 3. Source
of the engine's order: RedMulE RTL, bit-exact against sequential fused multiply-adds. Source of
the cores' orders: the GEMM kernels and the FPU (cvfpu) of the Snitch cluster.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybridsim.errors import SpecError, UnsupportedError
from hybridsim.kernels.half import (
    F32,
    F64,
    fma_half,
    fma_single,
    multiply_add_half,
    sum_single,
    sum_singles,
    to_half,
)
from hybridsim.kernels.quantize import (
    LONGEST_SUM,
    Int8s,
    Int32s,
    LoraScales,
    calibrate,
    quantize,
    requantize,
)
from hybridsim.kernels.split import Array, CoreSplit, EngineSplit, Order, Split, multiply
from hybridsim.machine_code import machine_code

Precision = Literal["fp32", "fp16", "int8"]

SIMD_LANES = {"fp32": 2, "fp16": 4}
"""Numbers in one 64-bit register of a core, which is how many partial sums ``simd`` keeps."""

_ORDERS: dict[Precision, tuple[Order, ...]] = {
    "fp32": (Order.SEQUENTIAL, Order.SIMD),
    "fp16": (Order.SEQUENTIAL, Order.SEPARATE, Order.SIMD, Order.EXPANDING),
    "int8": (Order.SEQUENTIAL, Order.SIMD),
}
_FMA_HALF, _SEPARATE_HALF, _FMA_SINGLE = 0, 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class _Operands:
    """One adapter's operands with their shapes checked; tokens are rows."""

    x: NDArray[np.float64]
    a: NDArray[np.float64]
    folded_b: NDArray[np.float64]
    y: NDArray[np.float64]


def lora(
    x: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    y: ArrayLike,
    scale: float,
    *,
    precision: Precision = "fp16",
    unit: Split | None = None,
    swapped: bool = False,
    scales: LoraScales | None = None,
) -> F32:
    r"""Return :math:`y + scale \cdot (x A) B` with every rounding the cluster makes.

    Shapes: ``x`` (tokens, in), ``a`` (in, rank), ``b`` (rank, out), ``y`` (tokens, out) ->
    (tokens, out). A single token may come as vectors, ``x`` (in,) and ``y`` (out,) -> (out,).

    The operands are rounded to the format first: x, A, scale * B and, unless int8, y.

    - ``fp16``, ``fp32``: U is summed from zero and rounded to the format, then Z.
    - ``int8``: 8-bit codes, exact 32-bit sums, U requantized to 8 bits, and a single fused
      multiply-add in fp32 per output: y + float32(sum) * (scale of U * scale of B').

    Args:
        x: Activations.
        a: First matrix of the adapter.
        b: Second matrix of the adapter, without the scale.
        y: What the adapter is added to: the analog output.
        scale: alpha / rank.
        precision: Format of the operands and of U.
        unit: How the work is split and in which order sums are taken. None is the definition:
            no split, sequential fused multiply-adds, the second product accumulated from y.
        swapped: Compute the first product as U^T = A^T X^T. Every element takes the same sums in
            the same order, so no bit of the result changes.
        scales: For int8: scales known in advance; by default taken from these operands.

    Raises:
        SpecError: Shapes do not fit together, or something has no elements.
        UnsupportedError: The unit cannot compute in this format or order, a reduction is too
            long for 32-bit sums, or a value has no 8-bit code.
    """
    given = _checked(x, a, b, y, scale)
    split = CoreSplit(cores=1, from_y=True) if unit is None else unit
    _check_support(split, precision, given)
    with np.errstate(over="ignore", invalid="ignore"):  # infinities are results here
        if precision == "int8":
            z = _lora_int8(given, split, swapped, scales)
        else:
            z = _lora_float(given, split, swapped, precision)
    return z[0] if np.ndim(x) == 1 else z


def gemm(x: F32, w: F32, y: F32, *, precision: Precision, order: Order) -> F32:
    """Return X W + Y for operands that are numbers of the format, in float32 arrays.

    Shapes: ``x`` (M, N), ``w`` (N, K), ``y`` (M, K) -> (M, K). See :class:`Order` for the sums;
    ``simd`` and ``expanding`` need N to fill whole registers and are padded with zeros.
    """
    if order is Order.SIMD:
        return _simd_single(x, w, y) if precision == "fp32" else _simd_half(x, w, y)
    if order is Order.EXPANDING:
        return _expanding(x, w, y)
    if precision == "fp32":
        return _gemm(_FMA_SINGLE, x, w, y)
    return _gemm(_FMA_HALF if order is Order.SEQUENTIAL else _SEPARATE_HALF, x, w, y)


@machine_code()
def gemm_int8(x: Int8s, w: Int8s, y: Int32s) -> Int32s:
    """Return X W + Y in 32-bit integers, which no order of summation changes.

    Shapes: ``x`` (M, N), ``w`` (N, K), ``y`` (M, K) -> (M, K). Sums wrap if they leave 32 bits.
    """
    z = y.copy()
    for m in range(x.shape[0]):
        for n in range(x.shape[1]):
            factor = np.int32(x[m, n])
            for k in range(w.shape[1]):
                z[m, k] = np.int32(z[m, k] + factor * np.int32(w[n, k]))
    return z


def _lora_float(given: _Operands, split: Split, swapped: bool, precision: Precision) -> F32:
    rounded = partial(_to_format, precision=precision)
    x, a, b, y = map(rounded, (given.x, given.a, given.folded_b, given.y))
    first = partial(gemm, precision=precision, order=split.xa)
    second = partial(gemm, precision=precision, order=split.ub)
    hidden = _first_product(first, x, a, np.float32, split, swapped)
    if split.from_y:
        return multiply(second, hidden, b, y, split)
    change = multiply(second, hidden, b, np.zeros_like(y), split)
    return _to_format(y.astype(np.float64) + change, precision)


def _lora_int8(given: _Operands, split: Split, swapped: bool, scales: LoraScales | None) -> F32:
    if scales is None:
        scales = calibrate(given.x, given.a, given.folded_b)
    x, a = quantize(given.x, scales.x), quantize(given.a, scales.a)
    b = quantize(given.folded_b, scales.b)
    sums = _first_product(gemm_int8, x, a, np.int32, split, swapped)
    hidden = requantize(sums, scales.requantizer)
    change = multiply(gemm_int8, hidden, b, np.zeros(given.y.shape, np.int32), split)
    return _scale_and_add(change.astype(np.float32), scales.output, _single(given.y))


def _first_product(
    product: Any, x: Array, a: Array, sums: Any, split: Split, swapped: bool
) -> Array:
    """Return X A summed from zero, computed as (A^T X^T)^T if ``swapped``."""
    if swapped:
        x, a = a.T, x.T
    hidden = multiply(product, x, a, np.zeros((x.shape[0], a.shape[1]), sums), split)
    return hidden.T if swapped else hidden


def _simd_single(x: F32, w: F32, y: F32) -> F32:
    """Two partial sums, then vfsum.s: y and both lanes in one addition with one rounding."""
    zero = np.zeros_like(y)
    lanes = [_gemm(_FMA_SINGLE, *_lane(x, w, lane, 2), zero) for lane in range(2)]
    return sum_singles(y, *lanes)


def _simd_half(x: F32, w: F32, y: F32) -> F32:
    """Four partial sums, y in the first; pairs added into fp32, these added, rounded to fp16."""
    zero = np.zeros_like(y)
    p = [_gemm(_FMA_HALF, *_lane(x, w, i, 4), y if i == 0 else zero) for i in range(4)]
    return to_half((p[0] + p[1]) + (p[2] + p[3]))  # float32 additions, like vfsumex and vfsum


def _lane(x: F32, w: F32, lane: int, lanes: int) -> tuple[F32, F32]:
    return np.ascontiguousarray(x[:, lane::lanes]), np.ascontiguousarray(w[lane::lanes])


def _expanding(x: F32, w: F32, y: F32) -> F32:
    """Two fp32 partial sums, y in the first; both added, then rounded to fp16."""
    padding = -x.shape[1] % 4
    x, w = np.pad(x, ((0, 0), (0, padding))), np.pad(w, ((0, padding), (0, 0)))
    lanes = [_dot_pairs(x, w, lane, y if lane == 0 else np.zeros_like(y)) for lane in range(2)]
    return to_half(lanes[0] + lanes[1])


@machine_code()
def _gemm(step: int, x: F32, w: F32, y: F32) -> F32:
    """Sum one product after the other; the float64 accumulators hold numbers of the format."""
    z = np.empty(y.shape, np.float32)
    sums = np.empty(w.shape[1], np.float64)
    for m in range(x.shape[0]):
        for k in range(sums.size):
            sums[k] = y[m, k]
        for n in range(x.shape[1]):
            _add_product(step, np.float64(x[m, n]), w[n], sums)
        for k in range(sums.size):
            z[m, k] = sums[k]
    return z


@machine_code()
def _add_product(step: int, factor: float, row: F32, sums: F64) -> None:
    """Add factor * row to the sums, with one or two roundings per element."""
    if step == _FMA_HALF:
        for k in range(sums.size):
            sums[k] = fma_half(factor, np.float64(row[k]), sums[k])
    elif step == _SEPARATE_HALF:
        for k in range(sums.size):
            sums[k] = multiply_add_half(factor, np.float64(row[k]), sums[k])
    else:
        for k in range(sums.size):
            sums[k] = fma_single(factor, np.float64(row[k]), sums[k])


@machine_code()
def _dot_pairs(x: F32, w: F32, lane: int, y: F32) -> F32:
    """Sum elements 4 i + 2 lane and the next one, both products in one step rounded to fp32."""
    z = np.empty(y.shape, np.float32)
    sums = np.empty(w.shape[1], np.float64)
    for m in range(x.shape[0]):
        for k in range(sums.size):
            sums[k] = y[m, k]
        for n in range(2 * lane, x.shape[1], 4):
            first, second = np.float64(x[m, n]), np.float64(x[m, n + 1])
            for k in range(sums.size):
                sums[k] = sum_single(first * w[n, k], second * w[n + 1, k], sums[k])
        for k in range(sums.size):
            z[m, k] = sums[k]
    return z


@machine_code()
def _scale_and_add(sums: F32, scale: float, y: F32) -> F32:
    """Return y + sums * scale, the scale in fp32, each element with one rounding to fp32."""
    z = np.empty(y.shape, np.float32)
    factor = np.float64(np.float32(scale))
    for t in range(y.shape[0]):
        for k in range(y.shape[1]):
            z[t, k] = fma_single(np.float64(sums[t, k]), factor, np.float64(y[t, k]))
    return z


def _to_format(values: NDArray[np.float64], precision: Precision) -> NDArray[Any]:
    if precision == "int8":
        return values
    return to_half(values) if precision == "fp16" else _single(values)


def _single(values: NDArray[np.float64]) -> F32:
    return np.ascontiguousarray(values, np.float32)


def _checked(x: ArrayLike, a: ArrayLike, b: ArrayLike, y: ArrayLike, scale: float) -> _Operands:
    """Return the operands as matrices of float64, with the scale folded into B."""
    xs, ys = (np.atleast_2d(np.asarray(v, np.float64)) for v in (x, y))
    a64, b64 = np.asarray(a, np.float64), np.asarray(b, np.float64)
    shapes = f"x {np.shape(x)}, a {a64.shape}, b {b64.shape}, y {np.shape(y)}"
    if {xs.ndim, ys.ndim, a64.ndim, b64.ndim} != {2} or np.ndim(x) != np.ndim(y):
        raise SpecError("", "lora", f"{shapes}: x and y are both vectors or both matrices")
    (tokens, inputs), (rank, outputs) = xs.shape, b64.shape
    if a64.shape != (inputs, rank) or ys.shape != (tokens, outputs):
        raise SpecError("", "lora", f"{shapes}: want (t, i), (i, r), (r, o) and (t, o)")
    if 0 in (tokens, inputs, rank, outputs):
        raise SpecError("", "lora", f"{shapes}: every size is 1 or more")
    return _Operands(xs, a64, scale * b64, ys)


def _check_support(split: Split, precision: Precision, given: _Operands) -> None:
    """Raise UnsupportedError for what the modelled units cannot do."""
    if precision not in _ORDERS:
        raise UnsupportedError(f"precision {precision!r}; there is: {', '.join(_ORDERS)}")
    if isinstance(split, EngineSplit) and precision != "fp16":
        raise UnsupportedError(
            f"the matrix engine computes in fp16, not {precision}; use a CoreSplit or fp16"
        )
    for order in (split.xa, split.ub):
        if order not in _ORDERS[precision]:
            known = ", ".join(_ORDERS[precision])
            raise UnsupportedError(f"{precision} cannot sum in order {order}; it can: {known}")
    longest = max(given.a.shape)
    if precision == "int8" and longest > LONGEST_SUM:
        raise UnsupportedError(
            f"int8: a sum of {longest} products may leave 32 bits; at most {LONGEST_SUM} fit"
        )
