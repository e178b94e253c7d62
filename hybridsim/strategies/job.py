"""What a strategy is given, what it decides and gives back, and how that is carried out."""

from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from hybridsim.arch import Machine
from hybridsim.components.interconnect import Passage
from hybridsim.engines import Dispatch, Engine, execute
from hybridsim.mapping import Mapping, PlacedLayer, Spread
from hybridsim.mapping.partitions import Written
from hybridsim.plan import Outline, Plan, Resource, Timeline
from hybridsim.programs import LoraChoice, LoraProgram
from hybridsim.records import record
from hybridsim.strategies.machine_shape import MachineShape
from hybridsim.work import Prices, price
from hybridsim.workload import Network, Op

if TYPE_CHECKING:
    from hybridsim.strategies.layers.batches import Batching


@record(frozen=True, slots=True)
class ClusterResources:
    """Indices of one cluster's parts in the plan's resources."""

    cores: int
    dma: int
    matrix_engine: int | None


@record(frozen=True)
class Resources:
    """The resources of a mapped machine, and which of them each layer and cluster uses."""

    all: tuple[Resource, ...]
    tiles: dict[str, tuple[int, ...]]
    """Layer name -> its tiles."""
    clusters: tuple[ClusterResources, ...]
    """Those of all kinds, the usual ones first."""
    link: int
    first: dict[str, tuple[int, int]]
    """Kind of clusters -> the number of the first of them, and how many there are."""

    def in_turn(self, layer: PlacedLayer, count: int) -> list[int]:
        """Return the numbers of clusters of a layer's kind that take its batches in turn."""
        assert layer.cluster is not None
        first, there = self.first[layer.cluster_sort]
        return [first + (layer.cluster - first + phase) % there for phase in range(count)]


@dataclass(frozen=True, slots=True)
class Structure:
    """All of a job that laying out depends on: equal ones lead equal decisions to equal plans.

    No price is part of it: no clock, no rate, no time, no amount of memory.
    """

    network: Network
    layers: tuple[PlacedLayer, ...]
    """Which weights on which tiles, and which adapter on which cluster."""
    tokens: int
    past: int
    sequences: int
    crossbars: int
    """Crossbars that hold weights."""
    machine: MachineShape
    spread: tuple[Spread, ...] = ()
    """The tiles of each kind, where there are several kinds of parts."""

    def __hash__(self) -> int:
        # the network and its layers say the same as their counts, but take a millisecond
        counts = (len(self.layers), self.tokens, self.past, self.sequences)
        return hash((self.network.name, self.machine, *counts))


