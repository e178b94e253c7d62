"""Crossbars shared for a balance of latency and area.

Source: the rule of HARP (IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975) as its files at c19a799
have it. For MobileBERT it takes the published 79 crossbars, and they give the published latency.
What HARP's rule leaves open is marked below: layers that are cut, and siblings that are too wide.
"""

from collections.abc import Iterator, Sequence

from hybridsim.arch import TileArray
from hybridsim.mapping.shelf import Crossbar, Held, Layer, Shelf
from hybridsim.mapping.tiling import cut
from hybridsim.units import ceil_div

STEP = 16
"""Blocks are moved over a crossbar in steps of so many rows or columns. Source: HARP."""


class Balanced:
    """A shelf on which layers are placed one after the other.

    1. Siblings go together, side by side, to the crossbar of the same layers of the latest block
       before, where there is one: at the columns of those, in the first rows that are free; else
       at their rows, in the first columns that are free. A layer that is cut, or whose siblings
       are together wider than a crossbar, goes by itself, each of its blocks to the crossbar of
       the same block (inferred: were wide siblings kept away from their peers, and ``latency``
       placed by this rule, BERT-base would be 0.5 % slower than published).
    2. What finds no room so goes to the first crossbar in use that has room, layer by layer. A
       layer with siblings goes to those crossbars alone where a sibling lies, begins at the row
       of one, and never shares columns with one: they work at the same time.
    3. All else begins a new crossbar.

    Blocks of one layer never share a crossbar. Siblings that are cut are siblings row block by row
    block, as others do not read the same part of the input (assumed).
    """

    def __init__(self, tile: TileArray) -> None:
        self.shelf = Shelf(tile)
        self._tile = tile
        self._latest: dict[int, int] = {}

    def place(self, siblings: Sequence[Layer]) -> None:
        """Place layers that read the same inputs."""
        tile = self._tile
        whole = all(layer.rows <= tile.rows for layer in siblings)
        together = whole and sum(layer.columns for layer in siblings) <= tile.columns
        shapes = [(layer.rows, layer.columns) for layer in siblings]
        if not (together and self._with_peers(siblings, shapes, 0)):
            for layer in siblings:
                apart = len(siblings) == 1 or not together
                self._by_itself(layer, len(siblings) > 1, apart)
        self._latest |= {layer.peers: layer.index for layer in siblings}

    def _by_itself(self, layer: Layer, has_siblings: bool, apart: bool) -> None:
        """Place one layer, block by block; ``apart`` says whether its peers are asked for room."""
        wide = ceil_div(layer.columns, self._tile.columns)
        for number, shape in enumerate(cut(self._tile, layer.rows, layer.columns)):
            first_row = number // wide * self._tile.rows
            if apart and self._with_peers([layer], [shape], number, first_row):
                continue
            self._anywhere(layer, shape, first_row, has_siblings)

    def _with_peers(
        self,
        layers: Sequence[Layer],
        shapes: Sequence[tuple[int, int]],
        number: int,
        first_row: int = 0,
    ) -> bool:
        """Place a block of each of ``layers`` on the crossbar of the first one's latest peer.

        ``number`` says which block of the layer it is. Returns whether there was room.
        """
        peer = self._latest.get(layers[0].peers)
        there = [] if peer is None else self.shelf.blocks[peer]
        if number >= len(there):
            return False
        block = there[number]
        crossbar = self.shelf.crossbars[block.crossbar]
        rows = max(rows for rows, _ in shapes)
        columns = sum(columns for _, columns in shapes)
        if crossbar.free < rows * columns or crossbar.holds(layers):
            return False
        kept_off = _siblings(crossbar, layers[0])
        down = ((row, block.first_column) for row in _row_steps(crossbar))
        along = ((block.first_row, column) for column in _column_steps(crossbar))
        for place in (*down, *along):
            if crossbar.has(*place, rows, columns) and _beside(place[1], columns, kept_off):
                self.shelf.hold(block.crossbar, layers, shapes, place, first_row)
                return True
        return False

    def _anywhere(
        self, layer: Layer, shape: tuple[int, int], first_row: int, has_siblings: bool
    ) -> None:
        """Place a block of a layer on the first crossbar that has room, or on a new one."""
        rows, columns = shape
        for index, crossbar in enumerate(self.shelf.crossbars):
            if crossbar.free < rows * columns or crossbar.holds([layer]):
                continue
            siblings = _siblings(crossbar, layer)
            same_rows = [other for other in siblings if other.first_row == first_row]
            begins = sorted({other.row for other in same_rows})
            for row in begins if has_siblings else _row_steps(crossbar):
                for column in _column_steps(crossbar):
                    place = (row, column)
                    free = crossbar.has(row, column, rows, columns)
                    if free and _beside(column, columns, siblings):
                        self.shelf.hold(index, [layer], [shape], place, first_row)
                        return
        self.shelf.hold(self.shelf.open(), [layer], [shape], (0, 0), first_row)


def _siblings(crossbar: Crossbar, layer: Layer) -> list[Held]:
    return [other for other in crossbar.held if other.layer.siblings == layer.siblings]


def _beside(column: int, columns: int, others: Sequence[Held]) -> bool:
    """Return whether none of ``others`` shares columns with those."""
    return not any(
        column < other.column + other.columns and other.column < column + columns
        for other in others
    )


def _row_steps(crossbar: Crossbar) -> Iterator[int]:
    """Yield the steps at which a block may be free, and would not be a step before."""
    yield from _steps(other.row + other.rows for other in crossbar.held)


def _column_steps(crossbar: Crossbar) -> Iterator[int]:
    """Yield the same for columns."""
    yield from _steps(other.column + other.columns for other in crossbar.held)


def _steps(edges: Iterator[int]) -> list[int]:
    return sorted({0} | {STEP * ceil_div(edge, STEP) for edge in edges})
