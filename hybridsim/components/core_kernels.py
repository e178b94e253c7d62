"""The programs that the cores run, as instruction counts, and the equations they share.

A program is software: how many instructions a step, an epilogue and a prologue take. What an
instruction costs is hardware, and stands in :class:`~hybridsim.components.cores.Cores`. The
counts were read off the Snitch cluster's RTL (pulp-platform/snitch_cluster at 2fa38482, rows of
``snitch_kernels.csv``), less the latencies that the hardware adds; a count without such a row
says ``assumed``.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from hybridsim.units import IntLike, ceil_div

Precision = Literal["fp32", "fp16", "int8"]
"""Element type; ``int8`` has no measured row: SIMD width 8, the counts of ``fp16`` (assumed)."""

Exponential = Literal["scalar", "ssr_frep", "instruction"]
"""How cores compute exponentials: by scalar instructions, by streams and hardware loops, or by an
instruction of its own."""

ELEMENT_BITS: dict[Precision, int] = {"fp32": 32, "fp16": 16, "int8": 8}

UNROLL = 8
"""Accumulators that a core keeps at once, so that dependent additions never wait."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Instructions by precision; 8-bit integers are taken like ``fp16`` (assumed)."""

    fp32: int
    fp16: int

    def at(self, precision: Precision) -> int:
        """Return the count for one precision."""
        return self.fp32 if precision == "fp32" else self.fp16


@dataclass(frozen=True, slots=True)
class GemmProgram:
    """A way to compute Z (m x k) = X (m x n) W (n x k): ``n`` is reduced, ``k`` are columns.

    A core takes whole rows, in blocks of ``outputs`` columns; a block takes ``step`` cycles for
    each element (or each SIMD word) of the reduction and then an epilogue.
    """

    needs: tuple[str, ...]
    """Extensions of the instruction set that it uses, as fields of ``Cores``."""
    streams: int
    """Stream registers that it configures."""
    prologue: Counts
    """Instructions before the first block: call, arguments, pointers."""
    outputs: int
    """Columns, or SIMD words of columns, that a block computes."""
    packs_outputs: bool
    """Whether a block computes words of columns, so that the reduction is not packed."""
    packs_reduction: bool
    """Whether the reduction takes SIMD words."""
    step: int
    """Cycles that a block takes per word, or element, of the reduction."""
    epilogue: Counts
    """Instructions after each block: clear accumulators, reduce, convert, store, loop."""
    drains: bool
    """Whether the epilogue first waits for the last result of the floating-point unit."""
    padded: bool | None
    """Whether rows are one word longer than their data; None: the kernel does not stream."""


_STREAMS = ("ssr", "frep", "packed_simd")
_DOT_PRODUCTS = GemmProgram(
    needs=_STREAMS, streams=2, prologue=Counts(86, 83), outputs=UNROLL, packs_outputs=False,
    packs_reduction=True, step=UNROLL, epilogue=Counts(22, 33), drains=True, padded=True,
)  # fmt: skip
_BROADCAST = GemmProgram(
    needs=_STREAMS, streams=2, prologue=Counts(89, 83), outputs=UNROLL, packs_outputs=True,
    packs_reduction=False, step=UNROLL, epilogue=Counts(8, 8), drains=False, padded=True,
)  # fmt: skip

GEMMS: dict[str, GemmProgram] = {
    # 8 dot products side by side in one hardware loop; source: rows gemm_ssr_frep_u8, one core
    "gemm_ssr_frep": _DOT_PRODUCTS,
    "gemm_ssr_frep_unpadded": replace(_DOT_PRODUCTS, padded=False),
    # one element of X times 8 words of W, for a short reduction; source: gemm_bcastA_ssr_frep
    "gemm_broadcast": _BROADCAST,
    "gemm_broadcast_unpadded": replace(_BROADCAST, padded=False),
    # one dot product at a time, for fewer rows than cores; source: rows dot_ssr_frep_k8
    "dot_ssr_frep": GemmProgram(
        needs=_STREAMS, streams=2, prologue=Counts(89, 89), outputs=1, packs_outputs=False,
        packs_reduction=True, step=1, epilogue=Counts(23, 23), drains=True, padded=None,
    ),
    # loads and loop by instructions, 7 a word; source: rows gemm_packedSIMD_noSSR
    "gemm_packed_simd": GemmProgram(
        needs=("packed_simd",), streams=0, prologue=Counts(104, 97), outputs=1,
        packs_outputs=False, packs_reduction=True, step=7, epilogue=Counts(4, 8), drains=True,
        padded=None,
    ),
    # 8 columns at a time, 20 instructions per element of X; source: rows gemm_scalar_blk8 (fp32);
    # the same count for fp16 is assumed
    "gemm_scalar_blocked": GemmProgram(
        needs=(), streams=0, prologue=Counts(126, 126), outputs=UNROLL, packs_outputs=False,
        packs_reduction=False, step=20, epilogue=Counts(19, 19), drains=True, padded=None,
    ),
    # 6 instructions a multiplication; source: rows gemm_naive_scalar
    "gemm_scalar_naive": GemmProgram(
        needs=(), streams=0, prologue=Counts(87, 87), outputs=1, packs_outputs=False,
        packs_reduction=False, step=6, epilogue=Counts(5, 5), drains=True, padded=None,
    ),
}  # fmt: skip
"""All GEMM kernels by name."""


