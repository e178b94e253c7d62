"""The parts of a machine that a whole network is laid out on, and which layers work as one."""

from collections.abc import Mapping, Sequence
from dataclasses import field

from hybridsim.mapping import PlacedLayer
from hybridsim.plan import Resource
from hybridsim.records import record
from hybridsim.strategies.job import grouped_resources
from hybridsim.strategies.machine_shape import MachineShape


@record(frozen=True, slots=True)
class ChipParts:
    """Indices of the resources of one chip, but for its tiles."""

    link: int
    edges: int
    """The first edge of its network on chip, where it has one."""
    dram: int
    cluster: int
    engine_cluster: int
    homes: tuple[int, ...] = ()
    """What each cluster keeps: held by work that is done there, beside a unit of the pool; those
    of all kinds, the usual ones first."""
    of_kinds: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Further kinds of clusters: all of each, and those with an engine."""


class ChipResources:
    """Resources of a plan: tiles, peripheries, and per chip link, DRAM, and clusters as pools.

    Clusters keep nothing from one task to the next, so they are counted, not told apart. What
    needs a matrix engine takes a unit of two pools: those with an engine, and all. With ``homes``
    each cluster is told apart for what it keeps.
    """

    def __init__(
        self, placed: Sequence[PlacedLayer], machine: MachineShape, homes: bool = False
    ) -> None:
        self._machine, self._homes = machine, homes
        found: list[Resource] = []
        self.tiles: dict[str, tuple[int, ...]] = {}
        self.peripheries: dict[str, tuple[int, ...]] = {}
        kinds = ("", *(sort for sort, _ in machine.of_tiles))
        for sort in kinds:
            own = [layer for layer in placed if layer.sort == sort]
            by_tile = {layer.name: layer.tiles for layer in own}
            of_each = {
                f"{layer.name}#{matrix}": tiles
                for layer in own
                for matrix, tiles in enumerate(layer.tiles_of)
            }
            self.tiles |= grouped_resources("tile", "tile", by_tile | of_each, found, sort)
        for sort in kinds:
            if machine.on_tiles(sort).adds_at_tiles:
                by_crossbar = {
                    layer.name: tuple(dict.fromkeys(block.crossbar for block in layer.blocks))
                    for layer in placed
                    if layer.sort == sort
                }
                self.peripheries |= grouped_resources(
                    "periphery", "periphery", by_crossbar, found, sort
                )
        several = machine.chips > 1
        self.chips = tuple(
            self._chip(found, f"chip{chip}." if several else "") for chip in range(machine.chips)
        )
        self.chip_links = {
            (chip, chip + step): _append(
                found, Resource(f"chip{chip} to chip{chip + step}", "chip_link")
            )
            for chip in range(machine.chips)
            for step in (1, -1)
            if 0 <= chip + step < machine.chips
        }
        self.all = tuple(found)

    def _chip(self, found: list[Resource], prefix: str) -> ChipParts:
        """Append what each chip has of its own."""
        machine = self._machine
        link, edges = -1, len(found)
        if machine.network is None:
            link = _append(found, Resource(f"{prefix}link", "link", machine.links))
        else:
            network = machine.network
            found += [Resource(f"{prefix}edge{edge}", "edge") for edge in range(network.edges)]
            found += [Resource(f"{prefix}port{port}", "edge") for port in range(network.ports)]
        dram = _append(found, Resource(f"{prefix}dram", "dram"))
        if not machine.all_clusters:
            return ChipParts(link, edges, dram, -1, -1)
        pools = {
            sort: _pools(found, own, f"{prefix}{sort}." if sort else prefix, sort)
            for sort, own in machine.cluster_sorts
        }
        kept = tuple(
            _append(
                found,
                Resource(
                    f"{prefix}{sort}{sort and '.'}cluster{k} adapters", "adapter_home", sort=sort
                ),
            )
            for sort, own in machine.cluster_sorts
            for k in range(own.home_clusters if self._homes else 0)
        )
        pool, engine_pool = pools.pop("")
        return ChipParts(link, edges, dram, pool, engine_pool, kept, pools)

    def clusters(self, chip: int, with_engine: bool = False, sort: str = "") -> tuple[int, ...]:
        """Return what a task on a cluster of a chip holds: any of a kind, or one with a matrix
        engine."""
        own = self.chips[chip]
        pools = own.of_kinds[sort] if sort else (own.cluster, own.engine_cluster)
        return tuple(dict.fromkeys(pools if with_engine else pools[:1]))


def _pools(
    found: list[Resource], machine: MachineShape, prefix: str, sort: str
) -> tuple[int, int]:
    """Append the clusters of one kind: all of them, and those with an engine."""
    everyone = Resource(f"{prefix}clusters", "cluster", machine.all_clusters, sort=sort)
    pool = _append(found, everyone)
    if not (machine.has_engine and machine.plain_clusters):
        return pool, pool
    engines = Resource(f"{prefix}engine clusters", "engine_cluster", machine.clusters, sort=sort)
    return pool, _append(found, engines)


def _append(found: list[Resource], resource: Resource) -> int:
    found.append(resource)
    return len(found) - 1
