"""What a scheduler is given, what it gives back, and the resources it plans for."""

from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

from hybridsim.arch import Cluster, Machine
from hybridsim.components.interconnect import Passage
from hybridsim.engines import Engine
from hybridsim.engines.carrying import Dispatch
from hybridsim.mapping import Mapping, PlacedLayer
from hybridsim.plan import Outline, Plan, Resource
from hybridsim.programs import LoraChoice
from hybridsim.programs.lora import LoraShape
from hybridsim.work import price
from hybridsim.workload import Op


@dataclass(frozen=True, slots=True)
class ClusterResources:
    """Indices of one cluster's parts in the plan's resources."""

    cores: int
    dma: int
    matrix_engine: int | None


@dataclass(frozen=True)
class Resources:
    """The resources of a mapped machine, and which of them each layer and cluster uses."""

    all: tuple[Resource, ...]
    tiles: dict[str, tuple[int, ...]]
    """Layer name -> its tiles."""
    clusters: tuple[ClusterResources, ...]
    link: int


@dataclass(frozen=True)
class Job:
    """A mapped network to be executed for a sequence of tokens."""

    mapping: Mapping
    tokens: int
    engine: Engine | None = None
    """What strategies execute plans with that try what they decide; None leaves them estimates."""
    past: int = 0
    """Tokens before these, whose keys and values are kept: what a generated token attends to."""
    sequences: int = 1
    """Sequences of so many tokens that run together; each attends to its own keys."""

    def run_ps(self, plan: Plan) -> int:
        """Return how long a plan takes on the machine [ps]."""
        assert self.engine is not None
        return self.engine(plan, price(plan.works, self.machine).time_ps).makespan

    @property
    def rows(self) -> int:
        """Vectors that pass through a layer, of all sequences together."""
        return self.tokens * self.sequences

    @property
    def machine(self) -> Machine:
        """The machine that the network is mapped to."""
        return self.mapping.machine

    def without_adapters(self) -> "Job":
        """Return the same job for the same network without any adapter."""
        return replace(self, mapping=self.mapping.without_adapters())

    def tokens_of(self, layer: PlacedLayer) -> int:
        """Return how many vectors of one sequence pass through a layer."""
        return self.mapping.network.tokens(layer.op, self.tokens)

    @cached_property
    def resources(self) -> Resources:
        """The resources of the machine; tiles that always work together are one resource."""
        found: list[Resource] = []
        tiles = _tile_resources(self.mapping, found)
        cluster = self.machine.cluster
        chips = self.machine.chip_count
        count = chips * cluster.count if cluster else 0
        clusters = [_cluster_resources(cluster, index, found) for index in range(count)]
        found.append(Resource("link", "link", chips * self.machine.link.count))
        return Resources(tuple(found), tiles, tuple(clusters), len(found) - 1)


def _tile_resources(mapping: Mapping, found: list[Resource]) -> dict[str, tuple[int, ...]]:
    """Append one resource for each set of tiles that the same layers use."""
    return grouped_resources(
        "tile", "tile", {layer.name: layer.tiles for layer in mapping.layers}, found
    )


def grouped_resources(
    prefix: str, kind: str, used: dict[str, tuple[int, ...]], found: list[Resource]
) -> dict[str, tuple[int, ...]]:
    """Append one resource for each set of parts that the same layers use.

    ``used`` gives the parts of each layer by number; the resources of each layer are returned.
    """
    users: dict[int, list[str]] = {}
    for layer, parts in used.items():
        for part in parts:
            users.setdefault(part, []).append(layer)
    groups: dict[tuple[str, ...], list[int]] = {}
    for part, layers in users.items():
        groups.setdefault(tuple(layers), []).append(part)
    used_by: dict[str, list[int]] = {layer: [] for layer in used}
    for names, members in groups.items():
        first, last = members[0], members[-1]
        name = f"{prefix}{first}" if len(members) == 1 else f"{prefix}{first}..{last}"
        for user in names:
            used_by[user].append(len(found))
        found.append(Resource(name, kind, parts=len(members)))
    return {name: tuple(resources) for name, resources in used_by.items()}


