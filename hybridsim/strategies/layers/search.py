"""Finding the best way to run one layer: candidates, a bound that prunes them, and an engine."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from hybridsim.arch import Cluster, Machine
from hybridsim.errors import CapacityError, UnsupportedError
from hybridsim.mapping import PlacedLayer
from hybridsim.programs import BALANCED, CHOICES, LoraChoice, LoraProgram
from hybridsim.strategies.job import Job
from hybridsim.strategies.layers.batches import Batching, BatchOrder, BatchSizes
from hybridsim.strategies.layers.choose import choose_batching, fits, slice_widths
from hybridsim.strategies.layers.estimate import transfer_ps
from hybridsim.strategies.layers.layout import Layout

BUFFERS = (2, 3, 1)
"""Batches in flight that are tried."""
RAMPS = (None, 8, 4, 2, 1)
"""Sizes of the last batch that are tried; None is no ramp."""
STARTS = (None, 8)
"""Sizes of the first batch that are tried."""


@dataclass(frozen=True, slots=True)
class Space:
    """What is searched; the default is all that a strategy by name can reach, and more."""

    batches: tuple[int, ...] | None = None
    """Tokens per batch; None tries all multiples of 4 up to 64, and powers of two."""
    buffers: tuple[int, ...] = BUFFERS
    ramps: tuple[int | None, ...] = RAMPS
    starts: tuple[int | None, ...] = STARTS

    def sizes(self, tokens: int) -> list[int]:
        """Return the batches that are tried for that many tokens."""
        if self.batches:
            return sorted({min(size, tokens) for size in self.batches})
        powers = [2**i for i in range(tokens.bit_length())]
        return sorted({min(n, tokens) for n in (*range(4, 68, 4), *powers, 72, 96, tokens)})


EVERYTHING = Space()


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


@dataclass(frozen=True, slots=True)
class Found:
    """The best way to run a layer, and how sure that is."""

    batching: Batching
    latency_ps: int
    bound: str
    """The part whose work alone takes as long as nothing can beat with these choices."""
    bound_ps: int
    """That time [ps]."""
    second: Batching | None
    """The next best with another unit, order or way to add, as far as that was searched."""
    second_ps: int
    tried: int
    """Candidates that were run; the others were shown not to be better."""
    candidates: int


def best_of_layer(job: Job, layer: PlacedLayer, space: Space = EVERYTHING) -> Found:
    """Return the best batching of one layer, by running candidates on the engine of the job.

    Candidates are visited by a lower bound of their latency, and no more are run once the bound
    is as large as the best. Of equally fast ones that were run it is the one with the least
    scratchpad, then the first.

    Raises:
        CapacityError: Not a single token fits the scratchpad.
    """
    machine, adapter = job.machine, layer.adapter
    assert adapter is not None
    shape = (layer.op.in_features, layer.op.out_features, adapter.rank, job.tokens_of(layer))
    parts = (machine.tile, machine.cluster, machine.link)
    return _answer(_Question((*shape, *parts, space), job, layer, space))


@dataclass(frozen=True, slots=True)
class _Question:
    """A layer to be searched; equal to any other that has the same answer."""

    key: tuple[object, ...]
    job: Job = field(compare=False)
    layer: PlacedLayer = field(compare=False)
    space: Space = field(compare=False)


@lru_cache(maxsize=128)
def _answer(question: _Question) -> Found:
    """Search once for all layers alike, in whatever network they are."""
    job, layer, space = question.job, question.layer, question.space
    tokens = job.tokens_of(layer)
    bounds = _Bounds(job.machine, tokens)
    ranked = sorted(
        ((*bounds.of(c), i, c) for i, c in enumerate(
            candidates(job.machine, layer, tokens, space))),
        key=lambda entry: (entry[0], entry[2]),
    )  # fmt: skip
    if not ranked:
        # says what is missing
        choose_batching(job.machine, layer, tokens, None, CHOICES, 1)
        raise CapacityError(f"{layer.name}: none of the batches that were to be tried fits")
    first, tried = _least(job, layer, ranked, len(ranked))
    others = [r for r in ranked if r[3].program.choice != first.batching.program.choice]
    second, more = _least(job, layer, others, MOST_SECONDS) if others else (None, 0)
    return Found(
        first.batching, first.latency_ps, first.bound, first.bound_ps,
        second.batching if second else None, second.latency_ps if second else 0,
        tried + more, len(ranked),
    )  # fmt: skip


MOST_SECONDS = 20
"""How many candidates are run to find the next best way: it is told, not used."""
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


def _least(job: Job, layer: PlacedLayer, ranked: Sequence[_Ranked], most: int) -> tuple[_Run, int]:
    """Return the fastest of some candidates, and how many of them were run."""
    tokens = job.tokens_of(layer)
    best: _Run | None = None
    tried = 0
    for bound_ps, part, index, candidate in ranked[:most]:
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
    assert layer.adapter is not None
    cluster = machine.cluster
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

    On several clusters a layer takes one of them, or all.
    """
    batches = -(-tokens // size)
    for count in dict.fromkeys((1, clusters)):
        if count > 1 and batches == 1:
            continue
        if choice.add == "fused":
            yield BatchOrder(clusters=count)
        for first in dict.fromkeys((*space.starts, tokens % size or None)):
            for last in space.ramps:
                if (first is None or first < size) and (last is None or last < size):
                    yield BatchOrder(True, first, last, count)


@lru_cache(maxsize=4096)
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


@lru_cache(maxsize=8192)
def _load(machine_transfer: "_Transfer", program: LoraProgram) -> _Load:
    """Return what a batch at least takes; ``machine_transfer`` is the time of a transfer."""
    cluster = machine_transfer.machine.cluster
    assert cluster is not None
    program = program.on(cluster)
    load_x = machine_transfer(program.tokens * program.in_features)
    slices = [machine_transfer(program.tokens * width) for width in program.slices]
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


@dataclass(frozen=True)
class _Transfer:
    """The time of a transfer of elements on one machine; equal for machines alike."""

    machine: Machine

    def __call__(self, elements: int) -> int:
        return transfer_ps(self.machine, elements)

    def __hash__(self) -> int:
        return hash((self.machine.cluster, self.machine.link))


class _Bounds:
    """Lower bounds for the candidates of one layer."""

    def __init__(self, machine: Machine, tokens: int) -> None:
        self._machine, self._tokens = machine, tokens
        self._transfer = _Transfer(machine)
        self._known: dict[LoraProgram, dict[int, _Load]] = {}

    def of(self, candidate: Candidate) -> tuple[int, str]:
        """Return a time that no plan of these choices can beat [ps], and the part that sets it."""
        program, order = candidate.program, candidate.order
        loads = self._known.setdefault(program, {})
        sizes = [int(n) for n in BatchSizes.of(self._tokens, program.tokens, order).each()]
        for size in {*sizes}.difference(loads):
            loads[size] = _load(self._transfer, program.of_tokens(size))
        own = [loads[size] for size in sizes]
        return _bound(self._machine, self._transfer, sizes, own, candidate)


def _bound(
    machine: Machine,
    transfer: _Transfer,
    sizes: Sequence[int],
    loads: Sequence[_Load],
    candidate: Candidate,
) -> tuple[int, str]:
    """Return a time that no plan of these choices can beat [ps], and the part that sets it.

    The tiles integrate all tokens, then the last batch is finished. A unit begins when A and the
    first X are there and ends before the last store. Each cluster fetches A and B, and the link
    carries all that moves. No more batches are between the fetch of Y and the store of Z than
    there are buffers.
    """
    order, program, tokens = candidate.order, candidate.program, sum(sizes)
    mvm = machine.tile.mvm_ps(program.in_features, program.out_features, 1)
    load_a, load_b = (
        transfer(n * program.rank) for n in (program.in_features, program.out_features)
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


def describe(batching: Batching) -> str:
    """Return a batching in words."""
    order = batching.order
    words = [f"batch {batching.batch}", str(batching.program.choice)]
    if len(batching.program.slices) > 1:
        words.append(f"{len(batching.program.slices)} slices")
    if order.early:
        words.append("early X A")
    if order.first_batch:
        words.append(f"first batch {order.first_batch}")
    if order.last_batch:
        words.append(f"last batch {order.last_batch}")
    words.append(f"{batching.buffers} buffer" + "s" * (batching.buffers > 1))
    if order.clusters > 1:
        words.append(f"{order.clusters} clusters")
    return ", ".join(words)
