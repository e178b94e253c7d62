"""Layers that run at the same time: which ones may, which ones fit, and how well that goes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hybridsim.arch import Machine
from hybridsim.errors import CapacityError
from hybridsim.mapping import PlacedLayer
from hybridsim.strategies._base import Job
from hybridsim.strategies._batching import Batching, Cut, Stage, estimate_ps
from hybridsim.strategies._layer_inputs import Reads, layer_inputs

Member = tuple[PlacedLayer, Batching | None]
"""A layer and how its adapter is computed, None without one."""
Decide = Callable[[PlacedLayer, int | None, int | None], Batching | None]
"""Returns the batching of a layer for a batch and a number of buffers; None leaves them open."""


@dataclass(frozen=True)
class Group:
    """Layers that run at the same time, or one on its own."""

    members: tuple[Member, ...]
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Layer -> the layers of the group that it reads."""
    batch: int = 0
    """Tokens per batch of all layers; 0 for a layer on its own."""
    cut: str = ""
    """Why the group begins here instead of being part of the one before."""

    def tokens(self, job: Job) -> Cut:
        """Return the tokens of each batch, the same for all layers."""
        tokens = job.tokens_of(self.members[0][0])
        for _, batching in self.members:
            if batching is not None:
                return batching.cut(tokens)
        count, rest = divmod(tokens, self.batch)
        return Cut((), self.batch, count, (rest,) * (rest > 0))

    def weight_bytes(self, job: Job) -> dict[int, int]:
        """Return what A and B of all layers take on each cluster [bytes]."""
        return _per_cluster(job, self.members, lambda batching: batching.weight_bytes)

    def tcdm_bytes(self, job: Job) -> dict[int, int]:
        """Return what the adapters of all layers take on each cluster [bytes]."""
        return _per_cluster(job, self.members, lambda batching: batching.tcdm_bytes)


def clusters_of(job: Job, layer: PlacedLayer, batching: Batching) -> list[int]:
    """Return the clusters that compute the adapter of a layer."""
    assert layer.cluster is not None
    count = len(job.resources.clusters)
    return [(layer.cluster + phase) % count for phase in range(batching.flow.clusters)]


def fits_beside(job: Job, group: Group, following: Group) -> bool:
    """Return whether A and B of the following group fit beside all that a group holds."""
    assert job.machine.cluster is not None or not following.weight_bytes(job)
    if job.machine.cluster is None:
        return False
    size, held, weights = job.machine.cluster.tcdm.size, group.tcdm_bytes(job), following
    return all(held.get(c, 0) + more <= size for c, more in weights.weight_bytes(job).items())


def groups_of(job: Job, decide: Decide, sizes: Sequence[int], buffers: int) -> list[Group]:
    """Return the layers of a network in groups that are streamed, in order.

    A group ends where a layer needs all tokens of one in it, works on another number of tokens,
    shares a tile with one in it, or does not fit the scratchpads beside the others. Each stretch
    between the first three takes the batch, of ``sizes``, and the buffers, up to ``buffers``, with
    the least estimate; the cuts for want of room follow from these.
    """
    inputs = layer_inputs(job.mapping.network)
    found: list[Group] = []
    known: dict[tuple[object, ...], tuple[int, int] | None] = {}
    for layers, cut in _stretches(job, inputs):
        key = tuple(_alike(job, layer, layers, inputs) for layer in layers)
        if key not in known:
            known[key] = _best_cut(job, layers, inputs, decide, sizes, buffers)
        found += _cut_to_fit(job, layers, inputs, decide, known[key], cut)
    return found


def stream_notes(groups: Sequence[Group]) -> tuple[str, ...]:
    """Return what to say of a network that is streamed: how, and where it was cut."""
    streamed = [group for group in groups if len(group.members) > 1]
    reasons: dict[str, list[str]] = {}
    for group in groups:
        if group.cut:
            reasons.setdefault(group.cut, []).append(group.members[0][0].name)
    if not reasons:
        return ()
    longest = max((len(group.members) for group in streamed), default=1)
    head = f"stream: {len(streamed)} groups of up to {longest} layers run as one"
    cuts = [
        f"stream: cut {len(names)} times, {reason}; first before {names[0]}"
        for reason, names in reasons.items()
    ]
    return (head, *cuts)


def _alike(
    job: Job, layer: PlacedLayer, layers: Sequence[PlacedLayer], inputs: Mapping[str, Reads]
) -> tuple[object, ...]:
    """Return what decides how a layer is streamed; equal for layers that are alike."""
    place = {other.name: i for i, other in enumerate(layers)}
    reads = tuple(sorted(place[n] for n in inputs[layer.name].batchwise if n in place))
    rank = layer.adapter.rank if layer.adapter else 0
    return (
        layer.op.in_features, layer.op.out_features, rank, layer.cluster,
        job.tokens_of(layer), reads,
    )  # fmt: skip


def _stretches(job: Job, inputs: Mapping[str, Reads]) -> Iterator[tuple[list[PlacedLayer], str]]:
    """Yield layers that may run at the same time, and why each stretch begins."""
    stretch: list[PlacedLayer] = []
    reason = ""
    for layer in job.mapping.layers:
        cut = _why_not_with(job, layer, stretch, inputs)
        if cut:
            yield stretch, reason
            stretch, reason = [], cut
        stretch.append(layer)
    if stretch:
        yield stretch, reason