def _cluster_resources(
    cluster: Cluster | None, index: int, found: list[Resource]
) -> ClusterResources:
    first, name = len(found), f"cluster{index}"
    found += [Resource(f"{name}.cores", "cores"), Resource(f"{name}.dma", "dma")]
    if cluster is None or cluster.matrix_engine is None:
        return ClusterResources(first, first + 1, None)
    found.append(Resource(f"{name}.matrix_engine", "matrix_engine"))
    return ClusterResources(first, first + 1, first + 2)


@dataclass(frozen=True, slots=True)
class LayerSchedule:
    """What a scheduler decided for one layer."""

    layer: PlacedLayer
    batch: int
    """Tokens per batch."""
    choice: LoraChoice | None = None
    """How the cluster computes the adapter, or None without one."""
    buffers: int = 0
    """Batches in flight on the cluster."""
    tcdm_bytes: int = 0
    """Scratchpad that the layer's adapter takes [bytes]."""
    kept_bytes: int = 0
    """Part of it that A and B take for as long as chunks of the layer pass [bytes]; 0 where they
    are fetched for every chunk, or stay for the whole run."""
    homes: int = 0
    """Clusters that keep A and B so."""
    shared: tuple[LoraShape, LoraShape] | None = None
    """What each cluster does of X A and of U B + Y, where several share the same tokens."""

    def of(self, layer: PlacedLayer) -> "LayerSchedule":
        """Return the same decisions for a layer alike."""
        return LayerSchedule(
            layer, self.batch, self.choice, self.buffers, self.tcdm_bytes,
            self.kept_bytes, self.homes, self.shared,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class OpSchedule:
    """What a scheduler decided for an op that is no linear layer."""

    op: Op
    tokens: int
    """Vectors that it works on."""
    where: str
    """The kind of part that computes it."""
    pieces: int
    """Parts of the machine that share the work on a chunk."""
    cost_from: str
    """Where its duration comes from: ``kernel_costs`` or ``model``."""
    tcdm_bytes: int = 0
    """Scratchpad that it takes on a cluster [bytes]."""

    def of(self, op: Op) -> "OpSchedule":
        """Return the same decisions for an op alike."""
        return OpSchedule(
            op, self.tokens, self.where, self.pieces, self.cost_from, self.tcdm_bytes
        )


@dataclass(frozen=True, slots=True)
class Schedule:
    """A plan, and what was decided on the way.

    Where a strategy covers only linear layers, ``plan.ops[i]`` is ``layers[i]``.
    """

    plan: Plan
    layers: tuple[LayerSchedule, ...]
    notes: tuple[str, ...] = ()
    """What a person should know of how it was decided, a line each."""
    ops: tuple[OpSchedule, ...] = ()
    """The other ops that take time, where the strategy covers them."""
    carried_by: MappingType[str, str] = field(default_factory=dict)
    """Layer -> the op whose tasks do its MVMs as well, where that is not the layer itself."""
    free: tuple[str, ...] = ()
    """Ops that would be computed, but cost nothing by declaration of the machine."""
    passages: MappingType[tuple[int, ...], Passage] = field(default_factory=dict)
    """Edges of a network on chip that a transfer holds -> what a byte to each reader crosses;
    of several transfers that hold the same edges, the one that crosses most."""
    kept_bytes: int = 0
    """Scratchpad of every cluster that adapters of all layers take for the whole run [bytes]."""
    dispatch: Dispatch = "online"
    """Whether a part starts what is ready, or keeps to an order that is reserved ahead of time,
    on the prices of the machine on which the plan is carried out."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan in outline, and what was decided on the way."""

    outline: Outline
    layers: tuple[LayerSchedule, ...]
    notes: tuple[str, ...] = ()
    """What a person should know of how it was decided, a line each."""

    def schedule(self) -> Schedule:
        """Return the same with the plan laid out."""
        return Schedule(self.outline.expand(), self.layers, self.notes)


class Scheduler(Protocol):
    """Turns a mapped network into a plan: it decides order and batching, never durations."""

    @property
    def kind(self) -> str:
        """The name by which the strategy is chosen."""

    def schedule(self, job: Job) -> Schedule:
        """Return the plan of the whole network.

        Raises:
            CapacityError: A batch does not fit the scratchpad of its cluster.
            UnsupportedError: The machine lacks a unit that the strategy asks for.
        """
