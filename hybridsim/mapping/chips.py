"""Layers on several chips in a row: each whole on one of them."""

from collections.abc import Mapping, Sequence

from hybridsim.arch import Machine
from hybridsim.errors import CapacityError
from hybridsim.mapping.copies import crossbars_for
from hybridsim.mapping.tiling import Block, cut
from hybridsim.units import ceil_div
from hybridsim.workload import Network


def place_on_chips(
    network: Network, machine: Machine, copies: Mapping[str, int]
) -> tuple[list[tuple[Block, ...]], int, list[int]]:
    """Return the blocks of each layer, how many crossbars they take, and the chip of each layer.

    A chip takes layers, each whole and on crossbars of its own, until the next one does not fit.
    Crossbar *c* of a chip with *n* tiles is on its tile c mod n, tier c div n; counted over all
    chips it is tier x all tiles + chip x n + tile, so that the tiles of all chips follow each
    other.

    Raises:
        CapacityError: A layer is larger than a chip, or there are too few chips.
    """
    tile = machine.tile
    assert tile.count != "as_needed"
    layers = network.matrices
    needs = [copies.get(op.name, 1) * crossbars_for(tile, op) for op in layers]
    chips = _chips(network, machine, needs, tile.count * tile.tiers)
    everywhere = machine.chip_count * tile.count
    placed: list[tuple[Block, ...]] = []
    used = [0] * machine.chip_count
    for op, chip in zip(layers, chips, strict=True):
        blocks = []
        count, inputs, outputs = op.matrices
        times = count * copies.get(op.name, 1)
        for rows, columns in (shape for _ in range(times) for shape in cut(tile, inputs, outputs)):
            tier, place = divmod(used[chip], tile.count)
            crossbar = tier * everywhere + chip * tile.count + place
            blocks.append(Block(crossbar, 0, 0, rows, columns))
            used[chip] += 1
        placed.append(tuple(blocks))
    return placed, sum(used), chips


def _chips(network: Network, machine: Machine, needs: Sequence[int], room: int) -> list[int]:
    """Return the chip of each layer, where every chip has ``room`` crossbars."""
    tile, found = machine.tile, []
    chip = used = 0
    for op, need in zip(network.matrices, needs, strict=True):
        if need > room:
            raise CapacityError(
                f"{op.name}: needs {need} crossbars of {tile.rows} x {tile.columns}; a chip of "
                f"{machine.name} has {room} ({tile.count} tiles x {tile.tiers} tiers), and a "
                f"layer is on one chip; raise tile.count to {ceil_div(need, tile.tiers)}"
            )
        if used + need > room:
            chip, used = chip + 1, 0
        used += need
        found.append(chip)
    if chip >= machine.chip_count:
        total = sum(needs)
        raise CapacityError(
            f"{network.name} needs {total} crossbars of {tile.rows} x {tile.columns}, which is "
            f"{chip + 1} chips of {room} with every layer on one chip; {machine.name} has "
            f"{machine.chip_count}; raise chips.count to {chip + 1}, or tile.count"
        )
    return found
