"""The parts of a machine that a whole network is laid out on, and which layers work as one."""

from collections.abc import Sequence
from dataclasses import dataclass

from hybridsim.mapping import PlacedLayer
from hybridsim.plan import Resource
from hybridsim.strategies.job import grouped_resources
from hybridsim.strategies.machine_shape import MachineShape


@dataclass(frozen=True, slots=True)
class ChipParts:
    """Indices of the resources of one chip, but for its tiles."""

    link: int
    edges: int
    """The first edge of its network on chip, where it has one."""
    dram: int
    cluster: int
    engine_cluster: int
    homes: tuple[int, ...] = ()
    """What each cluster keeps: held by work that is done there, beside a unit of the pool."""


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
        by_tile = {layer.name: layer.tiles for layer in placed}
        self.tiles = grouped_resources("tile", "tile", by_tile, found)
        self.peripheries: dict[str, tuple[int, ...]] = {}
        if machine.adds_at_tiles:
            by_crossbar = {
                layer.name: tuple(dict.fromkeys(block.crossbar for block in layer.blocks))
                for layer in placed
            }
            self.peripheries = grouped_resources("periphery", "periphery", by_crossbar, found)
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
            found += [
                Resource(f"{prefix}edge{edge}", "edge") for edge in range(machine.network.edges)
            ]
        dram = _append(found, Resource(f"{prefix}dram", "dram"))
        if not machine.all_clusters:
            return ChipParts(link, edges, dram, -1, -1)
        everyone = Resource(f"{prefix}clusters", "cluster", machine.all_clusters)
        pool = engine_pool = _append(found, everyone)
        if machine.has_engine and machine.plain_clusters:
            engines = Resource(f"{prefix}engine clusters", "engine_cluster", machine.clusters)
            engine_pool = _append(found, engines)
        count = machine.home_clusters if self._homes else 0
        kept = tuple(
            _append(found, Resource(f"{prefix}cluster{k} adapters", "adapter_home"))
            for k in range(count)
        )
        return ChipParts(link, edges, dram, pool, engine_pool, kept)

    def clusters(self, chip: int, with_engine: bool = False) -> tuple[int, ...]:
        """Return what a task on a cluster of a chip holds: any, or one with a matrix engine."""
        own = self.chips[chip]
        if not with_engine:
            return (own.cluster,)
        return tuple(dict.fromkeys((own.cluster, own.engine_cluster)))


def _append(found: list[Resource], resource: Resource) -> int:
    found.append(resource)
    return len(found) - 1
