"""Adapters as tasks that take a cluster as a whole: X A, then U B + Y, or both in one.

Such a task brings in its operands by DMA, computes and stores, one after the other. It may bring
A and B as well, whole or, where they do not fit, slice by slice for every batch.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Literal

from hybridsim.arch import Cluster
from hybridsim.programs.columns import ONE_THZ, on_each
from hybridsim.programs.lora import LoraProgram, last_end
from hybridsim.records import record
from hybridsim.units import ceil_div

Half = Literal["both", "first", "second"]
"""X A and U B + Y; X A alone, with U stored; or U B + Y alone, with U loaded."""


@record(frozen=True, slots=True)
class AdapterWork:
    """What one cluster does to adapt some tokens, batch after batch."""

    program: LoraProgram
    """The program of a full batch."""
    half: Half
    rows: int
    """Tokens that are adapted."""
    weights: bool
    """Whether A and B are brought in: once, or for every batch where they go in slices."""
    banks: bool = False
    """Whether every batch is for another expert, with an A and a B of its own."""

    def time_ps(self, cluster: Cluster) -> Any:
        """Return how long a cluster takes [ps]; fields of it may be columns."""
        # cycles do not depend on the clock, so that clusters that differ in it alone share them
        return cluster.to_ps(on_each(cluster.at(ONE_THZ), self._cycles))

    def _cycles(self, cluster: Cluster) -> int:
        first, second, through = _cycles(
            self.program, cluster, self.rows, self.weights, self.banks
        )
        if self.half == "both":
            return first + second
        return (first if self.half == "first" else second) + through


@lru_cache(maxsize=4096)
def _cycles(
    program: LoraProgram, cluster: Cluster, rows: int, weights: bool, banks: bool
) -> tuple[int, int, int]:
    """Return the cycles of X A, of U B + Y, and of taking U out or in, for ``rows`` tokens.

    Operands and results of both by DMA; A and B once per task, in slices once per batch.
    """
    first = second = through = 0
    if weights:
        again = banks or program.slice_inputs is not None
        passes = ceil_div(rows, program.tokens) if again else 1
        first, second = (passes * cycles for cycles in weight_cycles(program, cluster))
    for batch in _batches(rows, program.tokens):
        own = batch_cycles(program.of_tokens(batch).on(cluster), cluster)
        first, second, through = first + own[0], second + own[1], through + own[2]
    return first, second, through


def batch_cycles(program: LoraProgram, cluster: Cluster) -> tuple[Any, Any, Any]:
    """Return the cycles of X A, of U B + Y, and of taking U out or in, for a program's tokens.

    A and B are there. The program holds one number of tokens, or several as columns.
    """
    dma, size, batch = cluster.dma, cluster.element_bytes, program.tokens
    ends = program.ends(program.cycles(cluster))
    own = zip(ends, program.kernels, strict=True)
    product = last_end([end for end, kernel in own if not kernel.slice_work])
    second = last_end(ends) - product
    for columns in program.slices:
        y = batch * columns * size
        second += dma.transfer_cycles(y) + dma.transfer_cycles(y, source="tcdm")
    through = dma.transfer_cycles(batch * program.rank * size)
    return _input_cycles(program, cluster) + product, second, through


def weight_cycles(program: LoraProgram, cluster: Cluster) -> tuple[int, int]:
    """Return the cycles of bringing A and B in once, whole or slice by slice."""
    dma, size = cluster.dma, cluster.element_bytes * program.rank
    if program.slice_inputs is None:
        return (
            dma.transfer_cycles(program.in_features * size),
            dma.transfer_cycles(program.out_features * size),
        )
    return (
        sum(dma.transfer_cycles(inputs * size) for inputs in program.input_slices),
        sum(dma.transfer_cycles(columns * size) for columns in program.slices),
    )


def _input_cycles(program: LoraProgram, cluster: Cluster) -> int:
    """Return the cycles of bringing X in, whole or slice by slice, row by row."""
    dma, size = cluster.dma, cluster.element_bytes * program.tokens
    if program.slice_inputs is None:
        return dma.transfer_cycles(program.in_features * size)
    rows = program.tokens
    return sum(dma.transfer_cycles(inputs * size, rows) for inputs in program.input_slices)


def _batches(rows: int, batch: int) -> Iterable[int]:
    return (min(batch, rows - at) for at in range(0, rows, batch))
