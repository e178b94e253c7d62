"""What a cluster executes to adapt one batch of tokens: kernels, units and operand orders.

An adapter turns the analog output Y of a layer into Z = Y + (X A) (s B), with s = alpha / rank
folded into B (Hu et al., LoRA, ICLR 2022, Eq. 3). A cluster computes U = X A, then Z = U B + Y.

A program is data alone: its kernels are works (:class:`~hybridsim.work.Work`), which a cluster
prices. What depends on a cluster is how the rows are shared where both units multiply; that is
found once (:meth:`LoraProgram.on`) and kept in the program.
"""

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from hybridsim.arch import Cluster
from hybridsim.components.core_kernels import larger
from hybridsim.programs.lora_kernels import Kernel, KernelUnit, turned_first
from hybridsim.programs.lora_shares import Costs, shared_on
from hybridsim.programs.lora_sizes import LoraSizes
from hybridsim.records import record
from hybridsim.work import NOTHING, Work


@record(frozen=True)
class LoraProgram(LoraSizes):
    """The kernels that adapt one batch of tokens on a cluster, and the memory they need."""

    def on(self, cluster: Cluster) -> "LoraProgram":
        """Return the program with its rows shared so that it ends earliest on a cluster.

        Raises:
            UnsupportedError: Both units are to multiply, and the cluster lacks the engine, or the
                engine cannot do the shape.
        """
        return shared_on(self, cluster)

    @property
    def engine_rows(self) -> tuple[int, int]:
        """Rows of U = X A and of U B that the matrix engine computes; the cores do the others."""
        if self.choice.unit == "cores":
            return 0 * self.tokens, 0 * self.tokens
        if self.choice.unit == "matrix_engine":
            return self.tokens, self.tokens
        assert self.shares is not None, "rows are shared on a cluster: program.on(cluster)"
        return self.shares

    @cached_property
    def kernels(self) -> tuple[Kernel, ...]:
        """The kernels in the order in which the cluster issues them.

        A unit that is left without rows keeps its kernels, which then have nothing to do.

        Raises:
            UnsupportedError: There is no such program: ``balanced`` adds on the engine, and takes
                all inputs at once.
        """
        found = self._by_unit(*self.engine_rows)
        if not self.choice.turns_x:
            return found
        sizes = [self.tokens * inputs for inputs in self.input_slices]
        works = [self._work("cores", "transpose", "transpose x", size) for size in sizes]
        return turned_first(found, [Kernel(work, reads=("x",)) for work in works])

    def _by_unit(self, first: int, second: int) -> tuple[Kernel, ...]:
        """Return the kernels for X in the layout that the order of the operands asks for."""
        if self.choice.unit == "cores":
            return self._on_cores(self.tokens, self.tokens)
        if self.choice.unit == "matrix_engine":
            return self._on_engine(first, second)
        if self.choice.unit == "balanced":
            return self._balanced(first, second)
        on_engine = self._on_engine(first, second)
        shift = len(on_engine)
        return on_engine + tuple(
            replace(kernel, after=tuple(i + shift for i in kernel.after))
            for kernel in self._on_cores(self.tokens - first, self.tokens - second)
        )

    def cycles(self, costs: Costs) -> tuple[int, ...]:
        """Return the cycles of each kernel on a cluster.

        Raises:
            UnsupportedError: The cluster lacks the unit, or the unit cannot do the shape.
        """
        return tuple([costs.cycles(kernel.work) for kernel in self.kernels])

    def compute_cycles(self, cluster: Cluster) -> int:
        """Return the cycles from the first kernel to the last, with every operand in the TCDM.

        Raises:
            UnsupportedError: As :meth:`cycles`.
        """
        return last_end(self.ends(self.cycles(cluster)))

    def ends(self, cycles: tuple[int, ...]) -> list[int]:
        """Return when each kernel ends [cycles], if none waits for a unit."""
        ends: list[int] = []
        for kernel, own in zip(self.kernels, cycles, strict=True):
            ends.append(last_end([ends[i] for i in kernel.after]) + own)
        return ends

    def tcdm_bytes(self, cluster: Cluster, buffers: int) -> int:
        """Return the scratchpad that the program needs with ``buffers`` batches in flight [bytes].

        A and B once, or the larger of their slices; X or a slice of it, U and a slice of Y per
        buffer, and a slice of V if it is added separately. On the matrix engine U, V and Y take
        full rows of the array, as the engine writes them.

        Raises:
            UnsupportedError: The cluster has no matrix engine for such rows.
        """
        rows = self.buffer_rows(cluster)
        hidden = rows * self.rank
        if self.choice.order == "swapped" and self.choice.unit != "cores":
            # U^T takes full rows of the array as well, and U takes its place
            hidden = larger(hidden, cluster.engine.buffer_rows(self.rank) * self.tokens)
        copies = 1 if self.choice.add == "fused" else 2
        inputs, held = self.in_features, self.in_features + self.out_features
        if self.slice_inputs is not None:
            inputs = self.input_slices[0]
            held = larger(inputs, self.widest)
        return cluster.element_bytes * (
            self.rank * held
            + buffers * (self.tokens * inputs + hidden + rows * copies * self.widest)
        )

    def buffer_rows(self, cluster: Cluster) -> int:
        """Return the rows that U, V and Y take in the scratchpad.

        Raises:
            UnsupportedError: The cluster has no matrix engine for full rows of its array.
        """
        if self.choice.unit == "cores":
            return self.tokens
        return cluster.engine.buffer_rows(self.tokens)

    def _work(self, part: KernelUnit, kind: str, label: str, *shape: Any) -> Work:
        tokens = NOTHING if isinstance(self.tokens, np.ndarray) else self.tokens
        return Work(part, kind, label, shape, tokens)

    def _on_engine(self, first: int, second: int) -> tuple[Kernel, ...]:
        """U into a zeroed buffer, then Z = U B + Y in place: the engine adds by itself."""
        kernels = self._u_on_engine(first)
        return (*kernels, *self._slices_on_engine(second, after=len(kernels) - 1))

    def _u_on_engine(self, rows: int) -> list[Kernel]:
        """U = X A for so many tokens; swapped, U^T = A^T X^T, which the cores turn."""
        work, last = self._work, len(self.input_slices) - 1
        m, k = (self.rank, rows) if self.choice.order == "swapped" else (rows, self.rank)
        kernels = [Kernel(work("dma", "zero", "zero u", m, k))]
        for index, inputs in enumerate(self.input_slices):
            product = work("matrix_engine", "gemm", "xa", m, inputs, k)
            kernels.append(Kernel(product, (index,), ("x", "a"), ("x",) * (index == last)))
        return self._u_by_tokens(kernels, rows)

    def _u_by_tokens(self, kernels: list[Kernel], rows: int) -> list[Kernel]:
        """Return kernels that make U, with the cores turning U^T where they made that."""
        if self.choice.order == "swapped":
            turn = self._work("cores", "transpose", "transpose u", rows * self.rank)
            kernels.append(Kernel(turn, (len(kernels) - 1,)))
        return kernels

    def _slices_on_engine(self, rows: int, after: int) -> tuple[Kernel, ...]:
        """Z = U B + Y, slice by slice."""
        if self.choice.add == "separate":
            return self._slices_added_by_cores(rows, after)
        last = len(self.slices) - 1
        return tuple(
            Kernel(
                self._work("matrix_engine", "gemm", "ub+y", rows, self.rank, columns),
                after=(after,),
                reads=("y", "b"),
                frees=("u",) * (index == last),
                slice=index,
            )
            for index, columns in enumerate(self.slices)
        )

    def _slices_added_by_cores(self, rows: int, after: int) -> tuple[Kernel, ...]:
        """V = U B into a zeroed buffer on the engine, then Z = V + Y on the cores, by slices."""
        work, last = self._work, len(self.slices) - 1
        kernels: list[Kernel] = []
        for index, columns in enumerate(self.slices):
            zero = work("dma", "zero", "zero v", rows, columns)
            product = work("matrix_engine", "gemm", "ub", rows, self.rank, columns)
            addition = work("cores", "add", "add y", rows * columns)
            frees = ("u",) * (index == last)
            first = after + 1 + len(kernels)
            kernels += [
                Kernel(zero, slice=index, fills=("v",)),
                Kernel(product, (after, first), ("b",), frees, slice=index),
                Kernel(addition, (first + 1,), ("y",), ("v",), slice=index),
            ]
        return tuple(kernels)

    def _on_cores(self, first: int, second: int) -> tuple[Kernel, ...]:
        """U, then slice by slice V = U B and the vector addition Y + V.

        A product that follows another one finds the cores spread over the banks, as the measured
        programs do.
        """
        work, kernels = self._work, self._u_on_cores(first)
        made = len(kernels) - 1
        for index, columns in enumerate(self.slices):
            product = work("cores", "gemm", "ub", second, self.rank, columns, False, False)
            addition = work("cores", "add", "add y", second * columns)
            frees: tuple[str, ...] = ("u",) * (index == len(self.slices) - 1)
            fills: tuple[str, ...] = ()
            if self.choice.add == "separate":
                frees, fills = (*frees, "v"), ("v",)
            before = len(kernels)
            kernels += [
                Kernel(product, (made,), ("b",), slice=index, fills=fills),
                Kernel(addition, (before,), ("y",), frees, slice=index),
            ]
        return tuple(kernels)

    def _u_on_cores(self, rows: int) -> list[Kernel]:
        """U = X A for so many tokens; swapped, U^T = A^T X^T, which the cores turn.

        The kernels write their product, so each further slice of inputs is added to U. X arrives
        by DMA as contiguous rows, which the cores begin together (aligned). Swapped, it is read by
        rows of features, which only some kernels can.
        """
        kernels, swapped = list[Kernel](), self.choice.order == "swapped"
        m, k = (self.rank, rows) if swapped else (rows, self.rank)
        by_rows = ("by rows",) * swapped
        for index, inputs in enumerate(self.input_slices):
            last = index == len(self.input_slices) - 1
            product = self._work("cores", "gemm", "xa", m, inputs, k, True, index > 0, *by_rows)
            after = (index - 1,) if index else ()
            kernels.append(Kernel(product, after, ("x", "a"), ("x",) * last))
        return self._u_by_tokens(kernels, rows)

    def _balanced(self, first: int, second: int) -> tuple[Kernel, ...]:
        """Each product takes its first rows to the engine, the others to the cores.

        A product waits for both parts of the one before, as its rows may come from either.
        """
        self.check_balanced()
        on_engine = self._on_engine(first, second)
        on_cores = self._on_cores(self.tokens - first, self.tokens - second)
        head, other = (self._u_on_engine(first), self._u_on_cores(self.tokens - first))
        made = len(head) - 1, len(head) + len(other) - 1
        shifted = [replace(k, after=tuple(i + len(head) for i in k.after)) for k in other]
        kernels = [*head, *shifted]
        for index in range(len(self.slices)):
            own = len(other) + 2 * index
            product, addition = on_cores[own : own + 2]
            third = len(kernels)
            kernels += [
                replace(on_engine[len(head) + index], after=made),
                replace(product, after=made),
                replace(addition, after=(third + 1,)),
            ]
        return tuple(kernels)


def last_end(ends: list[int]) -> int:
    """Return the latest of some ends, 0 without any."""
    latest = 0
    for end in ends:
        latest = larger(latest, end)
    return latest
