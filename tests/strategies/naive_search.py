"""The search for the best way to run a layer, one candidate after the other, in plain integers.

What it finds, counts and names is what the columns of :mod:`hybridsim.strategies.layers.search`
have to find, count and name.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

from hybridsim.arch import Cluster, Machine
from hybridsim.errors import UnsupportedError
from hybridsim.mapping import PlacedLayer
from hybridsim.programs import BALANCED, CHOICES, LoraChoice, LoraProgram
from hybridsim.strategies import Job
from hybridsim.strategies.layers.batches import Batching, BatchOrder, BatchSizes
from hybridsim.strategies.layers.candidates import Space
from hybridsim.strategies.layers.choose import fits, slice_widths
from hybridsim.strategies.layers.estimate import transfer_ps
from hybridsim.strategies.layers.layout import Layout
from hybridsim.strategies.layers.search import MOST_SECONDS, Found


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to run a layer, as it is searched."""

    program: LoraProgram
    """The program of a full batch, its rows not yet shared."""
    buffers: int
    order: BatchOrder
    tcdm_bytes: int

    def batching(self, machine: Machine, tokens: int) -> Batching:
        """Return the same as it is decided for a layer."""
        assert machine.cluster is not None
        return Batching.of(machine.cluster, self.program, self.buffers, self.order, tokens)


def naive_best(job: Job, layer: PlacedLayer, space: Space) -> Found:
    """Return the best of all candidates, visited by their bounds until none can be better."""
    tokens = job.tokens_of(layer)
    ranked = [
        (*bound(job.machine, tokens, candidate), index, candidate)
        for index, candidate in enumerate(candidates(job.machine, layer, tokens, space))
    ]
    ranked.sort(key=itemgetter(0))  # of equal bounds the first, whichever part it is of
    first, tried = _least(job, layer, ranked)
    others = [each for each in ranked if each[3].program.choice != first.batching.program.choice]
    second, more = _least(job, layer, others[:MOST_SECONDS]) if others else (None, 0)
    return Found(
        first.batching, first.latency_ps, first.bound, first.bound_ps,
        second.batching if second else None, second.latency_ps if second else 0,
        tried + more, len(ranked),
    )  # fmt: skip


_Ranked = tuple[int, str, int, Candidate]


class _Run(NamedTuple):
    """A candidate that was run; the least is the fastest, then the smallest, then the first."""

    latency_ps: int
    tcdm_bytes: int
    number: int
    batching: Batching
    bound: str
    bound_ps: int

    @property
    def rank(self) -> tuple[int, int, int]:
        return self[:3]


def _least(job: Job, layer: PlacedLayer, ranked: Sequence[_Ranked]) -> tuple[_Run, int]:
    """Return the fastest of some candidates, and how many of them were run."""
    tokens = job.tokens_of(layer)
    best: _Run | None = None
    tried = 0
    for bound_ps, part, index, candidate in ranked:
        if best is not None and bound_ps >= best.latency_ps:
            break
        batching = candidate.batching(job.machine, tokens)
        latency = layer_latency(job, layer, batching)
        run = _Run(latency, batching.tcdm_bytes, index, batching, part, bound_ps)
        best = run if best is None else min(best, run, key=lambda each: each.rank)
        tried += 1
    assert best is not None
    return best, tried


def layer_latency(job: Job, layer: PlacedLayer, batching: Batching) -> int:
    """Return how long a layer takes, on its own as between others [ps]."""
    assert job.engine is not None
    layout = Layout(job)
    layout.pipelined(layer, batching)
    return job.run_ps(layout.builder.build())


def candidates(
    machine: Machine, layer: PlacedLayer, tokens: int, space: Space
) -> Iterator[Candidate]:
    """Yield every way to run a layer in the space that fits and that the cluster can run."""
    cluster = machine.cluster
    assert layer.adapter is not None
    assert cluster is not None
    shape = (layer.op.in_features, layer.op.out_features, layer.adapter.rank)
    for choice in _ways():
        for columns in slice_widths(machine, layer):
            for size in space.sizes(tokens):
                program = LoraProgram(*shape, size, choice, columns)
                if not _runs(program, cluster):
                    continue
                held = {each: program.tcdm_bytes(cluster, each) for each in space.buffers}
                for order in _orders(choice, size, tokens, cluster.count, space):
                    for buffers, need in held.items():
                        if need <= cluster.tcdm.size:
                            yield Candidate(program, buffers, order, need)


def _ways() -> list[LoraChoice]:
    """Return every way to compute an adapter: fused, then with a separate addition."""
    apart = [choice.model_copy(update={"add": "separate"}) for choice in CHOICES]
    return [*CHOICES, BALANCED, *apart]


