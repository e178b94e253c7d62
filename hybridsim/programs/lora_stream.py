"""An adapter whose tokens stream through the scratchpad tile by tile, as a plan for the engines.

The rows of X are cut into tiles. A and B arrive once; then, while one tile is computed, the DMA
stores the output of the tile before and loads the input of the tile after. A tile begins at a
barrier: the units have left the tile before, and its output buffer is free. The program is that
of the rows ``lora_*`` of ``snitch_kernels.csv`` (Snitch cluster RTL), which ran on the cores; the
same stream over the matrix engine, or over both, is not measured.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Literal

import numpy as np

from hybridsim.arch import Cluster
from hybridsim.components.core_kernels import larger
from hybridsim.errors import CapacityError, InputError, UnsupportedError
from hybridsim.plan import Need, Plan, PlanBuilder, Resource, Step, Within
from hybridsim.programs.lora import LoraProgram
from hybridsim.programs.lora_choices import CHOICES, LoraChoice
from hybridsim.programs.lora_kernels import Kernel, KernelUnit
from hybridsim.records import record
from hybridsim.units import IntLike, Ints, ceil_div, format_bytes
from hybridsim.work import Work

MEASURED_KERNELS = ("gemm_ssr_frep_unpadded", "gemm_broadcast")
"""X A and U B in the measured program: rows of X as the DMA leaves them, rows of B padded."""
ON_CORES = CHOICES[2]
_X, _Y = range(2)
"""Where the loads of a tile stand among its steps; the kernels follow, then the store."""
_AHEAD = 2
"""Tiles of X and U in the scratchpad: one at work, one being filled."""
_WORD_EVERY_CYCLE = 1
"""Streams of a core that need a word each cycle: that of the weights. The other one holds its
word for eight cycles, which hides a lost turn."""

_TILE = 30
"""What a tile on the cores takes beside its kernels: its loop and call, the barrier that it shares
with the core of the DMA, and that core's look at the status register every five cycles [cycles].
Source: the six measured programs of one tile, less that tile and its transfers: 31 to 138; the
least is taken, as the others grow with the output for a reason that is not known."""


@record(frozen=True)
class LoraStream:
    """One adapter, its tokens, and how they are cut into tiles.

    Raises:
        InputError: A size is below 1, or there are not one or two output buffers.
        UnsupportedError: Kernels are named for a unit other than the cores.
    """

    cluster: Cluster
    in_features: int
    out_features: int
    rank: int
    tokens: int
    tile: int
    """Rows of X that are computed at a time; the last tile may be smaller."""
    choice: LoraChoice = ON_CORES
    y_buffers: Literal[1, 2] = 2
    """Output tiles in the scratchpad: with 2, a tile is stored beside the next one's compute."""
    kernels: tuple[str, str] | None = None
    """The cores' kernels for X A and U B, in a program that stores U B alone and loads no Y, as
    the measured one; None is the fastest kernels, with Y loaded and added."""

    def __post_init__(self) -> None:
        for name in ("in_features", "out_features", "rank", "tokens", "tile"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: found {getattr(self, name)}; give 1 or more")
        if self.y_buffers not in (1, 2):
            raise InputError(f"y_buffers: found {self.y_buffers}; give 1 or 2")
        if self.kernels is not None and self.choice.unit != "cores":
            raise UnsupportedError("kernels are named for the cores; choose unit=cores")

    @property
    def adds_y(self) -> bool:
        """Whether the analog output Y is loaded, tile by tile, and added."""
        return self.kernels is None

    @property
    def tiles(self) -> int:
        """How many tiles the tokens are cut into."""
        return ceil_div(self.tokens, self.tile)

    @property
    def tcdm_bytes(self) -> int:
        """Bytes of scratchpad: A and B once, X and U twice, Y once per output buffer."""
        rows = min(self.tile, self.tokens)
        full = rows
        engine = self.cluster.matrix_engine
        if engine is not None and self.choice.unit != "cores":
            full = engine.buffer_rows(rows)
        return self.cluster.element_bytes * (
            self.rank * (self.in_features + self.out_features)
            + _AHEAD * (rows * self.in_features + full * self.rank)
            + self.y_buffers * full * self.out_features
        )

    def plan(self) -> Plan:
        """Return the tasks: first load, then one iteration of the loop per tile.

        Raises:
            CapacityError: The tiles in flight do not fit the TCDM.
            UnsupportedError: The cluster lacks the unit, or the unit cannot do the shape.
        """
        tcdm = self.cluster.tcdm
        if not tcdm.fits(self.tcdm_bytes):
            raise CapacityError(
                f"tiles of {self.tile} rows need {format_bytes(self.tcdm_bytes)} of TCDM, which "
                f"has {format_bytes(tcdm.size)}; lower the tile or y_buffers"
            )
        return _Layout(self).plan()

    def tile_kernels(self, rows: int) -> tuple[tuple[Kernel, int], ...]:
        """Return the kernels of one tile with their cycles, in the order of their issue."""
        shape = (self.in_features, self.out_features, self.rank, rows)
        if self.kernels is None:
            program = LoraProgram(*shape, self.choice).on(self.cluster)
            return tuple(zip(program.kernels, program.cycles(self.cluster), strict=True))
        cores, precision = self.cluster.cores, self.cluster.precision
        first, second = self.kernels
        xa = cores.gemm_cycles(rows, self.in_features, self.rank, precision, first)
        ub = cores.gemm_cycles(
            rows, self.rank, self.out_features, precision, second, aligned=False
        )
        made = _cycles("cores", "xa", xa), _cycles("cores", "ub", ub)
        return (
            (Kernel(made[0], reads=("x", "a"), frees=("x",)), xa),
            (Kernel(made[1], after=(0,), reads=("b",), frees=("u",)), ub),
        )


@record(frozen=True)
class _Layout:
    """The plan of a stream under construction: durations per tile, and what waits for what."""

    stream: LoraStream

    @cached_property
    def rows(self) -> Ints:
        """Rows of each tile; all but the last one are full."""
        stream = self.stream
        rows = np.full(stream.tiles, min(stream.tile, stream.tokens), np.int64)
        rows[-1] = stream.tokens - (stream.tiles - 1) * stream.tile
        return rows

    @cached_property
    def kernels(self) -> tuple[Kernel, ...]:
        """The kernels of a tile."""
        return tuple(kernel for kernel, _ in self.tiles[0])

    @cached_property
    def tiles(self) -> tuple[tuple[tuple[Kernel, int], ...], ...]:
        """The kernels of the first and of the last tile: the same ones, of other lengths."""
        first, last = int(self.rows[0]), int(self.rows[-1])
        return self.stream.tile_kernels(first), self.stream.tile_kernels(last)

    @property
    def units(self) -> dict[str, int]:
        """Resource index of each unit."""
        there: list[KernelUnit] = ["cores", "dma"]
        if self.stream.choice.unit != "cores":
            there.append("matrix_engine")
        return {unit: index for index, unit in enumerate(there)}

    def plan(self) -> Plan:
        units = self.units
        builder = PlanBuilder(tuple(Resource(name, name) for name in units))
        stream, dma, size = self.stream, (units["dma"],), self.stream.cluster.element_bytes
        a = size * stream.in_features * stream.rank
        b = size * stream.rank * stream.out_features
        first = builder.repeat(
            "first load",
            [
                Step(_cycles("dma", "load a", stream.cluster.dma.transfer_cycles(a)), dma),
                Step(_cycles("dma", "load b", self._queued(b)), dma),
            ],
            1,
        ).first
        weights = {"a": Need(first), "b": Need(first + 1)}
        builder.repeat("tile", list(self._steps(weights)), stream.tiles)
        return builder.build()

    def _steps(self, weights: dict[str, Need]) -> Iterator[Step]:
        stream, dma = self.stream, (self.units["dma"],)
        store = self._first_kernel + len(self.kernels)
        stored = Within(store, stream.y_buffers, room=True)
        yield Step(_each("dma", "load x", self._load_x()), dma, self._room("x", _AHEAD))
        if stream.adds_y:
            y = self._queued(self._bytes(stream.out_features))
            yield Step(_each("dma", "load y", y), dma, (stored,))
        operands: dict[str, Need | Within] = {"x": Within(_X), "y": Within(_Y), **weights}
        barrier = (stored, *self._room("u", 1))
        for kernel, cycles in zip(self.kernels, self._kernel_cycles(), strict=True):
            needs = [operands[name] for name in kernel.reads]
            needs += [Within(self._first_kernel + i) for i in kernel.after]
            if kernel.unit == "dma" and not kernel.after:
                needs += self._room("u", _AHEAD)
            elif all(self.kernels[i].unit == "dma" for i in kernel.after):
                needs += barrier
            works = _each(kernel.unit, kernel.work.label, cycles)
            yield Step(works, (self.units[kernel.unit],), tuple(needs))
        z = stream.cluster.dma.transfer_cycles(self._bytes(stream.out_features), source="tcdm")
        made = tuple(Within(i) for i in self._last_kernels)
        yield Step(_each("dma", "store z", z), dma, made)

    @property
    def _first_kernel(self) -> int:
        return _Y + 1 if self.stream.adds_y else _X + 1

    def _room(self, buffer: str, tiles: int) -> tuple[Within, ...]:
        """Return the needs of a step that fills a buffer with room for that many tiles."""
        return tuple(
            Within(self._first_kernel + i, tiles, room=True)
            for i, kernel in enumerate(self.kernels)
            if buffer in kernel.frees
        )

    @property
    def _last_kernels(self) -> list[int]:
        waited_for = {i for kernel in self.kernels for i in kernel.after}
        count = len(self.kernels)
        return [self._first_kernel + i for i in range(count) if i not in waited_for]

    def _bytes(self, features: int) -> Ints:
        """Bytes of each tile of a matrix with that many features."""
        return self.rows * features * self.stream.cluster.element_bytes

    def _queued(self, size: IntLike) -> IntLike:
        """Cycles of a transfer right behind another one, whose latency hides its own."""
        dma = self.stream.cluster.dma
        return larger(dma.beats(size), dma.issue_1d)

    def _load_x(self) -> Ints:
        """Tile 0 follows A and B, tile 1 begins on its own, others follow a store."""
        size = self._bytes(self.stream.in_features)
        cycles = self._queued(size)
        cycles[1:2] = self.stream.cluster.dma.transfer_cycles(size)[1:2]
        return cycles

    def _kernel_cycles(self) -> list[Ints]:
        """Cycles of each kernel over the tiles; the first one on the cores bears all else."""
        columns = []
        for (_, full), (_, last) in zip(*self.tiles, strict=True):
            cycles = np.full(len(self.rows), full, np.int64)
            cycles[-1] = last
            columns.append(cycles)
        on_cores = [i for i, kernel in enumerate(self.kernels) if kernel.unit == "cores"]
        if on_cores:
            lost = self._lost(np.sum([columns[i] for i in on_cores], axis=0))
            columns[on_cores[0]] += lost + _TILE
        return columns

    def _lost(self, compute: Ints) -> Ints:
        """Cycles that the cores of each tile lose to the beats of the DMA beside them.

        A beat takes some banks for one cycle, so of B cycles with beats, B / (1 + q) see a word
        arrive and the others are lost (:meth:`Tcdm.beside_dma_cycles`; derived, not fitted). The
        cores are taken as streaming all the time.
        """
        stream, dma, tcdm = self.stream, self.stream.cluster.dma, self.stream.cluster.tcdm
        beats = np.zeros_like(self.rows)
        beats[:-1] += dma.beats(self._bytes(stream.in_features))[1:]
        if stream.y_buffers == 2:
            z = dma.beats(self._bytes(stream.out_features))
            beats[1:] += z[:-1]
            beats[:-1] += z[1:] * stream.adds_y
        beside = np.minimum(beats, compute)
        slowed = tcdm.beside_dma_cycles(beside, _WORD_EVERY_CYCLE, dma.bytes_per_cycle)
        lost: Ints = beside * (slowed - beside) // np.maximum(slowed, 1)
        return lost


def _cycles(unit: str, label: str, cycles: int) -> Work:
    """Return a work of so many cycles on a unit of the cluster."""
    return Work(unit, "cycles", label, (int(cycles),))


def _each(unit: str, label: str, cycles: Ints) -> tuple[Work, ...]:
    """Return the works of all tiles; tiles alike share theirs."""
    known = {each: _cycles(unit, label, each) for each in set(cycles.tolist())}
    return tuple(known[each] for each in cycles.tolist())