@dataclass(frozen=True)
class Job:
    """A mapped network to be executed for a sequence of tokens."""

    mapping: Mapping
    tokens: int
    engine: Engine | None = None
    """What strategies execute plans with that try networks as a whole; None: they do not."""
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

    @cached_property
    def structure(self) -> Structure:
        """What laying out reads of the job."""
        mapping = self.mapping
        return Structure(
            network=mapping.network,
            layers=mapping.layers,
            tokens=self.tokens,
            past=self.past,
            sequences=self.sequences,
            crossbars=mapping.crossbars,
            machine=MachineShape.of(mapping.machine),
            spread=mapping.spread,
        )

    def without_adapters(self) -> "Job":
        """Return the same job for the same network without any adapter."""
        return replace(self, mapping=self.mapping.without_adapters())

    def tokens_of(self, layer: PlacedLayer) -> int:
        """Return how many vectors of one sequence pass through a layer."""
        return self.mapping.network.tokens(layer.op, self.tokens)

    def live_bytes(self, written: Written) -> int:
        """Return what of one sequence is kept outside while tiles are written [bytes]."""
        network = self.mapping.network
        ops = [network.op(name) for name in written.live]
        elements = sum(op.out_features * network.tokens(op, self.tokens) for op in ops)
        return self.structure.machine.bytes_of(elements)

    @cached_property
    def layers(self) -> dict[str, PlacedLayer]:
        """The static linear layers by name, in the order of the network."""
        return {layer.name: layer for layer in self.mapping.layers}

    @cached_property
    def resources(self) -> Resources:
        """The resources of the machine; tiles that always work together are one resource."""
        found: list[Resource] = []
        tiles = _tile_resources(self.mapping, found)
        shape = self.structure.machine
        clusters: list[ClusterResources] = []
        first: dict[str, tuple[int, int]] = {}
        for sort, own in shape.cluster_sorts:
            count = own.chips * own.clusters
            first[sort] = len(clusters), count
            clusters += [_cluster_resources(own.has_engine, k, found, sort) for k in range(count)]
        found.append(Resource("link", "link", shape.chips * shape.links))
        return Resources(tuple(found), tiles, tuple(clusters), len(found) - 1, first)

    def seen_by(self, layer: PlacedLayer) -> tuple["Job", PlacedLayer]:
        """Return the job as if the machine had the kinds of parts alone that a layer is on.

        It has the layers on both kinds, this one among them, which is returned as it is there.
        """
        if not self.machine.several:
            return self, layer
        kinds = layer.sort, layer.cluster_sort
        if kinds not in self._seen:
            own = [each for each in self.mapping.layers if (each.sort, each.cluster_sort) == kinds]
            first = self.resources.first[layer.cluster_sort][0]
            layers = tuple(
                replace(
                    each, sort="", cluster_sort="",
                    cluster=None if each.cluster is None else each.cluster - first,
                )
                for each in own
            )  # fmt: skip
            machine = self.machine.seen(*kinds)
            mapping = replace(self.mapping, machine=machine, layers=layers, spread=())
            self._seen[kinds] = replace(self, mapping=mapping)
        return self._seen[kinds], self._seen[kinds].layers[layer.name]

    @cached_property
    def _seen(self) -> dict[tuple[str, str], "Job"]:
        return {}

    @cached_property
    def of_kinds(self) -> tuple["Job", ...]:
        """The job as the layers on each two kinds of tiles and clusters see it, each once."""
        return tuple({id(own): own for own, _ in map(self.seen_by, self.mapping.layers)}.values())

    def machine_of(self, layer: PlacedLayer) -> Machine:
        """Return the machine as if it had the kinds of parts alone that a layer is on."""
        return self.machine.seen(layer.sort, layer.cluster_sort)

    def shape_of(self, layer: PlacedLayer) -> MachineShape:
        """Return the shape of the machine with the kind of a layer's clusters alone."""
        return self.structure.machine.on_clusters(layer.cluster_sort)


def _tile_resources(mapping: Mapping, found: list[Resource]) -> dict[str, tuple[int, ...]]:
    """Append one resource for each set of tiles that the same layers use."""
    used: dict[str, dict[str, tuple[int, ...]]] = {}
    for layer in mapping.layers:
        used.setdefault(layer.sort, {})[layer.name] = layer.tiles
    by_layer: dict[str, tuple[int, ...]] = {}
    for sort in sorted(used):
        by_layer |= grouped_resources("tile", "tile", used[sort], found, sort)
    return by_layer


def grouped_resources(
    prefix: str,
    kind: str,
    used: dict[str, tuple[int, ...]],
    found: list[Resource],
    sort: str = "",
) -> dict[str, tuple[int, ...]]:
    """Append one resource for each set of parts, all of one sort, that the same layers use.

    ``used`` gives the parts of each layer by number; the resources of each layer are returned.
    """
    prefix = f"{sort}.{prefix}" if sort else prefix
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
        found.append(Resource(name, kind, parts=len(members), sort=sort))
    return {name: tuple(resources) for name, resources in used_by.items()}


def _cluster_resources(
    engine: bool, index: int, found: list[Resource], sort: str
) -> ClusterResources:
    first, name = len(found), f"{sort}.cluster{index}" if sort else f"cluster{index}"
    parts = ("cores", "dma", "matrix_engine") if engine else ("cores", "dma")
    found += [Resource(f"{name}.{part}", part, sort=sort) for part in parts]
    if not engine:
        return ClusterResources(first, first + 1, None)
    return ClusterResources(first, first + 1, first + 2)


