"""What a cluster executes to adapt one batch of tokens: kernels, units and operand orders.

An adapter turns the analog output Y of a layer into Z = Y + (X A) (s B), with s = alpha / rank
folded into B (Hu et al., LoRA, ICLR 2022, Eq. 3). A cluster computes U = X A, then Z = U B + Y.
"""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np

from hybridsim.arch import Cluster
from hybridsim.components.core_kernels import smaller
from hybridsim.components.matrix_engine import MatrixEngine
from hybridsim.errors import UnsupportedError
from hybridsim.units import IntLike, Ints, Spec

Unit = Literal["matrix_engine", "cores", "both", "balanced"]
Order = Literal["direct", "swapped"]
Add = Literal["fused", "separate"]
KernelUnit = Literal["matrix_engine", "cores", "dma"]


class LoraChoice(Spec):
    """How a cluster computes an adapter; the choices are independent of each other."""

    unit: Unit
    """Which part multiplies: the matrix engine, the cores, both with the rows split, or both with
    the rows of each product split on their own (``balanced``)."""
    order: Order
    """``direct``: U = X A. ``swapped``: U^T = A^T X^T, so that the rank fills the array's rows."""
    add: Add = "fused"
    """``fused``: the product is added onto Y where Y lies. ``separate``: V = U B goes into a
    buffer of its own, so it needs no Y, and the cores add Y to it."""

    def __str__(self) -> str:
        name = f"{self.unit} {self.order}" if self.unit == "matrix_engine" else self.unit
        return name if self.add == "fused" else f"{name}, separate add"


CHOICES = (
    LoraChoice(unit="matrix_engine", order="direct"),
    LoraChoice(unit="matrix_engine", order="swapped"),
    LoraChoice(unit="cores", order="direct"),
    LoraChoice(unit="both", order="direct"),
)
"""The ways to compute an adapter, in the order in which ties are broken."""
BALANCED = LoraChoice(unit="balanced", order="direct")
"""Both units, each product split on its own: U = X A may run where U B does not."""
MOST_SHARES = 256
"""How many shares of a product are tried; larger batches are split in steps of several rows."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel of a program: what runs, on which unit, for how long, after which others."""

    action: str
    unit: KernelUnit
    cycles: int
    after: tuple[int, ...] = ()
    """Earlier kernels of the program that must have ended."""
    reads: tuple[str, ...] = ()
    """Operands it needs from outside the program: ``x``, ``y``, ``a``, ``b``."""
    frees: tuple[str, ...] = ()
    """Buffers that the next batch may overwrite once it has ended: ``x``, ``u``, ``v``."""
    slice: int = 0
    """Which columns of Y and B it reads; a kernel that reads Y makes that slice of Z."""
    fills: tuple[str, ...] = ()
    """Buffers of a slice that it is the first to write: ``v``."""

    @property
    def slice_work(self) -> bool:
        """Whether it works on a slice of the outputs rather than on U."""
        return "b" in self.reads or "y" in self.reads or "v" in self.fills


