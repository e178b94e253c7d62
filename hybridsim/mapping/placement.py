"""Which weights lie on which tile, and which tiles, clusters and memory lie on which chip."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from hybridsim.arch import Machine
from hybridsim.errors import CapacityError
from hybridsim.mapping.objectives import OBJECTIVES, place_for_objective
from hybridsim.mapping.tiling import Block, cut, place_all
from hybridsim.units import ceil_div
from hybridsim.workload import Adapter, Linear, Network


@dataclass(frozen=True, slots=True)
class PlacedLayer:
    """A static linear layer with the place of its weights and of its adapter."""

    op: Linear
    adapter: Adapter | None
    blocks: tuple[Block, ...]
    tiles: tuple[int, ...]
    """The tiles that hold the layer; all of them work on each token."""
    cluster: int | None
    """The cluster that computes the adapter."""
    chip: int = 0
    """The chip that holds all of it."""

    @property
    def name(self) -> str:
        """The name of the layer in the network."""
        return self.op.name


@dataclass(frozen=True)
class Mapping:
    """A network placed on a machine."""

    network: Network
    machine: Machine
    layers: tuple[PlacedLayer, ...]
    """The static linear layers, in the order of the network."""
    crossbars: int
    """Crossbars that hold weights."""

    @cached_property
    def tiles(self) -> int:
        """Tiles that hold weights."""
        return len({tile for layer in self.layers for tile in layer.tiles})

    @cached_property
    def occupancy(self) -> float:
        """Share of the devices of the used crossbars that hold weights, 0 to 1."""
        devices = self.crossbars * self.machine.tile.rows * self.machine.tile.columns
        return self.network.weights / devices if devices else 0.0

    def without_adapters(self) -> "Mapping":
        """Return the same placement of the same network without any adapter."""
        layers = tuple(replace(layer, adapter=None, cluster=None) for layer in self.layers)
        return replace(self, network=self.network.without_adapters(), layers=layers)

    def layer_occupancy(self, layer: PlacedLayer) -> float:
        """Return the share of the devices of a layer's crossbars that hold its weights, 0 to 1."""
        tile = self.machine.tile
        used = sum(block.devices for block in layer.blocks)
        return used / (len(layer.blocks) * tile.rows * tile.columns)


def place(network: Network, machine: Machine) -> Mapping:
    """Place every static linear layer on tiles, and every adapter on a cluster.

    Crossbar *c* of *n* tiles is on tile c mod n, tier c div n: tiers fill up one after the
    other, so that layers share a tile only when there are more crossbars than tiles. Adapters
    go to the clusters in turn. Several chips are filled one after the other, in the order of the
    network; a layer is on one chip as a whole, with its adapter.

    Raises:
        CapacityError: The machine has too few crossbars, or no cluster for the adapters.
    """
    layers = network.static_linear_layers
    chips = [0] * len(layers)
    if machine.chip_count > 1 and machine.tile.count != "as_needed":
        blocks, crossbars, chips = place_on_chips(network, machine)
    elif machine.tile.sharing in OBJECTIVES:
        blocks, crossbars = place_for_objective(network, machine.tile)
    else:
        shapes = [(op.in_features, op.out_features) for op in layers]
        blocks, crossbars = place_all(machine.tile, shapes)
    tiles = _tiles(network, machine, crossbars)
    placed = []
    adapted = [0] * machine.chip_count
    for op, own, chip in zip(layers, blocks, chips, strict=True):
        adapter = network.adapter(op)
        cluster = None
        if adapter is not None:
            cluster = _cluster(network, machine, adapted[chip], chip)
            adapted[chip] += 1
        on_tiles = tuple(dict.fromkeys(block.crossbar % tiles for block in own))
        placed.append(PlacedLayer(op, adapter, own, on_tiles, cluster, chip))
    return Mapping(network, machine, tuple(placed), crossbars)


def _tiles(network: Network, machine: Machine, crossbars: int) -> int:
    """Return the number of tiles to spread over, after checking that the network fits."""
    tile = machine.tile
    if tile.count == "as_needed":
        return max(1, -(-crossbars // tile.tiers))
    if machine.chip_count > 1:
        return machine.chip_count * tile.count
    available = tile.count * tile.tiers
    if crossbars > available:
        raise CapacityError(
            f"{network.name} needs {crossbars} crossbars of {tile.rows} x {tile.columns}; "
            f"{machine.name} has {available} ({tile.count} tiles x {tile.tiers} tiers), "
            f"{crossbars - available} are missing; raise tile.count to "
            f"{-(-crossbars // tile.tiers)} or set tile.count=as_needed"
        )
    return tile.count


def _cluster(network: Network, machine: Machine, index: int, chip: int) -> int:
    if machine.cluster is None:
        raise CapacityError(
            f"{machine.name} has no cluster, and {network.name} has adapters; add a cluster "
            "to the machine, or run without adapters (--no-adapters)"
        )
    return chip * machine.cluster.count + index % machine.cluster.count


def place_on_chips(
    network: Network, machine: Machine
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
    layers = network.static_linear_layers
    chips = _chips(network, machine, layers, tile.count * tile.tiers)
    everywhere = machine.chip_count * tile.count
    placed: list[tuple[Block, ...]] = []
    used = [0] * machine.chip_count
    for op, chip in zip(layers, chips, strict=True):
        blocks = []
        for rows, columns in cut(tile, op.in_features, op.out_features):
            tier, place = divmod(used[chip], tile.count)
            crossbar = tier * everywhere + chip * tile.count + place
            blocks.append(Block(crossbar, 0, 0, rows, columns))
            used[chip] += 1
        placed.append(tuple(blocks))
    return placed, sum(used), chips


def _chips(network: Network, machine: Machine, layers: Sequence[Linear], room: int) -> list[int]:
    """Return the chip of each layer, where every chip has ``room`` crossbars."""
    tile, found = machine.tile, []
    chip = used = 0
    for op in layers:
        need = tile.crossbars_for(op.in_features, op.out_features)
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
        total = sum(tile.crossbars_for(op.in_features, op.out_features) for op in layers)
        raise CapacityError(
            f"{network.name} needs {total} crossbars of {tile.rows} x {tile.columns}, which is "
            f"{chip + 1} chips of {room} with every layer on one chip; {machine.name} has "
            f"{machine.chip_count}; raise chips.count to {chip + 1}, or tile.count"
        )
    return found
