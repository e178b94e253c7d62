"""Layers that run at the same time: which ones may, which ones fit, and how well that goes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from hybridsim.errors import CapacityError, UnsupportedError
from hybridsim.mapping import PlacedLayer
from hybridsim.strategies.job import Job
from hybridsim.strategies.layers.batches import Batching
from hybridsim.strategies.layers.decisions import Group, clusters_of, per_cluster, room
from hybridsim.strategies.layers.estimate import PricedParts, alone_ps, stage_of
from hybridsim.units import ceil_div
from hybridsim.workload import Network
from hybridsim.workload.ops import (
    Attention,
    FirstToken,
    LastToken,
    Linear,
    Pool,
    Trigram,
    Window,
)

Cut = tuple[int, int, int]
"""How a stretch is run: tokens of a batch, the most buffers, and which one decides its layers."""
Choose = Callable[[Sequence[PlacedLayer]], Cut | None]
"""Returns the cut of a stretch; None if no batch fits, or it is a single layer."""
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


BARRIERS = (Attention, Trigram, Window, Pool, FirstToken, LastToken)
"""Ops that read tokens other than the one they make: attention all, a window its neighbours."""


_MOST_NETWORKS = 16
_inputs: dict[int, tuple[Network, dict[str, Reads]]] = {}
"""By identity, as to compare networks takes long; each is kept, so its number stays its own."""


def layer_inputs(network: Network) -> Mapping[str, Reads]:
    """Return what each static linear layer of a network reads.

    Norms, activations, additions, embeddings and concatenations are looked through: they work on
    each token alone.
    """
    if id(network) not in _inputs:
        if len(_inputs) >= _MOST_NETWORKS:
            _inputs.clear()
        _inputs[id(network)] = network, _layer_inputs(network)
    return _inputs[id(network)][1]


def _layer_inputs(network: Network) -> dict[str, Reads]:
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


class Stretch(NamedTuple):
    """Layers that may run at the same time, as far as there is room."""

    layers: Sequence[PlacedLayer]
    cut: str
    """Why it begins."""
    first: int
    """The number of the first stretch alike: they are run in the same way."""


def stretches_of(job: Job) -> list[Stretch]:
    """Return the stretches of a network, in order.

    One ends where a layer needs all tokens of one in it, works on another number of tokens, shares
    a tile with one in it, or has its tiles written.
    """
    inputs = layer_inputs(job.mapping.network)
    known: dict[tuple[object, ...], int] = {}
    found: list[Stretch] = []
    for layers, cut in _stretches(job, inputs):
        key = tuple(_alike(job, layer, layers, inputs) for layer in layers)
        found.append(Stretch(layers, cut, known.setdefault(key, len(found))))
    return found


def groups_of(
    job: Job, stretches: Sequence[Stretch], deciders: Sequence[Decide], choose: Choose
) -> list[Group]:
    """Return the layers of a network in groups that are streamed, in order.

    A group ends with its stretch, or where a layer does not fit the scratchpads beside the others
    in the batches, the buffers and with the one of ``deciders`` that ``choose`` says for stretches
    alike.
    """
    inputs = layer_inputs(job.mapping.network)
    chosen: dict[int, Cut | None] = {}
    found: list[Group] = []
    for layers, cut, first in stretches:
        if first not in chosen:
            chosen[first] = choose(layers)
        own = chosen[first]
        found += cut_to_fit(job, layers, inputs, deciders[own[2] if own else 0], own, cut)
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
        layer.op.in_features, layer.op.out_features, rank, layer.sort, layer.cluster,
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
    if layer.written is not None:
        return "tiles are written first"
    if any(set(layer.tiles) & set(other.tiles) for other in stretch):
        return "a tile is shared"
    return ""


def least_estimate(
    job: Job,
    deciders: Sequence[Decide],
    sizes: Sequence[int],
    buffers: int,
    layers: Sequence[PlacedLayer],
) -> Cut | None:
    """Return the cut of a stretch with the least estimate, of equal ones the small batch and the
    most buffers; None if no batch fits, or it is a single layer."""
    if len(layers) == 1:
        return None
    tokens, inputs = job.tokens_of(layers[0]), layer_inputs(job.mapping.network)
    found: dict[Cut, int] = {}
    own = dict.fromkeys(min(size, tokens) for size in sizes)
    for cut in product(sorted(own), range(buffers, 0, -1), range(len(deciders))):
        with suppress(CapacityError, UnsupportedError):
            groups = cut_to_fit(job, layers, inputs, deciders[cut[2]], cut, "")
            found[cut] = sum(_estimate_ps(job, group) for group in groups)
    return min(found, default=None, key=lambda cut: found[cut])


def cut_to_fit(
    job: Job,
    layers: Sequence[PlacedLayer],
    inputs: Mapping[str, Reads],
    decide: Decide,
    chosen: Cut | None,
    cut: str,
) -> list[Group]:
    """Return a stretch in groups, each as long as its adapters fit together.

    ``cut`` is why the stretch begins. Without a cut that was chosen every layer is on its own.
    """
    if chosen is None:
        alone = [((layer.name, decide(layer, None, None)),) for layer in layers]
        return [Group(members, cut=cut if i == 0 else _FULL) for i, members in enumerate(alone)]
    batch, buffers, _ = chosen
    runs: list[list[tuple[str, Batching | None]]] = [[]]
    held: dict[int, int] = {}
    for layer in layers:
        member = (layer.name, decide(layer, batch, buffers))
        more = per_cluster(job, [member], lambda _, batching: batching.tcdm_bytes)
        if any(held.get(c, 0) + size > room(job, c) for c, size in more.items()):
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
    first = job.layers[group.members[0][0]]
    tokens = job.tokens_of(first)
    if len(group.members) == 1:
        batching = group.members[0][1]
        if batching is None:
            return _mvm_ps(job, first, tokens)
        parts = PricedParts.of(job.machine_of(first))
        return alone_ps(parts, tokens, batching, first.copies)
    sizes = group.sizes(tokens)
    largest = max(sizes.counts)
    turn = 0
    until: dict[str, int] = {}
    busy: dict[int, list[int]] = {}
    for (name, batching), reads in zip(group.members, group.inputs, strict=True):
        layer = job.layers[name]
        before = max((until[other] for other in reads), default=0)
        mvm = _mvm_ps(job, layer, largest)
        turn = max(turn, mvm)
        if batching is None:
            until[name] = before + mvm
            continue
        stage = stage_of(PricedParts.of(job.machine_of(layer)), batching.program)
        until[name] = before + _mvm_ps(job, layer, batching.batch) + stage.rest
        serial = 0 if batching.buffers > 1 else stage.turn(1)
        for cluster in clusters_of(job, layer, batching):
            own = busy.setdefault(cluster, [0, 0, 0, 0])
            for i, time in enumerate((*stage.busy, serial)):
                own[i] += time // batching.order.clusters
    turn = max(turn, *(max(own) for own in busy.values())) if busy else turn
    return max(until.values()) + (sizes.batches - 1) * turn


def _mvm_ps(job: Job, layer: PlacedLayer, tokens: int) -> int:
    tile = job.machine.tile_of(layer.sort)
    return int(tile.mvm_ps(*layer.op.matrices[1:], ceil_div(tokens, layer.copies)))
