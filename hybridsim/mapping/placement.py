"""Which weights lie on which tile, and which tiles, clusters and memory lie on which chip."""

from collections import Counter
from collections.abc import Mapping as MappingType
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from hybridsim.arch import USUAL_CLUSTER, Machine, TileArray, sorts
from hybridsim.errors import CapacityError, SpecError
from hybridsim.mapping.chips import place_on_chips
from hybridsim.mapping.copies import copies_of, crossbars_for
from hybridsim.mapping.floor import on_floor
from hybridsim.mapping.kinds import (
    check_room,
    kinds_of_adapters,
    kinds_of_layers,
    layers_on_clusters,
)
from hybridsim.mapping.objectives import OBJECTIVES, place_for_objective
from hybridsim.mapping.overflow import digital_layers, way_of
from hybridsim.mapping.partitions import partitions_of, share_note, written_before
from hybridsim.mapping.placed_layer import PlacedLayer
from hybridsim.mapping.tiling import Block, place_all
from hybridsim.records import record
from hybridsim.workload import Linear, Network


@record(frozen=True, slots=True)
class Spread:
    """Tiles of one kind over which crossbars are spread; tiles of all kinds have one numbering."""

    sort: str
    first: int
    """Number of the first of them."""
    tiles: int
    """How many: crossbar c of the kind is on tile ``first`` + c mod ``tiles``."""
    crossbars: int
    """Crossbars of the kind that hold weights."""


@dataclass(frozen=True)
class Mapping:
    """A network placed on a machine."""

    network: Network
    machine: Machine
    layers: tuple[PlacedLayer, ...]
    """All that passes through weights on tiles, in the order of the network: shared weights as
    often as they are used."""
    crossbars: int
    """Crossbars that hold weights."""
    spread: tuple[Spread, ...] = ()
    """The tiles of each kind, where there are several kinds of parts."""
    notes: tuple[str, ...] = ()
    """What a person should know of what was chosen, a line each."""

    @cached_property
    def tiles(self) -> int:
        """Tiles that hold weights."""
        return len({tile for layer in self.layers for tile in layer.tiles})

    @cached_property
    def occupancy(self) -> float:
        """Share of the devices of the used crossbars that hold weights, 0 to 1."""
        if self.spread:
            return self._occupancy_of_kinds()
        tile, crossbars = self.machine.tile, self.crossbars
        own = {layer.op.shared or layer.name: layer for layer in self.layers}
        if self.shares_in_time:
            crossbars = sum(len(layer.blocks) for layer in own.values())
        devices = crossbars * tile.rows * tile.columns
        weights = sum(layer.copies * layer.op.weights for layer in own.values())
        return weights / devices if devices else 0.0

    @property
    def shares_in_time(self) -> bool:
        """Whether layers share tiles in time, so that these are written during a run."""
        return any(layer.written is not None for layer in self.layers)

    def _occupancy_of_kinds(self) -> float:
        tiles = [(own.crossbars, self.machine.tile_of(own.sort)) for own in self.spread]
        devices = sum(count * tile.rows * tile.columns for count, tile in tiles)
        own = {layer.op.shared or layer.name: layer.blocks for layer in self.layers}
        used = sum(block.devices for blocks in own.values() for block in blocks)
        return used / devices if devices else 0.0

    @cached_property
    def used_tiles(self) -> int | dict[str, int]:
        """Tiles that hold weights, of each kind where there are several."""
        if not self.spread:
            return self.tiles
        found: dict[str, set[int]] = {own.sort: set() for own in self.spread}
        for layer in self.layers:
            found[layer.sort].update(layer.tiles)
        return {sort: len(tiles) for sort, tiles in found.items()}

    def without_adapters(self) -> "Mapping":
        """Return the same placement of the same network without any adapter."""
        layers = tuple(replace(layer, adapter=None, cluster=None) for layer in self.layers)
        return replace(self, network=self.network.without_adapters(), layers=layers)

    def layer_occupancy(self, layer: PlacedLayer) -> float:
        """Return the share of the devices of a layer's crossbars that hold its weights, 0 to 1."""
        tile = self.machine.tile_of(layer.sort)
        if not layer.blocks:
            return 0.0
        used = sum(block.devices for block in layer.blocks)
        return used / (len(layer.blocks) * tile.rows * tile.columns)


