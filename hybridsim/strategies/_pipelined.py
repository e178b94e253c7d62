"""The pipeline of tile and cluster, and the choices that make a strategy of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from hybridsim.errors import CapacityError
from hybridsim.mapping import PlacedLayer
from hybridsim.programs import LoraChoice
from hybridsim.strategies._adapted import AdaptedStrategy
from hybridsim.strategies._base import Draft, Job, LayerSchedule, Schedule
from hybridsim.strategies._batching import Batching, Flow, choose_batching
from hybridsim.strategies._layout import Layout
from hybridsim.strategies._streaming import (
    Group,
    clusters_of,
    fits_beside,
    groups_of,
    stream_notes,
)
from hybridsim.units import Count


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
    clusters: Count | Literal["all"] = 1
    """Clusters that take the batches of a layer in turn, each with its own A, B and buffers."""
    prefetch_weights: bool = False
    """Whether A and B of the next layer are fetched during this one, where they fit beside it."""
    stream: bool = False
    """Whether a layer works on a batch as soon as the layers it reads have stored it."""

    @property
    def choices(self) -> tuple[LoraChoice, ...]:
        """The ways to compute an adapter that the options leave open."""
        if self.add == "fused":
            return super().choices
        # a balanced split adds on the engine whatever is asked for, unless it is asked for alone
        kept = (c for c in super().choices if c.unit != "balanced" or self.unit == "balanced")
        return tuple(choice.model_copy(update={"add": self.add}) for choice in kept)

    def outline(self, job: Job) -> Draft:
        """Return the plan of all layers in outline: one after the other, or streamed."""
        decide = Decisions(self, job)
        if self.stream:
            groups = groups_of(job, decide.batching, self._sizes(job), self.buffers)
        else:
            groups = [*decide.one_by_one()]
        return draft(job, groups, self.prefetch_weights)

    def _sizes(self, job: Job) -> tuple[int, ...]:
        """Return the batches that a stream may be cut into."""
        if self.batch:
            return (min(self.batch, job.tokens),)
        return (*(2**i for i in range((job.tokens - 1).bit_length())), job.tokens)

    def flow(self, job: Job) -> Flow:
        """Return how batches follow each other on this machine.

        Raises:
            CapacityError: More clusters are asked for than the machine has.
        """
        there = job.machine.cluster.count if job.machine.cluster else 0
        wanted = there if self.clusters == "all" else self.clusters
        if wanted > there > 0:
            raise CapacityError(
                f"clusters: found {wanted}; {job.machine.name} has {there}; give 1 to {there}, or "
                f"'all', or raise cluster.count"
            )
        return Flow(self.early_xa, self.first_batch, self.last_batch, max(1, wanted))


@dataclass
class Decisions:
    """The batching of each layer under a strategy's options; layers alike share it."""

    strategy: PipelinedStrategy
    job: Job

    def __post_init__(self) -> None:
        self._flow = self.strategy.flow(self.job)
        self._decided: dict[tuple[int | None, ...], Batching] = {}

    def one_by_one(self) -> Iterator[Group]:
        """Yield every layer as a group of its own."""
        for layer in self.job.mapping.layers:
            yield Group(((layer, self.batching(layer)),))

    def batching(
        self, layer: PlacedLayer, batch: int | None = None, buffers: int | None = None
    ) -> Batching | None:
        """Return the batching of a layer, with a batch or buffers if given; None if analog."""
        if layer.adapter is None:
            return None
        strategy, tokens = self.strategy, self.job.tokens_of(layer)
        op, rank = layer.op, layer.adapter.rank
        key = (op.in_features, op.out_features, rank, tokens, batch, buffers)
        if key not in self._decided:
            self._decided[key] = choose_batching(
                self.job.machine,
                layer,
                tokens,
                batch or strategy.batch,
                strategy.choices,
                buffers or strategy.buffers,
                self._flow,
            )
        return self._decided[key]


def lay_out(job: Job, groups: Sequence[Group], prefetch: bool = False) -> Schedule:
    """Return the plan of groups of layers, as :func:`draft` outlines it."""
    return draft(job, groups, prefetch).schedule()


def draft(job: Job, groups: Sequence[Group], prefetch: bool = False) -> Draft:
    """Return the plan of groups of layers in outline, one group after the other.

    With ``prefetch`` A and B of a group are fetched while the one before it runs, where they fit.
    """
    layout = Layout(job)
    layers: list[LayerSchedule] = []
    for group, following in zip(groups, [*groups[1:], None], strict=True):
        before = layout.before
        _lay_out_group(layout, job, group)
        ahead: dict[int, int] = {}
        if prefetch and following is not None and fits_beside(job, group, following):
            ahead = following.weight_bytes(job)
            for layer, batching in following.members:
                if batching is not None:
                    layout.fetch_ahead(group.members[-1][0], before, layer, batching)
        layers += [_decided(job, *member, ahead) for member in group.members]
    return Draft(layout.builder.outline(), tuple(layers), stream_notes(groups))


def _lay_out_group(layout: Layout, job: Job, group: Group) -> None:
    layer, batching = group.members[0]
    if len(group.members) == 1 and batching is None:
        layout.analog(layer)
    elif len(group.members) == 1 and batching is not None:
        layout.pipelined(layer, batching)
    else:
        layout.streamed(group.members, group.inputs, group.tokens(job))


def _decided(
    job: Job, layer: PlacedLayer, batching: Batching | None, ahead: dict[int, int]
) -> LayerSchedule:
    """Return what was decided for a layer; ``ahead`` is what lies beside it on each cluster."""
    if batching is None:
        return LayerSchedule(layer, job.tokens_of(layer))
    beside = max((ahead.get(c, 0) for c in clusters_of(job, layer, batching)), default=0)
    return LayerSchedule(
        layer,
        batching.batch,
        batching.program.choice,
        batching.buffers,
        batching.tcdm_bytes + beside,
    )
