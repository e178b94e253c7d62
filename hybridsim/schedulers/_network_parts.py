"""The parts of a machine that a whole network is laid out on, and which layers work as one."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from hybridsim.arch import Cluster
from hybridsim.errors import CapacityError, UnsupportedError
from hybridsim.mapping import PlacedLayer
from hybridsim.plan import Resource
from hybridsim.schedulers._base import Job, grouped_resources
from hybridsim.schedulers._dataflow import Work
from hybridsim.units import ceil_div
from hybridsim.workload import Linear


@dataclass(frozen=True)
class Together:
    """Layers that read the same input and share a tile: one task does the MVMs of all."""

    members: tuple[str, ...]
    tiles: tuple[int, ...]
    """Resources of the tiles of all members."""


@dataclass
class Parts:
    """Resources of a plan: tiles, peripheries, link, DRAM, and clusters as pools.

    Clusters keep nothing from one task to the next, so they are counted, not told apart. What
    needs a matrix engine takes a unit of two pools: those with an engine, and all.
    """

    job: Job

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
        self.link = self._append(found, Resource("link", "link", machine.link.count))
        self.dram = self._append(found, Resource("dram", "dram"))
        cluster = machine.cluster
        self.cluster = self.engine_cluster = -1
        if cluster is not None:
            everyone = Resource("clusters", "cluster", cluster.total)
            self.cluster = self.engine_cluster = self._append(found, everyone)
            if cluster.matrix_engine is not None and cluster.plain_count:
                pool = Resource("engine clusters", "engine_cluster", cluster.count)
                self.engine_cluster = self._append(found, pool)
        self.resources = tuple(found)

    @staticmethod
    def _append(found: list[Resource], resource: Resource) -> int:
        found.append(resource)
        return len(found) - 1

    def need_cluster(self, work: Work) -> Cluster:
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

    @property
    def any_cluster(self) -> tuple[int, ...]:
        """What a task on any cluster holds."""
        return (self.cluster,)

    @property
    def with_engine(self) -> tuple[int, ...]:
        """What a task on a cluster with a matrix engine holds."""
        return tuple(dict.fromkeys((self.cluster, self.engine_cluster)))

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
        return tile.count

    def together(self, works: Sequence[Work]) -> dict[str, Together]:
        """Return, for each linear layer, the layers that share its MVM tasks.

        Layers with equal sources on one tile work at once if they lie side by side on the same
        crossbar; on other crossbars of the tile, or in the same columns, they take turns.
        """
        groups: dict[object, list[list[Work]]] = {}
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

    def _fits_beside(self, work: Work, group: Sequence[Work]) -> bool:
        """Return whether a layer shares a tile with ``group`` and can work at the same time."""
        own = self.layers[work.name]
        others = [self.layers[other.name] for other in group]
        if not any(set(own.tiles) & set(other.tiles) for other in others):
            return False
        tiles = self._tile_count
        for block in own.blocks:
            for other in (b for layer in others for b in layer.blocks):
                if block.crossbar % tiles != other.crossbar % tiles:
                    continue
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
