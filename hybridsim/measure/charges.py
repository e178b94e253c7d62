"""What each task of a plan draws, part by part: attojoules, as integers."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from itertools import chain

import numpy as np

from hybridsim.arch import sorts
from hybridsim.components.energy import ClusterEnergy
from hybridsim.mapping import PlacedLayer
from hybridsim.mapping.partitions import WEIGHT_BITS
from hybridsim.measure.charge import Charge, ChargedRun, integers, over_time, shared_out
from hybridsim.measure.cluster_work import UNITS, ClusterWork, Group, cluster_work
from hybridsim.measure.transfers import Transfers
from hybridsim.plan import Timeline
from hybridsim.programs.pieces import Piece
from hybridsim.strategies import Job, Schedule
from hybridsim.units import Ints
from hybridsim.work import Work
from hybridsim.workload import Experts


class Charges:
    """What the tasks of one run draw under a machine's energies."""

    def __init__(self, job: Job, schedule: Schedule, timeline: Timeline) -> None:
        self._run = ChargedRun(job, schedule, timeline)
        of = job, schedule, timeline
        self._tiles = [_OfTiles(ChargedRun(*of, tile=s)) for s in sorts(job.machine, True)]
        self._clusters = [
            _OfClusters(ChargedRun(*of, cluster=s, whole=self._run))
            for s in sorts(job.machine, False)
        ]

    def all(self) -> list[Charge]:
        """Return every charge of the run."""
        return [
            *(charge for tiles in self._tiles for charge in tiles.all()),
            *(charge for clusters in self._clusters for charge in clusters.all()),
            *Transfers(self._run).all(),
        ]

    @property
    def by_layer(self) -> dict[str, int]:
        """Layer -> what its MVMs draw [aJ], also where another op carries them."""
        return {name: aj for tiles in self._tiles for name, aj in tiles.by_layer.items()}

    @property
    def not_counted(self) -> tuple[str, ...]:
        """Kinds of parts that work in the run without a known energy."""
        plan, counted = self._run.plan, set(self._run.counted)
        used = {plan.resources[index].told for index in np.flatnonzero(np.bincount(plan.use))}
        for own in self._tiles:
            counted |= own.run.counted
        for each in self._clusters:
            counted |= each.run.counted
            used |= each.row_units
        # an adapter's home is room in a scratchpad, which draws nothing of its own here
        free = {
            f"{kind}{name.removeprefix('cluster')}"
            for name in counted
            if name.partition(":")[0] == "cluster"
            for kind in ("engine_cluster", "adapter_home")
        }
        return tuple(sorted(used - counted - free))


