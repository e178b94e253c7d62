"""Points of strategies that run a network layer by layer, each on its own: blocks of columns.

A layer begins when all of the one before has ended. The execution rule knows no absolute time, so
the run of a network is the sum of the runs of its layers, and layers alike take equally long. All
different layers of all points of a block are decided, priced and executed side by side.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hybridsim.arch import Machine
from hybridsim.components.matrix_engine import MOST
from hybridsim.engines import engine
from hybridsim.mapping import Mapping as PlacedNetwork
from hybridsim.mapping import PlacedLayer
from hybridsim.plan import Bools
from hybridsim.simulation import MOST_TOKENS
from hybridsim.strategies import AllAnalog, Job, LayerSerial, PipelinedStrategy, Strategy
from hybridsim.strategies.layers import (
    BatchOrder,
    Chosen,
    LayerPoints,
    SizeColumns,
    can_compute,
    choose,
)
from hybridsim.sweeps.layer_times import layer_times
from hybridsim.sweeps.machines import PATHS as MACHINE_PATHS
from hybridsim.sweeps.machines import Columns, with_columns
from hybridsim.units import Ints
from hybridsim.work import mvm, price

TOKENS, RANK, BATCH, BUFFERS = "tokens", "adapters.rank", "strategy.batch", "strategy.buffers"
IN, OUT = "layer.in_features", "layer.out_features"
PATHS = MACHINE_PATHS | {TOKENS, RANK, BATCH, BUFFERS}
"""What can be a column of a study; sizes of a single layer can be one besides."""


def covers(strategy: Strategy) -> bool:
    """Return whether a strategy runs a network layer by layer, each on its own."""
    if isinstance(strategy, PipelinedStrategy):
        return not strategy.stream and not strategy.prefetch_weights
    if isinstance(strategy, AllAnalog):
        return not strategy.stream
    return isinstance(strategy, LayerSerial)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What is known of the points of a block, one entry each; 0 where nothing is."""

    latency_ps: Ints
    yardstick_ps: Ints
    tcdm_bytes: Ints
    batch: Ints
    buffers: Ints
    tasks: Ints
    unfit: Bools
    """A layer for which nothing fits."""
    ask: Bools
    """Points that only a run of the whole network tells: a cluster that gets no batch may still
    fetch weights when the next layer begins, or no unit can do what would fit."""


@dataclass
class LayerPointsOf:
    """The points of one placed network and one strategy."""

    mapping: PlacedNetwork
    strategy: Strategy
    tokens: int

    def evaluate(self, columns: Columns, points: int) -> Found:
        """Return what points are, whose ``columns`` hold the values that are not the same for all.

        All of them must have a sense: see :meth:`sound` and :func:`.machines.valid`.

        Raises:
            CapacityError: The strategy asks for more clusters than there are.
            OverflowError: A time does not fit 64 bits.
        """
        block = _Block(self, columns, points)
        alone = block.without_adapters()
        if isinstance(self.strategy, AllAnalog):
            return alone
        return block.adapt(alone)

    def sound(self, columns: Columns, points: int) -> Bools:
        """Return the points whose tokens, sizes and options make a layer, adapter and strategy."""
        block = _Block(self, columns, points)
        good = np.ones(points, np.bool_)
        for path in (RANK, BATCH, BUFFERS, IN, OUT):
            if path in columns:
                good &= columns[path] >= 1
        if isinstance(self.strategy, LayerSerial) and BUFFERS in columns:
            good &= columns[BUFFERS] == self.strategy.buffers
        if TOKENS in columns:
            good &= columns[TOKENS] <= MOST_TOKENS
        for layer, _ in block.layers:
            good &= block.tokens_of(layer) >= 1
        if {RANK, IN, OUT} & set(columns):
            for layer, _ in block.adapted:
                good &= block.rank(layer) <= np.maximum(block.inner(layer), block.outer(layer))
        return good

    def yardstick_ps(self, columns: Columns, points: int) -> Ints:
        """Return the latency of points without any adapter [ps]."""
        return _Block(self, columns, points).without_adapters().yardstick_ps