@dataclass(frozen=True, slots=True)
class LoraShape:
    """A program apart from the cluster that it runs on: the fields of :class:`LoraProgram`."""

    in_features: int
    out_features: int
    rank: int
    tokens: int
    choice: LoraChoice
    slice_columns: int | None
    slice_inputs: int | None

    def on(self, cluster: Cluster) -> "LoraProgram":
        """Return the program on a cluster, one and the same for equal ones."""
        return known_program(
            LoraProgram(
                cluster, self.in_features, self.out_features, self.rank, self.tokens,
                self.choice, self.slice_columns, self.slice_inputs,
            )
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class KernelWork:
    """One kernel of a program as a work of its unit."""

    shape: LoraShape
    index: int

    def time_ps(self, cluster: Cluster) -> int:
        """Return the time of the kernel [ps]; without work it takes 1 ps, the least there is."""
        return max(1, cluster.to_ps(self.shape.on(cluster).kernels[self.index].cycles))


@lru_cache(maxsize=4096)
def known_program(program: "LoraProgram") -> "LoraProgram":
    """Return one and the same program for equal ones, so that its kernels are computed once."""
    return program


@dataclass(frozen=True)
class LoraProgram:
    """The kernels that adapt one batch of tokens on one cluster, and the memory they need."""

    cluster: Cluster
    in_features: int
    out_features: int
    rank: int
    tokens: int
    choice: LoraChoice
    slice_columns: int | None = None
    """Columns of Y that are adapted at a time, slice by slice; None takes all of them at once."""
    slice_inputs: int | None = None
    """Columns of X that are multiplied at a time; their products add up in U. A and B then pass
    through the scratchpad slice by slice, for every batch. None holds A and B whole."""

    @property
    def shape(self) -> LoraShape:
        """The program apart from its cluster."""
        return LoraShape(
            self.in_features, self.out_features, self.rank, self.tokens, self.choice,
            self.slice_columns, self.slice_inputs,
        )  # fmt: skip

    @cached_property
    def input_slices(self) -> tuple[int, ...]:
        """The columns of X in each slice; the last one may have fewer than the others."""
        width = self.slice_inputs or self.in_features
        full, rest = divmod(self.in_features, width)
        return (width,) * full + (rest,) * (rest > 0)

    @cached_property
    def slices(self) -> tuple[int, ...]:
        """The columns of each slice; the last one may have fewer than the others."""
        width = self.slice_columns or self.out_features
        full, rest = divmod(self.out_features, width)
        return (width,) * full + (rest,) * (rest > 0)

    @property
    def element_bytes(self) -> int:
        """Bytes of one number in the cluster's format."""
        return self.cluster.element_bytes

    @cached_property
    def kernels(self) -> tuple[Kernel, ...]:
        """The kernels in the order in which the cluster issues them.

        Raises:
            UnsupportedError: The cluster lacks the unit, or the unit cannot do the shape.
        """
        if self.choice.unit == "cores":
            return self._on_cores(self.tokens)
        if self.choice.unit == "both":
            return self._on_both()
        if self.choice.unit == "balanced":
            return self._balanced()
        return self._on_engine(self.tokens)

    @cached_property
    def engine_rows(self) -> tuple[int, int]:
        """Rows of U = X A and of U B that the matrix engine computes; the cores do the others."""
        if self.choice.unit == "cores":
            return 0, 0
        if self.choice.unit == "both":
            share = self._balanced_share()
            return share, share
        if self.choice.unit == "balanced":
            return self._balanced_shares()
        return self.tokens, self.tokens

    @cached_property
    def compute_cycles(self) -> int:
        """Cycles from the first kernel to the last one, with every operand in the TCDM."""
        ends: list[int] = []
        for kernel in self.kernels:
            ends.append(max((ends[i] for i in kernel.after), default=0) + kernel.cycles)
        return max(ends)

    def tcdm_bytes(self, buffers: int) -> int:
        """Return the scratchpad that the program needs with ``buffers`` batches in flight.

        A and B once, or the larger of their slices; X or a slice of it, U and a slice of Y per
        buffer, and a slice of V if it is added separately. On the matrix engine U, V and Y take
        full rows of the array, as the engine writes them.
        """
        rows = self.tokens
        if self.choice.unit != "cores" and self.choice.order == "direct":
            rows = self._engine.buffer_rows(self.tokens)
        copies = 1 if self.choice.add == "fused" else 2
        inputs, held = self.in_features, self.in_features + self.out_features
        if self.slice_inputs is not None:
            inputs = self.input_slices[0]
            held = max(inputs, self.slices[0])
        return self.element_bytes * (
            self.rank * held
            + buffers * (self.tokens * inputs + rows * (self.rank + copies * self.slices[0]))
        )

    @property
    def _engine(self) -> MatrixEngine:
        engine = self.cluster.matrix_engine
        if engine is None:
            raise UnsupportedError("the cluster has no matrix engine; choose unit=cores")
        if self.cluster.precision != "fp16":
            raise UnsupportedError(
                f"the matrix engine computes in fp16, not {self.cluster.precision}; "
                "choose unit=cores or cluster.precision=fp16"
            )
        return engine

    def _gemm(self, m: int, n: int, k: int) -> int:
        """Cycles of one product on the engine, with the cores' work of programming it."""
        return self.cluster.offload.program_engine_cycles() + self._engine.gemm_cycles(m, n, k)

    def _core_gemm(self, m: IntLike, n: int, k: int, aligned: bool) -> IntLike:
        """Cycles of one product on the cores, in the fastest kernel for rows without padding.

        X arrives by DMA as contiguous rows. A product that follows another one finds the cores
        spread over the banks (not ``aligned``), as the measured programs do.
        """
        sizes = (m, 0 * m + n, 0 * m + k)
        kernels = self.cluster.cores.gemm_kernels(*sizes, self.cluster.precision, aligned=aligned)
        plain = [cycles for name, cycles in kernels.items() if name != "gemm_ssr_frep"]
        least = plain[0]
        for cycles in plain[1:]:
            least = smaller(least, cycles)
        return least

    def _on_engine(self, tokens: int) -> tuple[Kernel, ...]:
        """U into a zeroed buffer, then Z = U B + Y in place: the engine adds by itself."""
        if self.choice.order == "swapped":
            return self._on_engine_swapped(tokens)
        rows = self._engine.buffer_rows(tokens)
        zero = self.cluster.dma.transfer_cycles(rows * self.rank * self.element_bytes)
        kernels = [Kernel("zero u", "dma", zero)]
        for inputs in self.input_slices:
            last = len(kernels) == len(self.input_slices)
            kernels.append(
                Kernel(
                    "xa",
                    "matrix_engine",
                    self._gemm(tokens, inputs, self.rank),
                    after=(len(kernels) - 1,),
                    reads=("x", "a"),
                    frees=("x",) if last else (),
                )
            )
        return (*kernels, *self._slices_on_engine(tokens, after=len(kernels) - 1))

    def _slices_on_engine(self, tokens: int, after: int) -> tuple[Kernel, ...]:
        """Z = U B + Y, slice by slice."""
        if self.choice.add == "separate":
            return self._slices_added_by_cores(tokens, after)
        return tuple(
            Kernel(
                "ub+y",
                "matrix_engine",
                self._gemm(tokens, self.rank, columns),
                after=(after,),
                reads=("y", "b"),
                frees=("u",) if index == len(self.slices) - 1 else (),
                slice=index,
            )
            for index, columns in enumerate(self.slices)
        )

    def _slices_added_by_cores(self, tokens: int, after: int) -> tuple[Kernel, ...]:
        """V = U B into a zeroed buffer on the engine, then Z = V + Y on the cores, by slices."""
        rows, precision = self._engine.buffer_rows(tokens), self.cluster.precision
        kernels: list[Kernel] = []
        for index, columns in enumerate(self.slices):
            zero = self.cluster.dma.transfer_cycles(rows * columns * self.element_bytes)
            product = self._gemm(tokens, self.rank, columns)
            addition = self.cluster.cores.vector_add_cycles(tokens * columns, precision)
            frees = ("u",) if index == len(self.slices) - 1 else ()
            first = after + 1 + len(kernels)
            kernels += [
                Kernel("zero v", "dma", zero, slice=index, fills=("v",)),
                Kernel("ub", "matrix_engine", product, (after, first), ("b",), frees, slice=index),
                Kernel("add y", "cores", addition, (first + 1,), ("y",), ("v",), slice=index),
            ]
        return tuple(kernels)

    def _on_engine_swapped(self, tokens: int) -> tuple[Kernel, ...]:
        """U^T = A^T X^T, then Z = U B + Y.

        X arrives token by token and U^T leaves rank by rank, so the cores transpose both.
        """
        cores, precision = self.cluster.cores, self.cluster.precision
        rows = self._engine.buffer_rows(self.rank)
        zero = self.cluster.dma.transfer_cycles(rows * tokens * self.element_bytes)
        turn_u = cores.transpose_cycles(tokens * self.rank, precision)
        kernels = [Kernel("zero u", "dma", zero)]
        for index, inputs in enumerate(self.input_slices):
            last, at = index == len(self.input_slices) - 1, len(kernels)
            turn_x = cores.transpose_cycles(tokens * inputs, precision)
            product = self._gemm(self.rank, inputs, tokens)
            frees: tuple[str, ...] = ("x",) if last else ()
            # a slice is turned when the engine has read the one before, whose place it takes
            before: tuple[int, ...] = (at - 1,) if index else ()
            kernels += [
                Kernel("transpose x", "cores", turn_x, before, ("x",)),
                Kernel("xa", "matrix_engine", product, (at - 1, at), ("a",), frees),
            ]
        kernels.append(Kernel("transpose u", "cores", turn_u, after=(len(kernels) - 1,)))
        return (*kernels, *self._slices_on_engine(tokens, after=len(kernels) - 1))

    def _on_cores(self, tokens: int) -> tuple[Kernel, ...]:
        """U = X A, then slice by slice V = U B and the vector addition Y + V.

        The kernels write their product, so each further slice of inputs is added to U.
        """
        cores, precision = self.cluster.cores, self.cluster.precision
        sum_u = cores.vector_add_cycles(tokens * self.rank, precision)
        kernels: list[Kernel] = []
        for index, inputs in enumerate(self.input_slices):
            cycles = self._core_gemm(tokens, inputs, self.rank, aligned=True)
            cycles += sum_u if index else 0
            last = index == len(self.input_slices) - 1
            after = (index - 1,) if index else ()
            done = ("x",) if last else ()
            kernels.append(Kernel("xa", "cores", cycles, after, ("x", "a"), done))
        made = len(kernels) - 1
        for index, columns in enumerate(self.slices):
            product = self._core_gemm(tokens, self.rank, columns, aligned=False)
            addition = cores.vector_add_cycles(tokens * columns, precision)
            frees: tuple[str, ...] = ("u",) if index == len(self.slices) - 1 else ()
            fills: tuple[str, ...] = ()
            if self.choice.add == "separate":
                frees, fills = (*frees, "v"), ("v",)
            before = len(kernels)
            kernels += [
                Kernel("ub", "cores", product, (made,), ("b",), slice=index, fills=fills),
                Kernel("add y", "cores", addition, (before,), ("y",), frees, slice=index),
            ]
        return tuple(kernels)

    def _balanced(self) -> tuple[Kernel, ...]:
        """Each product takes its first rows to the engine, the others to the cores.

        The two shares are those that make the busier unit least busy. A product waits for both
        parts of the one before, as its rows may come from either.
        """
        if self.choice.add == "separate":
            raise UnsupportedError("unit=balanced adds on the engine; choose add=fused")
        if self.slice_inputs is not None:
            raise UnsupportedError("unit=balanced takes all inputs at once; choose unit=both")
        first, second = self._balanced_shares()
        xa, ub = self._on_engine(max(1, first)), self._on_engine(max(1, second))
        rest_xa, rest_ub = (self._on_cores(max(1, self.tokens - n)) for n in (first, second))
        kernels = [*_if(first > 0, xa[:2]), *_if(first < self.tokens, rest_xa[:1])]
        for index in range(len(self.slices)):
            product, addition = rest_ub[1 + 2 * index : 3 + 2 * index]
            third = len(kernels)
            kernels += [
                *_if(second > 0, (replace(ub[2 + index], after=(1, 2)),)),
                *_if(
                    second < self.tokens,
                    (replace(product, after=(1, 2)), replace(addition, after=(third + 1,))),
                ),
            ]
        return tuple(kernels)

    def _balanced_shares(self) -> tuple[int, int]:
        """Rows of U = X A and of U B for the engine such that the busier unit is least busy.

        Of several such splits the one with the least work in all, then the fewest rows on the
        engine.
        """
        rows = _shares(self.tokens)
        engine, cores = self._engine_rows(rows), self._core_rows(self.tokens - rows)
        busy_engine = engine[0][:, None] + engine[1][None, :]
        busy_cores = cores[0][:, None] + cores[1][None, :]
        slowest = np.maximum(busy_engine, busy_cores)
        total = np.where(
            slowest == slowest.min(), busy_engine + busy_cores, np.iinfo(np.int64).max
        )
        first, second = np.unravel_index(int(total.argmin()), total.shape)
        return int(rows[first]), int(rows[second])

    def _engine_rows(self, rows: Ints) -> tuple[Ints, Ints]:
        """Cycles of the engine for that many rows of each product; none for no rows."""
        some, there = np.maximum(rows, 1), (rows > 0).astype(np.int64)
        offload = self.cluster.offload.program_engine_cycles()
        one = np.ones_like(some)
        first = np.zeros_like(rows)
        for inputs in self.input_slices:
            first += offload + self._engine.gemm_cycles(some, one * inputs, one * self.rank)
        second = np.zeros_like(rows)
        for columns in self.slices:
            second += offload + self._engine.gemm_cycles(some, one * self.rank, one * columns)
        return first * there, second * there

    def _core_rows(self, rows: Ints) -> tuple[Ints, Ints]:
        """Cycles of the cores for that many rows of each product; none for no rows."""
        some, there = np.maximum(rows, 1), (rows > 0).astype(np.int64)
        cores, precision = self.cluster.cores, self.cluster.precision
        first = (len(self.input_slices) - 1) * cores.vector_add_cycles(some * self.rank, precision)
        for inputs in self.input_slices:
            first = first + self._core_gemm(some, inputs, self.rank, aligned=True)
        second = np.zeros_like(rows)
        for columns in self.slices:
            second += self._core_gemm(some, self.rank, columns, aligned=False)
            second += cores.vector_add_cycles(some * columns, precision)
        return first * there, second * there

    def _on_both(self) -> tuple[Kernel, ...]:
        """The engine takes the first rows, the cores the others, so that both end together.

        A part that is left without rows keeps its kernels, with 0 cycles.
        """
        share = self._balanced_share()
        rest = self.tokens - share
        on_engine = self._on_engine(share) if share else _idle(self._on_engine(1))
        on_cores = self._on_cores(rest) if rest else _idle(self._on_cores(1))
        shift = len(on_engine)
        return on_engine + tuple(
            replace(kernel, after=tuple(i + shift for i in kernel.after)) for kernel in on_cores
        )

    def _balanced_share(self) -> int:
        """Tokens for the engine such that the slower of the two units ends first.

        Every share is tried: the engine's time is a staircase of full rows, and not monotone.
        """
        rows = np.arange(self.tokens + 1)
        on_engine, on_cores = self._engine_rows(rows), self._core_rows(self.tokens - rows)
        zero = self.cluster.dma.transfer_cycles(
            self._engine.buffer_rows(np.maximum(rows, 1)) * self.rank * self.element_bytes
        )
        engine = on_engine[0] + on_engine[1] + zero * (rows > 0)
        cores = on_cores[0] + on_cores[1]
        return int(np.argmin(np.maximum(engine, cores)))


def _shares(tokens: int) -> Ints:
    """Return the numbers of rows that are tried as the engine's share of a product."""
    step = -(-tokens // MOST_SHARES)
    return np.unique(np.append(np.arange(0, tokens + 1, step), tokens)).astype(np.int64)


def _if(there: bool, kernels: tuple[Kernel, ...]) -> tuple[Kernel, ...]:
    """Return kernels as they are, or with 0 cycles where a unit is left without rows."""
    return kernels if there else _idle(kernels)


def _idle(kernels: tuple[Kernel, ...]) -> tuple[Kernel, ...]:
    return tuple(replace(kernel, cycles=0) for kernel in kernels)
