"""Choosing how many tokens go together, and checking that they fit."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from hybridsim.arch import Cluster, Machine
from hybridsim.errors import CapacityError, UnsupportedError
from hybridsim.mapping import PlacedLayer
from hybridsim.programs import LoraChoice, LoraProgram
from hybridsim.programs.lora import known_program
from hybridsim.units import IntLike, Ints, format_bytes


@dataclass(frozen=True, slots=True)
class Flow:
    """How the batches of a layer follow each other."""

    early: bool = False
    """Whether what needs only the input runs before the batch has left the tiles."""
    first_batch: int | None = None
    """Tokens of the first batch, from which batches double up to the full size; None: no ramp."""
    last_batch: int | None = None
    """Tokens of the last batch, down to which batches halve; None: no ramp."""
    clusters: int = 1
    """Clusters that take the batches in turn."""


PLAIN = Flow()


@dataclass(frozen=True, slots=True)
class Cut:
    """How many tokens each batch of a layer has, as large however many batches there are."""

    first: tuple[int, ...]
    full: int
    """Tokens of a full batch."""
    count: int
    """How many full batches there are, between the first and the last ones."""
    last: tuple[int, ...]

    @property
    def batches(self) -> int:
        """Batches of the layer."""
        return len(self.first) + self.count + len(self.last)

    def each(self) -> Ints:
        """Return the tokens of each batch, first to last."""
        sizes = np.full(self.batches, self.full, np.int64)
        sizes[: len(self.first)] = self.first
        sizes[self.batches - len(self.last) :] = self.last
        return sizes


@dataclass(frozen=True, slots=True)
class Batching:
    """How the adapter of one layer is computed: batches, choice of unit, buffers, clusters."""

    program: LoraProgram
    """The program of a full batch."""
    buffers: int
    """Batches in flight on a cluster, as many as fit and are wanted."""
    flow: Flow = PLAIN

    @property
    def batch(self) -> int:
        """Tokens per batch."""
        return self.program.tokens

    @property
    def tcdm_bytes(self) -> int:
        """Scratchpad taken, on each of its clusters [bytes]."""
        return self.program.tcdm_bytes(self.buffers)

    @property
    def weight_bytes(self) -> int:
        """What of it A and B take [bytes]."""
        program = self.program
        return program.rank * (program.in_features + program.out_features) * program.element_bytes

    def cut(self, tokens: int) -> Cut:
        """Return how tokens are cut into batches.

        Full batches, and what is left over as the last one. With a ramp at the end what is left
        over comes before the full batches, as a small batch costs least where nothing waits.
        """
        up, down = _ramps(tokens, self.batch, self.flow.first_batch, self.flow.last_batch)
        count, rest = divmod(tokens - sum(up) - sum(down), self.batch)
        left = (rest,) * (rest > 0)
        first, last = ((*up, *left), tuple(down)) if down else (tuple(up), left)
        return Cut(first, self.batch, count, last)

    def sizes(self, tokens: int) -> Ints:
        """Return the tokens of each batch, first to last."""
        return self.cut(tokens).each()


def _ramps(
    tokens: int, batch: int, first: int | None, last: int | None
) -> tuple[list[int], list[int]]:
    """Return the sizes below ``batch`` that double from ``first``, and that halve to ``last``.

    Ramps take at most all tokens; where they do not fit the steps next to the full batch go.
    """
    up = [*_doubling(first, batch)] if first else []
    down = [*_doubling(last, batch)] if last else []
    while sum(up) + sum(down) > tokens:
        (up if len(up) > len(down) else down).pop()
    return up, down[::-1]


def _doubling(first: int, below: int) -> Iterator[int]:
    while first < below:
        yield first
        first *= 2


def choose_batching(
    machine: Machine,
    layer: PlacedLayer,
    tokens: int,
    batch: int | None,
    choices: Sequence[LoraChoice],
    buffers: int,
    flow: Flow = PLAIN,
) -> Batching:
    """Return the batching with the least estimated latency among those that fit.

    ``batch`` None tries the powers of two, and all tokens at once. A layer wider than a tile may
    go slice by slice, each as wide as a tile. A batch that does not fit with ``buffers`` batches
    in flight is run with fewer.

    Raises:
        CapacityError: ``batch``, or with None a single token, does not fit the scratchpad.
        UnsupportedError: None of ``choices`` can run on the cluster.
    """
    cluster = machine.cluster
    assert cluster is not None
    assert layer.adapter is not None
    sizes = [min(batch, tokens)] if batch else _sizes(tokens)
    shape = (layer.op.in_features, layer.op.out_features, layer.adapter.rank)
    tried = [
        known_program(LoraProgram(cluster, *shape, size, choice, columns))
        for choice in choices
        for columns in slice_widths(machine, layer)
        for size in sizes
    ]
    # what does not fit is only looked into where nothing does
    possible = list(_possible([p for p in tried if fits(p)] or tried))
    fitting = [Batching(p, most, flow) for p in possible if (most := _most_buffers(p, buffers))]
    if not fitting:
        raise CapacityError(_does_not_fit(machine, layer, min(possible, key=_need)))
    return min(fitting, key=lambda b: (estimate_ps(machine, layer, tokens, b), b.batch))


def estimate_ps(machine: Machine, layer: PlacedLayer, tokens: int, batching: Batching) -> int:
    """Return the latency of a layer if its pipeline were perfectly regular [ps].

    First batch from end to end, then one batch per turn of the slowest stage. Only used to
    choose: what is reported comes from an engine.
    """
    program, flow = batching.program, batching.flow
    stage = Stage.of(machine, batching.program)
    turn = max(stage.mvm, -(-stage.turn(batching.buffers) // flow.clusters))
    if flow == PLAIN:
        later = -(-tokens // batching.batch) - 1
        return stage.first + later * turn
    sizes = batching.sizes(tokens)
    last = (
        stage
        if sizes[-1] == batching.batch
        else Stage.of(machine, program_of(program, int(sizes[-1])))
    )
    if not flow.early:
        return stage.first + (tokens - int(sizes[-1])) * turn // batching.batch + last.tail
    start = Stage.of(machine, program_of(program, int(sizes[0]))).load_x
    return max(tokens * stage.mvm, start + tokens * turn) // batching.batch + last.tail


@dataclass(frozen=True, slots=True)
class Stage:
    """What one batch takes on each part of a cluster, and on the tiles [ps]."""

    mvm: int
    load_x: int
    moving: int
    """X to the cluster, Y to it, and Z back."""
    compute: int
    """First kernel to last, with every operand in the TCDM."""
    busy: tuple[int, int, int]
    """Cores, matrix engine, DMA; the last with all transfers."""
    first: int
    """A batch from its first MVM to its last store, if nothing is in the way."""
    tail: int
    """What is left to do when the last MVM ends, if all that needs only X has been done."""

    def turn(self, buffers: int) -> int:
        """Return how often a cluster can take a batch with that many in flight [ps]."""
        return max(self.busy) if buffers > 1 else self.compute + self.moving

    @classmethod
    def of(cls, machine: Machine, program: LoraProgram) -> "Stage":
        """Return what a batch of a program takes."""
        cluster, dtype, batch = program.cluster, program.element_bytes, program.tokens
        mvm = machine.tile.mvm_ps(program.in_features, program.out_features, batch)
        load_x = transfer_ps(machine, batch * program.in_features * dtype)
        slices = [transfer_ps(machine, batch * width * dtype) for width in program.slices]
        busy = dict.fromkeys(("cores", "matrix_engine", "dma"), 0)
        for kernel in program.kernels:
            busy[kernel.unit] += cluster.to_ps(kernel.cycles)
        moving = load_x + 2 * sum(slices)
        compute = cluster.to_ps(program.compute_cycles)
        return cls(
            mvm,
            load_x,
            moving,
            compute,
            (busy["cores"], busy["matrix_engine"], busy["dma"] + moving),
            mvm + slices[0] + compute + slices[-1],
            slices[0] + cluster.to_ps(_late_cycles(program)) + slices[-1],
        )


def _late_cycles(program: LoraProgram) -> int:
    """Return the cycles from the arrival of Y to Z, if all that can has run before."""
    separate = program.choice.add == "separate"
    ends: list[int] = []
    for kernel in program.kernels:
        late = "y" in kernel.reads or ("b" in kernel.reads and not separate)
        before = max((ends[i] for i in kernel.after), default=0)
        ends.append(before + kernel.cycles if late else 0)
    return max(ends)


def fits(program: LoraProgram) -> bool:
    """Return whether a cluster has the room for one batch of a program, and the unit."""
    try:
        return program.tcdm_bytes(1) <= program.cluster.tcdm.size
    except UnsupportedError:
        return False


@lru_cache(maxsize=4096)
def program_of(program: LoraProgram, tokens: int) -> LoraProgram:
    """Return the same program for another number of tokens."""
    return known_program(replace(program, tokens=tokens))


def transfer_ps(machine: Machine, size: IntLike) -> IntLike:
    """Return the time a DMA transfer over the link takes: as long as the slower of both [ps]."""
    return machine.transfer_ps(size)


@lru_cache(maxsize=64)
def _sizes(tokens: int) -> tuple[int, ...]:
    """Return the powers of two below ``tokens``, and ``tokens``."""
    return (*(2**i for i in range((tokens - 1).bit_length())), tokens)


def slice_widths(machine: Machine, layer: PlacedLayer) -> list[int]:
    """Return how wide the slices of a layer's outputs may be: all of it, or one tile."""
    return sorted({layer.op.out_features, min(machine.tile.columns, layer.op.out_features)})[::-1]


