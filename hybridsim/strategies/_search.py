"""Finding the best way to run one layer: candidates, a bound that prunes them, and an engine."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from hybridsim.arch import Machine
from hybridsim.errors import CapacityError, UnsupportedError
from hybridsim.mapping import PlacedLayer
from hybridsim.programs import BALANCED, CHOICES, LoraChoice, LoraProgram
from hybridsim.programs.lora import known_program
from hybridsim.strategies._base import Job
from hybridsim.strategies._batching import (
    Batching,
    Flow,
    choose_batching,
    fits,
    program_of,
    slice_widths,
    transfer_ps,
)
from hybridsim.strategies._layout import Layout

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
    others = [r for r in ranked if r[3].program.choice != first[3].program.choice]
    second, more = _least(job, layer, others, MOST_SECONDS) if others else (None, 0)
    return Found(
        first[3], first[0], first[4], first[5],
        second[3] if second else None, second[0] if second else 0, tried + more, len(ranked),
    )  # fmt: skip


MOST_SECONDS = 20
"""How many candidates are run to find the next best way: it is told, not used."""
_Ranked = tuple[int, str, int, Batching]
_Run = tuple[int, int, int, Batching, str, int]


def _least(job: Job, layer: PlacedLayer, ranked: Sequence[_Ranked], most: int) -> tuple[_Run, int]:
    """Return the fastest of some candidates, and how many of them were run."""
    run: list[_Run] = []
    for bound_ps, part, index, batching in ranked[:most]:
        if run and bound_ps >= min(run, key=_order)[0]:
            break
        latency = layer_latency(job, layer, batching)
        run.append((latency, batching.tcdm_bytes, index, batching, part, bound_ps))
    return min(run, key=_order), len(run)


def _order(run: _Run) -> tuple[int, int, int]:
    return run[:3]


def layer_latency(job: Job, layer: PlacedLayer, batching: Batching) -> int:
    """Return how long a layer takes, on its own as between others [ps]."""
    assert job.engine is not None
    layout = Layout(job)
    layout.pipelined(layer, batching)
    return job.run_ps(layout.builder.build())


def candidates(
    machine: Machine, layer: PlacedLayer, tokens: int, space: Space
) -> Iterator[Batching]:
    """Yield every batching of a layer in the space that fits and that the cluster can run."""
    assert layer.adapter is not None
    cluster = machine.cluster
    assert cluster is not None
    shape = (layer.op.in_features, layer.op.out_features, layer.adapter.rank)
    for choice in _ways():
        for columns in slice_widths(machine, layer):
            for size in space.sizes(tokens):
                program = known_program(LoraProgram(cluster, *shape, size, choice, columns))
                if not _runs(program):
                    continue
                for flow in _flows(choice, size, tokens, cluster.count, space):
                    for buffers in space.buffers:
                        if program.tcdm_bytes(buffers) <= cluster.tcdm.size:
                            yield Batching(program, buffers, flow)


def _ways() -> list[LoraChoice]:
    """Return every way to compute an adapter: fused, then with a separate addition."""
    apart = [choice.model_copy(update={"add": "separate"}) for choice in CHOICES]
    return [*CHOICES, BALANCED, *apart]


def _flows(
    choice: LoraChoice, size: int, tokens: int, clusters: int, space: Space
) -> Iterator[Flow]:
    """Yield how batches may follow each other; a ramp or a separate product needs an early start.

    On several clusters a layer takes one of them, or all.
    """
    batches = -(-tokens // size)
    for count in dict.fromkeys((1, clusters)):
        if count > 1 and batches == 1:
            continue
        if choice.add == "fused":
            yield Flow(clusters=count)
        for first in dict.fromkeys((*space.starts, tokens % size or None)):
            for last in space.ramps:
                if (first is None or first < size) and (last is None or last < size):
                    yield Flow(True, first, last, count)


@lru_cache(maxsize=4096)
def _runs(program: LoraProgram) -> bool:
    """Return whether the cluster has the units and the room for a program."""
    try:
        # room first, as it costs nothing to tell
        return fits(program) and bool(program.kernels)
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
def _load(machine_transfer: Callable[[int], int], program: LoraProgram) -> _Load:
    """Return what a batch at least takes; ``machine_transfer`` is the time of a transfer."""
    dtype, cluster = program.element_bytes, program.cluster
    load_x = machine_transfer(program.tokens * program.in_features * dtype)
    slices = [machine_transfer(program.tokens * width * dtype) for width in program.slices]
    busy = dict.fromkeys(("cores", "matrix_engine", "dma"), 0)
    for kernel in program.kernels:
        busy[kernel.unit] += cluster.to_ps(kernel.cycles)
    store = min(slices)
    held = {e: 2 * store + cluster.to_ps(_chain(program, e)) for e in (False, True)}
    whole = store + cluster.to_ps(_chain(program, None))
    moving = load_x + 2 * sum(slices)
    on_units = (busy["cores"], busy["matrix_engine"], busy["dma"] + moving, moving)
    return _Load(load_x, store, on_units, held, {True: held[True], False: max(held[False], whole)})


def _chain(program: LoraProgram, early: bool | None) -> int:
    """Return the least cycles of the kernels that wait for Y; of all that wait for X for None.

    With an early start a fused product waits for Y, as it is made where Y lies. Without one it
    may be made while Y is fetched.
    """
    fused = program.choice.add == "fused"
    ends: list[int] = []
    waits: list[bool] = []
    for kernel in program.kernels:
        on_y = "y" in kernel.reads or (early is True and fused and "b" in kernel.reads)
        follows = any(waits[i] for i in kernel.after)
        late = kernel.unit != "dma" and (early is None or on_y or follows)
        waits.append(late)
        after = max((ends[i] for i in kernel.after), default=0)
        ends.append(after + kernel.cycles * late)
    return max(ends)


@dataclass(frozen=True)
class _Transfer:
    """The time of a transfer on one machine; equal for machines alike."""

    machine: Machine

    def __call__(self, size: int) -> int:
        return transfer_ps(self.machine, size)

    def __hash__(self) -> int:
        return hash((self.machine.cluster, self.machine.link))


class _Bounds:
    """Lower bounds for the batchings of one layer.

    What batches of one program and size cost is looked up by identity: equal programs carry a
    whole cluster, which takes longer to compare than a bound to compute.
    """

    def __init__(self, machine: Machine, tokens: int) -> None:
        self._machine, self._tokens = machine, tokens
        self._transfer = _Transfer(machine)
        self._known: dict[int, tuple[LoraProgram, dict[int, _Load]]] = {}

    def of(self, batching: Batching) -> tuple[int, str]:
        """Return a time that no plan of these choices can beat [ps], and the part that sets it."""
        program = batching.program
        # the program is kept, so that no other takes its identity
        _, loads = self._known.setdefault(id(program), (program, {}))
        sizes = [int(size) for size in batching.sizes(self._tokens)]
        for size in {*sizes}.difference(loads):
            loads[size] = _load(self._transfer, program_of(program, size))
        own = [loads[size] for size in sizes]
        return _bound(self._machine, self._transfer, sizes, own, batching)


def _bound(
    machine: Machine,
    transfer: _Transfer,
    sizes: Sequence[int],
    loads: Sequence[_Load],
    batching: Batching,
) -> tuple[int, str]:
    """Return a time that no plan of these choices can beat [ps], and the part that sets it.

    The tiles integrate all tokens, then the last batch is finished. A unit begins when A and the
    first X are there and ends before the last store. Each cluster fetches A and B, and the link
    carries all that moves. No more batches are between the fetch of Y and the store of Z than
    there are buffers.
    """
    flow, program, tokens = batching.flow, batching.program, sum(sizes)
    mvm = machine.tile.mvm_ps(program.in_features, program.out_features, 1)
    element = program.rank * program.element_bytes
    load_a, load_b = (transfer(n * element) for n in (program.in_features, program.out_features))
    first = load_a + min(load.load_x for load in loads)
    if not flow.early:
        first = max(first, min(sizes) * mvm)
    around = first + min(load.store for load in loads)
    cores, engine, dma, link = (sum(load.busy[i] for load in loads) for i in range(4))
    spread = flow.clusters
    parts = {
        "tile": tokens * mvm + loads[-1].tail[flow.early],
        "cores": -(-cores // spread) + around * (cores > 0),
        "matrix_engine": -(-engine // spread) + around * (engine > 0),
        "dma": -(-dma // spread) + load_a + load_b,
        "link": -(-(link + spread * (load_a + load_b)) // machine.link.count),
    }
    if len(program.slices) == 1:
        held = sum(load.held[flow.early] for load in loads)
        parts["buffers"] = -(-held // (spread * batching.buffers))
    part = max(parts, key=lambda name: parts[name])
    return parts[part], part


def describe(batching: Batching) -> str:
    """Return a batching in words."""
    flow = batching.flow
    words = [f"batch {batching.batch}", str(batching.program.choice)]
    if len(batching.program.slices) > 1:
        words.append(f"{len(batching.program.slices)} slices")
    if flow.early:
        words.append("early X A")
    if flow.first_batch:
        words.append(f"first batch {flow.first_batch}")
    if flow.last_batch:
        words.append(f"last batch {flow.last_batch}")
    words.append(f"{batching.buffers} buffer" + "s" * (batching.buffers > 1))
    if flow.clusters > 1:
        words.append(f"{flow.clusters} clusters")
    return ", ".join(words)
