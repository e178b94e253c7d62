"""Layers that run at the same time: which ones may, which ones fit, and how well that goes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hybridsim.arch import Machine
from hybridsim.errors import CapacityError
from hybridsim.mapping import PlacedLayer
from hybridsim.strategies.job import Job
from hybridsim.strategies.layers.batches import Batching
from hybridsim.strategies.layers.decisions import Group, clusters_of, per_cluster
from hybridsim.strategies.layers.estimate import PricedParts, alone_ps, stage_of
from hybridsim.workload import Network
from hybridsim.workload.ops import Attention, FirstToken, LastToken, Linear, Trigram

Decide = Callable[[PlacedLayer, int | None, int | None], Batching | None]
"""Returns the batching of a layer for a batch and a number of buffers; None leaves them open."""


@dataclass(frozen=True, slots=True)
class Reads:
    """What a layer reads, as names of static linear layers."""

    batchwise: frozenset[str] = frozenset()
    """Layers of whose output a batch of tokens needs only the same tokens."""
    whole: frozenset[str] = frozenset()
    """Layers of whose output it needs more: all that an attention has seen."""

    def __or__(self, other: "Reads") -> "Reads":
        return Reads(self.batchwise | other.batchwise, self.whole | other.whole)


BARRIERS = (Attention, Trigram, FirstToken, LastToken)
"""Ops that read tokens other than the one they make: attention all, a trigram its neighbours."""


def layer_inputs(network: Network) -> dict[str, Reads]:
    """Return what each static linear layer of a network reads.

    Norms, activations, additions, embeddings and concatenations are looked through: they work on
    each token alone.
    """
    made: dict[str, Reads] = {}
    layers: dict[str, Reads] = {}
    for op in network.ops:
        read = Reads()
        for name in op.inputs:
            read |= made[name]
        if isinstance(op, Linear):
            layers[op.name] = read
            made[op.name] = Reads(frozenset({op.name}))
        elif isinstance(op, BARRIERS):
            made[op.name] = Reads(whole=read.batchwise | read.whole)
        else:
            made[op.name] = read
    return layers


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
            reasons.setdefault(group.cut, []).append(group.members[0][0])
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
        alone = [((layer.name, decide(layer, None, None)),) for layer in layers]
        return [Group(members, cut=cut if i == 0 else _FULL) for i, members in enumerate(alone)]
    batch, buffers = chosen
    runs: list[list[tuple[str, Batching | None]]] = [[]]
    held: dict[int, int] = {}
    for layer in layers:
        member = (layer.name, decide(layer, batch, buffers))
        more = per_cluster(job, [member], lambda batching: batching.tcdm_bytes)
        if any(held.get(c, 0) + size > _room(job) for c, size in more.items()):
            runs.append([])
            held = {}
        runs[-1].append(member)
        held = {c: held.get(c, 0) + more.get(c, 0) for c in {*held, *more}}
    return [
        _group(job, members, inputs, batch, decide, cut if i == 0 else _FULL)
        for i, members in enumerate(runs)
    ]


_FULL = "the adapters together do not fit the TCDM"


def _group(
    job: Job,
    members: Sequence[tuple[str, Batching | None]],
    inputs: Mapping[str, Reads],
    batch: int,
    decide: Decide,
    cut: str,
) -> Group:
    """Return a group; a layer on its own may choose its batch freely."""
    names = [name for name, _ in members]
    if len(members) == 1:
        return Group(((names[0], decide(job.layers[names[0]], None, None)),), cut=cut)
    reads = tuple(
        tuple(other for other in names[:i] if other in inputs[name].batchwise)
        for i, name in enumerate(names)
    )
    return Group(tuple(members), reads, batch, cut)


def _estimate_ps(job: Job, group: Group) -> int:
    """Return how long a group takes if it were perfectly regular [ps].

    The longest chain of first batches, then one batch per turn of the busiest part.
    """
    first, parts = job.layers[group.members[0][0]], PricedParts.of(job.machine)
    tokens = job.tokens_of(first)
    if len(group.members) == 1:
        batching = group.members[0][1]
        if batching is None:
            return _mvm_ps(job.machine, first, tokens)
        return alone_ps(parts, tokens, batching)
    sizes = group.sizes(tokens)
    largest = max(sizes.counts)
    turn = 0
    until: dict[str, int] = {}
    busy: dict[int, list[int]] = {}
    for (name, batching), reads in zip(group.members, group.inputs, strict=True):
        layer = job.layers[name]
        before = max((until[other] for other in reads), default=0)
        mvm = _mvm_ps(job.machine, layer, largest)
        turn = max(turn, mvm)
        if batching is None:
            until[name] = before + mvm
            continue
        stage = stage_of(parts, batching.program)
        until[name] = before + stage.first
        serial = 0 if batching.buffers > 1 else stage.turn(1)
        for cluster in clusters_of(job, layer, batching):
            own = busy.setdefault(cluster, [0, 0, 0, 0])
            for i, time in enumerate((*stage.busy, serial)):
                own[i] += time // batching.order.clusters
    turn = max(turn, *(max(own) for own in busy.values())) if busy else turn
    return max(until.values()) + (sizes.batches - 1) * turn


def _mvm_ps(machine: Machine, layer: PlacedLayer, tokens: int) -> int:
    return machine.tile.mvm_ps(layer.op.in_features, layer.op.out_features, tokens)


def _room(job: Job) -> int:
    assert job.machine.cluster is not None
    return job.machine.cluster.tcdm.size
