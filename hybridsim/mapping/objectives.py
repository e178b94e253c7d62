"""Crossbars shared by layers under an objective: least latency, least area, or between both.

Source of the rules: HARP (IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975). MobileBERT takes the
published 84, 78 and 79 crossbars of 512 x 512. The rule for ``balance`` is HARP's own; those for
``latency`` and ``area`` were found from the counts, and place MobileBERT on the same tiles as
HARP's do.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from hybridsim.arch import TileArray
from hybridsim.mapping.balance import Balanced
from hybridsim.mapping.shelf import Crossbar, Layer, Shelf
from hybridsim.mapping.tiling import Block, cut
from hybridsim.units import ceil_div
from hybridsim.workload import Linear, Network, Op

COLUMN_STEP = 128
"""Siblings beside each other begin at multiples of so many columns. Source: HARP."""


Rule = Callable[[Crossbar, Layer, int, int], tuple[int, int] | None]
"""Where a block of a layer goes on a crossbar that is in use, or None if not there."""


def _for_latency(
    crossbar: Crossbar, layer: Layer, rows: int, columns: int
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


def _for_area(crossbar: Crossbar, layer: Layer, rows: int, columns: int) -> tuple[int, int] | None:
    """Wherever there is room."""
    return next(crossbar.first_free(rows, columns), None)


RULES: dict[str, Rule] = {"latency": _for_latency, "area": _for_area}
"""Rules by the value of ``tile.sharing``."""
OBJECTIVES = (*RULES, "balance")
"""Values of ``tile.sharing`` that are objectives."""


def place_for_objective(
    network: Network,
    tile: TileArray,
    copies: Mapping[str, int],
    only: Sequence[Linear] | None = None,
) -> tuple[list[tuple[Block, ...]], int]:
    """Return the blocks of each layer with weights of its own, and how many crossbars they take.

    ``only`` some of them, where it is given. ``copies`` says how often a layer is there that is
    there more than once.

    Layers are placed level by level of the graph; blocks of one layer never share a crossbar, as
    they work at the same time.
    """
    own = network.matrices if only is None else only
    layers = _layers(network, own, copies)
    shelf = _balanced(layers, tile) if tile.sharing == "balance" else _ruled(layers, tile)
    found, at = [], 0
    for op in own:
        each = range(at, at + op.matrices[0] * copies.get(op.name, 1))
        found.append(tuple(block for matrix in each for block in shelf.blocks[matrix]))
        at = each.stop
    return found, len(shelf.crossbars)


def _balanced(layers: Sequence[Layer], tile: TileArray) -> Shelf:
    balanced = Balanced(tile)
    for siblings in _together(layers):
        balanced.place(siblings)
    return balanced.shelf


def _ruled(layers: Sequence[Layer], tile: TileArray) -> Shelf:
    """Place each block on the first crossbar that the rule allows.

    For latency, layers that read the same input and fit side by side are placed as one.
    """
    shelf, rule = Shelf(tile), RULES[tile.sharing]
    groups = {layer.index: group for group in _together(layers) for layer in group}
    placed: set[int] = set()
    for layer in layers:
        if layer.index in placed:
            continue
        together = groups[layer.index]
        side_by_side = sum(other.columns for other in together) <= tile.columns
        if tile.sharing == "latency" and layer.rows <= tile.rows and side_by_side:
            _put(shelf, rule, together, [(layer.rows, other.columns) for other in together])
            placed |= {other.index for other in together}
        else:
            for shape in cut(tile, layer.rows, layer.columns):
                _put(shelf, rule, [layer], [shape])
            placed.add(layer.index)
    return shelf


def _put(
    shelf: Shelf, rule: Rule, layers: Sequence[Layer], shapes: Sequence[tuple[int, int]]
) -> None:
    """Place one block of each of ``layers`` side by side on the first crossbar allowed."""
    rows, width = shapes[0][0], sum(columns for _, columns in shapes)
    for index, crossbar in enumerate(shelf.crossbars):
        if crossbar.free < rows * width or crossbar.holds(layers):
            continue
        place = rule(crossbar, layers[0], rows, width)
        if place is not None:
            shelf.hold(index, layers, shapes, place)
            return
    shelf.hold(shelf.open(), layers, shapes, (0, 0))


def _together(layers: Sequence[Layer]) -> Iterator[list[Layer]]:
    """Yield the layers that read the same inputs, in the order of the first of them."""
    groups: dict[int, list[Layer]] = {}
    for layer in layers:
        groups.setdefault(layer.siblings, []).append(layer)
    yield from groups.values()


def _layers(network: Network, own: Sequence[Linear], copies: Mapping[str, int]) -> list[Layer]:
    """Return the matrices by level: the longest way from an input of the network."""
    level: dict[str, int] = {}
    for op in network.ops:
        level[op.name] = 1 + max((level[name] for name in op.inputs), default=-1)
    siblings: dict[object, int] = {}
    peers: dict[object, int] = {}
    matrices: dict[object, int] = {}
    layers = []
    each = (
        (op, matrix, copy)
        for op in own
        for matrix in range(op.matrices[0])
        for copy in range(copies.get(op.name, 1))
    )
    for index, (op, matrix, copy) in enumerate(each):
        # matrices of one layer are no siblings: groups and experts read vectors of their own,
        # and copies read other tokens
        reads = (op.block, op.inputs or op.name, matrix, copy)
        layers.append(
            (
                level[op.name],
                Layer(
                    index,
                    matrices.setdefault((op.name, matrix), len(matrices)),
                    *op.matrices[1:],
                    siblings.setdefault(reads, len(siblings)),
                    peers.setdefault((name_in_block(op), copy), len(peers)),
                ),
            )
        )
    return [layer for _, layer in sorted(layers, key=lambda pair: pair[0])]


def name_in_block(op: Op) -> str:
    """Return the name of an op without its block: the same for the same layer of all blocks."""
    return op.name.removeprefix(f"block{op.block}.") if op.block is not None else op.name
