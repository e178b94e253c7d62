"""Tiles on the floor of a chip: which of them lie at which nodes of its network, for short ways.

A placement says which weights lie on one tile together; which of the tiles on the floor that is
makes no difference to a link, but to a network on chip it does. Tiles are exchanged by simulated
annealing (Kirkpatrick et al., Science 220, 1983) so that few bytes cross few edges: the sum over
all that is sent between tiles, clusters and memory of bytes x edges, copied where the ways to
several readers part. Clusters stay spread over the floor, and what one of them makes or reads
counts to all of them alike, as which is free shows in a run alone.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import field, replace
from functools import cached_property, lru_cache, reduce
from math import exp
from operator import or_

from hybridsim.arch import Machine
from hybridsim.components.interconnect import PORT, Mesh, Tree
from hybridsim.errors import SpecError
from hybridsim.mapping.copies import vectors_of
from hybridsim.mapping.placed_layer import PlacedLayer
from hybridsim.records import record
from hybridsim.units import ceil_div
from hybridsim.workload import Add, Embedding, Linear, Network, Op

_THROUGH = {
    "input", "concat", "slice", "trigram", "window", "first_token", "last_token", "class_token",
}  # fmt: skip
"""Kinds of ops that only say which elements are read: these come from where the source is."""
_SWAPS_PER_TILE, _MOST_SWAPS = 100, 20_000
_HOTTEST, _COLDEST = 0.1, 1e-3
"""The first temperature over what is sent at a time, and the last one over the first."""
_MOST_CLUSTERS = 16
"""Clusters that stand for all; of more every second, third, ... does."""
_MOST_KNOWN = 1 << 18
"""Ways whose edges are remembered."""

Site = str | None
"""Where something is made or read: the tiles of a layer by its name, the clusters, the memory."""
CLUSTERS: Site = None
MEMORY: Site = ""


def on_floor(
    network: Network, machine: Machine, layers: Sequence[PlacedLayer], tiles: int
) -> tuple[tuple[PlacedLayer, ...], str]:
    """Return layers with their tiles exchanged so that ways are short, and the gain in a line.

    ``tiles`` are those of each chip.

    Raises:
        SpecError: The machine has no network on chip.
    """
    if machine.network_on_chip is None:
        problem = "found short; without network_on_chip all ways are as long: spread would do"
        raise SpecError(machine.name, "mapping.floor", problem)
    flows = tuple(flows_of(network, machine))
    slots: list[int] = []
    before = after = 0.0
    for chip in range(machine.chip_count):
        where = {
            layer.op.shared or layer.name: tuple(tile % tiles for tile in layer.tiles)
            for layer in layers
            if layer.chip == chip
        }
        floor = Floor(machine.network_on_chip, tiles, _clusters(machine), where, flows)
        own, started, ended = annealed(floor, machine.mapping.seed)
        slots += [chip * tiles + slot for slot in own]
        before, after = before + started, after + ended
    return tuple(_moved(layer, slots) for layer in layers), _note(machine, before, after)


def _note(machine: Machine, before: float, after: float) -> str:
    shorter = 100 * (before - after) / before if before else 0.0
    return (
        f"tiles are exchanged on the floor for short ways (mapping.floor=short, seed "
        f"{machine.mapping.seed}): {before / 1e6:,.4g} -> {after / 1e6:,.4g} MB x edges per "
        f"sequence, {shorter:.1f} % less, by simulated annealing"
    )


def _clusters(machine: Machine) -> int:
    return machine.cluster.total if machine.cluster else 0


def _moved(layer: PlacedLayer, slots: Sequence[int]) -> PlacedLayer:
    """Return a layer on the tiles that lie in other slots; its tiers are as before."""
    count = len(slots)

    def crossbar(number: int) -> int:
        tier, tile = divmod(number, count)
        return tier * count + slots[tile]

    return replace(
        layer,
        blocks=tuple(replace(b, crossbar=crossbar(b.crossbar)) for b in layer.blocks),
        tiles=tuple(slots[tile] for tile in layer.tiles),
        tiles_of=tuple(tuple(slots[tile] for tile in own) for own in layer.tiles_of),
    )


# --- what is sent -------------------------------------------------------------------------------


@record(frozen=True, slots=True)
class Traffic:
    """Bytes of one sequence from one site to another."""

    source: Site
    target: Site
    size: int


def flows_of(network: Network, machine: Machine) -> Iterator[Traffic]:
    """Yield what ops send each other, as tiles, clusters and memory make and read it.

    The output of a layer with an adapter goes to the clusters, and from there to its readers. A
    sum is added at the tiles of its last operand where their periphery can, and on clusters else.
    """
    made: dict[str, list[tuple[Site, int]]] = {}
    for op in network.ops:
        sources = [one for name in op.inputs for one in made[name]]
        if op.kind in _THROUGH:
            made[op.name] = sources
            continue
        vectors = vectors_of(network, op)
        width = machine.bytes_of(vectors * op.out_features)
        site = _site(op, sources, machine)
        for source, size in sources:
            if (source, site) != (CLUSTERS, CLUSTERS) and source != site:
                yield Traffic(source, site, size)
        if isinstance(op, Linear) and network.adapter(op) is not None:
            yield Traffic(site, CLUSTERS, width)
            site = CLUSTERS
        made[op.name] = [(site, width)]


def _site(op: Op, sources: Sequence[tuple[Site, int]], machine: Machine) -> Site:
    if isinstance(op, Linear):
        return op.shared or op.name
    if isinstance(op, Embedding):
        return MEMORY
    on_tiles = [source for source, _ in sources if source]
    if isinstance(op, Add) and machine.tile.periphery.residual is not None and on_tiles:
        return on_tiles[-1]
    return CLUSTERS


# --- where it crosses ---------------------------------------------------------------------------


@record(frozen=True)
class Floor:
    """The tiles of one chip, and what crosses between them; equal where all ways are."""

    network: Mesh | Tree
    tiles: int
    clusters: int
    where: dict[str, tuple[int, ...]] = field(hash=False)
    """Layer -> its tiles."""
    flows: tuple[Traffic, ...]

    @cached_property
    def nodes(self) -> tuple[int, ...]:
        """The node of each slot."""
        return tuple(self.network.place(slot, self.tiles) for slot in range(self.tiles))

    @cached_property
    def own(self) -> tuple[Traffic, ...]:
        """What a tile of the chip makes or reads."""
        return tuple(f for f in self.flows if f.source in self.where or f.target in self.where)

    @cached_property
    def of_tile(self) -> tuple[frozenset[int], ...]:
        """Of each tile the numbers of what it makes or reads among all of :attr:`own`."""
        layers: dict[int, set[str]] = defaultdict(set)
        for name, tiles in self.where.items():
            for tile in tiles:
                layers[tile].add(name)
        flows: dict[Site, set[int]] = defaultdict(set)
        for number, flow in enumerate(self.own):
            flows[flow.source].add(number)
            flows[flow.target].add(number)
        return tuple(
            frozenset(n for name in layers[tile] for n in flows[name])
            for tile in range(self.tiles)
        )

    @cached_property
    def there(self) -> tuple[int, ...]:
        """Nodes of clusters: of many, as many as are looked at."""
        step = ceil_div(max(1, self.clusters), _MOST_CLUSTERS)
        return tuple(
            self.network.place(number, self.clusters) for number in range(0, self.clusters, step)
        )

    def cost(self, flow: Traffic, slots: Sequence[int]) -> float:
        """Return bytes x edges of what is sent, as tiles lie in some slots."""
        ends = []
        for site in (flow.source, flow.target):
            if site in self.where:
                assert site is not None
                ends.append(tuple(sorted({self.nodes[slots[t]] for t in self.where[site]})))
            else:  # another chip is reached over the port of the memory
                ends.append(self.there if site is CLUSTERS else (PORT,))
        apart = flow.target is CLUSTERS
        return flow.size * self._crossed((ends[0], ends[1], apart))

    def _crossed(self, key: tuple[tuple[int, ...], tuple[int, ...], bool]) -> float:
        """Return the edges that a byte crosses which nodes send in equal shares.

        It is copied where the ways to several readers part; clusters read it one at a time, each
        of them as often.
        """
        known = self._known.get(key)
        if known is None:
            makers, readers, apart = key
            total = 0
            for maker in makers:
                ways = [self._way(maker, reader) for reader in readers]
                if apart:
                    total += sum(way.bit_count() for way in ways)
                else:
                    total += reduce(or_, ways, 0).bit_count()
            share = len(makers) * (len(readers) if apart else 1)
            known = self._known[key] = total / max(1, share)
            if len(self._known) > _MOST_KNOWN:
                self._known.clear()
        return known

    def _way(self, source: int, target: int) -> int:
        """Return the edges of a way, a bit each."""
        key = source * self.network.nodes + target
        if key not in self._ways:
            self._ways[key] = sum(1 << edge for edge in self.network.route(source, target))
        return self._ways[key]

    @cached_property
    def _ways(self) -> dict[int, int]:
        return {}

    @cached_property
    def _known(self) -> dict[tuple[tuple[int, ...], tuple[int, ...], bool], float]:
        return {}


@lru_cache(maxsize=32)
def annealed(floor: Floor, seed: int) -> tuple[tuple[int, ...], float, float]:
    """Return the slot of each tile, and the bytes x edges before and after."""
    chance, slots = random.Random(seed), list(range(floor.tiles))
    costs = [floor.cost(flow, slots) for flow in floor.own]
    first = now = least = sum(costs)
    best = tuple(slots)
    steps = min(_SWAPS_PER_TILE * floor.tiles, _MOST_SWAPS) if floor.tiles > 1 else 0
    hottest = first / max(1, len(costs)) * _HOTTEST
    for step in range(steps if first else 0):
        one, other = chance.sample(range(floor.tiles), 2)
        if floor.nodes[slots[one]] == floor.nodes[slots[other]]:
            continue
        slots[one], slots[other] = slots[other], slots[one]
        touched = sorted(floor.of_tile[one] | floor.of_tile[other])
        new = [floor.cost(floor.own[number], slots) for number in touched]
        more = sum(new) - sum(costs[number] for number in touched)
        heat = hottest * _COLDEST ** (step / steps)
        if more > 0 and chance.random() >= exp(-more / heat):
            slots[one], slots[other] = slots[other], slots[one]
            continue
        for number, cost in zip(touched, new, strict=True):
            costs[number] = cost
        now += more
        if now < least:
            least, best = now, tuple(slots)
    return best, first, sum(floor.cost(flow, best) for flow in floor.own)
