"""Choosing how many tokens go together, and checking that they fit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from hybridsim.arch import Cluster, Machine
from hybridsim.errors import CapacityError, UnsupportedError
from hybridsim.mapping import PlacedLayer
from hybridsim.programs import LoraChoice, LoraProgram
from hybridsim.units import IntLike, format_bytes


@dataclass(frozen=True, slots=True)
class Batching:
    """How the adapter of one layer is computed: batch, choice of unit, and buffers."""

    program: LoraProgram
    """The program of a full batch."""
    buffers: int
    """Batches in flight on the cluster, as many as fit and are wanted."""

    @property
    def batch(self) -> int:
        """Tokens per batch."""
        return self.program.tokens

    @property
    def tcdm_bytes(self) -> int:
        """Scratchpad taken [bytes]."""
        return self.program.tcdm_bytes(self.buffers)


def choose_batching(
    machine: Machine,
    layer: PlacedLayer,
    tokens: int,
    batch: int | None,
    choices: Sequence[LoraChoice],
    buffers: int,
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
        LoraProgram(cluster, *shape, size, choice, columns)
        for choice in choices
        for columns in _slice_widths(machine, layer)
        for size in sizes
    ]
    possible = list(_possible(tried))
    fitting = [Batching(p, most) for p in possible if (most := _most_buffers(p, buffers))]
    if not fitting:
        raise CapacityError(_does_not_fit(machine, layer, min(possible, key=_need)))
    return min(fitting, key=lambda b: (estimate_ps(machine, layer, tokens, b), b.batch))


def estimate_ps(machine: Machine, layer: PlacedLayer, tokens: int, batching: Batching) -> int:
    """Return the latency of a layer if its pipeline were perfectly regular [ps].

    First batch from end to end, then one batch per turn of the slowest stage. Only used to
    choose: what is reported comes from an engine.
    """
    program, cluster = batching.program, batching.program.cluster
    dtype = program.element_bytes
    batch, layer_in = batching.batch, layer.op.in_features
    mvm = machine.tile.mvm_ps(layer_in, layer.op.out_features, batch)
    load_x = transfer_ps(machine, batch * layer_in * dtype)
    slices = [transfer_ps(machine, batch * columns * dtype) for columns in program.slices]
    busy = dict.fromkeys(("cores", "matrix_engine", "dma"), 0)
    for kernel in program.kernels:
        busy[kernel.unit] += cluster.to_ps(kernel.cycles)
    compute = cluster.to_ps(program.compute_cycles)
    moving = load_x + 2 * sum(slices)
    if batching.buffers > 1:
        turn = max(
            mvm, busy["cores"], busy["matrix_engine"], busy["dma"] + load_x + 2 * sum(slices)
        )
    else:
        turn = max(mvm, compute + moving)
    later = -(-tokens // batch) - 1
    return mvm + slices[0] + compute + slices[-1] + later * turn


def transfer_ps(machine: Machine, size: IntLike) -> IntLike:
    """Return the time a DMA transfer over the link takes: as long as the slower of both [ps]."""
    assert machine.cluster is not None
    dma = machine.cluster.to_ps(machine.cluster.dma.transfer_cycles(size))
    link = machine.link.transfer_ps(size)
    return np.maximum(dma, link) if isinstance(dma, np.ndarray) else max(dma, link)


@lru_cache(maxsize=64)
def _sizes(tokens: int) -> tuple[int, ...]:
    """Return the powers of two below ``tokens``, and ``tokens``."""
    return (*(2**i for i in range((tokens - 1).bit_length())), tokens)


def _slice_widths(machine: Machine, layer: PlacedLayer) -> list[int]:
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
        else f"not even one token fits; lower the rank (now {program.rank})"
    )
    return (
        f"{layer.name}: an adapter of {program.in_features} x {program.out_features} at rank "
        f"{program.rank} needs {format_bytes(_need(program))} of TCDM for a batch of "
        f"{program.tokens}; a cluster of {machine.name} has {format_bytes(cluster.tcdm.size)}; "
        f"{advice}, or raise cluster.tcdm.size"
    )
