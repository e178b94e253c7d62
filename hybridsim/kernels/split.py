"""How one product Z = X W + Y is cut over the cores of a cluster, or over a matrix engine's tiles.

Both cut Z into blocks and give each block the whole reduction, so a split changes which unit
computes an element, never how. The geometry is that of the timing model.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridsim.errors import SpecError
from hybridsim.units import ceil_div

Array = NDArray[Any]
Gemm = Callable[[Array, Array, Array], Array]
"""A product with addition: (X, W, Y) to X W + Y; shapes (M, N), (N, K), (M, K) to (M, K)."""


class Order(StrEnum):
    """In which order, and with how many roundings, a unit sums the N products of one element."""

    SEQUENTIAL = "sequential"
    """z = fma(x[n], w[n], z) for n = 0..N-1, from z = y. The matrix engine; on the cores the
    scalar kernel with fused instructions and the one that broadcasts x over several columns."""
    SEPARATE = "separate"
    """As sequential, but the product is rounded before it is added: fmul then fadd."""
    SIMD = "simd"
    """One partial sum per lane of a 64-bit register, lane l taking n = l modulo the lanes (2 in
    fp32, 4 in fp16), then a reduction of the lanes: vfmac and vfsum."""
    EXPANDING = "expanding"
    """fp16 operands, two fp32 partial sums; each step adds two products at once with a single
    rounding: vfdotpex.s.h and vfsum.s, and one rounding to fp16 at the end."""


class Block(NamedTuple):
    """The rows and columns of the result that one core, or one tile of the engine, computes."""

    rows: slice
    columns: slice


@dataclass(frozen=True, slots=True)
class CoreSplit:
    """A product over the cores of a cluster.

    Rows go round the cores, so that each takes ceil(rows / cores) of them or one less, with all
    columns. With fewer rows than cores, cores // rows cores share each row by columns and the
    others idle. Source: the work split of the measured Snitch cluster kernels (for 3, 5, 6 and 7
    rows on 8 cores, which were not measured, rounding down is assumed).
    """

    cores: int = 8
    """Cores that compute. Source: the Snitch cluster has 8 besides the DMA core."""
    xa: Order = Order.SEQUENTIAL
    """How the first product, U = X A, is summed."""
    ub: Order = Order.SEQUENTIAL
    """How the second product, U B, is summed."""
    from_y: bool = False
    """True: the second product starts from Y. False: it starts from zero, is rounded, and Y is
    added afterwards, as a vector addition of its own (which is what the timing model charges)."""

    def __post_init__(self) -> None:
        _at_least(1, "CoreSplit.cores", self.cores)

    @property
    def unsplit(self) -> "CoreSplit":
        """The same orders of summation on a single core."""
        return replace(self, cores=1)

    def pad(self, x: Array, w: Array, y: Array) -> tuple[Array, Array, Array]:
        """Return the operands as they are: cores compute no more than is asked for."""
        return x, w, y

    def blocks(self, rows: int, columns: int) -> Iterator[Block]:
        """Yield the block of each core that has work, for a result of ``rows`` x ``columns``."""
        width = ceil_div(columns, max(1, self.cores // rows))
        for core in range(min(rows, self.cores)):
            for column in _ranges(columns, width):
                yield Block(slice(core, rows, self.cores), column)


@dataclass(frozen=True, slots=True)
class EngineSplit:
    """A product over the output tiles of a matrix engine (RedMulE).

    A tile has ``width`` rows and height * (pipe_regs + 1) columns. The engine computes full tiles
    and reductions of a multiple of ``height``, at least twice it; operands are padded with zeros.
    Source: RedMulE RTL 51cd064, bit-exact against sequential fused multiply-adds from Y on; the
    least reduction is that of redmule pull request 62.
    """

    height: int
    """H: processing elements in the direction of the reduction."""
    width: int
    """L: rows of the array, that is of the result, computed side by side."""
    pipe_regs: int
    """P: pipeline registers of an element; P + 1 columns are in flight in each."""
    taken: Callable[[int, int, int], tuple[int, int, int]] | None = None
    """The sizes that the engine is really given for M, N and K, past the jobs that it cannot do;
    None adds no more than whole steps."""

    def __post_init__(self) -> None:
        _at_least(1, "EngineSplit.height", self.height)
        _at_least(1, "EngineSplit.width", self.width)
        _at_least(0, "EngineSplit.pipe_regs", self.pipe_regs)

    @property
    def xa(self) -> Order:
        """The engine fuses and sums in order."""
        return Order.SEQUENTIAL

    @property
    def ub(self) -> Order:
        """The engine fuses and sums in order."""
        return Order.SEQUENTIAL

    @property
    def from_y(self) -> bool:
        """The engine accumulates onto Y in place."""
        return True

    @property
    def unsplit(self) -> CoreSplit:
        """The same order of summation as one plain loop, without padding."""
        return CoreSplit(cores=1, from_y=True)

    @property
    def tile_columns(self) -> int:
        """D: columns of an output tile."""
        return self.height * (self.pipe_regs + 1)

    def pad(self, x: Array, w: Array, y: Array) -> tuple[Array, Array, Array]:
        """Return the operands with zeros up to whole tiles and whole reduction steps."""
        m, n, k = y.shape[0], x.shape[1], y.shape[1]
        m, n, k = self.taken(m, n, k) if self.taken else (m, n, k)
        reduction = max(2, ceil_div(n, self.height)) * self.height
        rows = ceil_div(m, self.width) * self.width
        columns = ceil_div(k, self.tile_columns) * self.tile_columns
        return (
            _padded(x, rows, reduction),
            _padded(w, reduction, columns),
            _padded(y, rows, columns),
        )

    def blocks(self, rows: int, columns: int) -> Iterator[Block]:
        """Yield the output tiles of a result of ``rows`` x ``columns``."""
        for row in _ranges(rows, self.width):
            for column in _ranges(columns, self.tile_columns):
                yield Block(row, column)


Split = CoreSplit | EngineSplit


def multiply(gemm: Gemm, x: Array, w: Array, y: Array, split: Split) -> Array:
    """Return X W + Y, computed block by block.

    Shapes: ``x`` (M, N), ``w`` (N, K), ``y`` (M, K) -> (M, K), in the type of ``y``.
    """
    x, w, padded_y = split.pad(x, w, y)
    z = np.empty_like(padded_y)
    for rows, columns in split.blocks(*z.shape):
        parts = (x[rows], w[:, columns], padded_y[rows, columns])
        z[rows, columns] = gemm(*map(np.ascontiguousarray, parts))
    return z[: y.shape[0], : y.shape[1]]


def _ranges(size: int, step: int) -> Iterator[slice]:
    """Yield ``size`` cut into pieces of ``step``; the last one may be smaller."""
    return (slice(start, min(start + step, size)) for start in range(0, size, step))


def _padded(matrix: Array, rows: int, columns: int) -> Array:
    padded = np.zeros((rows, columns), matrix.dtype)
    padded[: matrix.shape[0], : matrix.shape[1]] = matrix
    return padded


def _at_least(least: int, place: str, value: int) -> None:
    if value < least:
        raise SpecError("", place, f"found {value}; write {least} or more")
