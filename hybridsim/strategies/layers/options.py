"""Options of the strategies that adapt layer after layer, and what they lead to for each layer."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import Literal

from hybridsim.arch import Machine
from hybridsim.errors import CapacityError
from hybridsim.programs import BALANCED, CHOICES, LoraChoice, OrderOption, on_machine
from hybridsim.strategies.job import Draft, Job, Schedule
from hybridsim.strategies.layers.batches import PLAIN, BatchOrder
from hybridsim.strategies.layers.choosers import BatchChooser
from hybridsim.strategies.layers.decisions import (
    Group,
    LayerDecisions,
    fetched_ahead,
    one_by_one,
)
from hybridsim.units import Count, Spec, ceil_div

UNITS = {
    "either": ("matrix_engine", "cores"),
    "best": ("matrix_engine", "cores", "both", "balanced"),
}
"""Values of ``unit`` that leave a choice."""
_EVERY = 1024
"""Up to here every batch of a stream is tried where unit or order are open; beyond, powers of two
and all tokens."""
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
        # here and below only where layers stream, as most do not
        from hybridsim.strategies.layers.streams import groups_of, least_estimate, stretches_of

        batch = self.batch or ceil_div(job.tokens, _MOST_ANALOG_BATCHES)
        deciders = [lambda *_: None]
        choose = partial(least_estimate, job, deciders, (min(batch, job.tokens),), 1)
        return LayerDecisions((), tuple(groups_of(job, stretches_of(job), deciders, choose)))


class AdaptedStrategy(LayerStrategy):
    """A strategy that adapts layer after layer, each in batches of tokens."""

    batch: Count | None = None
    """Tokens per batch; None takes, for each layer, the batch that is fastest when it is run."""
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

    def within(self, job: Job) -> "AdaptedStrategy":
        """Return this for a job with the layers on one kind of parts alone."""
        return self

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
        counts = self.cluster_counts(job)
        if len(counts) == 1:
            return self._on(counts[0])._decided(job)
        if self.stream:
            return fastest(job, [self._on(count)._decided(job) for count in counts])
        best = BatchChooser(self, job, counts).by_shape()
        if not self.prefetch_weights:
            return one_by_one(job, best)
        each = [BatchChooser(self._on(count), job).by_shape() for count in counts]
        return fastest(job, [one_by_one(job, own, True) for own in (best, *each)])

    def cluster_counts(self, job: Job) -> tuple[int, ...]:
        """Return the numbers of clusters that are tried; without an engine that is all of them.

        Raises:
            CapacityError: More clusters are asked for than the machine has.
        """
        there = max((self.batch_order(own).clusters for own in job.of_kinds), default=1)
        tried = self.clusters == "best" and job.engine is not None
        adapted = bool(job.mapping.network.adapted_layers)
        return tuple(range(1, there + 1 if adapted else 2)) if tried else (there,)

    def within(self, job: Job) -> "PipelinedStrategy":
        """Return this on no more clusters than there are."""
        there = job.machine.cluster.count if job.machine.cluster else 1
        return self._on(min(there, self.clusters)) if isinstance(self.clusters, int) else self

    def _on(self, clusters: int) -> "PipelinedStrategy":
        """Return this on a number of clusters that is not open."""
        return self.model_copy(update={"clusters": clusters})

    def _decided(self, job: Job) -> LayerDecisions:
        """Return how each layer is computed on a number of clusters that is not open."""
        chooser = BatchChooser(self, job)
        if not self.stream:
            return one_by_one(job, chooser.by_shape(), self.prefetch_weights)
        from hybridsim.strategies.layers.stream_cuts import StreamCuts
        from hybridsim.strategies.layers.streams import groups_of, least_estimate, stretches_of

        stretches, sizes = stretches_of(job), self._sizes(job)
        if job.engine is None:
            deciders = [chooser.batching]
            choose = partial(least_estimate, job, deciders, sizes, self.buffers)
            return self._streamed(job, groups_of(job, stretches, deciders, choose))
        choosers = [chooser, *(BatchChooser(own, job) for own in self._named(job))]
        deciders = [each.batching for each in choosers]
        cuts = StreamCuts(job, choosers, sizes, self.buffers)
        groups = groups_of(job, stretches, deciders, cuts.fastest)
        found = self._streamed(job, groups)
        if not found.ahead:
            return found
        # Fetches ahead go across stretches, which were chosen one by one. They are taken to save
        # no more than they last; that no order of tasks gains more is not proven.
        saved, least = cuts.fetches_ps(groups), _run_ps(job, found)
        for bound, named in cuts.named(stretches):
            if bound - saved >= least:
                break
            takes = cuts.takes_ps(stretches, named, bound, least + saved)
            if takes - saved >= least:
                continue
            groups = groups_of(job, stretches, deciders, partial(cuts.fastest, named=named))
            other = self._streamed(job, groups)
            own = cuts.fetches_ps([groups[number] for number in other.ahead])
            if other == found or takes - own >= least:
                continue
            time = _run_ps(job, other)
            if time < least:
                found, least = other, time
        return found

    def _streamed(self, job: Job, groups: Sequence[Group]) -> LayerDecisions:
        from hybridsim.strategies.layers.streams import stream_notes

        ahead = fetched_ahead(job, groups) if self.prefetch_weights else ()
        notes, every = stream_notes(groups), self._every(job)
        streams = any(len(group.members) > 1 for group in groups)
        if streams and not self.batch and 0 < every < job.tokens:
            notes += (
                f"stream: batches of 1 to {every:,} tokens, powers of two and all {job.tokens:,} "
                "were tried; with one unit and order named it is every batch",
            )
        return LayerDecisions((), tuple(groups), ahead, notes)

    def _named(self, job: Job) -> list["PipelinedStrategy"]:
        """Return the same with each open unit and order named: what is best for each layer by
        itself need not be best for layers at once."""
        units = UNITS.get(self.unit, (self.unit,))
        orders: tuple[OrderOption, ...] = (self.order,)
        if self.order == "best":
            orders = ("natural", "direct", "swapped")
        if len(units) * len(orders) == 1 or not job.mapping.network.adapted_layers:
            return []
        pairs = product(units, orders)
        each = [self.model_copy(update={"unit": u, "order": o}) for u, o in pairs]
        return [own for own in each if own.choices(job.machine)]

    def _sizes(self, job: Job) -> tuple[int, ...]:
        """Return the batches that a stream may be cut into."""
        if self.batch:
            return (min(self.batch, job.tokens),)
        powers = (2**i for i in range((job.tokens - 1).bit_length()))
        every = range(1, self._every(job) + 1)
        return tuple(dict.fromkeys((*powers, job.tokens, *every)))

    def _every(self, job: Job) -> int:
        """Return up to how many tokens every batch of a stream is tried."""
        if job.engine is None:
            return 0
        # with several ways each batch is run to choose one, which takes long
        return job.tokens if len(self.choices(job.machine)) < 2 else min(job.tokens, _EVERY)

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


def _run_ps(job: Job, decided: LayerDecisions) -> int:
    return job.run_ps(decided.draft(job).outline.expand())


def fastest(job: Job, tried: Sequence[LayerDecisions]) -> LayerDecisions:
    """Return the decisions whose run of the whole network is shortest, the first of several."""
    different = list(dict.fromkeys(tried))
    if len(different) == 1:
        return different[0]
    return min(different, key=lambda own: _run_ps(job, own))
