"""Crossbars shared by layers under an objective: least latency, least area, or between both.

Source of the rules: HARP (IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975), as far as its published
counts identify them: MobileBERT takes 84, 78 and 79 crossbars of 512 x 512. Its placement for
``balance`` is not identified beyond the count.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from hybridsim.arch import TileArray
from hybridsim.mapping.tiling import Block, cut
from hybridsim.units import ceil_div
from hybridsim.workload import Network, Op

COLUMN_STEP = 128
"""Siblings beside each other begin at multiples of so many columns. Source: HARP."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """What the rules look at: the shape, who reads the same input, who is the same elsewhere."""

    index: int
    rows: int
    columns: int
    siblings: int
    """Layers with the same number read the same inputs."""
    peers: int
    """Layers with the same number are the same layer of different blocks."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A block on a crossbar."""

    layer: _Layer
    row: int
    column: int
    rows: int
    columns: int


@dataclass(slots=True)
class _Crossbar:
    """What lies where on one crossbar."""

    rows: int
    columns: int
    held: list[_Held] = field(default_factory=list)
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


Rule = Callable[[_Crossbar, _Layer, int, int], tuple[int, int] | None]
"""Where a block of a layer goes on a crossbar that is in use, or None if not there."""


def _for_latency(
    crossbar: _Crossbar, layer: _Layer, rows: int, columns: int
) -> tuple[int, int] | None:
    """Beside a sibling, with which it works at the same time; else only with its peers."""
    siblings = [other for other in crossbar.held if other.layer.siblings == layer.siblings]
    if siblings:
        edge = max(other.column + other.columns for other in siblings)
        row, column = siblings[0].row, ceil_div(edge, COLUMN_STEP) * COLUMN_STEP
        return (row, column) if crossbar.has(row, column, rows, columns) else None
    if any(other.layer.peers == layer.peers for other in crossbar.held):
        return next(crossbar.first_free(rows, columns), None)
    return None


def _for_area(
    crossbar: _Crossbar, layer: _Layer, rows: int, columns: int
) -> tuple[int, int] | None:
    """Wherever there is room."""
    return next(crossbar.first_free(rows, columns), None)


def _for_balance(
    crossbar: _Crossbar, layer: _Layer, rows: int, columns: int
) -> tuple[int, int] | None:
    """Wherever there is room, but not on columns that a peer uses."""
    peers = [other for other in crossbar.held if other.layer.peers == layer.peers]
    for row, column in crossbar.first_free(rows, columns):
        if not any(
            column < peer.column + peer.columns and peer.column < column + columns
            for peer in peers
        ):
            return row, column
    return None


RULES: dict[str, Rule] = {
    "latency": _for_latency,
    "area": _for_area,
    "balance": _for_balance,
}
"""Rules by the value of ``tile.sharing``."""


def place_for_objective(network: Network, tile: TileArray) -> tuple[list[tuple[Block, ...]], int]:
    """Return the blocks of each static linear layer, and how many crossbars they take.

    Layers are placed level by level of the graph. Each block goes to the first crossbar that the
    rule allows; blocks of one layer never share a crossbar, as they work at the same time. For
    latency, layers that read the same input and fit side by side are placed as one.
    """
    shelf = _Shelf(tile, RULES[tile.sharing])
    layers = _layers(network)
    groups: dict[int, list[_Layer]] = {}
    for layer in layers:
        groups.setdefault(layer.siblings, []).append(layer)
    placed: set[int] = set()
    for layer in layers:
        if layer.index in placed:
            continue
        together = groups[layer.siblings]
        side_by_side = sum(other.columns for other in together) <= tile.columns
        if tile.sharing == "latency" and layer.rows <= tile.rows and side_by_side:
            shelf.put(together, layer.rows, [other.columns for other in together])
            placed |= {other.index for other in together}
        else:
            for rows, columns in cut(tile, layer.rows, layer.columns):
                shelf.put([layer], rows, [columns])
            placed.add(layer.index)
    return [tuple(shelf.blocks[layer]) for layer in range(len(layers))], len(shelf.crossbars)


class _Shelf:
    """All crossbars, and where the blocks of each layer lie."""

    def __init__(self, tile: TileArray, rule: Rule) -> None:
        self.crossbars: list[_Crossbar] = []
        self.blocks: dict[int, list[Block]] = {}
        self._tile, self._rule = tile, rule

    def put(self, layers: Sequence[_Layer], rows: int, columns: Sequence[int]) -> None:
        """Place one block of each of ``layers`` side by side on the first crossbar allowed."""
        width = sum(columns)
        names = {layer.index for layer in layers}
        for index, crossbar in enumerate(self.crossbars):
            if crossbar.free < rows * width:
                continue
            if any(other.layer.index in names for other in crossbar.held):
                continue
            place = self._rule(crossbar, layers[0], rows, width)
            if place is not None:
                self._hold(index, layers, rows, columns, *place)
                return
        rows_there, columns_there = self._tile.rows, self._tile.columns
        self.crossbars.append(
            _Crossbar(rows_there, columns_there, free=rows_there * columns_there)
        )
        self._hold(len(self.crossbars) - 1, layers, rows, columns, 0, 0)

    def _hold(
        self,
        index: int,
        layers: Sequence[_Layer],
        rows: int,
        columns: Sequence[int],
        row: int,
        column: int,
    ) -> None:
        crossbar = self.crossbars[index]
        for layer, width in zip(layers, columns, strict=True):
            crossbar.held.append(_Held(layer, row, column, rows, width))
            crossbar.free -= rows * width
            block = Block(index, row, column, rows, width)
            self.blocks.setdefault(layer.index, []).append(block)
            column += width


def _layers(network: Network) -> list[_Layer]:
    """Return the static linear layers by level: the longest way from an input of the network."""
    level: dict[str, int] = {}
    for op in network.ops:
        level[op.name] = 1 + max((level[name] for name in op.inputs), default=-1)
    siblings: dict[object, int] = {}
    peers: dict[str, int] = {}
    layers = []
    for index, op in enumerate(network.static_linear_layers):
        reads = (op.block, op.inputs or op.name)
        layers.append(
            (
                level[op.name],
                _Layer(
                    index,
                    op.in_features,
                    op.out_features,
                    siblings.setdefault(reads, len(siblings)),
                    peers.setdefault(name_in_block(op), len(peers)),
                ),
            )
        )
    return [layer for _, layer in sorted(layers, key=lambda pair: pair[0])]


def name_in_block(op: Op) -> str:
    """Return the name of an op without its block: the same for the same layer of all blocks."""
    return op.name.removeprefix(f"block{op.block}.") if op.block is not None else op.name