@dataclass(frozen=True, slots=True)
class ElementProgram:
    """A pass over elements that needs no other element: addition, activation."""

    needs: tuple[str, ...]
    streams: int
    prologue: int
    packed: bool
    """Whether it works on SIMD words."""
    step: tuple[int, int]
    """Cycles per word or element, as numerator and denominator."""
    each: int = 0
    """Cycles per element beside those per word, where a part of a packed pass is not packed."""
    exponential: Exponential | None = None
    """How it computes exponentials, if it does."""


VECTOR_ADDS: dict[str, ElementProgram] = {
    # source: rows vadd_*; the step is an exact difference between their shapes
    "vector_add_ssr_frep": ElementProgram(_STREAMS, 3, 44, True, (1, 1)),
    "vector_add_packed_simd": ElementProgram(("packed_simd",), 0, 68, True, (5, 1)),
    "vector_add_scalar_unroll4": ElementProgram((), 0, 65, False, (5, 1)),
    "vector_add_scalar_simple": ElementProgram((), 0, 53, False, (9, 1)),
}

RELUS: dict[str, ElementProgram] = {
    # assumed: one maximum per word between a read and a write stream
    "relu_ssr_frep": ElementProgram(_STREAMS, 2, 44, True, (1, 1)),
    # assumed: load, maximum, store, and a quarter of three loop instructions (unrolled by 4)
    "relu_scalar": ElementProgram((), 0, 65, False, (4, 1)),
}

ROTARIES: dict[str, ElementProgram] = {
    # assumed: x cos + (other half of x) sin, 3 instructions a word: product, multiply-add, and a
    # move for the fourth operand, as there are three streams; the tables lie in the TCDM
    "rotary_ssr_frep": ElementProgram(_STREAMS, 3, 44, True, (3, 1)),
    # assumed: four loads, product, multiply-add, store, and a quarter of three loop instructions
    "rotary_scalar": ElementProgram((), 0, 65, False, (31, 4)),
}

TRANSPOSES: dict[str, ElementProgram] = {
    # assumed: load, store, step of the strided address, and a quarter of three loop instructions;
    # streams move words of 64 bit, so they cannot take single elements apart
    "transpose_scalar": ElementProgram((), 0, 65, False, (15, 4)),
}

SCALAR_EXP = 60
"""Cycles of a scalar exponential with its load, subtraction and store: of the 70 cycles that an
element of the measured softmax takes, 5 find the maximum and 5 scale (a load and a dependent
operation take 5.1 in the micro-benchmark); this split is assumed."""
SSR_EXP = 15
"""Cycles of an exponential with streams and a hardware loop: (2,855 - 1,897) / 64. Source:
opencompl/riscv-paper-experiments efc5737, results/kernels.csv, ``exp_macro`` of 64 and 128 in
fp64, on one Snitch core in Verilator; the same for other formats is assumed."""
SSR_EXP_ONCE = 1897 - 64 * SSR_EXP
"""What such a pass costs once, until its blocks overlap. Source: as :data:`SSR_EXP`."""

GELUS: dict[str, ElementProgram] = {
    # x sigmoid(1.702 x) with one division: scale, exponential, add one, estimate of the
    # reciprocal, three Newton steps of two, product (there is no division instruction). All of
    # these are assumed but for the exponential.
    # dependent operations of 4 cycles each, and 3 integer ones for the estimate
    "gelu_scalar": ElementProgram(
        (), 0, 65, False, (SCALAR_EXP + 9 * 4 + 3, 1), exponential="scalar"
    ),
    # 10 instructions a word around the exponentials of its elements
    "gelu_ssr_frep": ElementProgram(
        _STREAMS, 2, 44 + SSR_EXP_ONCE, True, (10, 1), SSR_EXP, exponential="ssr_frep"
    ),
    # 11 instructions a word, the exponential among them
    "gelu_exp_instruction": ElementProgram(
        (*_STREAMS, "exp_instruction"), 2, 44, True, (11, 1), exponential="instruction"
    ),
}


@dataclass(frozen=True, slots=True)
class SoftmaxProgram:
    """A softmax of whole rows: the maximum, exponentials and their sum, quotients."""

    needs: tuple[str, ...]
    streams: int
    prologue: int
    row: int
    """Cycles per row: loops, their ends, reciprocal in software."""
    element: tuple[int, int]
    """Cycles per element, as numerator and denominator."""
    word: int
    """Cycles per SIMD word, over all passes that are packed."""
    crowd: tuple[int, int]
    """Cycles per element that each further core at work adds, as numerator and denominator."""
    exponential: Exponential


