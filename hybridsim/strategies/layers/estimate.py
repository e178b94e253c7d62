"""How long a layer takes if its pipeline is perfectly regular: an estimate, used to cut streams.

The equations take single numbers, or columns of them: one entry per candidate.
"""

from dataclasses import field, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from hybridsim.arch import Cluster, Machine
from hybridsim.arch.machine import TileArray
from hybridsim.components.core_kernels import larger
from hybridsim.components.interconnect import Link
from hybridsim.programs import LoraProgram
from hybridsim.programs.lora import last_end
from hybridsim.programs.lora_shares import with_shares
from hybridsim.records import record
from hybridsim.strategies.layers.batches import Batching, BatchOrder, SizeColumns
from hybridsim.units import IntLike, Ints, ceil_div


@record(frozen=True, slots=True)
class PricedParts:
    """The parts of a machine that price adapted layers; machines alike in them are equal."""

    tile: TileArray
    cluster: Cluster | None
    link: Link
    machine: Machine = field(compare=False)

    @classmethod
    def of(cls, machine: Machine) -> "PricedParts":
        """Return the parts of a machine."""
        return cls(machine.tile, machine.cluster, machine.link, machine)


PLAIN, RAMPED, EARLY = range(3)
"""Estimates: of batches all alike, with ramps or several clusters, and with early kernels."""


def estimated(order: BatchOrder) -> int:
    """Return which estimate an order of batches asks for."""
    return PLAIN if order.plain else EARLY if order.early else RAMPED


class Terms(NamedTuple):
    """What the estimate for a candidate depends on beside the time of an MVM; columns [ps]."""

    batch: Ints
    """Tokens of a batch."""
    last: Ints
    """Tokens of the last batch."""
    turn: Ints
    """How often all clusters together can take a batch."""
    rest: Ints
    """A batch from the end of its MVMs to its last store, if nothing is in the way."""
    start: Ints
    """Fetching the input of the first batch."""
    tail: Ints
    """What is left to do when the last MVM ends, if all that needs only X has been done."""

    @classmethod
    def of(
        cls, machine: Machine, tokens: Ints, program: LoraProgram, buffers: Ints, order: BatchOrder
    ) -> "Terms":
        """Return the terms of candidates whose programs are given as columns."""
        batch: Ints = program.tokens  # type: ignore[assignment]
        stage = Stage.of(machine, program)
        turn = ceil_div(stage.turns(buffers), order.clusters)
        none = 0 * batch
        if order.plain:
            return cls(batch, none, turn, none + stage.rest, none, none)
        ramps = order.first_batch or 0, order.last_batch or 0
        sizes = SizeColumns.of(tokens, batch, *ramps)
        last = replace(program, tokens=sizes.last_size, shares=None)  # type: ignore[arg-type]
        start = transfer_ps(machine, sizes.first_size * program.in_features)
        tail = Stage.of(machine, last).tail
        return cls(batch, sizes.last_size, turn, none + stage.rest, none + start, none + tail)


def regular_ps(
    estimate: int, tokens: IntLike, vector: IntLike, batch: IntLike, last: IntLike,
    turn: IntLike, rest: IntLike, start: IntLike, tail: IntLike,
) -> IntLike:  # fmt: skip
    """Return the latency of a layer if its pipeline were perfectly regular [ps].

    First batch from end to end, then one batch per turn of the slowest stage. ``vector`` is the
    time of an MVM; the others are the :class:`Terms`.
    """
    slowest = larger(batch * vector, turn)
    if estimate == EARLY:
        return larger(tokens * batch * vector, start + tokens * slowest) // batch + tail
    if estimate == RAMPED:
        return batch * vector + rest + (tokens - last) * slowest // batch + tail
    return batch * vector + rest + (ceil_div(tokens, batch) - 1) * slowest


def estimate_ps(
    machine: Machine,
    tokens: Ints,
    program: LoraProgram,
    buffers: Ints,
    order: BatchOrder,
    copies: int = 1,
) -> Ints:
    """Return the latency of layers if their pipelines were perfectly regular [ps].

    What is reported comes from an engine. Programs are given as columns.
    """
    vector: Any = machine.tile.mvm_ps(program.in_features, program.out_features, 1)
    vector = vector // copies
    terms = Terms.of(machine, tokens, program, buffers, order)
    return regular_ps(estimated(order), tokens, vector, *terms)


