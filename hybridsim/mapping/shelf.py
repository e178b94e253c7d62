"""Crossbars on a shelf, and what lies where on them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hybridsim.arch import TileArray
from hybridsim.mapping.tiling import Block
from hybridsim.records import record


@record(frozen=True, slots=True)
class Layer:
    """What the rules look at: the shape, who reads the same input, who is the same elsewhere."""

    index: int
    matrix: int
    """Copies of one matrix have the same number: they work at the same time."""
    rows: int
    columns: int
    siblings: int
    """Layers with the same number read the same inputs; HARP calls them peers."""
    peers: int
    """Layers with the same number are the same layer of different blocks."""


@record(frozen=True, slots=True)
class Held:
    """A block of a layer on a crossbar."""

    layer: Layer
    row: int
    column: int
    rows: int
    columns: int
    first_row: int = 0
    """The row of the layer's matrix that it begins with."""


@dataclass(slots=True)
class Crossbar:
    """What lies where on one crossbar."""

    rows: int
    columns: int
    held: list[Held] = field(default_factory=list)
    free: int = 0

    def has(self, row: int, column: int, rows: int, columns: int) -> bool:
        """Return whether that rectangle is on the crossbar and free."""
        return (
            row + rows <= self.rows
            and column + columns <= self.columns
            and all(
                row >= other.row + other.rows
                or other.row >= row + rows
                or column >= other.column + other.columns
                or other.column >= column + columns
                for other in self.held
            )
        )

    def first_free(self, rows: int, columns: int) -> Iterator[tuple[int, int]]:
        """Yield free rectangles at the edges of what is there, rows outer, columns inner."""
        edges = sorted({0} | {other.column + other.columns for other in self.held})
        for row in sorted({0} | {other.row + other.rows for other in self.held}):
            for column in edges:
                if self.has(row, column, rows, columns):
                    yield row, column

    def holds(self, layers: Sequence[Layer]) -> bool:
        """Return whether a block of one of ``layers`` is there: all of them work at once."""
        matrices = {layer.matrix for layer in layers}
        return any(other.layer.matrix in matrices for other in self.held)


class Shelf:
    """All crossbars, and where the blocks of each layer lie."""

    def __init__(self, tile: TileArray) -> None:
        self.crossbars: list[Crossbar] = []
        self.blocks: dict[int, list[Block]] = {}
        self._tile = tile

    def open(self) -> int:
        """Add an empty crossbar, and return its index."""
        rows, columns = self._tile.rows, self._tile.columns
        self.crossbars.append(Crossbar(rows, columns, free=rows * columns))
        return len(self.crossbars) - 1

    def hold(
        self,
        index: int,
        layers: Sequence[Layer],
        shapes: Sequence[tuple[int, int]],
        place: tuple[int, int],
        first_row: int = 0,
    ) -> None:
        """Lay a block of each of ``layers`` side by side, the first one at ``place``."""
        crossbar, (row, column) = self.crossbars[index], place
        for layer, (rows, columns) in zip(layers, shapes, strict=True):
            crossbar.held.append(Held(layer, row, column, rows, columns, first_row))
            crossbar.free -= rows * columns
            block = Block(index, row, column, rows, columns)
            self.blocks.setdefault(layer.index, []).append(block)
            column += columns