def _orders(
    choice: LoraChoice, size: int, tokens: int, clusters: int, space: Space
) -> Iterator[BatchOrder]:
    """Yield how batches may follow each other; a ramp or a separate product needs an early start.

    A layer takes some of the clusters, or all, but no more than it has full batches.
    """
    batches = -(-tokens // size)
    for count in range(1, min(clusters, batches) + 1):
        if choice.add == "fused":
            yield BatchOrder(clusters=count)
        for first in dict.fromkeys((*space.starts, tokens % size or None)):
            for last in space.ramps:
                if (first is None or first < size) and (last is None or last < size):
                    yield BatchOrder(True, first, last, count)


def _runs(program: LoraProgram, cluster: Cluster) -> bool:
    """Return whether the cluster has the units and the room for a program."""
    try:
        # room first, as it costs nothing to tell
        return fits(program, cluster) and bool(program.on(cluster).cycles(cluster))
    except UnsupportedError:
        return False


@dataclass(frozen=True, slots=True)
class _Load:
    """What a batch at least takes of each part [ps]."""

    load_x: int
    store: int
    """The shortest slice to or from the cluster."""
    busy: tuple[int, int, int, int]
    """Cores, matrix engine, DMA with all transfers, link."""
    held: dict[bool, int]
    """From the fetch of Y to the store of Z, with and without an early start."""
    tail: dict[bool, int]
    """From the end of its MVMs to its last store, with and without an early start."""


def _load(machine: Machine, program: LoraProgram) -> _Load:
    """Return what a batch at least takes."""
    cluster = machine.cluster
    assert cluster is not None
    program = program.on(cluster)
    load_x = transfer_ps(machine, program.tokens * program.in_features)
    slices = [transfer_ps(machine, program.tokens * width) for width in program.slices]
    busy = dict.fromkeys(("cores", "matrix_engine", "dma"), 0)
    cycles = program.cycles(cluster)
    for kernel, own in zip(program.kernels, cycles, strict=True):
        busy[kernel.unit] += cluster.to_ps(own)
    store = min(slices)
    held = {e: 2 * store + cluster.to_ps(_chain(program, cycles, e)) for e in (False, True)}
    whole = store + cluster.to_ps(_chain(program, cycles, None))
    moving = load_x + 2 * sum(slices)
    on_units = (busy["cores"], busy["matrix_engine"], busy["dma"] + moving, moving)
    return _Load(load_x, store, on_units, held, {True: held[True], False: max(held[False], whole)})


def _chain(program: LoraProgram, cycles: Sequence[int], early: bool | None) -> int:
    """Return the least cycles of the kernels that wait for Y; of all that wait for X for None.

    With an early start a fused product waits for Y, as it is made where Y lies. Without one it
    may be made while Y is fetched.
    """
    fused = program.choice.add == "fused"
    ends: list[int] = []
    waits: list[bool] = []
    for kernel, own in zip(program.kernels, cycles, strict=True):
        on_y = "y" in kernel.reads or (early is True and fused and "b" in kernel.reads)
        follows = any(waits[i] for i in kernel.after)
        late = kernel.unit != "dma" and (early is None or on_y or follows)
        waits.append(late)
        after = max((ends[i] for i in kernel.after), default=0)
        ends.append(after + own * late)
    return max(ends)


def bound(machine: Machine, tokens: int, candidate: Candidate) -> tuple[int, str]:
    """Return a time that no plan of these choices can beat [ps], and the part that sets it."""
    order, program = candidate.order, candidate.program
    sizes = [int(n) for n in BatchSizes.of(tokens, program.tokens, order).each()]
    known = {size: _load(machine, program.of_tokens(size)) for size in {*sizes}}
    loads = [known[size] for size in sizes]
    mvm = machine.tile.mvm_ps(program.in_features, program.out_features, 1)
    load_a, load_b = (
        transfer_ps(machine, n * program.rank) for n in (program.in_features, program.out_features)
    )
    first = load_a + min(load.load_x for load in loads)
    if not order.early:
        first = max(first, min(sizes) * mvm)
    around = first + min(load.store for load in loads)
    cores, engine, dma, link = (sum(load.busy[i] for load in loads) for i in range(4))
    spread = order.clusters
    parts = {
        "tile": tokens * mvm + loads[-1].tail[order.early],
        "cores": -(-cores // spread) + around * (cores > 0),
        "matrix_engine": -(-engine // spread) + around * (engine > 0),
        "dma": -(-dma // spread) + load_a + load_b,
        "link": -(-(link + spread * (load_a + load_b)) // machine.link.count),
    }
    if len(program.slices) == 1:
        held = sum(load.held[order.early] for load in loads)
        parts["buffers"] = -(-held // (spread * candidate.buffers))
    part = max(parts, key=lambda name: parts[name])
    return parts[part], part