@dataclass(slots=True, eq=False)
class _Adapted:
    """All layers with adapters of all points, as they were decided and executed; columns."""

    chosen: Chosen
    latency: Ints
    tasks: Ints
    idle: Bools
    """Where not every cluster gets a batch."""

    @classmethod
    def of(cls, chosen: Chosen) -> "_Adapted":
        """Return what was decided, before anything is executed."""
        count = len(chosen.fits)
        none = np.zeros(count, np.int64)
        return cls(chosen, none, none.copy(), np.zeros(count, np.bool_))

    def take(self, other: "_Adapted") -> None:
        """Take over what is faster on another number of clusters."""
        fits = self.chosen.fits
        better = other.chosen.fits & (~fits | (other.latency < self.latency))
        self.chosen = self.chosen.with_others(better, other.chosen)
        for name in ("latency", "tasks", "idle"):
            getattr(self, name)[better] = getattr(other, name)[better]


@dataclass
class _Block:
    """Some points at once."""

    given: LayerPointsOf
    columns: Columns
    points: int

    @cached_property
    def machine(self) -> Machine:
        own = {path: c for path, c in self.columns.items() if path in MACHINE_PATHS}
        return with_columns(self.given.mapping.machine, own)

    @cached_property
    def _tokens(self) -> Ints:
        return self._column(TOKENS, self.given.tokens)

    @cached_property
    def layers(self) -> list[tuple[PlacedLayer, int]]:
        """One layer of each kind, and how many are like it."""
        found: dict[tuple[object, ...], list[PlacedLayer]] = {}
        network = self.given.mapping.network
        for layer in self.given.mapping.layers:
            rank = layer.adapter.rank if layer.adapter else 0
            # two lengths tell one token, all, and all but the class token apart
            lengths = network.tokens(layer.op, 7), network.tokens(layer.op, 8)
            key = (layer.op.in_features, layer.op.out_features, rank, lengths)
            found.setdefault(key, []).append(layer)
        return [(alike[0], len(alike)) for alike in found.values()]

    @property
    def adapted(self) -> list[tuple[PlacedLayer, int]]:
        """Those of :attr:`layers` that have an adapter."""
        return [(layer, count) for layer, count in self.layers if layer.adapter is not None]

    def without_adapters(self) -> Found:
        """Return what the points are without any adapter: the MVMs of all layers in turn."""
        none = np.zeros(self.points, np.int64)
        latency, batch = none.copy(), none.copy()
        for layer, count in self.layers:
            latency += count * self._analog_ps(layer)
            batch = np.maximum(batch, self.tokens_of(layer))
        tasks, no = none + len(self.given.mapping.layers), np.zeros(self.points, np.bool_)
        return Found(latency, latency, none, batch, none, tasks, no, no)

    def adapt(self, alone: Found) -> Found:
        """Return what the points are with adapters; of several numbers of clusters the fastest."""
        adapted = self.adapted
        orders = self._orders()
        if not adapted:
            return alone
        kinds = len(adapted)
        points, machine = self._stacked(adapted), self.machine
        if machine.arrays():
            machine = machine.taken(np.tile(np.arange(self.points), kinds))
        own = self._run(machine, points, orders[0], len(orders) > 1)
        for order in orders[1:]:
            own.take(self._run(machine, points, order, True))
        shape = (kinds, self.points)
        counts = np.array([count for _, count in adapted], np.int64)[:, None]
        analog = np.zeros(self.points, np.int64)
        for layer, count in self.layers:
            if layer.adapter is None:
                analog += count * self._analog_ps(layer)
        plain_layers = sum(count for layer, count in self.layers if layer.adapter is None)
        if len(self.given.mapping.layers) == 1:
            own.idle[:] = False  # nothing follows that could meet a late transfer
        return self._joined(
            alone,
            own.chosen,
            (own.latency.reshape(shape) * counts).sum(axis=0) + analog,
            (own.tasks.reshape(shape) * counts).sum(axis=0) + plain_layers,
            np.asarray(own.idle.reshape(shape).any(axis=0)),
        )

    def _orders(self) -> list[BatchOrder]:
        """Return how batches follow each other, for each number of clusters that is tried."""
        strategy, mapping = self.given.strategy, self.given.mapping
        job = Job(mapping, self.given.tokens, engine("compiled"))
        if isinstance(strategy, PipelinedStrategy):
            return strategy.batch_orders(job)
        assert isinstance(strategy, LayerSerial)
        return [strategy.batch_order(job)]

    def _run(
        self, machine: Machine, points: LayerPoints, order: BatchOrder, several: bool
    ) -> "_Adapted":
        """Decide and execute all layers of all points on a number of clusters.

        Where ``several`` numbers are tried, clusters without a batch are left out.
        """
        strategy = self.given.strategy
        assert isinstance(strategy, PipelinedStrategy | LayerSerial)
        choices = strategy.choices(machine)
        chosen = choose(machine, points, choices, order)
        job, own = self._job(self.adapted[0][0]), _Adapted.of(chosen)
        used = np.full(len(points), order.clusters, np.int64)
        if several:
            ramps = order.first_batch or 0, order.last_batch or 0
            sizes = SizeColumns.of(points.tokens, np.maximum(chosen.batch, 1), *ramps)
            used = np.minimum(used, sizes.batches)
        for count in np.unique(used[chosen.fits]).tolist():
            at = np.flatnonzero(chosen.fits & (used == count))
            on, some = replace(order, clusters=count), chosen.taken(at)
            there = machine.taken(at) if machine.arrays() else machine
            found = layer_times(there, points.taken(at), some, choices, on, job)
            own.latency[at], own.tasks[at] = found.latency_ps, found.tasks
            own.idle[at] = found.idle
        return own

    def _joined(
        self, alone: Found, chosen: Chosen, latency: Ints, tasks: Ints, idle: Bools
    ) -> Found:
        shape = (-1, self.points)
        unfit: Bools = np.asarray(~chosen.fits.reshape(shape).all(axis=0))
        ask: Bools = np.where(unfit, idle | self._may_be_unsupported(), idle)
        return Found(
            latency,
            alone.yardstick_ps,
            chosen.tcdm_bytes.reshape(shape).max(axis=0),
            chosen.batch.reshape(shape).min(axis=0),
            chosen.buffers.reshape(shape).min(axis=0),
            tasks,
            unfit,
            ask,
        )

    def _stacked(self, adapted: list[tuple[PlacedLayer, int]]) -> LayerPoints:
        """Return all layers of all points, layer by layer."""

        def column(values: list[Ints]) -> Ints:
            return np.concatenate(values).astype(np.int64)

        strategy, layers = self.given.strategy, [layer for layer, _ in adapted]
        batch = self._column(BATCH, getattr(strategy, "batch", None) or 0)
        buffers = self._column(BUFFERS, getattr(strategy, "buffers", 1))
        return LayerPoints(
            column([self.inner(layer) for layer in layers]),
            column([self.outer(layer) for layer in layers]),
            column([self.rank(layer) for layer in layers]),
            column([self.tokens_of(layer) for layer in layers]),
            column([batch] * len(layers)),
            column([buffers] * len(layers)),
        )

    def _may_be_unsupported(self) -> Bools:
        """Return where an adapter may lack a unit rather than room."""
        machine, strategy = self.given.mapping.machine, self.given.strategy
        cluster = machine.cluster
        assert isinstance(strategy, PipelinedStrategy | LayerSerial)
        assert cluster is not None
        able = any(can_compute(cluster, choice) for choice in strategy.choices(machine))
        large = np.full(self.points, not able)
        for layer, _ in self.adapted:
            for size in (self.inner(layer), self.outer(layer), self.tokens_of(layer)):
                large |= size > MOST
        return large

    def _analog_ps(self, layer: PlacedLayer) -> Ints:
        work = mvm(((self.inner(layer), self.outer(layer)),), self.tokens_of(layer))
        found: Ints = price([work], self.machine, self.points).time_ps[0]
        return found

    def tokens_of(self, layer: PlacedLayer) -> Ints:
        """Return how many vectors of a sequence pass through a layer, at each point."""
        network, op = self.given.mapping.network, layer.op
        long, longer = network.tokens(op, 7), network.tokens(op, 8)
        if long == longer:
            return np.full(self.points, long, np.int64)
        return self._tokens + (long - 7)

    def inner(self, layer: PlacedLayer) -> Ints:
        """Return the inputs of a layer at each point."""
        return self._column(IN, layer.op.in_features)

    def outer(self, layer: PlacedLayer) -> Ints:
        """Return the outputs of a layer at each point."""
        return self._column(OUT, layer.op.out_features)

    def rank(self, layer: PlacedLayer) -> Ints:
        """Return the rank of a layer's adapter at each point."""
        assert layer.adapter is not None
        return self._column(RANK, layer.adapter.rank)

    def _column(self, path: str, value: int) -> Ints:
        found = self.columns.get(path)
        return np.full(self.points, value, np.int64) if found is None else found

    def _job(self, layer: PlacedLayer) -> Job:
        """Return a job of one layer alone."""
        mapping = replace(self.given.mapping, layers=(layer,))
        return Job(mapping, self.given.tokens)
