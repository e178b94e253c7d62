"""What each task of a plan draws, part by part: attojoules, as integers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hybridsim.components.energy import ClusterEnergy, MachineEnergy
from hybridsim.components.interconnect import Passage
from hybridsim.errors import InputError
from hybridsim.mapping import PlacedLayer
from hybridsim.measure.layer_work import UNITS, Group, groups_of
from hybridsim.measure.network_work import ClusterWork, cluster_work
from hybridsim.plan import Bools, Plan, Timeline
from hybridsim.strategies import Job, Schedule
from hybridsim.units import Ints
from hybridsim.work import Work
from hybridsim.workload import Attention

COMPONENTS = (
    "tile", "periphery",
    "cluster", "cores", "matrix_engine", "dma", "tcdm", "link", "chip_link", "sram", "dram",
)  # fmt: skip
"""The parts that energy is told for: tile and periphery are analog, the others digital."""
ANALOG = ("tile", "periphery")
FROM_SRAM = ("weights", "keep")
"""Kinds of transfers over link or network on chip that read the SRAM."""
THROUGH_SRAM = ("keep", "weights", "spill")
"""Kinds of transfers of the external memory whose other end is the SRAM."""

_MOST = 2**63 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Charge:
    """What some tasks draw in one part of the machine."""

    component: str
    tasks: Ints
    aj: Ints
    """Energy of each of the tasks [aJ]."""


def over_time(power_uw: int | Ints, time_ps: Ints) -> Ints:
    """Return power x time [aJ].

    Raises:
        InputError: A task takes more than 9.2 J, which does not fit 64 bits.
    """
    most = int(np.max(power_uw, initial=0)) * int(time_ps.max(initial=0))
    if most > _MOST:
        raise InputError(
            f"energy: a task of {int(time_ps.max())} ps at {int(np.max(power_uw))} uW takes more "
            "than 9.2 J; fewer tokens, or a lower power, would do"
        )
    found: Ints = time_ps * power_uw
    return found


def shared_out(total: int, weights: Ints) -> Ints:
    """Return ``total`` cut into integers in proportion to ``weights``; they add up to it.

    Raises:
        InputError: The total does not fit 64 bits.
    """
    if total > _MOST:
        raise InputError("energy: an op takes more than 9.2 J; fewer tokens would do")
    share = weights / weights.sum(dtype=np.float64)
    parts: Ints = np.floor(share * total).astype(np.int64)
    parts[int(np.argmax(weights))] += total - int(parts.sum())
    return parts


class Charges:
    """What the tasks of one run draw under a machine's energies."""

    def __init__(self, job: Job, schedule: Schedule, timeline: Timeline) -> None:
        assert job.machine.energy is not None
        self._job, self._schedule, self._timeline = job, schedule, timeline
        self._plan: Plan = schedule.plan
        self._energy: MachineEnergy = job.machine.energy
        self.by_layer: dict[str, int] = {}
        """Layer -> what its MVMs draw [aJ], also where another op carries them."""
        self.counted: set[str] = set()
        """Kinds of resources whose work is charged."""

    def all(self) -> list[Charge]:
        """Return every charge of the run."""
        return [
            *self._mvms(),
            *self._sums_at_tiles(),
            *self._clusters(),
            *self._units(),
            *self._link(),
            *self._edges(),
            *self._chip_links(),
            *self._sram(),
            *self._dram(),
        ]

    @property
    def not_counted(self) -> tuple[str, ...]:
        """Kinds of parts that work in the run without a known energy."""
        used = {self._plan.resources[index].kind for index in _present(self._plan.use)}
        # an adapter's home is room in a scratchpad, which draws nothing of its own here
        free = {"engine_cluster", "adapter_home"} if "cluster" in self.counted else set()
        return tuple(sorted(used - self.counted - free))

    # --- tiles ------------------------------------------------------------------------------

    def _mvms(self) -> Iterator[Charge]:
        """Charge MVMs: crossbar and converters for the integration, then the periphery."""
        spec, tasks = self._energy.tile, np.flatnonzero(self._of_kind("mvm"))
        if spec is None or not spec.counts_mvms or not len(tasks):
            return
        self.counted.add("tile")
        crossbar = np.zeros(len(self._plan.ops), np.int64)
        periphery = np.zeros_like(crossbar)
        members = self._members
        for index, layers in members.items():
            costs = [self._vector(layer) for layer in layers]
            crossbar[index] = sum(cost[1] for cost in costs)
            periphery[index] = sum(cost[2] for cost in costs)
        op = self._plan.op[tasks]
        vectors = self._plan.tokens[tasks]
        self._note_layers(members, _added_up(op, vectors, len(crossbar)))
        yield Charge("tile", tasks, over_time(crossbar[op], vectors))
        if spec.periphery_power is not None:
            yield Charge("periphery", tasks, over_time(periphery[op], vectors))

    @cached_property
    def _members(self) -> dict[int, list[PlacedLayer]]:
        """Op -> the layers whose MVMs its tasks do."""
        place = {name: index for index, name in enumerate(self._plan.ops)}
        found: dict[int, list[PlacedLayer]] = {}
        for decided in self._schedule.layers:
            name = decided.layer.name
            carrier = self._schedule.carried_by.get(name, name)
            if carrier in place:
                found.setdefault(place[carrier], []).append(decided.layer)
        return found

    def _vector(self, layer: PlacedLayer) -> tuple[int, int, int]:
        """Return time [ps], crossbar energy and periphery energy [aJ] of one vector of a layer."""
        op, tile, spec = layer.op, self._job.machine.tile, self._energy.tile
        assert spec is not None
        key = (op.in_features, op.out_features, len(layer.blocks))
        if key not in self._vectors:
            time = tile.mvm_ps(op.in_features, op.out_features, 1)
            devices = op.in_features * op.out_features
            blocks = len(layer.blocks)
            integration = tile.integration_time
            self._vectors[key] = (
                time,
                spec.mvm_aj(devices, blocks, tile.rows * tile.columns, integration),
                spec.periphery_aj(blocks, time - integration),
            )
        return self._vectors[key]

    @cached_property
    def _vectors(self) -> dict[tuple[int, int, int], tuple[int, int, int]]:
        return {}

    def _note_layers(self, members: dict[int, list[PlacedLayer]], vectors: Ints) -> None:
        for op, layers in members.items():
            for layer in layers:
                _, crossbar, periphery = self._vector(layer)
                self.by_layer[layer.name] = int(vectors[op]) * (crossbar + periphery)

    def _sums_at_tiles(self) -> Iterator[Charge]:
        """Charge residual sums in the periphery, on every crossbar that the vector covers.

        Source: HARP, 35 mW x ceil(width / 512) x time.
        """
        spec, tasks = self._energy.tile, self._holding("periphery")
        if spec is None or spec.periphery_power is None:
            return
        self.counted.add("periphery")
        columns = self._job.machine.tile.columns
        wide = {d.op.name: -(-d.op.out_features // columns) for d in self._schedule.ops}
        crossbars: Ints = np.array([wide.get(name, 1) for name in self._plan.ops], np.int64)
        power: Ints = spec.periphery_power * crossbars[self._plan.op[tasks]]
        yield Charge("periphery", tasks, over_time(power, self._timeline.duration[tasks]))

    # --- clusters ---------------------------------------------------------------------------

    def _clusters(self) -> Iterator[Charge]:
        """Charge tasks that take a whole cluster: unit by unit if that is known."""
        spec, cluster = self._energy.cluster, self._job.machine.cluster
        tasks = self._holding("cluster")
        if spec is None or cluster is None or not len(tasks):
            return
        if spec.by_unit:
            if spec.cores_power is not None and (spec.counts_engine or not cluster.matrix_engine):
                self.counted.add("cluster")
            yield from self._inside(spec, tasks)
            return
        with_engine = np.isin(tasks, self._holding("engine_cluster"))
        with_engine |= not cluster.plain_count
        power, plain = spec.power, spec.plain_power
        if (power is None and with_engine.any()) or (plain is None and not with_engine.all()):
            return
        self.counted.add("cluster")
        each = np.where(with_engine, power or 0, plain or 0)
        yield Charge("cluster", tasks, over_time(each, self._timeline.duration[tasks]))

    def _inside(self, spec: ClusterEnergy, tasks: Ints) -> Iterator[Charge]:
        """Charge what units do in tasks that take a whole cluster.

        Norms, activations and sums are work of the cores from their first byte to the last.
        """
        left = np.zeros(len(self._plan), np.bool_)
        left[tasks] = True
        for work in cluster_work(self._job, self._schedule):
            left[work.tasks] = False
            weights = self._timeline.duration[work.tasks]
            for component, total in _of_work(spec, work).items():
                if total:
                    yield Charge(component, work.tasks, shared_out(total, weights))
        others = np.flatnonzero(left)
        if spec.cores_power is not None and len(others):
            time = self._timeline.duration[others]
            yield Charge("cores", others, over_time(spec.cores_power, time))

    def _units(self) -> Iterator[Charge]:
        """Charge tasks on units of clusters: unit by unit, or the cluster while any works."""
        spec = self._energy.cluster
        if spec is None:
            return
        if not spec.by_unit:
            yield from self._while_any_unit_works(spec)
            return
        if spec.counts_engine:
            self.counted.add("matrix_engine")
        if spec.counts_dma:
            self.counted.add("dma")
        if spec.cores_power is not None:
            self.counted.add("cores")
            tasks = self._holding("cores")
            time = self._timeline.duration[tasks]
            yield Charge("cores", tasks, over_time(spec.cores_power, time))
        if spec.engine_power is not None:
            tasks = self._holding("matrix_engine")
            time = self._timeline.duration[tasks]
            yield Charge("matrix_engine", tasks, over_time(spec.engine_power, time))
        for group in self._groups:
            yield from self._events(spec, group)

    @cached_property
    def _groups(self) -> list[Group]:
        return list(groups_of(self._job, self._schedule))

    def _events(self, spec: ClusterEnergy, group: Group) -> Iterator[Charge]:
        """Charge what is counted per event, shared by equal tasks in proportion to their time."""
        done = group.activity
        totals = {
            "matrix_engine": spec.engine_aj(done.macs, done.engine_slots)
            if group.unit == "matrix_engine"
            else 0,
            "dma": (spec.dma_byte or 0) * done.tcdm_bytes,
            "tcdm": (spec.tcdm_byte or 0) * done.tcdm_bytes,
        }
        for component, total in totals.items():
            if total:
                yield Charge(component, group.tasks, shared_out(total, self._weights(group)))

    def _sram(self) -> Iterator[Charge]:
        """Charge the far end of the transfers of clusters' units.

        In whole networks: adapters and kept keys and values that are read; queries, keys and
        values of an attention, which are kept there; and what the DRAM brings or takes.
        """
        spec = self._energy.sram
        if spec is None or spec.byte is None:
            return
        for group in self._groups:
            if total := spec.byte * group.activity.link_bytes:
                yield Charge("sram", group.tasks, shared_out(total, self._weights(group)))
        read = self._of_kind(*FROM_SRAM) | (
            self._of_kind("move") & self._of_attention & ~self._leaving
        )
        for tasks, sizes in ((self._over_link, self._link_bytes), (self._over_edges, self._sent)):
            own = tasks[read[tasks]]
            if len(own):
                yield Charge("sram", own, over_time(spec.byte, sizes(own)))
        dram = self._holding("dram")
        passing = dram[self._of_kind(*THROUGH_SRAM)[dram]]
        if len(passing):
            yield Charge("sram", passing, over_time(spec.byte, self._dram_bytes(passing)))

    def _while_any_unit_works(self, spec: ClusterEnergy) -> Iterator[Charge]:
        """Charge each cluster's power once for every instant at which any of its units works.

        A task is charged for the part of its time that no earlier task of its cluster covers.
        """
        if spec.power is None:
            return
        self.counted.update(UNITS)
        plan, line = self._plan, self._timeline
        clusters: dict[str, list[int]] = {}
        for index, resource in enumerate(plan.resources):
            if resource.kind in UNITS:
                clusters.setdefault(resource.name.rpartition(".")[0], []).append(index)
        for units in clusters.values():
            tasks = self._using(units)
            tasks = tasks[np.argsort(line.start[tasks], kind="stable")]
            if not len(tasks):
                continue
            end = np.maximum.accumulate(line.end[tasks])
            before = np.concatenate(([0], end[:-1]))
            alone = np.maximum(line.end[tasks] - np.maximum(line.start[tasks], before), 0)
            yield Charge("cluster", tasks, over_time(spec.power, alone))

    # --- link and memory --------------------------------------------------------------------

    def _link(self) -> Iterator[Charge]:
        """Charge transfers: by time, and by bytes.

        The bytes of a cluster's transfers are counted; of others the beats of the link, which
        round them up to its width.
        """
        spec, tasks = self._energy.link, self._holding("link")
        if spec is None:
            return
        self.counted.add("link")
        if spec.power is not None:
            yield Charge("link", tasks, over_time(spec.power, self._timeline.duration[tasks]))
        if spec.byte_hop is None:
            return
        for group in self._groups:
            if total := spec.transfer_aj(group.activity.link_bytes, 0):
                yield Charge("link", group.tasks, shared_out(total, self._weights(group)))
        others = self._over_link
        yield Charge("link", others, over_time(spec.transfer_aj(1, 0), self._link_bytes(others)))

    @cached_property
    def _over_link(self) -> Ints:
        """Transfers over the link that are no work of a cluster's DMA alone."""
        tasks = self._holding("link")
        return tasks[~np.isin(tasks, self._holding("dma"))]

    def _link_bytes(self, tasks: Ints) -> Ints:
        """Return what the beats of some transfers carry [bytes]."""
        return self._of_works(tasks, self._job.machine.link.carried_bytes)

    def _of_works(self, tasks: Ints, size: Callable[[Work], int]) -> Ints:
        """Return the size of each of some tasks, from that of its work."""
        numbers, place = np.unique(self._plan.work[tasks], return_inverse=True)
        sizes = [size(self._plan.works[number]) for number in numbers.tolist()]
        return np.array(sizes, np.int64)[place]

    def _edges(self) -> Iterator[Charge]:
        """Charge transfers over a network on chip: each byte on each edge that it crosses."""
        spec, tasks = self._energy.link, self._over_edges
        if spec is None or spec.byte_hop is None or not len(tasks):
            return
        self.counted.add("edge")
        busiest, passages = self._on_edges(tasks)
        size = [b * p.crossed // p.busiest for b, p in zip(busiest, passages, strict=True)]
        yield Charge("link", tasks, over_time(spec.byte_hop, np.array(size, np.int64)))

    @cached_property
    def _over_edges(self) -> Ints:
        return self._holding("edge")

    def _on_edges(self, tasks: Ints) -> tuple[list[int], list[Passage]]:
        """Return the bytes on the busiest edge of each transfer, and the way that it takes."""
        network, plan = self._job.machine.network_on_chip, self._plan
        assert network is not None
        ways = [self._schedule.passages[tuple(plan.uses_of(task))] for task in tasks.tolist()]
        works = [plan.works[number] for number in plan.work[tasks].tolist()]
        busiest = [network.carried_bytes(work, way) for work, way in zip(works, ways, strict=True)]
        return busiest, ways

    def _sent(self, tasks: Ints) -> Ints:
        """Return what each reader gets of transfers over a network on chip [bytes]."""
        busiest, passages = self._on_edges(tasks)
        size = [b * p.sent // p.busiest for b, p in zip(busiest, passages, strict=True)]
        return np.array(size, np.int64)

    def _chip_links(self) -> Iterator[Charge]:
        """Charge transfers between chips: by time, and by bytes."""
        spec, chips = self._energy.chip_link, self._job.machine.chips
        if spec is None or chips is None:
            return
        self.counted.add("chip_link")
        tasks = self._holding("chip_link")
        time = self._timeline.duration[tasks]
        if spec.power is not None:
            yield Charge("chip_link", tasks, over_time(spec.power, time))
        if spec.byte is not None:
            size = self._of_works(tasks, chips.link.carried_bytes)
            yield Charge("chip_link", tasks, over_time(spec.byte, size))

    def _weights(self, group: Group) -> Ints:
        return self._timeline.duration[group.tasks]

    def _dram(self) -> Iterator[Charge]:
        """Charge transfers of the external memory: by time, and by bytes."""
        spec, memory = self._energy.dram, self._job.machine.memory
        tasks = self._holding("dram")
        if spec is None or memory is None or memory.dram is None:
            return
        self.counted.add("dram")
        time = self._timeline.duration[tasks]
        if spec.power is not None:
            yield Charge("dram", tasks, over_time(spec.power, time))
        if spec.byte is not None:
            yield Charge("dram", tasks, over_time(spec.byte, self._dram_bytes(tasks)))

    def _dram_bytes(self, tasks: Ints) -> Ints:
        memory = self._job.machine.memory
        assert memory is not None
        assert memory.dram is not None
        return self._of_works(tasks, memory.dram.carried_bytes)

    # --- tasks ------------------------------------------------------------------------------

    def _of_kind(self, *kinds: str) -> Bools:
        """Return for each task whether its work is of some kinds."""
        return self._plan.which(lambda work: work.kind in kinds)

    @cached_property
    def _of_attention(self) -> Bools:
        """Whether each task is one of an attention."""
        attentions = {d.op.name for d in self._schedule.ops if isinstance(d.op, Attention)}
        ops: Bools = np.array([name in attentions for name in self._plan.ops], np.bool_)
        return ops[self._plan.op]

    @cached_property
    def _leaving(self) -> Bools:
        """Whether each task brings something to the edge of its chip."""
        plan = self._plan
        found = np.zeros(len(plan), np.bool_)
        hop = self._of_kind("hop")
        found[plan.need[np.repeat(hop, np.diff(plan.need_first))]] = True
        return found

    def _holding(self, kind: str) -> Ints:
        """Return the tasks that hold a resource of a kind, in plan order."""
        wanted = [i for i, resource in enumerate(self._plan.resources) if resource.kind == kind]
        return self._using(wanted)

    def _using(self, resources: list[int]) -> Ints:
        wanted = np.zeros(len(self._plan.resources) + 1, np.bool_)
        wanted[resources] = True
        using = np.zeros(len(self._plan), np.bool_)
        using[self._holder[wanted[self._plan.use]]] = True
        return np.flatnonzero(using)

    @cached_property
    def _holder(self) -> Ints:
        """The task of each use of a resource."""
        return np.repeat(np.arange(len(self._plan)), np.diff(self._plan.use_first))


def _of_work(spec: ClusterEnergy, work: ClusterWork) -> dict[str, int]:
    """Return part -> what work in a cluster draws [aJ]."""
    return {
        "matrix_engine": spec.engine_aj(work.macs, work.engine_slots)
        + (spec.engine_power or 0) * work.engine_ps,
        "cores": (spec.cores_power or 0) * work.cores_ps,
        "dma": (spec.dma_byte or 0) * work.tcdm_bytes,
        "tcdm": (spec.tcdm_byte or 0) * work.tcdm_bytes,
    }


def _present(values: Ints) -> Ints:
    """Return the different values of an array of small integers of 0 and more."""
    return np.flatnonzero(np.bincount(values))


def _added_up(keys: Ints, values: Ints, count: int) -> Ints:
    """Return the sum of the values of each key from 0 to ``count``."""
    found = np.zeros(count, np.int64)
    np.add.at(found, keys, values)
    return found