SOFTMAXES: dict[str, SoftmaxProgram] = {
    # polynomial of degree 5, all scalar. Source: rows softmax_scalar: 1x128 = 260 + 70 x 128 on
    # one core, and 70.903 an element between 8x128 and 8x768 on eight. That 149 of the 260 recur
    # with every row is assumed, the rest is as in layernorm_scalar; so is fp16
    "softmax_scalar": SoftmaxProgram((), 0, 73, 149, (70, 1), 0, (9, 70), "scalar"),
    # maximum, subtraction, sum and quotient 1 cycle a word each (counts), around the exponentials
    # of SSR_EXP; a row costs what one of layernorm_ssr_frep does (assumed)
    "softmax_ssr_frep": SoftmaxProgram(
        _STREAMS, 3, 44 + SSR_EXP_ONCE, 122, (SSR_EXP, 1), 4, (0, 1), "ssr_frep"
    ),
    # published cycles per output, taken as those of one core: 2.125 (VEXP, arXiv 2504.11227); the
    # prologue is assumed
    "softmax_exp_instruction": SoftmaxProgram(
        (*_STREAMS, "exp_instruction"), 3, 44, 0, (17, 8), 0, (0, 1), "instruction"
    ),
}


@dataclass(frozen=True, slots=True)
class RowProgram:
    """Several passes over each row: a normalisation."""

    needs: tuple[str, ...]
    streams: int
    prologue: int
    packed: bool
    step: int
    """Cycles per word or element, over all passes."""
    row: int
    """Instructions per row: reductions, fences, reciprocal square root in software."""


LAYERNORMS: dict[str, RowProgram] = {
    # mean 1, variance 4, scaling 1 cycle a word. Source: rows layernorm_ssr_frep with one row,
    # 234 + 6 words; that 122 of the 234 recur with every row is assumed
    "layernorm_ssr_frep": RowProgram(_STREAMS, 3, 44, True, 6, 122),
    # source: rows layernorm_scalar_naive, 233 + 26 elements for 8 rows; the split is assumed
    "layernorm_scalar": RowProgram((), 0, 73, False, 26, 122),
}

RMSNORMS: dict[str, RowProgram] = {
    # assumed: square and add 1, scale 1, weight 1 cycle a word; the rest as in layernorm
    "rmsnorm_ssr_frep": RowProgram(_STREAMS, 3, 44, True, 3, 122),
    # assumed: two of the three scalar passes of layernorm, 26 x 2 / 3 rounded up
    "rmsnorm_scalar": RowProgram((), 0, 73, False, 18, 122),
}


def smaller(a: IntLike, b: IntLike | int) -> IntLike:
    """Return the smaller of two integers, or of each pair."""
    if isinstance(a, int) and isinstance(b, int):
        return a if a <= b else b
    least: IntLike = np.minimum(a, b)
    return least


def larger(a: IntLike, b: IntLike | int) -> IntLike:
    """Return the larger of two integers, or of each pair."""
    if isinstance(a, int) and isinstance(b, int):
        return a if a >= b else b
    most: IntLike = np.maximum(a, b)
    return most


def rows_per_core(m: IntLike, cores: int) -> IntLike:
    """Return how many rows of ``m`` the busiest of ``cores`` cores takes."""
    return ceil_div(m, cores)


def columns_per_core(m: IntLike, k: IntLike, cores: int) -> IntLike:
    """Return how many of ``k`` columns a core takes: a part when rows are fewer than cores.

    With m < cores, floor(cores / m) cores share each row; a remainder of cores stays idle.
    """
    return ceil_div(k, larger(cores // m, 1))


def starting_together(m: IntLike, stride: IntLike, cores: int, banks: int) -> IntLike:
    """Return how many cores begin to stream in the same bank.

    With as many rows as cores or more, all cores read the same operand and start together. With
    fewer, floor(cores / m) slices of the columns begin ``stride`` words apart, in
    banks / gcd(banks, stride) different banks at most. ``banks`` is a power of two, so that the
    gcd is the lowest set bit of the stride.
    """
    slices = larger(cores // m, 1)
    different = smaller(slices, banks // larger(smaller(stride & -stride, banks), 1))
    return smaller(m, cores) * ceil_div(slices, different)


def train_collides(row_words: IntLike, train: IntLike, banks: int) -> IntLike:
    """Return 1 where a train of cores keeps running into itself, else 0.

    Cores that start together end up one behind the other, one access apart. Each visits banks
    k + j row_words (modulo banks) for j = 0..7, then the same for k + 1, and so on. A core *s*
    places behind another one (s < train) meets it if s row_words = 0, or, where the one in front
    has gone on to k + 1, if (8 - s) row_words = 1. Rows of whole turns and one word more (the
    usual padding) meet for s = 7: eight cores collide in one access of eight, four do not.
    Derived; agrees with the rows measured with 4 and 8 cores and with rows of 1, 3 and 5 words
    modulo 32.
    """
    hits, last = 0 * (row_words + train), banks - 1  # & last is modulo banks
    for behind in range(1, UNROLL):
        meets = (behind * row_words & last == 0) | ((UNROLL - behind) * row_words & last == 1)
        hits = hits | (meets & (train > behind))
    return hits
