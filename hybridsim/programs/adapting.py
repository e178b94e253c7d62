"""Adapters as tasks that take a cluster as a whole: X A, then U B + Y, or both in one.

Such a task brings in its operands by DMA, computes and stores, one after the other. It may bring
A and B as well, whole or, where they do not fit, slice by slice for every batch.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
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
    loads: tuple[int, ...]
    """Tokens that meet an A and a B of their own: all of a layer, or those of each expert."""
    weights: bool
    """Whether these are brought in: once each, or for every batch where they go in slices."""

    @property
    def rows(self) -> int:
        """Tokens that are adapted."""
        return sum(self.loads)

    @property
    def batches(self) -> Counter[int]:
        """Tokens of a batch -> how many there are of it: none is of two experts."""
        found, most = Counter[int](), self.program.tokens
        for load, times in Counter(self.loads).items():
            found[most] += times * (load // most)
            found[load % most] += times
        return Counter({tokens: count for tokens, count in found.items() if tokens and count})

    @property
    def fetches(self) -> int:
        """How often an A and a B are brought in, where they are."""
        return fetches(self.program, self.loads)

    def time_ps(self, cluster: Cluster) -> Any:
        """Return how long a cluster takes [ps]; fields of it may be columns.

        Nothing takes a picosecond, the least that a task may take.
        """
        if not self.loads:
            return 1
        # cycles do not depend on the clock, so that clusters that differ in it alone share them
        return cluster.to_ps(on_each(cluster.at(ONE_THZ), partial(_cycles, self)))


@lru_cache(maxsize=4096)
def _cycles(work: AdapterWork, cluster: Cluster) -> int:
    """Return the cycles of a work: operands and results by DMA, U as well between halves."""
    program, first, second, through = work.program, 0, 0, 0
    if work.weights:
        first, second = (work.fetches * cycles for cycles in weight_cycles(program, cluster))
    for tokens, count in work.batches.items():
        own = batch_cycles(program.of_tokens(tokens).on(cluster), cluster)
        first, second = first + count * own[0], second + count * own[1]
        through += count * own[2]
    if work.half == "both":
        return first + second
    return (first if work.half == "first" else second) + through


def fetches(program: LoraProgram, loads: Iterable[int]) -> int:
    """Return how often an A and a B come for some tokens of each: once, or where they go in slices
    for every batch."""
    if program.slice_inputs is None:
        return sum(1 for _ in loads)
    return sum(ceil_div(load, program.tokens) for load in loads)


@record(frozen=True, slots=True)
class Shares:
    """The tokens of a batch, shared out to clusters by rows."""

    of: tuple[tuple[int, ...], ...]
    """For each cluster the tokens that it adapts, as :attr:`AdapterWork.loads` has them."""
    largest: tuple[int, ...]
    """For each A and B that tokens meet, the most that meet it on one cluster."""

    @classmethod
    def cut(cls, loads: Sequence[int], clusters: int) -> "Shares":
        """Return the shares of tokens that meet one A and B, or several of them.

        All shares of a single A and B count as the largest one. Those of several experts lie in a
        row, expert by expert, which is cut into parts that are equal to one token: a cluster has
        some experts, and shares the first and the last of these with its neighbours. One that is
        left without tokens does nothing.
        """
        if len(loads) == 1:
            largest = (ceil_div(loads[0], clusters),)
            return cls((largest,) * clusters, largest)
        share, more = divmod(sum(loads), clusters)
        room = [share + (place < more) for place in range(clusters)]
        own, most, at = [list[int]() for _ in room], list[int](), 0
        for load in filter(None, loads):
            parts = list[int]()
            while (left := load - sum(parts)) > 0:
                while not room[at]:
                    at += 1
                parts.append(min(left, room[at]))
                own[at].append(parts[-1])
                room[at] -= parts[-1]
            most.append(max(parts))
        # whose tokens come first makes no difference, and equal works are found to be equal
        return cls(tuple(tuple(sorted(each, reverse=True)) for each in own), tuple(most))


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
