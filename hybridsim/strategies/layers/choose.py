"""Choosing how many tokens go together, and checking that they fit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from hybridsim.arch import Cluster, Machine
from hybridsim.errors import CapacityError, UnsupportedError
from hybridsim.mapping import PlacedLayer
from hybridsim.programs import LoraChoice, LoraProgram
from hybridsim.programs.lora import last_end
from hybridsim.strategies.layers.batches import PLAIN, Batching, BatchOrder, BatchSizes
from hybridsim.units import format_bytes


def choose_batching(
    machine: Machine,
    layer: PlacedLayer,
    tokens: int,
    batch: int | None,
    choices: Sequence[LoraChoice],
    buffers: int,
    order: BatchOrder = PLAIN,
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
        LoraProgram(*shape, size, choice, columns)
        for choice in choices
        for columns in slice_widths(machine, layer)
        for size in sizes
    ]
    # what does not fit is only looked into where nothing does
    possible = list(_possible([p for p in tried if fits(p, cluster)] or tried, cluster))
    fitting = [(p, most) for p in possible if (most := _most_buffers(p, cluster, buffers))]
    if not fitting:
        least = min(possible, key=lambda program: program.tcdm_bytes(cluster, 1))
        raise CapacityError(_does_not_fit(machine, layer, least))
    program, most = fitting[0]
    if len(fitting) > 1:
        program, most = min(
            fitting,
            key=lambda f: (estimate_ps(machine, tokens, f[0], f[1], order), f[0].tokens),
        )
    return Batching.of(cluster, program, most, order, tokens)


def estimate_ps(
    machine: Machine, tokens: int, program: LoraProgram, buffers: int, order: BatchOrder
) -> int:
    """Return the latency of a layer if its pipeline were perfectly regular [ps].

    First batch from end to end, then one batch per turn of the slowest stage. Only used to
    choose: what is reported comes from an engine.
    """
    batch = program.tokens
    stage = Stage.of(machine, program)
    turn = max(stage.mvm, -(-stage.turn(buffers) // order.clusters))
    if order.plain:
        later = -(-tokens // batch) - 1
        return stage.first + later * turn
    sizes = BatchSizes.of(tokens, batch, order).each()
    final = int(sizes[-1])
    last = stage if final == batch else Stage.of(machine, program.of_tokens(final))
    if not order.early:
        return stage.first + (tokens - final) * turn // batch + last.tail
    start = transfer_ps(machine, int(sizes[0]) * program.in_features)
    return max(tokens * stage.mvm, start + tokens * turn) // batch + last.tail


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
        cluster, batch = machine.cluster, program.tokens
        assert cluster is not None
        program = program.on(cluster)
        mvm = machine.tile.mvm_ps(program.in_features, program.out_features, batch)
        load_x = transfer_ps(machine, batch * program.in_features)
        slices = [transfer_ps(machine, batch * width) for width in program.slices]
        busy = dict.fromkeys(("cores", "matrix_engine", "dma"), 0)
        cycles = program.cycles(cluster)
        for kernel, own in zip(program.kernels, cycles, strict=True):
            busy[kernel.unit] += cluster.to_ps(own)
        moving = load_x + 2 * sum(slices)
        compute = cluster.to_ps(last_end(program.ends(cycles)))
        late = cluster.to_ps(_late_cycles(program, cycles))
        return cls(
            mvm,
            load_x,
            moving,
            compute,
            (busy["cores"], busy["matrix_engine"], busy["dma"] + moving),
            mvm + slices[0] + compute + slices[-1],
            slices[0] + late + slices[-1],
        )


def _late_cycles(program: LoraProgram, cycles: tuple[int, ...]) -> int:
    """Return the cycles from the arrival of Y to Z, if all that can has run before."""
    separate = program.choice.add == "separate"
    ends: list[int] = []
    for kernel, own in zip(program.kernels, cycles, strict=True):
        late = "y" in kernel.reads or ("b" in kernel.reads and not separate)
        before = max((ends[i] for i in kernel.after), default=0)
        ends.append(before + own if late else 0)
    return max(ends)


def fits(program: LoraProgram, cluster: Cluster) -> bool:
    """Return whether a cluster has the room for one batch of a program, and the unit."""
    try:
        return bool(program.tcdm_bytes(cluster, 1) <= cluster.tcdm.size)
    except UnsupportedError:
        return False


def transfer_ps(machine: Machine, elements: int) -> int:
    """Return how long a transfer of elements by a cluster's DMA takes [ps]."""
    assert machine.cluster is not None
    return machine.transfer_ps(elements * machine.cluster.element_bytes)


@lru_cache(maxsize=64)
def _sizes(tokens: int) -> tuple[int, ...]:
    """Return the powers of two below ``tokens``, and ``tokens``."""
    return (*(2**i for i in range((tokens - 1).bit_length())), tokens)


def slice_widths(machine: Machine, layer: PlacedLayer) -> list[int]:
    """Return how wide the slices of a layer's outputs may be: all of it, or one tile."""
    return sorted({layer.op.out_features, min(machine.tile.columns, layer.op.out_features)})[::-1]


def _possible(programs: Iterable[LoraProgram], cluster: Cluster) -> Iterable[LoraProgram]:
    """Yield the programs that the cluster can run; raise the last reason if there are none."""
    reason, found = None, False
    for program in programs:
        try:
            shared = program.on(cluster)
            shared.cycles(cluster)
        except UnsupportedError as error:
            reason = error
            continue
        found = True
        yield shared
    if not found and reason is not None:
        raise reason


def _most_buffers(program: LoraProgram, cluster: Cluster, wanted: int) -> int:
    """Return how many batches, at most ``wanted``, fit the scratchpad at once; 0 for none."""
    size = cluster.tcdm.size
    return next((n for n in range(wanted, 0, -1) if program.tcdm_bytes(cluster, n) <= size), 0)


def _does_not_fit(machine: Machine, layer: PlacedLayer, program: LoraProgram) -> str:
    cluster = machine.cluster
    assert cluster is not None
    need, size = program.tcdm_bytes(cluster, 1), cluster.tcdm.size
    fits = [
        tokens
        for tokens in range(1, program.tokens)
        if program.of_tokens(tokens).tcdm_bytes(cluster, 1) <= size
    ]
    advice = (
        f"a batch of {fits[-1]} fits"
        if fits
        else f"not even one token fits; lower the rank (now {program.rank}), choose a strategy "
        "for whole networks such as xl_pipe, which adapts in slices"
    )
    return (
        f"{layer.name}: an adapter of {program.in_features} x {program.out_features} at rank "
        f"{program.rank} needs {format_bytes(need)} of TCDM for a batch of "
        f"{program.tokens}; a cluster of {machine.name} has {format_bytes(size)}; "
        f"{advice}, or raise cluster.tcdm.size"
    )
