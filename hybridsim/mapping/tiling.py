"""Cutting weight matrices over crossbars, and finding a place for every block."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hybridsim.arch import TileArray
from hybridsim.records import record


@record(frozen=True, slots=True)
class Block:
    """A part of one layer's weight matrix that fits one crossbar, and where it lies."""

    crossbar: int
    """Index of the crossbar, counted over all tiles of tier 0, then of tier 1, ..."""
    first_row: int
    first_column: int
    rows: int
    columns: int

    @property
    def devices(self) -> int:
        """Weights that the block holds."""
        return self.rows * self.columns


@dataclass(slots=True)
class _Crossbar:
    """Free rectangles (row, column, rows, columns) of one crossbar."""

    free: list[tuple[int, int, int, int]] = field(default_factory=list)

    def place(self, rows: int, columns: int) -> tuple[int, int] | None:
        """Take the first free rectangle that holds the block, or return None.

        What is left of the rectangle is cut in two across its shorter remainder
        (guillotine cut), which keeps the larger piece whole.
        """
        for index, (row, column, height, width) in enumerate(self.free):
            if height < rows or width < columns:
                continue
            del self.free[index]
            below, beside = height - rows, width - columns
            if below * width >= beside * height:
                rest = [(row, column + columns, rows, beside), (row + rows, column, below, width)]
            else:
                rest = [
                    (row + rows, column, below, columns),
                    (row, column + columns, height, beside),
                ]
            self.free += [piece for piece in rest if piece[2] and piece[3]]
            return row, column
        return None


def cut(tile: TileArray, in_features: int, out_features: int) -> Iterator[tuple[int, int]]:
    """Yield (rows, columns) of each block of a matrix, row block by row block."""
    for first_row in range(0, in_features, tile.rows):
        for first_column in range(0, out_features, tile.columns):
            yield (
                min(tile.rows, in_features - first_row),
                min(tile.columns, out_features - first_column),
            )


def place_all(
    tile: TileArray, matrices: Sequence[tuple[int, int]], copies: Sequence[int] = ()
) -> tuple[list[tuple[Block, ...]], int]:
    """Return the blocks of each (in, out) matrix, and how many crossbars they take.

    Those of its ``copies`` follow each other; each matrix is there once if none are given.

    Exclusive sharing gives each block a crossbar of its own; packed sharing puts each block
    into the first crossbar with room for it. The number of crossbars on the machine is not
    looked at: the caller compares.
    """
    crossbars: list[_Crossbar] = []
    placed = []
    often = copies or [1] * len(matrices)
    for (in_features, out_features), times in zip(matrices, often, strict=True):
        blocks: list[Block] = []
        for rows, columns in [*cut(tile, in_features, out_features)] * times:
            first_open = 0 if tile.sharing == "packed" else len(crossbars)
            taken = {block.crossbar for block in blocks}
            blocks.append(_first_fit(tile, crossbars, first_open, taken, rows, columns))
        placed.append(tuple(blocks))
    return placed, len(crossbars)


def _first_fit(
    tile: TileArray,
    crossbars: list[_Crossbar],
    first_open: int,
    taken: set[int],
    rows: int,
    columns: int,
) -> Block:
    """Place a block in the first open crossbar that no other block of its layer has taken.

    Two blocks of one layer never share a crossbar: they work at the same time.
    """
    for index in range(first_open, len(crossbars)):
        if index not in taken and (found := crossbars[index].place(rows, columns)):
            return Block(index, *found, rows, columns)
    crossbars.append(_Crossbar([(0, 0, tile.rows, tile.columns)]))
    crossbars[-1].place(rows, columns)
    return Block(len(crossbars) - 1, 0, 0, rows, columns)
