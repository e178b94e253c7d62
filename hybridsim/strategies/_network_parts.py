"""The parts of a machine that a whole network is laid out on, and which layers work as one."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from hybridsim.arch import Cluster
from hybridsim.errors import CapacityError, UnsupportedError
from hybridsim.mapping import PlacedLayer
from hybridsim.mapping.tiling import Block
from hybridsim.plan import Resource
from hybridsim.strategies._dataflow import FlowOp
from hybridsim.strategies.job import Job, grouped_resources
from hybridsim.units import ceil_div
from hybridsim.workload import Linear


@dataclass(frozen=True)
class Together:
    """Layers that read the same input and share a tile: one task does the MVMs of all."""

    members: tuple[str, ...]
    tiles: tuple[int, ...]
    """Resources of the tiles of all members."""


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


@dataclass
class Parts:
    """Resources of a plan: tiles, peripheries, and per chip link, DRAM, and clusters as pools.

    Clusters keep nothing from one task to the next, so they are counted, not told apart. What
    needs a matrix engine takes a unit of two pools: those with an engine, and all.
    """

    job: Job
    homes: bool = False
    """Whether each cluster is told apart for what it keeps."""

    def __post_init__(self) -> None:
        mapping, machine = self.job.mapping, self.job.machine
        found: list[Resource] = []
        by_tile = {layer.name: layer.tiles for layer in mapping.layers}
        self.tiles = grouped_resources("tile", "tile", by_tile, found)
        self.peripheries: dict[str, tuple[int, ...]] = {}
        if machine.tile.periphery.residual is not None:
            by_crossbar = {
                layer.name: tuple(dict.fromkeys(block.crossbar for block in layer.blocks))
                for layer in mapping.layers
            }
            self.peripheries = grouped_resources("periphery", "periphery", by_crossbar, found)
        several = machine.chip_count > 1
        self.chips = tuple(
            self._chip(found, f"chip{chip}." if several else "")
            for chip in range(machine.chip_count)
        )
        self.chip_links = {
            (chip, chip + step): self._append(
                found, Resource(f"chip{chip} to chip{chip + step}", "chip_link")
            )
            for chip in range(machine.chip_count)
            for step in (1, -1)
            if 0 <= chip + step < machine.chip_count
        }
        self.resources = tuple(found)

    def _chip(self, found: list[Resource], prefix: str) -> ChipParts:
        """Append what each chip has of its own."""
        machine = self.job.machine
        link, edges = -1, len(found)
        if machine.network_on_chip is None:
            link = self._append(found, Resource(f"{prefix}link", "link", machine.link.count))
        else:
            found += [
                Resource(f"{prefix}edge{edge}", "edge")
                for edge in range(machine.network_on_chip.edges)
            ]
        dram = self._append(found, Resource(f"{prefix}dram", "dram"))
        cluster = machine.cluster
        if cluster is None:
            return ChipParts(link, edges, dram, -1, -1)
        everyone = Resource(f"{prefix}clusters", "cluster", cluster.total)
        pool = engine_pool = self._append(found, everyone)
        if cluster.matrix_engine is not None and cluster.plain_count:
            engines = Resource(f"{prefix}engine clusters", "engine_cluster", cluster.count)
            engine_pool = self._append(found, engines)
        count = 0
        if self.homes:
            count = cluster.count if cluster.matrix_engine else cluster.total
        kept = tuple(
            self._append(found, Resource(f"{prefix}cluster{k} adapters", "adapter_home"))
            for k in range(count)
        )
        return ChipParts(link, edges, dram, pool, engine_pool, kept)

    @staticmethod
    def _append(found: list[Resource], resource: Resource) -> int:
        found.append(resource)
        return len(found) - 1

    def need_cluster(self, work: FlowOp) -> Cluster:
        """Return the clusters of the machine.

        Raises:
            CapacityError: There are none.
        """
        cluster = self.job.machine.cluster
        if cluster is None:
            raise CapacityError(
                f"{self.job.machine.name} has no cluster for {work.name}; add a cluster to the "
                f"machine, or declare the op free (free_ops: [{work.op.kind}])"
            )
        return cluster

    def any_cluster(self, chip: int) -> tuple[int, ...]:
        """What a task on any cluster of a chip holds."""
        return (self.chips[chip].cluster,)

    def with_engine(self, chip: int) -> tuple[int, ...]:
        """What a task on a cluster with a matrix engine holds."""
        own = self.chips[chip]
        return tuple(dict.fromkeys((own.cluster, own.engine_cluster)))

    @cached_property
    def tiles_per_chip(self) -> int:
        """Tiles of each chip."""
        return self._tile_count // (self.job.machine.chip_count if self._counted else 1)

    @property
    def _counted(self) -> bool:
        return self.job.machine.tile.count != "as_needed"

    @cached_property
    def layers(self) -> dict[str, PlacedLayer]:
        """Placed layers by name."""
        return {layer.name: layer for layer in self.job.mapping.layers}

    @cached_property
    def _tile_count(self) -> int:
        """Tiles over which the crossbars of a tier are spread."""
        tile = self.job.machine.tile
        if tile.count == "as_needed":
            return max(1, ceil_div(self.job.mapping.crossbars, tile.tiers))
        return tile.count * self.job.machine.chip_count

    def together(self, works: Sequence[FlowOp]) -> dict[str, Together]:
        """Return, for each linear layer, the layers that share its MVM tasks.

        Layers with equal sources on one tile work at once if they lie side by side on the same
        crossbar; on other crossbars of the tile, or in the same columns, they take turns.
        """
        groups: dict[object, list[list[FlowOp]]] = {}
        for work in works:
            if not isinstance(work.op, Linear):
                continue
            key = (work.op.block, work.sources or work.name)
            for group in groups.setdefault(key, []):
                if self._fits_beside(work, group):
                    group.append(work)
                    break
            else:
                groups[key].append([work])
        found = {}
        for group in (group for each in groups.values() for group in each):
            names = tuple(work.name for work in group)
            tiles = tuple(dict.fromkeys(tile for name in names for tile in self.tiles[name]))
            for name in names:
                found[name] = Together(names, tiles)
        return found

    def _fits_beside(self, work: FlowOp, group: Sequence[FlowOp]) -> bool:
        """Return whether a layer shares a tile with ``group`` and can work at the same time."""
        own = self.layers[work.name]
        others = [self.layers[other.name] for other in group]
        if not any(set(own.tiles) & set(other.tiles) for other in others):
            return False
        tiles = self._tile_count
        there: dict[int, list[Block]] = {}
        for other in (b for layer in others for b in layer.blocks):
            there.setdefault(other.crossbar % tiles, []).append(other)
        for block in own.blocks:
            for other in there.get(block.crossbar % tiles, ()):
                apart = (
                    block.first_column >= other.first_column + other.columns
                    or other.first_column >= block.first_column + block.columns
                )
                if block.crossbar != other.crossbar or not apart:
                    return False
        return True

    def check_units(self) -> None:
        """Refuse a machine whose engines cannot compute its numbers.

        Raises:
            UnsupportedError: Its matrix engine computes in another format.
        """
        cluster = self.job.machine.cluster
        if cluster and cluster.matrix_engine and cluster.precision != "fp16":
            raise UnsupportedError(
                f"attention on the matrix engine is computed in fp16, not {cluster.precision}; "
                "choose cluster.precision=fp16, or cluster.matrix_engine=null"
            )