def _possible(programs: Iterable[LoraProgram]) -> Iterable[LoraProgram]:
    """Yield the programs that the cluster can run; raise the last reason if there are none."""
    reason, found = None, False
    for program in programs:
        try:
            _ = program.kernels
        except UnsupportedError as error:
            reason = error
            continue
        found = True
        yield program
    if not found and reason is not None:
        raise reason


def _need(program: LoraProgram) -> int:
    return program.tcdm_bytes(1)


def _most_buffers(program: LoraProgram, wanted: int) -> int:
    """Return how many batches, at most ``wanted``, fit the scratchpad at once; 0 for none."""
    size = program.cluster.tcdm.size
    return next((n for n in range(wanted, 0, -1) if program.tcdm_bytes(n) <= size), 0)


def _does_not_fit(machine: Machine, layer: PlacedLayer, program: LoraProgram) -> str:
    cluster: Cluster = program.cluster
    below = range(1, program.tokens)
    fits = [t for t in below if _need(replace(program, tokens=t)) <= cluster.tcdm.size]
    advice = (
        f"a batch of {fits[-1]} fits"
        if fits
        else f"not even one token fits; lower the rank (now {program.rank}), choose a strategy "
        "for whole networks such as xl_pipe, which adapts in slices"
    )
    return (
        f"{layer.name}: an adapter of {program.in_features} x {program.out_features} at rank "
        f"{program.rank} needs {format_bytes(_need(program))} of TCDM for a batch of "
        f"{program.tokens}; a cluster of {machine.name} has {format_bytes(cluster.tcdm.size)}; "
        f"{advice}, or raise cluster.tcdm.size"
    )