def place(network: Network, machine: Machine) -> Mapping:
    """Place the weights of every layer on tiles, and every adapter on a cluster.

    Crossbar *c* of *n* tiles is on tile c mod n, tier c div n: tiers fill up one after the
    other, so that layers share a tile only when there are more crossbars than tiles. Adapters
    go to the clusters in turn. Several chips are filled one after the other, in the order of the
    network; a layer is on one chip as a whole, with its adapter.

    Raises:
        CapacityError: The machine has too few crossbars, or no cluster for the adapters.
        SpecError: What the machine says of copies fits no layer, or says too little.
    """
    copies = copies_of(network, machine)
    if machine.several or machine.mapping.layers:
        return _place_on_kinds(network, machine, copies)
    _check_pieces(network, machine, copies)
    chips = [0] * len(network.matrices)
    if machine.chip_count > 1 and machine.tile.count != "as_needed":
        blocks, crossbars, chips = place_on_chips(network, machine, copies)
    else:
        blocks, crossbars = _blocks(network, machine.tile, copies, network.matrices)
    if (
        not copies
        and machine.chip_count == 1
        and crossbars > (machine.tile.crossbars or crossbars)
    ):
        way = way_of(network, machine, crossbars)
        if way == "share":
            return _in_turn(network, machine)
        if way == "digital":
            return _on_clusters_as_well(network, machine)
    tiles = _tiles(network, machine, crossbars)
    uses = _uses(network, machine, copies, blocks, tiles, chips)
    return _on_floor(Mapping(network, machine, uses, crossbars), tiles)


def _on_floor(mapping: Mapping, tiles: int) -> Mapping:
    """Return a placement with short ways over the floor, if that is asked for."""
    machine = mapping.machine
    if machine.mapping.floor == "spread":
        return mapping
    each = tiles // machine.chip_count if machine.tile.count != "as_needed" else tiles
    layers, note = on_floor(mapping.network, machine, mapping.layers, each)
    return replace(mapping, layers=layers, notes=(*mapping.notes, note))


def _uses(
    network: Network,
    machine: Machine,
    copies: MappingType[str, int],
    blocks: Sequence[tuple[Block, ...]],
    tiles: int,
    chips: Sequence[int],
) -> tuple[PlacedLayer, ...]:
    """Return the layers on ``tiles`` tiles, shared ones as often as they are used."""
    placed: dict[str, PlacedLayer] = {}
    adapted = [0] * machine.chip_count
    for op, own, chip in zip(network.matrices, blocks, chips, strict=True):
        adapter = network.adapter(op)
        cluster = None
        if adapter is not None:
            cluster = _cluster(network, machine, adapted[chip], chip)
            adapted[chip] += 1
        on_tiles = tuple(dict.fromkeys(block.crossbar % tiles for block in own))
        each_tiles = _tiles_of(op, own, tiles)
        often = copies.get(op.name, 1)
        placed[op.name] = PlacedLayer(
            op, adapter, own, on_tiles, cluster, chip, each_tiles, copies=often
        )
    return tuple(replace(placed[op.shared or op.name], op=op) for op in network.on_tiles)


def _in_turn(network: Network, machine: Machine) -> Mapping:
    """Place a network partition by partition on the same tiles, each layer on crossbars of its
    own."""
    tile, room = machine.tile, machine.tile.crossbars
    assert tile.count != "as_needed"
    assert room is not None
    layers = network.matrices
    needs = {op.name: crossbars_for(tile, op) for op in layers}
    numbers = partitions_of(machine, layers, [*needs.values()], room)
    of = dict(zip(needs, numbers, strict=True))
    exclusive = tile.model_copy(update={"sharing": "exclusive"})
    each, _ = _blocks(network, exclusive, {}, layers)
    first: dict[int, int] = {}
    blocks = []
    for number, own in zip(numbers, each, strict=True):
        begin = first.setdefault(number, own[0].crossbar)
        blocks.append(tuple(replace(b, crossbar=b.crossbar - begin) for b in own))
    crossbars = max(block.crossbar for own in blocks for block in own) + 1
    uses = _uses(network, machine, {}, blocks, tile.count, [0] * len(layers))
    written = written_before(network, machine, of, needs)
    uses = tuple(replace(layer, written=written.get(layer.name)) for layer in uses)
    note = share_note(machine, sum(needs.values()), [*written.values()])
    return _on_floor(Mapping(network, machine, uses, crossbars, notes=(note,)), tile.count)


def _on_clusters_as_well(network: Network, machine: Machine) -> Mapping:
    """Place a network on the tiles as far as these reach, and the other layers on clusters."""
    digital, note = digital_layers(network, machine)
    rules = machine.mapping.model_copy(update={"layers": dict.fromkeys(digital, USUAL_CLUSTER)})
    ruled = machine.model_copy(update={"mapping": rules})
    found = _place_on_kinds(network, ruled, {})
    return replace(found, machine=machine, notes=(note, *found.notes))