class _OfTiles:
    """What the tasks on one kind of tiles draw."""

    def __init__(self, run: ChargedRun) -> None:
        self.run = self._run = run
        self.by_layer: dict[str, int] = {}
        """Layer -> what its MVMs draw [aJ], also where another op carries them."""

    def all(self) -> Iterator[Charge]:
        """Yield every charge of the tiles."""
        for charge in chain(self._mvms(), self._sums_at_tiles(), self._written()):
            yield replace(charge, sort=self._run.sort)

    def _mvms(self) -> Iterator[Charge]:
        """Charge MVMs: crossbar and converters for the integration, then the periphery."""
        spec, tasks = self._run.energy.tile, self._run.mvms()
        if spec is None or not spec.counts_mvms or not len(tasks):
            return
        self._run.count("tile")
        crossbar, periphery = ([0] * len(self._run.plan.ops) for _ in range(2))
        members = self._members
        for index, layers in members.items():
            costs = [self._vector(layer) for layer in layers]
            crossbar[index] = sum(cost[1] for cost in costs)
            periphery[index] = sum(cost[2] for cost in costs)
        op = self._run.plan.op[tasks]
        vectors = self._run.plan.tokens[tasks]
        self._note_layers(members, _added_up(op, vectors, len(crossbar)))
        yield Charge("tile", tasks, over_time(integers(crossbar)[op], vectors))
        if spec.periphery_power is not None:
            yield Charge("periphery", tasks, over_time(integers(periphery)[op], vectors))

    @cached_property
    def _members(self) -> dict[int, list[PlacedLayer]]:
        """Op -> the layers whose MVMs its tasks do."""
        place = {name: index for index, name in enumerate(self._run.plan.ops)}
        found: dict[int, list[PlacedLayer]] = {}
        for decided in self._run.schedule.layers:
            name = decided.layer.name
            if decided.layer.sort != self._run.sort:
                continue
            carrier = self._run.schedule.carried_by.get(name, name)
            if carrier in place:
                found.setdefault(place[carrier], []).append(decided.layer)
        return found

    def _vector(self, layer: PlacedLayer) -> tuple[int, int, int]:
        """Return time [ps], crossbar energy and periphery energy [aJ] of one vector of a layer."""
        op, tile, spec = layer.op, self._run.machine.tile, self._run.energy.tile
        assert spec is not None
        count, inputs, outputs = op.matrices
        blocks = len(layer.blocks) // layer.copies
        if isinstance(op, Experts):  # a vector passes through one of them
            count, blocks = 1, blocks // count
        key = (inputs, outputs, count, blocks)
        if key not in self._vectors:
            time = tile.mvm_ps(inputs, outputs, 1)
            self._vectors[key] = (
                time,
                spec.mvm_aj(tile, inputs, count * outputs, blocks),
                spec.periphery_aj(blocks, time - tile.reading_ps(outputs)),
            )
        return self._vectors[key]

    @cached_property
    def _vectors(self) -> dict[tuple[int, int, int, int], tuple[int, int, int]]:
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
        spec, tasks = self._run.energy.tile, self._run.holding("periphery")
        if spec is None or spec.periphery_power is None:
            return
        self._run.count("periphery")
        columns = self._run.machine.tile.columns
        wide = {d.op.name: -(-d.op.out_features // columns) for d in self._run.schedule.ops}
        crossbars: Ints = np.array([wide.get(name, 1) for name in self._run.plan.ops], np.int64)
        power: Ints = spec.periphery_power * crossbars[self._run.plan.op[tasks]]
        yield Charge("periphery", tasks, over_time(power, self._run.time(tasks)))

    def _written(self) -> Iterator[Charge]:
        """Charge the share of a sequence in what writing tiles draws, and the DRAM for it."""
        run, machine = self._run, self._run.machine
        tasks = np.flatnonzero(run.of_kind("write"))
        programming, dram = machine.tile.programming, run.energy.dram
        if not len(tasks) or programming is None or self._run.sort:
            return
        works = [run.plan.works[number] for number in run.plan.work[tasks].tolist()]
        each = [programming.weights_aj(8 * w.shape[1] // WEIGHT_BITS) // w.shape[2] for w in works]
        yield Charge("programming", tasks, integers(each))
        if dram is not None and dram.byte is not None and machine.memory and machine.memory.dram:
            moved = [dram.byte * (w.shape[1] // w.shape[2] + 2 * w.shape[3]) for w in works]
            yield Charge("dram", tasks, integers(moved))


class _OfClusters:
    """What the tasks on one kind of clusters draw, or on single units of them."""

    def __init__(self, run: ChargedRun) -> None:
        self.run = self._run = run
        self.row_units: set[str] = set()
        """The kind of row units, where one works in the run."""

    def all(self) -> Iterator[Charge]:
        """Yield every charge of the clusters."""
        for charge in chain(self._row_unit(), self._clusters(), self._units()):
            yield replace(charge, sort=self._run.sort)

    def _row_unit(self) -> Iterator[Charge]:
        """Charge units that take kernels of rows from the cores, beside what clusters draw."""
        cluster, tasks = self._run.machine.cluster, self._run.holding("cluster")
        if cluster is None or cluster.row_unit is None or not len(tasks):
            return
        power = cluster.row_unit.power
        work = [(each.tasks, each.unit_ps) for each in self._cluster_work if each.unit_ps]
        pieces = self._pieces_on_unit
        if work or len(pieces):
            self.row_units.add(f"row_unit:{self._run.sort}" if self._run.sort else "row_unit")
        if power is None:
            return
        self._run.count("row_unit")
        for own, time in work:
            yield Charge("row_unit", own, shared_out(power * time, self._run.time(own)))
        if len(pieces):
            yield Charge("row_unit", pieces, over_time(power, self._run.time(pieces)))

    @cached_property
    def _cluster_work(self) -> list[ClusterWork]:
        run = self._run
        return list(cluster_work(run.job, run.schedule, run.sort))

    @cached_property
    def _pieces_on_unit(self) -> Ints:
        """Tasks of norms, activations and sums that a unit beside the cores computes."""
        cluster = self._run.machine.cluster

        def on_unit(work: Work) -> bool:
            piece = work.shape[0] if work.kind == "program" else None
            return (
                work.sort == self._run.sort
                and isinstance(piece, Piece)
                and bool(cluster and cluster.row_unit_for(piece.function))
            )

        return np.flatnonzero(self._run.plan.which(on_unit))

    def _clusters(self) -> Iterator[Charge]:
        """Charge tasks that take a whole cluster: unit by unit if that is known."""
        spec, cluster = self._run.energy.cluster, self._run.machine.cluster
        tasks = self._run.holding("cluster")
        if spec is None or cluster is None or not len(tasks):
            return
        if spec.by_unit:
            if spec.cores_power is not None and (spec.counts_engine or not cluster.matrix_engine):
                self._run.count("cluster")
            yield from self._inside(spec, tasks)
            return
        with_engine = np.isin(tasks, self._run.holding("engine_cluster"))
        with_engine |= not cluster.plain_count
        power, plain = spec.power, spec.plain_power
        if (power is None and with_engine.any()) or (plain is None and not with_engine.all()):
            return
        self._run.count("cluster")
        each = np.where(with_engine, power or 0, plain or 0)
        yield Charge("cluster", tasks, over_time(each, self._run.time(tasks)))

    def _inside(self, spec: ClusterEnergy, tasks: Ints) -> Iterator[Charge]:
        """Charge what units do in tasks that take a whole cluster.

        Norms, activations and sums are work of the cores from their first byte to the last, but
        for those that a unit beside them takes.
        """
        left = np.zeros(len(self._run.plan), np.bool_)
        left[tasks] = True
        left[self._pieces_on_unit] = False
        for work in self._cluster_work:
            left[work.tasks] = False
            weights = self._run.time(work.tasks)
            for component, total in _of_work(spec, work).items():
                if total:
                    yield Charge(component, work.tasks, shared_out(total, weights))
        others = np.flatnonzero(left)
        if spec.cores_power is not None and len(others):
            time = self._run.time(others)
            yield Charge("cores", others, over_time(spec.cores_power, time))

    def _units(self) -> Iterator[Charge]:
        """Charge tasks on units of clusters: unit by unit, or the cluster while any works."""
        spec = self._run.energy.cluster
        if spec is None:
            return
        if not spec.by_unit:
            yield from self._while_any_unit_works(spec)
            return
        if spec.counts_engine:
            self._run.count("matrix_engine")
        if spec.counts_dma:
            self._run.count("dma")
        if spec.cores_power is not None:
            self._run.count("cores")
            tasks = self._run.holding("cores")
            time = self._run.time(tasks)
            yield Charge("cores", tasks, over_time(spec.cores_power, time))
        if spec.engine_power is not None:
            tasks = self._run.holding("matrix_engine")
            time = self._run.time(tasks)
            yield Charge("matrix_engine", tasks, over_time(spec.engine_power, time))
        for group in self._run.groups:
            yield from self._events(spec, group)

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
                yield Charge(
                    component, group.tasks, shared_out(total, self._run.time(group.tasks))
                )

    def _while_any_unit_works(self, spec: ClusterEnergy) -> Iterator[Charge]:
        """Charge each cluster's power once for every instant at which any of its units works.

        A task is charged for the part of its time that no earlier task of its cluster covers.
        """
        if spec.power is None:
            return
        self._run.count(*UNITS)
        plan, line = self._run.plan, self._run.timeline
        clusters: dict[str, list[int]] = {}
        for index, resource in enumerate(plan.resources):
            if resource.kind in UNITS and resource.sort == self._run.sort:
                clusters.setdefault(resource.name.rpartition(".")[0], []).append(index)
        for units in clusters.values():
            tasks = self._run.using(units)
            tasks = tasks[np.argsort(line.start[tasks], kind="stable")]
            if not len(tasks):
                continue
            end = np.maximum.accumulate(line.end[tasks])
            before = np.concatenate(([0], end[:-1]))
            alone = np.maximum(line.end[tasks] - np.maximum(line.start[tasks], before), 0)
            yield Charge("cluster", tasks, over_time(spec.power, alone))


def _of_work(spec: ClusterEnergy, work: ClusterWork) -> dict[str, int]:
    """Return part -> what work in a cluster draws [aJ]."""
    return {
        "matrix_engine": spec.engine_aj(work.macs, work.engine_slots)
        + (spec.engine_power or 0) * work.engine_ps,
        "cores": (spec.cores_power or 0) * work.cores_ps,
        "dma": (spec.dma_byte or 0) * work.tcdm_bytes,
        "tcdm": (spec.tcdm_byte or 0) * work.tcdm_bytes,
    }


def _added_up(keys: Ints, values: Ints, count: int) -> Ints:
    """Return the sum of the values of each key from 0 to ``count``."""
    found = np.zeros(count, np.int64)
    np.add.at(found, keys, values)
    return found