@dataclass(frozen=True, slots=True)
class LayerDecision:
    """What a strategy decided for one layer."""

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
    """Part of it that A and B take for as long as batches of the layer pass [bytes]; 0 where they
    are fetched for every batch, or stay for the whole run."""
    homes: int = 0
    """Clusters that keep A and B so."""
    batching: "Batching | None" = None
    """How batches go through units of clusters, where a strategy plans these one by one."""
    during: str | None = None
    """The layer that runs while A and B are fetched; None where they come with the layer."""
    shared: tuple[LoraProgram, LoraProgram] | None = None
    """What each cluster does of X A and of U B + Y, where several share the same tokens."""

    def of(self, layer: PlacedLayer) -> "LayerDecision":
        """Return the same decisions for a layer alike."""
        return LayerDecision(
            layer, self.batch, self.choice, self.buffers, self.tcdm_bytes,
            self.kept_bytes, self.homes, self.batching, self.during, self.shared,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class OpDecision:
    """What a strategy decided for an op that is no linear layer."""

    op: Op
    tokens: int
    """Vectors that it works on."""
    where: str
    """The kind of part that computes it."""
    pieces: int
    """Parts of the machine that share the work on a batch."""
    cost_from: str
    """Where its duration comes from: ``kernel_costs`` or ``model``."""
    tcdm_bytes: int = 0
    """Scratchpad that it takes on a cluster [bytes]."""

    def of(self, op: Op) -> "OpDecision":
        """Return the same decisions for an op alike."""
        return OpDecision(
            op, self.tokens, self.where, self.pieces, self.cost_from, self.tcdm_bytes
        )


@dataclass(frozen=True, slots=True)
class Schedule:
    """A plan, and what was decided on the way.

    Where a strategy covers only linear layers, ``plan.ops[i]`` is ``layers[i]``.
    """

    plan: Plan
    layers: tuple[LayerDecision, ...]
    notes: tuple[str, ...] = ()
    """What a person should know of how it was decided, a line each."""
    ops: tuple[OpDecision, ...] = ()
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
    kept_of_kinds: MappingType[str, int] = field(default_factory=dict)
    """The same of each further kind of clusters [bytes]."""
    dispatch: Dispatch = "online"
    """Whether a part starts what is ready, or keeps to an order that is reserved ahead of time,
    on the prices of the machine on which the plan is carried out."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan in outline, and what was decided on the way."""

    outline: Outline
    layers: tuple[LayerDecision, ...]
    notes: tuple[str, ...] = ()
    """What a person should know of how it was decided, a line each."""

    def schedule(self) -> Schedule:
        """Return the same with the plan laid out."""
        return Schedule(self.outline.expand(), self.layers, self.notes)


class Decisions(Protocol):
    """What a strategy decided: hashable data, without any machine in it."""

    def lay_out(self, job: Job) -> Schedule:
        """Return the plan. Of the job, it depends on :attr:`Job.structure` alone."""


class Strategy(Protocol):
    """Turns a mapped network into a plan: it decides order and batching, never durations."""

    @property
    def kind(self) -> str:
        """The name by which the strategy is chosen."""

    def decide(self, job: Job) -> Decisions:
        """Return all that the structure of the plan depends on; this may price and try works.

        Raises:
            CapacityError: A batch does not fit the scratchpad of its cluster.
            UnsupportedError: The machine lacks a unit that the strategy asks for.
        """

    def schedule(self, job: Job) -> Schedule:
        """Return the plan of the whole network: decided, and laid out.

        Raises:
            CapacityError: As :meth:`decide`.
            UnsupportedError: As :meth:`decide`.
        """


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """A schedule with its plan as it was carried out: reserved orders are needs of that plan."""

    schedule: Schedule
    prices: Prices
    """What the works of the plan take on the machine."""
    timeline: Timeline

    @property
    def makespan(self) -> int:
        """The last end [ps]."""
        return self.timeline.makespan


def carry_out(schedule: Schedule, machine: Machine, run: Engine) -> CarriedOut:
    """Price what was planned, reserve an order if the schedule asks for it, and execute.

    Raises:
        UnsupportedError: The machine cannot do a work of the plan.
    """
    prices = price(schedule.plan.works, machine)
    plan, timeline = execute(schedule.plan, prices.time_ps, schedule.dispatch, run)
    if plan is not schedule.plan:
        schedule = replace(schedule, plan=plan)
    return CarriedOut(schedule, prices, timeline)