@record(frozen=True, slots=True, eq=False)
class Stage:
    """What one batch takes on each part of a cluster [ps]."""

    moving: Any
    """X to the cluster, Y to it, and Z back."""
    compute: Any
    """First kernel to last, with every operand in the TCDM."""
    busy: tuple[Any, Any, Any]
    """Cores, matrix engine, DMA; the last with all transfers."""
    rest: Any
    """A batch from the end of its MVMs to its last store, if nothing is in the way."""
    tail: Any
    """What is left to do when the last MVM ends, if all that needs only X has been done."""

    def turn(self, buffers: int) -> Any:
        """Return how often a cluster can take a batch with that many in flight [ps]."""
        return last_end([*self.busy]) if buffers > 1 else self.compute + self.moving

    def turns(self, buffers: Ints) -> Ints:
        """Return :meth:`turn` for columns."""
        found: Ints = np.where(buffers > 1, self.turn(2), self.turn(1))
        return found

    @classmethod
    def of(cls, machine: Machine, program: LoraProgram) -> "Stage":
        """Return what a batch of a program takes."""
        cluster, batch = machine.cluster, program.tokens
        assert cluster is not None
        short, times = _two_slices(with_shares(program, cluster))
        load_x = transfer_ps(machine, batch * program.in_features)
        slices = [transfer_ps(machine, batch * width) for width in short.slices]
        cycles = short.cycles(cluster)
        busy: dict[str, Any] = dict.fromkeys(("cores", "matrix_engine", "dma"), 0)
        for kernel, own in zip(short.kernels, cycles, strict=True):
            often = times[kernel.slice] if kernel.slice_work else 1
            busy[kernel.unit] = busy[kernel.unit] + often * cluster.to_ps(own)
        moved = load_x
        for often, one in zip(times, slices, strict=True):
            moved = moved + 2 * often * one
        compute = cluster.to_ps(last_end(short.ends(cycles)))
        late = cluster.to_ps(_late_cycles(short, cycles))
        return cls(
            moved,
            compute,
            (busy["cores"], busy["matrix_engine"], busy["dma"] + moved),
            slices[0] + compute + slices[-1],
            slices[0] + late + slices[-1],
        )


@lru_cache(maxsize=4096)
def stage_of(parts: PricedParts, program: LoraProgram) -> Stage:
    """Return what a batch of a single program takes; streams ask for few of them, and often."""
    return Stage.of(parts.machine, program)


@lru_cache(maxsize=4096)
def alone_ps(parts: PricedParts, tokens: int, batching: Batching, copies: int) -> int:
    """Return the estimate for a single layer on its own, on so many sets of tiles [ps]."""
    program = batching.program
    names = ("in_features", "out_features", "rank", "tokens")
    single: dict[str, Any] = {name: np.array([getattr(program, name)]) for name in names}
    columns: LoraProgram = replace(program, **single, shares=None)
    counts = (np.array([tokens]), np.array([batching.buffers]))
    order = batching.order
    return int(estimate_ps(parts.machine, counts[0], columns, counts[1], order, copies)[0])


def _two_slices(program: LoraProgram) -> tuple[LoraProgram, tuple[Any, ...]]:
    """Return the program with one full slice and the last, and how often each is there.

    Slices do not wait for each other, so that one of each kind tells how long all of them take.
    """
    if program.slice_columns is None:
        return program, (1,)
    count = ceil_div(program.out_features, program.slice_columns)
    if np.all(count == 1):
        return replace(program, slice_columns=None), (1,)
    full = 0 * program.out_features + program.slice_columns
    last = program.out_features - (count - 1) * full
    return replace(program, out_features=full + last, slice_columns=full), (count - 1, 1)


def _late_cycles(program: LoraProgram, cycles: tuple[int, ...]) -> int:
    """Return the cycles from the arrival of Y to Z, if all that can has run before."""
    separate = program.choice.add == "separate"
    ends: list[int] = []
    for kernel, own in zip(program.kernels, cycles, strict=True):
        late = "y" in kernel.reads or ("b" in kernel.reads and not separate)
        before = last_end([ends[i] for i in kernel.after])
        ends.append(before + own if late else 0)
    return last_end(ends)


def transfer_ps(machine: Machine, elements: IntLike) -> IntLike:
    """Return how long a transfer of elements by a cluster's DMA takes [ps]."""
    assert machine.cluster is not None
    return machine.transfer_ps(elements * machine.cluster.element_bytes)
