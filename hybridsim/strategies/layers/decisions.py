"""What was decided for the layers of a network, and laying that out as a plan."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from hybridsim.mapping import PlacedLayer
from hybridsim.strategies.job import Draft, Job, LayerDecision, Schedule
from hybridsim.strategies.layers.batches import Batching, BatchSizes
from hybridsim.strategies.layers.layout import Layout

Shape = tuple[Any, ...]
"""Input and output length, rank, tokens, copies, and on several kinds of parts that of tiles and
that of clusters: layers that agree in them are decided once."""


def shape_of(job: Job, layer: PlacedLayer) -> Shape:
    """Return what decides how a layer is best run; rank 0 is a layer without adapter."""
    rank = layer.adapter.rank if layer.adapter else 0
    kinds = (layer.sort, layer.cluster_sort) if job.machine.several else ()
    op, tokens = layer.op, job.tokens_of(layer)
    return (op.in_features, op.out_features, rank, tokens, layer.copies, *kinds)


@dataclass(frozen=True, slots=True)
class Group:
    """Layers that run at the same time, or one on its own."""

    members: tuple[tuple[str, Batching | None], ...]
    """Each layer and how its adapter is computed; None without one."""
    inputs: tuple[tuple[str, ...], ...] = ()
    """The layers of the group that each of several members reads."""
    batch: int = 0
    """Tokens per batch of all layers; 0 for a layer on its own."""
    cut: str = ""
    """Why the group begins here instead of being part of the one before."""

    def sizes(self, tokens: int) -> BatchSizes:
        """Return the tokens of each batch, the same for all layers."""
        for _, batching in self.members:
            if batching is not None:
                return batching.sizes
        return BatchSizes.of(tokens, self.batch)


@dataclass(frozen=True, slots=True)
class LayerDecisions:
    """How each layer is computed, and which ones run at the same time."""

    batchings: tuple[tuple[Shape, Batching], ...] = ()
    """How layers with an adapter are computed, by shape; one that has no shape here is analog."""
    groups: tuple[Group, ...] | None = None
    """Layers that run at the same time, in order; None for one layer after the other, each as
    :attr:`batchings` says."""
    ahead: tuple[int, ...] = ()
    """Groups, by number, whose A and B are fetched while the group before them runs."""
    notes: tuple[str, ...] = field(default=(), compare=False)
    """What a person should know of how it was decided, a line each."""

    def lay_out(self, job: Job) -> Schedule:
        """Return the plan of all layers."""
        return self.draft(job).schedule()

    def draft(self, job: Job) -> Draft:
        """Return the plan in outline, one group after the other; it does not grow with tokens."""
        layout, known = Layout(job), job.layers
        groups, ahead = self._groups(job), frozenset(self.ahead)
        layers: list[LayerDecision] = []
        for number, group in enumerate(groups):
            layout.written(known[group.members[0][0]])
            before = layout.before
            _lay_out_group(layout, job, group)
            held: dict[int, int] = {}
            if number + 1 in ahead:
                following = groups[number + 1]
                held = weight_bytes(job, following)
                for name, batching in following.members:
                    if batching is not None:
                        beside = known[group.members[-1][0]]
                        layout.fetch_ahead(beside, before, known[name], batching)
            during = groups[number - 1].members[-1][0] if number in ahead else None
            layers += [
                _decided(job, known[name], own, held, during) for name, own in group.members
            ]
        return Draft(layout.builder.outline(), tuple(layers), self.notes)

    def _groups(self, job: Job) -> Sequence[Group]:
        return alone(job, dict(self.batchings)) if self.groups is None else self.groups


def alone(job: Job, batchings: Mapping[Shape, Batching]) -> list[Group]:
    """Return every layer as a group of its own."""
    return [
        Group(((layer.name, batchings.get(shape_of(job, layer))),)) for layer in job.mapping.layers
    ]


def one_by_one(
    job: Job,
    batchings: Mapping[Shape, Batching],
    prefetch: bool = False,
    notes: tuple[str, ...] = (),
) -> LayerDecisions:
    """Return the decisions to run one layer after the other, layers alike in the same way.

    With ``prefetch`` A and B of a layer are fetched while the one before it runs, where they fit.
    """
    ahead = fetched_ahead(job, alone(job, batchings)) if prefetch else ()
    return LayerDecisions(tuple(batchings.items()), None, ahead, notes)


def fetched_ahead(job: Job, groups: Sequence[Group]) -> tuple[int, ...]:
    """Return the groups, by number, whose A and B fit beside all that the one before holds."""
    return tuple(
        number + 1
        for number, (group, following) in enumerate(pairwise(groups))
        if _fits_beside(job, group, following)
    )


def _fits_beside(job: Job, group: Group, following: Group) -> bool:
    weights = weight_bytes(job, following)
    if job.machine.cluster is None:
        return False
    held = per_cluster(job, group.members, lambda _, batching: batching.tcdm_bytes)
    return all(held.get(c, 0) + more <= room(job, c) for c, more in weights.items())


def room(job: Job, number: int) -> int:
    """Return the scratchpad of a cluster by its number [bytes]."""
    first = job.resources.first
    sort = next(s for s, (begin, count) in first.items() if begin <= number < begin + count)
    cluster = job.machine.cluster_of(sort)
    assert cluster is not None
    return cluster.tcdm.size


def weight_bytes(job: Job, group: Group) -> dict[int, int]:
    """Return what A and B of all layers of a group take on each cluster [bytes]."""
    return per_cluster(
        job,
        group.members,
        lambda layer, own: own.weight_bytes(job.shape_of(layer).element_bytes),
    )


def per_cluster(
    job: Job,
    members: Iterable[tuple[str, Batching | None]],
    size: Callable[[PlacedLayer, Batching], int],
) -> dict[int, int]:
    """Return the sum of what all members take on each cluster [bytes]."""
    total: dict[int, int] = {}
    for name, batching in members:
        if batching is not None:
            layer = job.layers[name]
            for cluster in clusters_of(job, layer, batching):
                total[cluster] = total.get(cluster, 0) + size(layer, batching)
    return total


def clusters_of(job: Job, layer: PlacedLayer, batching: Batching) -> list[int]:
    """Return the clusters that compute the adapter of a layer."""
    return job.resources.in_turn(layer, batching.order.clusters)


def _lay_out_group(layout: Layout, job: Job, group: Group) -> None:
    known = job.layers
    name, batching = group.members[0]
    if len(group.members) > 1:
        members = [(known[name], own) for name, own in group.members]
        names = [name for name, _ in group.members]
        inputs = dict(zip(names, group.inputs, strict=True))
        layout.streamed(members, inputs, group.sizes(job.tokens_of(known[name])))
    elif batching is None:
        layout.analog(known[name])
    else:
        layout.adapted(known[name], batching)


def _decided(
    job: Job,
    layer: PlacedLayer,
    batching: Batching | None,
    ahead: Mapping[int, int],
    during: str | None,
) -> LayerDecision:
    """Return what was decided for a layer; ``ahead`` is what lies beside it on each cluster.

    ``during`` is the layer that runs while its own A and B are fetched.
    """
    if batching is None:
        return LayerDecision(layer, job.tokens_of(layer))
    beside = 0
    if ahead:
        beside = max(ahead.get(c, 0) for c in clusters_of(job, layer, batching))
    return LayerDecision(
        layer,
        batching.batch,
        batching.program.choice,
        batching.buffers,
        batching.tcdm_bytes + beside,
        batching=batching,
        during=during,
    )
