"""What each task of a plan draws, part by part: attojoules, as integers."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from hybridsim.components.energy import ClusterEnergy
from hybridsim.mapping import PlacedLayer
from hybridsim.measure.charge import Charge, ChargedRun, over_time, shared_out
from hybridsim.measure.cluster_work import UNITS, ClusterWork, Group, cluster_work
from hybridsim.measure.transfers import Transfers
from hybridsim.plan import Timeline
from hybridsim.strategies import Job, Schedule
from hybridsim.units import Ints


class Charges:
    """What the tasks of one run draw under a machine's energies."""

    def __init__(self, job: Job, schedule: Schedule, timeline: Timeline) -> None:
        self._run = ChargedRun(job, schedule, timeline)
        self.by_layer: dict[str, int] = {}
        """Layer -> what its MVMs draw [aJ], also where another op carries them."""

    def all(self) -> list[Charge]:
        """Return every charge of the run."""
        return [
            *self._mvms(),
            *self._sums_at_tiles(),
            *self._clusters(),
            *self._units(),
            *Transfers(self._run).all(),
        ]

    @property
    def not_counted(self) -> tuple[str, ...]:
        """Kinds of parts that work in the run without a known energy."""
        plan, counted = self._run.plan, self._run.counted
        used = {plan.resources[index].kind for index in np.flatnonzero(np.bincount(plan.use))}
        # an adapter's home is room in a scratchpad, which draws nothing of its own here
        free = {"engine_cluster", "adapter_home"} if "cluster" in counted else set()
        return tuple(sorted(used - counted - free))

    # --- tiles ------------------------------------------------------------------------------

    def _mvms(self) -> Iterator[Charge]:
        """Charge MVMs: crossbar and converters for the integration, then the periphery."""
        spec, tasks = self._run.energy.tile, np.flatnonzero(self._run.of_kind("mvm"))
        if spec is None or not spec.counts_mvms or not len(tasks):
            return
        self._run.counted.add("tile")
        crossbar = np.zeros(len(self._run.plan.ops), np.int64)
        periphery = np.zeros_like(crossbar)
        members = self._members
        for index, layers in members.items():
            costs = [self._vector(layer) for layer in layers]
            crossbar[index] = sum(cost[1] for cost in costs)
            periphery[index] = sum(cost[2] for cost in costs)
        op = self._run.plan.op[tasks]
        vectors = self._run.plan.tokens[tasks]
        self._note_layers(members, _added_up(op, vectors, len(crossbar)))
        yield Charge("tile", tasks, over_time(crossbar[op], vectors))
        if spec.periphery_power is not None:
            yield Charge("periphery", tasks, over_time(periphery[op], vectors))

    @cached_property
    def _members(self) -> dict[int, list[PlacedLayer]]:
        """Op -> the layers whose MVMs its tasks do."""
        place = {name: index for index, name in enumerate(self._run.plan.ops)}
        found: dict[int, list[PlacedLayer]] = {}
        for decided in self._run.schedule.layers:
            name = decided.layer.name
            carrier = self._run.schedule.carried_by.get(name, name)
            if carrier in place:
                found.setdefault(place[carrier], []).append(decided.layer)
        return found

    def _vector(self, layer: PlacedLayer) -> tuple[int, int, int]:
        """Return time [ps], crossbar energy and periphery energy [aJ] of one vector of a layer."""
        op, tile, spec = layer.op, self._run.job.machine.tile, self._run.energy.tile
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
        spec, tasks = self._run.energy.tile, self._run.holding("periphery")
        if spec is None or spec.periphery_power is None:
            return
        self._run.counted.add("periphery")
        columns = self._run.job.machine.tile.columns
        wide = {d.op.name: -(-d.op.out_features // columns) for d in self._run.schedule.ops}
        crossbars: Ints = np.array([wide.get(name, 1) for name in self._run.plan.ops], np.int64)
        power: Ints = spec.periphery_power * crossbars[self._run.plan.op[tasks]]
        yield Charge("periphery", tasks, over_time(power, self._run.time(tasks)))

    # --- clusters ---------------------------------------------------------------------------

    def _clusters(self) -> Iterator[Charge]:
        """Charge tasks that take a whole cluster: unit by unit if that is known."""
        spec, cluster = self._run.energy.cluster, self._run.job.machine.cluster
        tasks = self._run.holding("cluster")
        if spec is None or cluster is None or not len(tasks):
            return
        if spec.by_unit:
            if spec.cores_power is not None and (spec.counts_engine or not cluster.matrix_engine):
                self._run.counted.add("cluster")
            yield from self._inside(spec, tasks)
            return
        with_engine = np.isin(tasks, self._run.holding("engine_cluster"))
        with_engine |= not cluster.plain_count
        power, plain = spec.power, spec.plain_power
        if (power is None and with_engine.any()) or (plain is None and not with_engine.all()):
            return
        self._run.counted.add("cluster")
        each = np.where(with_engine, power or 0, plain or 0)
        yield Charge("cluster", tasks, over_time(each, self._run.time(tasks)))

    def _inside(self, spec: ClusterEnergy, tasks: Ints) -> Iterator[Charge]:
        """Charge what units do in tasks that take a whole cluster.

        Norms, activations and sums are work of the cores from their first byte to the last.
        """
        left = np.zeros(len(self._run.plan), np.bool_)
        left[tasks] = True
        for work in cluster_work(self._run.job, self._run.schedule):
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
            self._run.counted.add("matrix_engine")
        if spec.counts_dma:
            self._run.counted.add("dma")
        if spec.cores_power is not None:
            self._run.counted.add("cores")
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
        self._run.counted.update(UNITS)
        plan, line = self._run.plan, self._run.timeline
        clusters: dict[str, list[int]] = {}
        for index, resource in enumerate(plan.resources):
            if resource.kind in UNITS:
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