def _place_on_kinds(network: Network, machine: Machine, copies: MappingType[str, int]) -> Mapping:
    """Place layers on their kinds of tiles, each kind as if it were all, and so for adapters.

    Tiles of all kinds are numbered as one, and clusters too: the usual ones first.
    """
    if machine.mapping.floor != "spread":
        problem = "found short; with layers on several kinds of parts spread would do"
        raise SpecError(machine.name, "mapping.floor", problem)
    digital = layers_on_clusters(network, machine)
    of_layer, notes = kinds_of_layers(network, machine, digital)
    of_adapter, more = kinds_of_adapters(network, machine, digital)
    first_cluster, clusters = _first_clusters(machine), Counter[str]()
    spread: list[Spread] = []
    placed = {
        op.name: PlacedLayer(op, None, (), (), None, cluster_sort=digital[op.name])
        for op in network.matrices
        if op.name in digital
    }
    at = 0
    for sort in sorts(machine, True):
        own = [op for op in network.matrices if of_layer.get(op.name) == sort]
        _check_pieces(network, machine, copies, sort, own)
        blocks, crossbars = _blocks(network, machine.tile_of(sort), copies, own)
        tiles = check_room(network, machine, sort, crossbars)
        for op, each in zip(own, blocks, strict=True):
            on = tuple(dict.fromkeys(at + block.crossbar % tiles for block in each))
            of_each = tuple(
                tuple(at + tile for tile in some) for some in _tiles_of(op, each, tiles)
            )
            often = copies.get(op.name, 1)
            placed[op.name] = PlacedLayer(op, None, each, on, None, 0, of_each, sort, copies=often)
        spread.append(Spread(sort, at, tiles, crossbars))
        at += tiles
    for op in network.adapted_layers:
        sort = of_adapter[op.name]
        cluster = first_cluster[sort] + _cluster(
            network, machine.seen(cluster=sort), clusters[sort], 0
        )
        clusters[sort] += 1
        placed[op.name] = replace(
            placed[op.name], adapter=network.adapter(op), cluster=cluster, cluster_sort=sort
        )
    uses = tuple(replace(placed[op.shared or op.name], op=op) for op in network.on_tiles)
    crossbars = sum(own.crossbars for own in spread)
    return Mapping(network, machine, uses, crossbars, tuple(spread), (*notes, *more))


def _blocks(
    network: Network,
    tile: TileArray,
    copies: MappingType[str, int],
    layers: Sequence[Linear],
) -> tuple[list[tuple[Block, ...]], int]:
    """Return the blocks of some layers on one kind of tiles, and how many crossbars they take."""
    if tile.sharing in OBJECTIVES:
        return place_for_objective(network, tile, copies, layers)
    shapes = [op.matrices[1:] for op in layers for _ in range(op.matrices[0])]
    often = [copies.get(op.name, 1) for op in layers for _ in range(op.matrices[0])]
    each, crossbars = place_all(tile, shapes, often)
    return _by_layer(layers, each), crossbars


def _first_clusters(machine: Machine) -> dict[str, int]:
    """Return the number of the first cluster of each kind."""
    found, at = {"": 0}, 0
    for sort in sorts(machine, False):
        cluster = machine.cluster_of(sort)
        assert cluster is not None
        found[sort] = at
        at += cluster.count
    return found


def _by_layer(
    layers: Sequence[Linear], each: Sequence[tuple[Block, ...]]
) -> list[tuple[Block, ...]]:
    """Return the blocks of each layer, from those of each matrix."""
    found, at = [], 0
    for op in layers:
        count = op.matrices[0]
        own = each[at : at + count]
        found.append(own[0] if count == 1 else tuple(block for one in own for block in one))
        at += count
    return found


def _tiles_of(op: Linear, blocks: Sequence[Block], tiles: int) -> tuple[tuple[int, ...], ...]:
    """Return the tiles of each matrix of a layer that has several."""
    count = op.matrices[0]
    if count == 1:
        return ()
    size = len(blocks) // count
    return tuple(
        tuple(dict.fromkeys(block.crossbar % tiles for block in blocks[at : at + size]))
        for at in range(0, len(blocks), size)
    )


MOST_PIECES = 2**20
"""The most crossbars that a network is cut into; the largest bundled one takes 26,624."""
MOST_PACKED = 2**15
"""The most pieces that are packed: finding room for one looks at all crossbars before it."""


def _check_pieces(
    network: Network,
    machine: Machine,
    copies: MappingType[str, int],
    sort: str = "",
    only: Sequence[Linear] | None = None,
) -> None:
    """Refuse what would take minutes to place, before any of it is placed."""
    tile = machine.tile_of(sort)
    layers = network.matrices if only is None else only
    pieces = sum(copies.get(op.name, 1) * crossbars_for(tile, op) for op in layers)
    packed = tile.sharing != "exclusive"
    if pieces > (MOST_PACKED if packed else MOST_PIECES):
        most = MOST_PACKED if packed else MOST_PIECES
        raise CapacityError(
            f"{network.name} is cut into {pieces:,} pieces of {tile.rows} x {tile.columns}; at "
            f"most {most:,} are placed{' where layers share crossbars' if packed else ''}; larger "
            f"tiles{' or tile.sharing=exclusive' if packed else ''} would do"
        )


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
            f"{', or fewer mapping.copies' if machine.mapping.copies != 1 else ''}"
        )
    return tile.count


def _cluster(network: Network, machine: Machine, index: int, chip: int) -> int:
    if machine.cluster is None:
        raise CapacityError(
            f"{machine.name} has no cluster, and {network.name} has adapters; add a cluster "
            "to the machine, or run without adapters (--no-adapters)"
        )
    return chip * machine.cluster.count + index % machine.cluster.count