def _why_not_with(
    job: Job, layer: PlacedLayer, stretch: Sequence[PlacedLayer], inputs: Mapping[str, Reads]
) -> str:
    if not stretch:
        return ""
    names = {other.name for other in stretch}
    if inputs[layer.name].whole & names:
        return "all tokens are needed at once (attention)"
    if job.tokens_of(layer) != job.tokens_of(stretch[0]):
        return "another number of tokens"
    if any(set(layer.tiles) & set(other.tiles) for other in stretch):
        return "a tile is shared"
    return ""


def _best_cut(
    job: Job,
    layers: Sequence[PlacedLayer],
    inputs: Mapping[str, Reads],
    decide: Decide,
    sizes: Sequence[int],
    buffers: int,
) -> tuple[int, int] | None:
    """Return the batch and buffers with the least estimate; None if no batch fits."""
    if len(layers) == 1:
        return None
    tokens = job.tokens_of(layers[0])
    tried: list[tuple[int, int, int]] = []
    for size in dict.fromkeys(min(size, tokens) for size in sizes):
        for most in range(buffers, 0, -1):
            try:
                groups = _cut_to_fit(job, layers, inputs, decide, (size, most), "")
            except CapacityError:
                continue
            estimate = sum(_estimate_ps(job, group) for group in groups)
            tried.append((estimate, size, most))
    least = min(tried, default=None, key=lambda t: (t[0], t[1], -t[2]))
    return least[1:] if least else None


def _cut_to_fit(
    job: Job,
    layers: Sequence[PlacedLayer],
    inputs: Mapping[str, Reads],
    decide: Decide,
    chosen: tuple[int, int] | None,
    cut: str,
) -> list[Group]:
    """Return a stretch in groups, each as long as its adapters fit together."""
    if chosen is None:
        alone = [((layer, decide(layer, None, None)),) for layer in layers]
        return [Group(members, cut=cut if i == 0 else _FULL) for i, members in enumerate(alone)]
    batch, buffers = chosen
    runs: list[list[Member]] = [[]]
    held: dict[int, int] = {}
    for layer in layers:
        member = (layer, decide(layer, batch, buffers))
        more = _per_cluster(job, [member], lambda batching: batching.tcdm_bytes)
        if any(held.get(c, 0) + size > _room(job) for c, size in more.items()):
            runs.append([])
            held = {}
        runs[-1].append(member)
        held = {c: held.get(c, 0) + more.get(c, 0) for c in {*held, *more}}
    return [
        _group(members, inputs, batch, decide, cut if i == 0 else _FULL)
        for i, members in enumerate(runs)
    ]


_FULL = "the adapters together do not fit the TCDM"


def _group(
    members: Sequence[Member], inputs: Mapping[str, Reads], batch: int, decide: Decide, cut: str
) -> Group:
    """Return a group; a layer on its own may choose its batch freely."""
    if len(members) == 1:
        layer = members[0][0]
        return Group(((layer, decide(layer, None, None)),), cut=cut)
    names = [layer.name for layer, _ in members]
    reads = {
        name: tuple(other for other in names[:i] if other in inputs[name].batchwise)
        for i, name in enumerate(names)
    }
    return Group(tuple(members), reads, batch, cut)


def _estimate_ps(job: Job, group: Group) -> int:
    """Return how long a group takes if it were perfectly regular [ps].

    The longest chain of first batches, then one batch per turn of the busiest part.
    """
    if len(group.members) == 1:
        layer, batching = group.members[0]
        tokens = job.tokens_of(layer)
        if batching is None:
            return _mvm_ps(job.machine, layer, tokens)
        return estimate_ps(job.machine, layer, tokens, batching)
    cut = group.tokens(job)
    largest = max((*cut.first, *cut.last, cut.full * (cut.count > 0)))
    turn = 0
    until: dict[str, int] = {}
    busy: dict[int, list[int]] = {}
    for layer, batching in group.members:
        before = max((until[name] for name in group.inputs[layer.name]), default=0)
        mvm = _mvm_ps(job.machine, layer, largest)
        turn = max(turn, mvm)
        if batching is None:
            until[layer.name] = before + mvm
            continue
        stage = Stage.of(job.machine, batching.program)
        until[layer.name] = before + stage.first
        for cluster in clusters_of(job, layer, batching):
            parts = busy.setdefault(cluster, [0, 0, 0, 0])
            serial = 0 if batching.buffers > 1 else stage.turn(1)
            for i, time in enumerate((*stage.busy, serial)):
                parts[i] += time // batching.flow.clusters
    turn = max(turn, *(max(parts) for parts in busy.values())) if busy else turn
    return max(until.values()) + (cut.batches - 1) * turn


def _mvm_ps(machine: Machine, layer: PlacedLayer, tokens: int) -> int:
    return machine.tile.mvm_ps(layer.op.in_features, layer.op.out_features, tokens)


def _room(job: Job) -> int:
    assert job.machine.cluster is not None
    return job.machine.cluster.tcdm.size


def _per_cluster(
    job: Job, members: Iterable[Member], size: Callable[[Batching], int]
) -> dict[int, int]:
    total: dict[int, int] = {}
    for layer, batching in members:
        if batching is not None:
            for cluster in clusters_of(job, layer, batching):
                total[cluster] = total.get(cluster, 0) + size(batching)
    return total
