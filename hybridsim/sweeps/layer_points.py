"""Points of strategies that run a network layer by layer, each on its own: blocks of columns.

A layer begins when all of the one before has ended. The execution rule knows no absolute time, so
the run of a network is the sum of the runs of its layers, and layers alike take equally long. All
different layers of all points of a block are decided, priced and executed side by side.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hybridsim.arch import Machine
from hybridsim.engines.looped import Looped
from hybridsim.mapping import Mapping as PlacedNetwork
from hybridsim.mapping import PlacedLayer
from hybridsim.plan import Bools
from hybridsim.simulation import MOST_TOKENS
from hybridsim.strategies import AllAnalog, Job, LayerSerial, PipelinedStrategy, Strategy
from hybridsim.strategies.layers import (
    Chosen,
    LayerPoints,
    OutlineOfPoints,
    PointsAlike,
    choose,
    points_alike,
)
from hybridsim.sweeps.machines import PATHS as MACHINE_PATHS
from hybridsim.sweeps.machines import Columns, valid, with_columns
from hybridsim.units import Ints
from hybridsim.work import mvm, price

TOKENS, RANK, BATCH, BUFFERS = "tokens", "adapters.rank", "strategy.batch", "strategy.buffers"
IN, OUT = "layer.in_features", "layer.out_features"
PATHS = MACHINE_PATHS | {TOKENS, RANK, BATCH, BUFFERS}
"""What can be a column of a study; sizes of a single layer can be one besides."""
MOST_KNOWN = 4096
"""Outlines whose states are remembered."""


def covers(strategy: Strategy) -> bool:
    """Return whether a strategy runs a network layer by layer, each on its own."""
    if isinstance(strategy, PipelinedStrategy):
        return not strategy.stream and not strategy.prefetch_weights
    return isinstance(strategy, AllAnalog | LayerSerial)


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
    """A layer for which nothing fits, or that the cluster cannot compute."""
    ask: Bools
    """Points that only a run of the whole network tells: values that make no machine, or a
    cluster that gets no batch and may still fetch weights when the next layer begins."""


@dataclass
class LayerPointsOf:
    """The points of one placed network and one strategy."""

    mapping: PlacedNetwork
    strategy: Strategy
    tokens: int

    def evaluate(self, columns: Columns, points: int) -> Found:
        """Return what points are, whose ``columns`` hold the values that are not the same for all.

        Raises:
            CapacityError: The strategy asks for more clusters than there are.
            OverflowError: A time does not fit 64 bits.
        """
        block = _Block(self, columns, points)
        bare = block.without_adapters()
        if isinstance(self.strategy, AllAnalog) or not block.adapted:
            return bare
        return block.adapt(bare)

    def without_adapters(self, columns: Columns, points: int) -> Ints:
        """Return the latency of points without any adapter [ps]."""
        return _Block(self, columns, points).without_adapters().yardstick_ps


_looped: dict[tuple[object, ...], Looped] = {}
"""Outlines of single layers with their states so far, whatever study they were met in."""


def _outline_of(group: OutlineOfPoints, job: Job) -> Looped:
    """Return the outline of some points with its states so far."""
    key = (group.key, job.structure.machine)
    if key not in _looped:
        if len(_looped) >= MOST_KNOWN:
            _looped.clear()
        _looped[key] = Looped(group.outline(job))
    return _looped[key]


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
        own = {path: c for path, c in self.columns.items() if path in MACHINE_PATHS}
        ask = ~valid(self.given.mapping.machine, own, self.points)
        ask |= self._tokens > MOST_TOKENS
        for layer, count in self.layers:
            tokens = self._tokens_of(layer)
            ask |= tokens < 1
            latency += count * self._analog_ps(layer)
            batch = np.maximum(batch, tokens)
        tasks = none + len(self.given.mapping.layers)
        return Found(latency, latency, none, batch, none, tasks, ask & False, ask)

    def adapt(self, bare: Found) -> Found:
        """Return what the points are with adapters."""
        adapted = self.adapted
        kinds = len(adapted)
        points, machine = self._stacked(adapted), self.machine
        if machine.arrays():
            machine = machine.taken(np.tile(np.arange(self.points), kinds))
        job = self._job(adapted[0][0])
        strategy = self.given.strategy
        assert isinstance(strategy, PipelinedStrategy | LayerSerial)
        order = strategy.batch_order(job)
        chosen = choose(machine, points, strategy.choices, order)
        latency, tasks = np.zeros(len(points), np.int64), np.zeros(len(points), np.int64)
        idle = np.zeros(len(points), np.bool_)
        for alike in points_alike(machine, points, chosen, strategy.choices, order):
            self._execute(alike, latency, tasks, idle)
        shape = (kinds, self.points)
        counts = np.array([count for _, count in adapted], np.int64)[:, None]
        analog = np.zeros(self.points, np.int64)
        for layer, count in self.layers:
            if layer.adapter is None:
                analog += count * self._analog_ps(layer)
        bare_layers = sum(count for layer, count in self.layers if layer.adapter is None)
        if len(self.given.mapping.layers) == 1:
            idle[:] = False  # nothing follows that could meet a late transfer
        return self._joined(
            bare,
            chosen,
            (latency.reshape(shape) * counts).sum(axis=0) + analog,
            (tasks.reshape(shape) * counts).sum(axis=0) + bare_layers,
            np.asarray(idle.reshape(shape).any(axis=0)),
        )

    def _joined(
        self, bare: Found, chosen: Chosen, latency: Ints, tasks: Ints, idle: Bools
    ) -> Found:
        shape = (-1, self.points)
        unfit = ~chosen.fits.reshape(shape).all(axis=0) & ~bare.ask
        return Found(
            latency,
            bare.yardstick_ps,
            chosen.tcdm_bytes.reshape(shape).max(axis=0),
            chosen.batch.reshape(shape).min(axis=0),
            chosen.buffers.reshape(shape).min(axis=0),
            tasks,
            unfit,
            bare.ask | idle | self._wrong_sizes(),
        )

    def _execute(self, alike: PointsAlike, latency: Ints, tasks: Ints, idle: Bools) -> None:
        """Fill in what some points take, and where not every cluster gets a batch."""
        time_ps = alike.times()
        for group in alike.outlines():
            job = self._job(self.adapted[0][0])
            looped = _outline_of(group, job)
            slots = np.array([work.shape[0] for work in looped.works], np.int64)
            at = alike.points[group.columns]
            counts = group.rounds[None, :] if looped.lengths else None
            own = np.ascontiguousarray(time_ps[slots[:, None], group.columns])
            latency[at] = looped.makespans(own, counts)
            for template in looped.outline.templates:
                once = template.loop.count == 1
                tasks[at] += template.loop.size * (1 if once else group.rounds)
            idle[at] = group.rounds == 0

    def _stacked(self, adapted: list[tuple[PlacedLayer, int]]) -> LayerPoints:
        """Return all layers of all points, layer by layer."""

        def column(values: list[Ints]) -> Ints:
            return np.concatenate(values).astype(np.int64)

        strategy, layers = self.given.strategy, [layer for layer, _ in adapted]
        batch = self._column(BATCH, getattr(strategy, "batch", None) or 0)
        buffers = self._column(BUFFERS, getattr(strategy, "buffers", 1))
        # values that make no layer are asked for elsewhere; here they only must not stop others
        some = np.maximum
        return LayerPoints(
            column([some(self._in(layer), 1) for layer in layers]),
            column([some(self._out(layer), 1) for layer in layers]),
            column([some(self._rank(layer), 1) for layer in layers]),
            column([some(self._tokens_of(layer), 1) for layer in layers]),
            column([some(batch, 0)] * len(layers)),
            column([some(buffers, 1)] * len(layers)),
        )

    def _wrong_sizes(self) -> Bools:
        """Return where columns hold sizes that no layer, adapter or strategy has."""
        wrong = np.zeros(self.points, np.bool_)
        for path, least in ((RANK, 1), (BATCH, 1), (BUFFERS, 1), (IN, 1), (OUT, 1)):
            if path in self.columns:
                wrong |= self.columns[path] < least
        if {RANK, IN, OUT} & set(self.columns):
            for layer, _ in self.adapted:
                wrong |= self._rank(layer) > np.maximum(self._in(layer), self._out(layer))
        return wrong

    def _analog_ps(self, layer: PlacedLayer) -> Ints:
        tokens = np.maximum(self._tokens_of(layer), 1)
        work = mvm(((self._in(layer), self._out(layer)),), tokens)
        found: Ints = price([work], self.machine, self.points).time_ps[0]
        return found

    def _tokens_of(self, layer: PlacedLayer) -> Ints:
        """Return how many vectors of a sequence pass through a layer, at each point."""
        network, op = self.given.mapping.network, layer.op
        long, longer = network.tokens(op, 7), network.tokens(op, 8)
        if long == longer:
            return np.full(self.points, long, np.int64)
        return self._tokens + (long - 7)

    def _in(self, layer: PlacedLayer) -> Ints:
        return self._column(IN, layer.op.in_features)

    def _out(self, layer: PlacedLayer) -> Ints:
        return self._column(OUT, layer.op.out_features)

    def _rank(self, layer: PlacedLayer) -> Ints:
        assert layer.adapter is not None
        return self._column(RANK, layer.adapter.rank)

    def _column(self, path: str, value: int) -> Ints:
        found = self.columns.get(path)
        return np.full(self.points, value, np.int64) if found is None else found

    def _job(self, layer: PlacedLayer) -> Job:
        """Return a job of one layer alone."""
        mapping = replace(self.given.mapping, layers=(layer,))
        return Job(mapping, self.given.tokens)
