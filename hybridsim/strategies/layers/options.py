"""Options of the strategies that adapt layer after layer, and what they lead to for each layer."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

import numpy as np

from hybridsim.arch import Machine
from hybridsim.errors import CapacityError
from hybridsim.mapping import PlacedLayer
from hybridsim.programs import BALANCED, CHOICES, LoraChoice, OrderOption, on_machine
from hybridsim.strategies.job import Draft, Job, Schedule
from hybridsim.strategies.layers.batches import PLAIN, Batching, BatchOrder
from hybridsim.strategies.layers.choose import LayerPoints, batchings, choose_batching
from hybridsim.strategies.layers.clusters import best_by_shape, fastest
from hybridsim.strategies.layers.decisions import (
    LayerDecisions,
    Shape,
    fetched_ahead,
    one_by_one,
    shape_of,
)
from hybridsim.strategies.layers.streams import groups_of, stream_notes
from hybridsim.units import Count, Spec, ceil_div

UNITS = {
    "either": ("matrix_engine", "cores"),
    "best": ("matrix_engine", "cores", "both", "balanced"),
}
"""Values of ``unit`` that leave a choice."""
_MOST_ANALOG_BATCHES = 2048
"""Batches of a streamed yardstick, so that its plan stays small however long a sequence is."""


class LayerStrategy(Spec, ABC):
    """A strategy for the static linear layers of a network and their adapters."""

    def without_adapters(self) -> "AllAnalog":
        """Return how the layers run without adapters under the same freedom: one after the other,
        or streamed where this strategy may stream."""
        return AllAnalog()

    @abstractmethod
    def decide(self, job: Job) -> LayerDecisions:
        """Return how each layer is computed.

        Raises:
            CapacityError: A batch does not fit the scratchpad of its cluster.
            UnsupportedError: The machine lacks a unit that the strategy asks for.
        """

    def outline(self, job: Job) -> Draft:
        """Return the plan of all layers in outline; its size does not grow with tokens."""
        return self.decide(job).draft(job)

    def schedule(self, job: Job) -> Schedule:
        """Return the plan of all layers."""
        return self.decide(job).lay_out(job)


class AllAnalog(LayerStrategy):
    """Every layer is only its MVMs, one layer after the other: no adapter work at all.

    This is what overhead is measured against. Source: Li et al. 2026, Fig. 4 (overhead per
    layer relative to a fully analog implementation).
    """

    kind: Literal["all_analog"] = "all_analog"
    stream: bool = False
    """Whether a layer works on a batch as soon as the layers it reads have: the yardstick of
    strategies that may stream."""
    batch: Count | None = None
    """Tokens per batch of a stream; None takes the least, which nothing beats: one token, or as
    many as give 2048 batches."""

    def without_adapters(self) -> "AllAnalog":
        """Return this: there are no adapters."""
        return self

    def decide(self, job: Job) -> LayerDecisions:
        """Return that nothing is adapted."""
        if not self.stream:
            return LayerDecisions()
        batch = self.batch or ceil_div(job.tokens, _MOST_ANALOG_BATCHES)
        groups = groups_of(job, lambda *_: None, (min(batch, job.tokens),), 1)
        return LayerDecisions((), tuple(groups))


class AdaptedStrategy(LayerStrategy):
    """A strategy that adapts layer after layer, each in batches of tokens."""

    batch: Count | None = None
    """Tokens per batch; None takes, for each layer, the batch with the least estimated latency."""
    unit: Literal["matrix_engine", "cores", "both", "balanced", "either", "best"] = "matrix_engine"
    """Which part of the cluster multiplies. ``both`` splits the rows of a batch, ``balanced``
    those of each product. ``either`` takes the faster of engine and cores for each layer,
    ``best`` the fastest of all. Source of the default: Li et al. 2026 use RedMulE."""
    order: OrderOption = "natural"
    """Operand order on the matrix engine: X A (``direct``), A^T X^T (``swapped``), the faster one
    (``best``), or the one that takes X as the machine's ``cluster.x_layout`` brings it, without a
    transposition (``natural``)."""
    buffers: Count = 2
    """Batches that a cluster holds at once, where they fit; 2 is double buffering."""

    def choices(self, machine: Machine) -> tuple[LoraChoice, ...]:
        """Return the ways to compute an adapter on a machine that the options leave open."""
        units = UNITS.get(self.unit, (self.unit,))
        return tuple(
            choice
            for choice in on_machine((*CHOICES, BALANCED), machine)
            if choice.unit in units and choice.ordered(self.order)
        )

    def batch_order(self, job: Job) -> BatchOrder:
        """Return how batches follow each other on a machine.

        Raises:
            CapacityError: The machine lacks what this asks for.
        """
        return PLAIN

    def decide(self, job: Job) -> LayerDecisions:
        """Return how each layer is computed, one after the other.

        Raises:
            CapacityError: A batch does not fit the scratchpad of its cluster.
            UnsupportedError: The machine lacks a unit that the strategy asks for.
        """
        return one_by_one(job, BatchChooser(self, job).by_shape())


class PipelinedStrategy(AdaptedStrategy):
    """Tile and cluster work at the same time; every option is independent of the others."""

    early_xa: bool = False
    """Whether X A runs while the tile still integrates the batch: it needs only the input."""
    add: Literal["fused", "separate"] = "fused"
    """``fused``: the product is added onto the analog output where that lies, so it waits for it.
    ``separate``: the product goes into a buffer of its own, and the cores add the two."""
    first_batch: Count | None = None
    """Tokens of the first batch; the next ones double, up to the full batch. None: no ramp."""
    last_batch: Count | None = None
    """Tokens of the last batch; those before it double, up to the full batch. None: no ramp."""
    clusters: Count | Literal["all", "best"] = "best"
    """Clusters that take the batches of a layer in turn, each with its own A, B and buffers.
    ``best`` runs each number of them, and takes all unless fewer are as fast."""
    prefetch_weights: bool = False
    """Whether A and B of the next layer are fetched during this one, where they fit beside it."""
    stream: bool = False
    """Whether a layer works on a batch as soon as the layers it reads have stored it."""

    def without_adapters(self) -> AllAnalog:
        """Return all-analog layers, streamed in the same batches where this streams."""
        return AllAnalog(stream=True, batch=self.batch) if self.stream else AllAnalog()

    def choices(self, machine: Machine) -> tuple[LoraChoice, ...]:
        """Return the ways to compute an adapter on a machine that the options leave open."""
        found = super().choices(machine)
        if self.add == "fused":
            return found
        # a balanced split adds on the engine whatever is asked for, unless it is asked for alone
        kept = (c for c in found if c.unit != "balanced" or self.unit == "balanced")
        return tuple(choice.model_copy(update={"add": self.add}) for choice in kept)

    def decide(self, job: Job) -> LayerDecisions:
        """Return how each layer is computed: one after the other, or streamed.

        Raises:
            CapacityError: A batch does not fit the scratchpad of its cluster, or there are fewer
                clusters than asked for.
            UnsupportedError: The machine lacks a unit that the strategy asks for.
        """
        ways = self._ways(job)
        if len(ways) == 1:
            return ways[0]._decided(job)
        if self.stream:
            return fastest(job, [way._decided(job) for way in ways])
        each = [BatchChooser(way, job).by_shape() for way in ways]
        best = best_by_shape(job, each)
        if not self.prefetch_weights:
            return one_by_one(job, best)
        return fastest(job, [one_by_one(job, own, True) for own in (best, *each)])

    def batch_orders(self, job: Job) -> list[BatchOrder]:
        """Return how batches follow each other, for each number of clusters that is tried.

        Raises:
            CapacityError: More clusters are asked for than the machine has.
        """
        return [way.batch_order(job) for way in self._ways(job)]

    def _ways(self, job: Job) -> "list[PipelinedStrategy]":
        """Return this with each number of clusters that is tried; an estimate takes them all."""
        if self.clusters != "best":
            return [self]
        there = job.machine.cluster.count if job.machine.cluster else 1
        adapted = bool(job.mapping.network.adapted_layers)
        tried = [there] if job.engine is None else range(1, there + 1 if adapted else 2)
        return [self.model_copy(update={"clusters": count}) for count in tried]

    def _decided(self, job: Job) -> LayerDecisions:
        """Return how each layer is computed on a number of clusters that is not open."""
        chooser = BatchChooser(self, job)
        if not self.stream:
            return one_by_one(job, chooser.by_shape(), self.prefetch_weights)
        sizes = self._sizes(job)
        chooser.prepare(sizes, range(self.buffers, 0, -1))
        groups = tuple(groups_of(job, chooser.batching, sizes, self.buffers))
        ahead = fetched_ahead(job, groups) if self.prefetch_weights else ()
        return LayerDecisions((), groups, ahead, stream_notes(groups))

    def _sizes(self, job: Job) -> tuple[int, ...]:
        """Return the batches that a stream may be cut into."""
        if self.batch:
            return (min(self.batch, job.tokens),)
        return (*(2**i for i in range((job.tokens - 1).bit_length())), job.tokens)

    def batch_order(self, job: Job) -> BatchOrder:
        """Return how batches follow each other on a machine.

        Raises:
            CapacityError: More clusters are asked for than the machine has.
        """
        there = job.machine.cluster.count if job.machine.cluster else 0
        wanted = there if self.clusters in ("all", "best") else int(self.clusters)
        if wanted > there > 0:
            raise CapacityError(
                f"clusters: found {wanted}; {job.machine.name} has {there}; give 1 to {there}, "
                f"'all' or 'best', or raise cluster.count"
            )
        return BatchOrder(self.early_xa, self.first_batch, self.last_batch, max(1, wanted))


@dataclass
class BatchChooser:
    """The batching of each layer under a strategy's options; layers alike share it."""

    strategy: AdaptedStrategy
    job: Job
    _order: BatchOrder = field(init=False)
    _known: dict[tuple[object, ...], Batching] = field(default_factory=dict)
    _unfit: dict[tuple[object, ...], CapacityError] = field(default_factory=dict)
    """Why nothing fits, where that was asked before: a stream asks for each of its stretches."""

    def __post_init__(self) -> None:
        self._order = self.strategy.batch_order(self.job)

    def by_shape(self) -> dict[Shape, Batching]:
        """Return the batching of each different layer with an adapter."""
        found: dict[Shape, Batching] = {}
        for layer in self.job.mapping.layers:
            shape = shape_of(self.job, layer)
            if layer.adapter is not None and shape not in found:
                batching = self.batching(layer)
                assert batching is not None
                found[shape] = batching
        return found

    def prepare(self, batches: Sequence[int], buffers: Sequence[int]) -> None:
        """Decide all layers for all these batches and buffers at once, and with both left open."""
        strategy, machine = self.strategy, self.job.machine
        layers = [layer for layer in self.job.mapping.layers if layer.adapter is not None]
        shapes = dict.fromkeys(shape_of(self.job, layer) for layer in layers)
        if machine.cluster is None or not shapes:
            return
        asked = [(None, None), *product(batches, buffers)]
        keys = [(shape, *one) for shape in shapes for one in asked]
        points = [
            (*shape, batch or strategy.batch or 0, most or strategy.buffers)
            for shape, batch, most in keys
        ]
        columns = LayerPoints(*np.array(points, np.int64).T)
        found = batchings(machine, columns, strategy.choices(machine), self._order)
        # what does not fit is left to be asked for, and refused in words
        fitting = zip(keys, found, strict=True)
        self._known |= {key: own for key, own in fitting if own is not None}

    def batching(
        self, layer: PlacedLayer, batch: int | None = None, buffers: int | None = None
    ) -> Batching | None:
        """Return the batching of a layer, with a batch or buffers if given; None if analog."""
        if layer.adapter is None:
            return None
        strategy, job = self.strategy, self.job
        key = (shape_of(job, layer), batch, buffers)
        if key in self._unfit:
            raise self._unfit[key]
        if key not in self._known:
            try:
                self._known[key] = choose_batching(
                    job.machine,
                    layer,
                    job.tokens_of(layer),
                    batch or strategy.batch,
                    strategy.choices(job.machine),
                    buffers or strategy.buffers,
                    self._order,
                )
            except CapacityError as error:
                self._unfit[key] = error
                raise
        return self._known[key]
