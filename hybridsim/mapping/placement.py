"""Which weights on which tile, which adapter on which cluster."""

from dataclasses import dataclass, replace
from functools import cached_property

from hybridsim.arch import Machine
from hybridsim.errors import CapacityError
from hybridsim.mapping.chips import place_on_chips
from hybridsim.mapping.objectives import RULES, place_for_objective
from hybridsim.mapping.tiling import Block, place_all
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
    elif machine.tile.sharing in RULES:
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
