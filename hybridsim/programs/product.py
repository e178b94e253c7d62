"""A static linear layer on a cluster: Y = X W as a whole, with W from outside of the cluster."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from hybridsim.arch import Cluster
from hybridsim.errors import CapacityError
from hybridsim.programs.columns import ONE_THZ, on_each
from hybridsim.records import record
from hybridsim.units import ceil_div, format_bytes
from hybridsim.work import Work

_LEAST_COLUMNS = 8
"""Columns of W below which fewer rows or inputs are taken at a time instead."""


class Blocks(NamedTuple):
    """How a product is cut so that blocks of X, W and Y lie in the scratchpad side by side."""

    rows: int
    inputs: int
    columns: int

    @property
    def elements(self) -> int:
        """Elements of a block of each."""
        rows, inputs, columns = self
        return rows * inputs + inputs * columns + rows * columns


class Product(NamedTuple):
    """Equal products of blocks."""

    blocks: Blocks
    times: int
    again: bool
    """Whether they may be added to earlier ones."""


@record(frozen=True, slots=True)
class ProductWork:
    """What one cluster does of a layer: so many columns of Y for the tokens of a batch.

    A block of X and one of W are fetched and multiplied, one after the other; what a block of
    inputs gives is added to what those before gave, and stored once all are in. W comes anew for
    every block of rows, X for every block of columns unless it lies there whole.
    """

    rows: int
    inputs: int
    columns: int
    on_engine: bool

    def blocks(self, cluster: Cluster) -> Blocks:
        """Return the blocks: all rows and inputs, and as many columns as fit; halved if need be.

        Raises:
            CapacityError: Not even one row of few inputs fits.
        """
        size, room = cluster.element_bytes, cluster.tcdm.size
        least = min(self.columns, _LEAST_COLUMNS)
        for rows in _halved(self.rows):
            for inputs in _halved(self.inputs):
                columns = (room // size - rows * inputs) // (rows + inputs)
                if columns >= least:
                    return Blocks(rows, inputs, min(columns, self.columns))
        raise CapacityError(
            f"a product of {self.inputs} x {self.columns} does not fit {format_bytes(room)} of "
            "TCDM; raise cluster.tcdm.size"
        )

    def products(self, cluster: Cluster) -> Iterator[Product]:
        """Yield the products of blocks, equal ones together."""
        blocks = self.blocks(cluster)
        again = blocks.inputs < self.inputs
        for rows, a in _cut(self.rows, blocks.rows):
            for columns, b in _cut(self.columns, blocks.columns):
                for inputs, c in _cut(self.inputs, blocks.inputs):
                    yield Product(Blocks(rows, inputs, columns), a * b * c, again)

    def passes(self, cluster: Cluster) -> int:
        """Return how often W is fetched."""
        return ceil_div(self.rows, self.blocks(cluster).rows)

    def tcdm_bytes(self, cluster: Cluster) -> int:
        """Return the scratchpad that it takes [bytes]."""
        return self.blocks(cluster).elements * cluster.element_bytes

    def kernel(self, blocks: Blocks, again: bool) -> Work:
        """Return the product of a block; ``again`` adds it to an earlier one."""
        shape = (*blocks,)
        if self.on_engine:
            return Work("matrix_engine", "gemm", "product", shape)
        return Work("cores", "gemm", "product", (*shape, False, again))

    def moved_bytes(self, cluster: Cluster) -> int:
        """Return what the DMA moves of X, W and Y [bytes]."""
        return sum(size for sizes in self.transfers(cluster) for size, _ in sizes)

    def transfers(self, cluster: Cluster) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return the transfers into the cluster and those out of it, as (all bytes, how many)."""
        blocks, element = self.blocks(cluster), cluster.element_bytes
        column_blocks = ceil_div(self.columns, blocks.columns)
        again = 1 if blocks.inputs == self.inputs else column_blocks
        into, out = [], []
        for rows, a in _cut(self.rows, blocks.rows):
            for inputs, c in _cut(self.inputs, blocks.inputs):
                into.append((element * rows * inputs * a * c * again, a * c * again))
                for columns, b in _cut(self.columns, blocks.columns):
                    into.append((element * inputs * columns * a * b * c, a * b * c))
            for columns, b in _cut(self.columns, blocks.columns):
                out.append((element * rows * columns * a * b, a * b))
        return into, out

    def time_ps(self, cluster: Cluster) -> Any:
        """Return how long a cluster takes [ps]; fields of it may be columns."""
        return cluster.to_ps(on_each(cluster.at(ONE_THZ), lambda own: _cycles(self, own)))

    def transfer_cycles(self, cluster: Cluster) -> int:
        """Return the cycles of all transfers."""
        into, out = self.transfers(cluster)
        dma = cluster.dma
        loads = sum(n * int(dma.transfer_cycles(size // n)) for size, n in into)
        stores = (n * int(dma.transfer_cycles(size // n, source="tcdm")) for size, n in out)
        return loads + sum(stores)

    def product_cycles(self, cluster: Cluster) -> int:
        """Return the cycles of all products."""
        return sum(
            times * int(cluster.cycles(self.kernel(blocks, again)))
            for blocks, times, again in self.products(cluster)
        )


@lru_cache(maxsize=4096)
def _cycles(work: ProductWork, cluster: Cluster) -> int:
    return work.transfer_cycles(cluster) + work.product_cycles(cluster)


def _halved(most: int) -> Iterator[int]:
    """Yield a number, and halves of it, rounded up, down to 1."""
    while most > 1:
        yield most
        most = ceil_div(most, 2)
    yield 1


def _cut(whole: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the full blocks of a length and what is left, with how many there are."""
    full, left = divmod(whole, size)
    if full:
        yield size, full
    if left:
        yield left, 1
