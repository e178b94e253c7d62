"""What a cluster executes to adapt one batch of tokens: kernels, units and operand orders.

An adapter turns the analog output Y of a layer into Z = Y + (X A) (s B), with s = alpha / rank
folded into B (Hu et al., LoRA, ICLR 2022, Eq. 3). A cluster computes U = X A, then Z = U B + Y.
"""

from bisect import bisect_left
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import Literal

from hybridsim.arch import Cluster
from hybridsim.components.core_kernels import smaller
from hybridsim.components.matrix_engine import MatrixEngine
from hybridsim.errors import UnsupportedError
from hybridsim.units import Spec

Unit = Literal["matrix_engine", "cores", "both"]
Order = Literal["direct", "swapped"]
KernelUnit = Literal["matrix_engine", "cores", "dma"]


class LoraChoice(Spec):
    """How a cluster computes an adapter; the choices are independent of each other."""

    unit: Unit
    """Which part multiplies: the matrix engine, the cores, or both with the rows split."""
    order: Order
    """``direct``: U = X A. ``swapped``: U^T = A^T X^T, so that the rank fills the array's rows."""

    def __str__(self) -> str:
        return f"{self.unit} {self.order}" if self.unit == "matrix_engine" else self.unit


CHOICES = (
    LoraChoice(unit="matrix_engine", order="direct"),
    LoraChoice(unit="matrix_engine", order="swapped"),
    LoraChoice(unit="cores", order="direct"),
    LoraChoice(unit="both", order="direct"),
)
"""Every way to compute an adapter, in the order in which ties are broken."""


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
    """Buffers that the next batch may overwrite once it has ended: ``x``, ``u``."""
    slice: int = 0
    """Which columns of Y and B it reads; a kernel that reads Y makes that slice of Z."""

    @property
    def slice_work(self) -> bool:
        """Whether it works on a slice of the outputs rather than on U."""
        return "b" in self.reads or "y" in self.reads


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
        return self._on_engine(self.tokens)

    @cached_property
    def compute_cycles(self) -> int:
        """Cycles from the first kernel to the last one, with every operand in the TCDM."""
        ends: list[int] = []
        for kernel in self.kernels:
            ends.append(max((ends[i] for i in kernel.after), default=0) + kernel.cycles)
        return max(ends)

    def tcdm_bytes(self, buffers: int) -> int:
        """Return the scratchpad that the program needs with ``buffers`` batches in flight.

        A and B once; X, U and a slice of Y per buffer. On the matrix engine U and Y take full
        rows of the array, as the engine writes them.
        """
        rows = self.tokens
        if self.choice.unit != "cores" and self.choice.order == "direct":
            rows = self._engine.buffer_rows(self.tokens)
        return self.element_bytes * (
            self.rank * (self.in_features + self.out_features)
            + buffers * (self.tokens * self.in_features + rows * (self.rank + self.slices[0]))
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

    def _core_gemm(self, m: int, n: int, k: int, aligned: bool) -> int:
        """Cycles of one product on the cores, in the fastest kernel for rows without padding.

        X arrives by DMA as contiguous rows. A product that follows another one finds the cores
        spread over the banks (not ``aligned``), as the measured programs do.
        """
        kernels = self.cluster.cores.gemm_kernels(m, n, k, self.cluster.precision, aligned=aligned)
        return reduce(smaller, [c for name, c in kernels.items() if name != "gemm_ssr_frep"])

    def _on_engine(self, tokens: int) -> tuple[Kernel, ...]:
        """U into a zeroed buffer, then Z = U B + Y in place: the engine adds by itself."""
        if self.choice.order == "swapped":
            return self._on_engine_swapped(tokens)
        rows = self._engine.buffer_rows(tokens)
        zero = self.cluster.dma.transfer_cycles(rows * self.rank * self.element_bytes)
        return (
            Kernel("zero u", "dma", zero),
            Kernel(
                "xa",
                "matrix_engine",
                self._gemm(tokens, self.in_features, self.rank),
                after=(0,),
                reads=("x", "a"),
                frees=("x",),
            ),
            *self._slices_on_engine(tokens, after=1),
        )

    def _slices_on_engine(self, tokens: int, after: int) -> tuple[Kernel, ...]:
        """Z = U B + Y, slice by slice."""
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

    def _on_engine_swapped(self, tokens: int) -> tuple[Kernel, ...]:
        """U^T = A^T X^T, then Z = U B + Y.

        X arrives token by token and U^T leaves rank by rank, so the cores transpose both.
        """
        cores, precision = self.cluster.cores, self.cluster.precision
        rows = self._engine.buffer_rows(self.rank)
        zero = self.cluster.dma.transfer_cycles(rows * tokens * self.element_bytes)
        turn_x = cores.transpose_cycles(tokens * self.in_features, precision)
        turn_u = cores.transpose_cycles(tokens * self.rank, precision)
        return (
            Kernel("zero u", "dma", zero),
            Kernel("transpose x", "cores", turn_x, reads=("x",)),
            Kernel(
                "xa",
                "matrix_engine",
                self._gemm(self.rank, self.in_features, tokens),
                after=(0, 1),
                reads=("a",),
                frees=("x",),
            ),
            Kernel("transpose u", "cores", turn_u, after=(2,)),
            *self._slices_on_engine(tokens, after=3),
        )

    def _on_cores(self, tokens: int) -> tuple[Kernel, ...]:
        """U = X A, then slice by slice V = U B and the vector addition Y + V."""
        cores, precision = self.cluster.cores, self.cluster.precision
        cycles = self._core_gemm(tokens, self.in_features, self.rank, aligned=True)
        kernels = [Kernel("xa", "cores", cycles, reads=("x", "a"), frees=("x",))]
        for index, columns in enumerate(self.slices):
            product = self._core_gemm(tokens, self.rank, columns, aligned=False)
            addition = cores.vector_add_cycles(tokens * columns, precision)
            frees = ("u",) if index == len(self.slices) - 1 else ()
            before = len(kernels)
            kernels += [
                Kernel("ub", "cores", product, (0,), ("b",), slice=index),
                Kernel("add y", "cores", addition, (before,), ("y",), frees, slice=index),
            ]
        return tuple(kernels)

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

        The engine's time grows with its share and the cores' time falls, so the best share is
        where they cross, or where the engine's rows around that are full, or all or nothing.
        """
        crossing = bisect_left(
            range(self.tokens + 1),
            True,
            key=lambda n: _total(self._engine_part(n)) >= _total(self._core_part(n)),
        )
        width = self._engine.array_width
        full = crossing // width * width
        tried = {0, crossing - 1, crossing, full, full + width, self.tokens}
        return min(
            sorted(n for n in tried if 0 <= n <= self.tokens),
            key=lambda n: max(_total(self._engine_part(n)), _total(self._core_part(n))),
        )

    def _engine_part(self, share: int) -> tuple[Kernel, ...]:
        return self._on_engine(share) if share else ()

    def _core_part(self, share: int) -> tuple[Kernel, ...]:
        return self._on_cores(self.tokens - share) if share < self.tokens else ()


def _total(kernels: tuple[Kernel, ...]) -> int:
    return sum(kernel.cycles for kernel in kernels)


def _idle(kernels: tuple[Kernel, ...]) -> tuple[Kernel, ...]:
    return tuple(replace(kernel, cycles=0) for kernel in kernels)
