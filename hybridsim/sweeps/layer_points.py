"""Points of strategies that run a network layer by layer, each on its own: blocks of columns.

A layer begins when all of the one before has ended. The execution rule knows no absolute time, so
the run of a network is the sum of the runs of its layers, and layers alike take equally long. All
different layers of all points of a block are decided, priced and executed side by side.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np

from hybridsim.arch import Machine
from hybridsim.components.matrix_engine import MOST
from hybridsim.engines import engine
from hybridsim.mapping import Mapping as PlacedNetwork
from hybridsim.mapping import PlacedLayer
from hybridsim.outside import has_own_code
from hybridsim.plan import Bools
from hybridsim.simulation import MOST_TOKENS
from hybridsim.strategies import AllAnalog, Job, LayerSerial, PipelinedStrategy, Strategy
from hybridsim.strategies.layers import (
    BatchOrder,
    Chosen,
    LayerPoints,
    can_compute,
    choose,
    layer_times,
)
from hybridsim.sweeps.machines import PATHS as MACHINE_PATHS
from hybridsim.sweeps.machines import Columns, with_columns
from hybridsim.units import Ints
from hybridsim.work import mvm, price

TOKENS, RANK, BATCH, BUFFERS = "tokens", "adapters.rank", "strategy.batch", "strategy.buffers"
IN, OUT = "layer.in_features", "layer.out_features"
PATHS = MACHINE_PATHS | {TOKENS, RANK, BATCH, BUFFERS}
"""What can be a column of a study; sizes of a single layer can be one besides."""


def covers(strategy: Strategy) -> bool:
    """Return whether a strategy runs a network layer by layer, each on its own.

    One from outside with methods of its own decides by these, not by the options it inherits.
    """
    if has_own_code(type(strategy)):
        return False
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
    decided: Ints
    """How each layer with an adapter is computed, shape (columns, points): points that agree in
    them, in tokens and in sizes have the same plan."""
    adapted: bool = False
    """Whether batch and buffers are those of adapted layers."""


@dataclass
class LayerPointsOf:
    """The points of one placed network and one strategy."""

    mapping: PlacedNetwork
    strategy: Strategy
    tokens: int
    others: bool = False
    """Whether more layers, on other kinds of parts, run before or after these."""

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

    def job(self) -> Job:
        """Return the job on the machine as it is, whatever the columns."""
        return Job(self.mapping, self.tokens, engine("compiled"))


@dataclass(frozen=True)
class Together:
    """Points of networks that lie on one machine under one strategy, with the same columns."""

    given: Sequence[LayerPointsOf]
    columns: Sequence[Columns]
    points: Sequence[int]

    def evaluate(self) -> list[Found]:
        """Return what the points of each network are; all of them must have a sense.

        See :meth:`LayerPointsOf.sound` and :func:`.machines.valid`. Layers of all networks are
        decided, priced and executed at the same time.

        Raises:
            CapacityError: The strategy asks for more clusters than there are.
            OverflowError: A time does not fit 64 bits.
        """
        every = zip(self.given, self.columns, self.points, strict=True)
        blocks = [_Block(*each) for each in every]
        found = [block.without_adapters() for block in blocks]
        if isinstance(self.given[0].strategy, AllAnalog):
            return found
        orders = [block.order() for block in blocks]
        adapted = [place for place, block in enumerate(blocks) if block.adapted]
        if adapted:
            own = self._adapted([blocks[place] for place in adapted], *orders[adapted[0]])
            first = 0
            for place in adapted:
                end = first + len(blocks[place].rows)
                found[place] = blocks[place].joined(found[place], own.part(np.arange(first, end)))
                first = end
        return found

    def _adapted(
        self, blocks: list["_Block"], order: BatchOrder, clusters: Sequence[int]
    ) -> "_Adapted":
        """Return all layers with adapters, decided and executed."""
        stacked = [block.stacked() for block in blocks]
        points = LayerPoints(
            *(np.concatenate([getattr(own, column.name) for own in stacked])
              for column in fields(LayerPoints))
        )  # fmt: skip
        machine = with_columns(
            self.given[0].mapping.machine,
            {path: np.concatenate([block.columns[path][block.rows] for block in blocks])
             for path in blocks[0].columns if path in MACHINE_PATHS},
        )  # fmt: skip
        strategy = self.given[0].strategy
        assert isinstance(strategy, PipelinedStrategy | LayerSerial)
        choices, job = strategy.choices(machine), blocks[0].job()
        chosen = choose(machine, points, choices, order, job, clusters)
        latency, tasks = np.where(chosen.fits, (chosen.latency_ps, chosen.tasks), 0)
        left = np.flatnonzero(latency < 0)  # where there was no choice
        if len(left):
            own = machine, points, chosen
            if len(left) < len(latency):
                own = machine.taken(left), points.taken(left), chosen.taken(left)
            found = layer_times(*own, choices, order, job)
            latency[left], tasks[left] = found.latency_ps, found.tasks
        idle = chosen.fits & (chosen.batches(points, order) < chosen.clusters)
        return _Adapted(chosen, latency, tasks, idle)


@dataclass(frozen=True, slots=True, eq=False)
class _Adapted:
    """All layers with adapters of all points, as they were decided and executed; columns."""

    chosen: Chosen
    latency: Ints
    tasks: Ints
    idle: Bools
    """Where not every cluster gets a batch."""

    def part(self, rows: Ints) -> "_Adapted":
        """Return some rows."""
        return _Adapted(
            self.chosen.taken(rows), self.latency[rows], self.tasks[rows], self.idle[rows]
        )


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

    @property
    def rows(self) -> Ints:
        """The point of each row of :meth:`stacked`."""
        return np.tile(np.arange(self.points), len(self.adapted))

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
            key = (layer.op.in_features, layer.op.out_features, rank, lengths, layer.copies)
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
        return Found(latency, latency, none, batch, none, tasks, no, no, none[None])

    def joined(self, alone: Found, own: "_Adapted") -> Found:
        """Return what the points are, of whose layers those with adapters are known."""
        shape = (-1, self.points)
        counts = np.array([count for _, count in self.adapted], np.int64)[:, None]
        analog = np.zeros(self.points, np.int64)
        for layer, count in self.layers:
            if layer.adapter is None:
                analog += count * self._analog_ps(layer)
        plain_layers = sum(count for layer, count in self.layers if layer.adapter is None)
        idle = own.idle
        if len(self.given.mapping.layers) == 1 and not self.given.others:
            # nothing follows that could meet a late transfer
            idle = np.zeros_like(idle)
        return self._joined(
            alone,
            own,
            (own.latency.reshape(shape) * counts).sum(axis=0) + analog,
            (own.tasks.reshape(shape) * counts).sum(axis=0) + plain_layers,
            np.asarray(idle.reshape(shape).any(axis=0)),
        )

    def order(self) -> tuple[BatchOrder, Sequence[int]]:
        """Return how batches follow each other, and the numbers of clusters that are tried."""
        strategy, job = self.given.strategy, self.given.job()
        if isinstance(strategy, PipelinedStrategy):
            return strategy.batch_order(job), strategy.cluster_counts(job)
        assert isinstance(strategy, LayerSerial)
        return strategy.batch_order(job), ()

    def _joined(
        self, alone: Found, own: "_Adapted", latency: Ints, tasks: Ints, idle: Bools
    ) -> Found:
        chosen, shape = own.chosen, (-1, self.points)
        decided = (
            chosen.choice, chosen.sliced, chosen.batch, chosen.buffers, chosen.clusters
        )  # fmt: skip
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
            np.concatenate([column.reshape(shape) for column in decided]).astype(np.int64),
            adapted=True,
        )

    def stacked(self) -> LayerPoints:
        """Return all layers with adapters of all points, layer by layer."""

        def column(values: list[Ints]) -> Ints:
            return np.concatenate(values).astype(np.int64)

        strategy, layers = self.given.strategy, [layer for layer, _ in self.adapted]
        batch = self._column(BATCH, getattr(strategy, "batch", None) or 0)
        buffers = self._column(BUFFERS, getattr(strategy, "buffers", 1))
        return LayerPoints(
            column([self.inner(layer) for layer in layers]),
            column([self.outer(layer) for layer in layers]),
            column([self.rank(layer) for layer in layers]),
            column([self.tokens_of(layer) for layer in layers]),
            column([np.full(self.points, layer.copies) for layer in layers]),
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
        shape = (self.inner(layer), self.outer(layer))
        work = mvm((shape,), self.tokens_of(layer), layer.copies)
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

    def job(self) -> Job:
        """Return a job of one layer with an adapter alone."""
        mapping = replace(self.given.mapping, layers=(self.adapted[0][0],))
        return Job(mapping, self.given.tokens)
