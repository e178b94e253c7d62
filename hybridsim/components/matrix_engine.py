"""The matrix engine of a cluster: RedMulE, its cycles, its hazards and its buffers.

``Z[m x k] = X[m x n] W[n x k] + Y``: ``n`` is the reduction, ``k`` the output columns. The engine
cuts Z into tiles of ``L`` rows and ``D = H(P + 1)`` columns and makes them one after the
other, along a row of tiles first. How it works, the equations and their errors:
``docs/matrix_engine.md``.
"""

from collections.abc import Mapping
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from hybridsim.errors import UnsupportedError
from hybridsim.units import Count, IntLike, Ints, Spec, Width, ceil_div

if TYPE_CHECKING:
    from hybridsim.components.redmule_waits import WaitTables

Bools = NDArray[np.bool_]

ELEMENT_BITS = 16
"""FP16, the only format that is modelled [bit]."""
SETUP = 34
"""Trigger to busy: the tiler multiplies the sizes bit by bit [cycles]. Source: measured."""
SETTLE = 5
"""From the last column of Z to done, besides the L rows to store [cycles]. Source: measured."""
MOST = 2**16 - 1
"""The largest m, n and k: the engine has 16-bit size registers."""


class Hazard(IntEnum):
    """Why a job hangs or gives wrong numbers on this engine; NONE is a job that works."""

    NONE = 0
    NO_Y = 1
    SHORT_REDUCTION = 2
    SHORT_TALL = 3
    TALL_RAGGED = 4
    EARLY_PAD = 5
    NARROW_EDGE = 6
    DEADLOCK = 7


HAZARDS = {
    Hazard.NONE: "works",
    Hazard.NO_Y: "without Y only one tile works: the engine waits for a Y that nobody reads "
    "(hang); give it Y, filled with zeros",
    Hazard.SHORT_REDUCTION: "n is not larger than the height of the array (hang; wrong numbers "
    "if there is one tile); pad n with zeros to twice the height",
    Hazard.SHORT_TALL: "n is at most twice the height, with several rows of tiles and one "
    "column: neighbouring tiles meet in the X pad (hang or wrong numbers); pad n further",
    Hazard.TALL_RAGGED: "as many rows of tiles as rows of W, and n is not a multiple of the "
    "height: two counters are mixed up (hang or wrong numbers); pad n to a multiple",
    Hazard.EARLY_PAD: "the last chunk of X has at most H columns: the next tile's rows are used "
    "before they are loaded (silently wrong numbers); pad n by up to H",
    Hazard.NARROW_EDGE: "two columns of tiles, the second so narrow that it is stored while Y is "
    "still being pushed (wrong numbers); pad k to full tiles",
    Hazard.DEADLOCK: "short n and a last column of tiles that is not full: the arbiter of Y and "
    "Z keeps a winner that has withdrawn (hang); pad k to full tiles",
}
"""What each :class:`Hazard` means and what would do, in words."""


class _Tiles(NamedTuple):
    """How a job falls into tiles; every field is an array of one shape."""

    n_rows: Ints
    """Rows of W that go through the array per tile: n rounded up to a multiple of H."""
    down: Ints
    """Rows of tiles."""
    across: Ints
    """Columns of tiles."""
    last_rows: Ints
    """Rows of X in the last row of tiles, 1 to L."""
    last_columns: Ints
    """Columns of W in the last column of tiles, 1 to D."""


class MatrixEngine(Spec):
    """A RedMulE array: ``array_height x array_width`` fused multiply-adders on one memory port.

    All equations take ints or int64 arrays and give back the same. Exact for most measured
    jobs; see ``docs/matrix_engine.md`` for errors and for what is not modelled (bank conflicts,
    FP8, a second context, the core's register writes).
    """

    kind: Literal["redmule"] = "redmule"
    array_height: Count
    """H: multiply-adders in a row of the array, along the reduction."""
    array_width: Count
    """L: rows of the array, that is rows of X at a time. The designers' limit is H * P."""
    pipe_regs: Count
    """P: pipeline registers of a multiply-adder. At least 1: with 0 the engine never asks for
    its second Y tile, because it does so one stage before the last."""
    port_width: Width
    """Payload of the memory port [bit]: one row of a tile, 16 H (P + 1)."""

    @model_validator(mode="after")
    def _port_fits_array(self) -> Self:
        needed = ELEMENT_BITS * self.tile_columns
        if self.port_width != needed:
            raise ValueError(
                f"port_width is {self.port_width} bit, but an array of height "
                f"{self.array_height} with {self.pipe_regs} pipeline registers reads rows of "
                f"{self.tile_columns} FP16 elements: write '{needed} bit', or change the array "
                f"(a port of {self.port_width} bit fits a height of "
                f"{self.port_width / ELEMENT_BITS / (self.pipe_regs + 1):g})"
            )
        return self

    @property
    def tile_columns(self) -> int:
        """D: columns of an output tile, one per element of a port access."""
        return self.array_height * (self.pipe_regs + 1)

    @property
    def macs_per_cycle(self) -> int:
        """Multiply-accumulates per cycle when every multiply-adder is busy."""
        return self.array_height * self.array_width

    @property
    def peak(self) -> int:
        """Another name for :attr:`macs_per_cycle`."""
        return self.macs_per_cycle

    def gemm_cycles(self, m: IntLike, n: IntLike, k: IntLike, with_y: bool = True) -> IntLike:
        """Return the cycles from trigger to done, of the padded shape where one is needed.

        Raises:
            UnsupportedError: A size is out of range, or ``with_y`` is False and a job has more
                than one tile (the hardware hangs).
        """
        if isinstance(m, int) and isinstance(n, int) and isinstance(k, int):
            return _known_cycles(self, m, n, k, with_y)
        return _total(self.gemm_terms(m, n, k, with_y))

    def gemm_terms(
        self, m: IntLike, n: IntLike, k: IntLike, with_y: bool = True
    ) -> dict[str, IntLike]:
        """Return the terms that add up to :meth:`gemm_cycles` [cycles].

        ``setup`` trigger to busy; ``preload`` first rows of X and Y; ``compute`` P + 1 cycles per
        row of W and tile; ``port_wait`` the array waits for X or W; ``z_wait`` it waits until Z
        is stored and the next Y loaded; ``drain`` the last tile goes to memory.
        """
        return self._terms(*self._padded(*_sizes(m, n, k), with_y), with_y, _plain(m, n, k))

    def raw_cycles(self, m: IntLike, n: IntLike, k: IntLike, with_y: bool = True) -> IntLike:
        """Return the cycles of the shape as it stands, also where :meth:`hazard` warns.

        This is what a measurement of the unpadded job compares with; a job that hangs gets the
        cycles that it would take if it did not.
        """
        cycles: IntLike = _total(self._terms(*_sizes(m, n, k), with_y, _plain(m, n, k)))
        return cycles

    def replayed_cycles(self, m: int, n: int, k: int, with_y: bool = True) -> int:
        """Return the cycles of one unpadded job, stepped through cycle by cycle.

        The slow, exact sibling of :meth:`raw_cycles`, for checking single shapes.

        Raises:
            UnsupportedError: The job hangs.
        """
        from hybridsim.components.redmule_replay import replay  # slow to import: numba

        job = replay(self.array_height, self.array_width, self.pipe_regs, m, n, k, with_y)
        if job.hangs:
            raise UnsupportedError(f"matrix engine: m={m}, n={n}, k={k} hangs")
        return job.cycles

    def hazard(self, m: IntLike, n: IntLike, k: IntLike, with_y: bool = True) -> IntLike:
        """Return a code of :class:`Hazard` for every shape; :data:`HAZARDS` says it in words."""
        code = self._hazard(*_sizes(m, n, k), with_y)
        return int(code) if _plain(m, n, k) else code  # type: ignore[return-value]

    def padded(
        self, m: IntLike, n: IntLike, k: IntLike, with_y: bool = True
    ) -> tuple[IntLike, IntLike, IntLike]:
        """Return the smallest shape found that works: n, k or both filled up with zeros.

        Raises:
            UnsupportedError: No padding helps: a size beyond the registers, or several tiles
                without Y.
        """
        shape = self._padded(*_sizes(m, n, k), with_y)
        return tuple(map(int, shape)) if _plain(m, n, k) else shape  # type: ignore

    def buffer_rows(self, m: IntLike) -> IntLike:
        """Return the rows of Y that are read and of Z that are written: whole tiles, always.

        The engine does not stop at row m, so the buffer of Y and Z must be this long.
        """
        return ceil_div(m, self.array_width) * self.array_width

    def gemm_bytes(
        self, m: IntLike, n: IntLike, k: IntLike, element_bytes: int = ELEMENT_BITS // 8
    ) -> IntLike:
        """Return the memory that X, W and the shared buffer of Y and Z take, as padded [bytes]."""
        m, n, k = self.padded(m, n, k)
        elements: IntLike = m * n + n * k + self.buffer_rows(m) * k
        return elements * element_bytes

    def _tiles(self, m: Ints, n: Ints, k: Ints) -> _Tiles:
        height, width, columns = self.array_height, self.array_width, self.tile_columns
        down, across = ceil_div(m, width), ceil_div(k, columns)
        return _Tiles(
            n_rows=ceil_div(n, height) * height,
            down=down,
            across=across,
            last_rows=m - width * (down - 1),
            last_columns=k - columns * (across - 1),
        )

    def _terms(self, m: Ints, n: Ints, k: Ints, with_y: bool, plain: bool) -> dict[str, Any]:
        from hybridsim.components.redmule_waits import wait_tables  # slow to import: numba

        tables = wait_tables(self.array_height, self.array_width, self.pipe_regs)
        cut = self._tiles(m, n, k)
        tiles = cut.down * cut.across
        kind = np.where(tiles > 1, 1, np.where(n <= self.array_height, 2, 0))
        kind = kind if with_y else np.full_like(kind, 3)
        start = tables.start(np.minimum(m, self.array_width), kind)
        store = SETTLE + self.array_width
        wait, z_wait = self._waits(tables, cut)
        terms = {
            "setup": np.full(tiles.shape, SETUP),
            "preload": start - SETUP - store,
            "compute": (self.pipe_regs + 1) * cut.n_rows * tiles,
            "port_wait": wait - z_wait,
            "z_wait": z_wait,
            "drain": store + cut.last_columns,
        }
        return {name: int(term) if plain else term for name, term in terms.items()}

    def _waits(self, tables: "WaitTables", cut: _Tiles) -> tuple[Ints, Ints]:
        """Return how long the array waits in a job, and how much of it for the Z buffer.

        The first tile finds its X and Y loaded, the second and third have waits of their own.
        Later a tile waits for the tile before it to be stored, so the first tile of a row waits
        as the last, perhaps narrow column of tiles makes it (``after_edge``).
        """
        width = self.array_width
        one_row = cut.down == 1
        full = tables.steady(cut.n_rows, np.full(cut.down.shape, width))
        lowest = tables.steady(cut.n_rows, cut.last_rows)
        after_edge = self._after_edge(tables, cut, full)
        rows = np.where(one_row, cut.last_rows, width)
        second, third = (tables.opening(tile, cut.n_rows, rows) for tile in (2, 3))
        down, across, short, flat = (
            part[..., None]
            for part in (cut.down, cut.across, (cut.last_rows < width) & ~one_row, one_row)
        )
        ragged = (cut.last_columns < self.tile_columns)[..., None]
        last_row = np.where(ragged, after_edge, lowest)
        column = np.where(ragged, after_edge, third) + after_edge * (down - 3)
        column = np.where(down > 2, column + short * (last_row - after_edge), 0)
        top = third + (across - 3) * np.where(flat, lowest, full)
        below = (down - 1 - short) * (after_edge + (across - 1) * full)
        below += short * (after_edge + (across - 1) * lowest)
        total = np.where(across == 1, column, np.where(across > 2, top, 0) + below) + second
        total = np.where(down * across > 1, total, 0)
        # lines through the waits of short jobs may cross zero on long ones; a wait cannot
        wait = np.maximum(0, (total[..., 0] + tables.PER // 2) // tables.PER)
        return wait, np.clip(total[..., 1] // tables.PER, 0, wait)

    def _after_edge(self, tables: "WaitTables", cut: _Tiles, full: Ints) -> Ints:
        """Return the wait after the last column of tiles, which may be narrow."""
        waits = full.copy()
        ragged = (cut.last_columns < self.tile_columns) & (cut.down > 1)
        for across, chosen in ((1, cut.across == 1), (2, cut.across == 2), (3, cut.across > 2)):
            asked = chosen & ragged
            n_rows, columns = cut.n_rows[asked], cut.last_columns[asked]
            if n_rows.size:
                waits[asked] = (
                    tables.column(n_rows, columns)
                    if across == 1
                    else tables.edge(n_rows, columns, across > 2)
                )
        return waits

    def _hazard(self, m: Ints, n: Ints, k: Ints, with_y: bool) -> Ints:
        cut = self._tiles(m, n, k)
        several = cut.down * cut.across > 1
        height = self.array_height
        flags = [
            (Hazard.NO_Y, several & (not with_y)),
            (Hazard.SHORT_REDUCTION, (n < height) | ((n == height) & several)),
            (Hazard.SHORT_TALL, (n <= 2 * height) & (cut.down > 1) & (cut.across == 1)),
            (Hazard.TALL_RAGGED, (cut.down >= cut.n_rows) & (n % height != 0)),
            (Hazard.EARLY_PAD, self._early_pad(n, cut)),
            (Hazard.NARROW_EDGE, self._narrow_edge(cut)),
        ]
        code = np.zeros(m.shape, dtype=np.int64)
        for hazard, found in reversed(flags):
            code = np.where(found, int(hazard), code)
        suspect = (code == 0) & (n <= 3 * height) & (cut.down > 1) & (cut.across > 1)
        suspect = suspect & (cut.last_columns < self.tile_columns)
        return np.where(self._deadlocks(m, n, k, suspect), int(Hazard.DEADLOCK), code)

    def _early_pad(self, n: Ints, cut: _Tiles) -> Bools:
        """Return where rows of X are used too early.

        A last chunk of at most H columns frees the pad so soon that the next tile's rows are
        taken before they are there; the first 3 rows are always in time. An array as wide as
        the port allows (L >= H P) loads so slowly that only jobs of one row of tiles, not
        completely filled, come into the wrong order. Source: the replay, for H 2, 4 and 8;
        agrees with the measured rows.
        """
        columns, height, width = self.tile_columns, self.array_height, self.array_width
        leftover = n % columns
        short = (n > columns) & (leftover > 0) & (leftover <= height)
        one_row = (cut.down == 1) & (cut.across > 1) & (cut.last_rows > 3)
        two_tall = (cut.down == 2) & (cut.across == 1)
        tall = (cut.down > 1) & (width > 3) & (~two_tall | (cut.last_rows > 3))
        as_wide_as_the_port = width >= height * self.pipe_regs
        order = one_row & (cut.last_rows < width) if as_wide_as_the_port else one_row | tall
        early: Bools = short & order
        return early

    def _narrow_edge(self, cut: _Tiles) -> Bools:
        """Return where a narrow second column of tiles overtakes the Y being pushed.

        Y is pushed for D cycles; filling Z takes the columns of the tile, storing it L cycles and
        one more for every third row beyond the queues. Source: the replay; agrees with the
        measured rows.
        """
        width = self.array_width
        store = width + 2 + max(0, width - 4) // 3
        several = (cut.across == 2) & (cut.down > 1) & (cut.n_rows > 2 * self.array_height)
        early: Bools = several & (cut.last_columns + store <= self.tile_columns)
        return early

    def _deadlocks(self, m: Ints, n: Ints, k: Ints, suspect: Bools) -> Bools:
        found = np.zeros(m.shape, dtype=np.bool_)
        if not suspect.any():
            return found
        from hybridsim.components.redmule_waits import wait_tables  # slow to import: numba

        tables = wait_tables(self.array_height, self.array_width, self.pipe_regs)
        found[suspect] = tables.hangs(m[suspect], n[suspect], k[suspect])
        return found

    def _padded(self, m: Ints, n: Ints, k: Ints, with_y: bool) -> tuple[Ints, Ints, Ints]:
        height, columns = self.array_height, self.tile_columns
        cut = self._tiles(m, n, k)
        several = cut.down * cut.across > 1
        if not with_y and several.any():
            raise UnsupportedError(f"matrix engine: {HAZARDS[Hazard.NO_Y]}")
        n = np.where((n < height) | ((n == height) & several), 2 * height, n)
        short = (n <= 2 * height) & (cut.down > 1) & (cut.across == 1)
        n = np.where(short, 3 * height, n)
        n = np.where(self._early_pad(n, cut), n // columns * columns + 2 * height, n)
        cut = self._tiles(m, n, k)
        n = np.where(cut.down >= cut.n_rows, cut.n_rows, n)
        code = self._hazard(m, n, k, with_y)
        edge = (code == Hazard.NARROW_EDGE) | (code == Hazard.DEADLOCK)
        return m, n, np.where(edge, cut.across * columns, k)


@lru_cache(maxsize=65536)
def _known_cycles(engine: MatrixEngine, m: int, n: int, k: int, with_y: bool) -> int:
    """Return the cycles of one shape; plans ask for few shapes, and often."""
    return _total(engine.gemm_terms(m, n, k, with_y))


def _total(terms: Mapping[str, IntLike]) -> IntLike:
    setup, *others = terms.values()
    total = setup
    for term in others:
        total = total + term
    return total


def _plain(*sizes: object) -> bool:
    """Return whether all sizes are single integers, so that the answer should be one."""
    return not any(isinstance(size, np.ndarray) for size in sizes)


def _sizes(*sizes: Any) -> tuple[Ints, Ints, Ints]:
    m, n, k = np.broadcast_arrays(*(np.asarray(size, dtype=np.int64) for size in sizes))
    for name, size in (("m", m), ("n", n), ("k", k)):
        if size.size and (int(size.min()) < 1 or int(size.max()) > MOST):
            raise UnsupportedError(
                f"matrix engine: {name} is {int(size.min())} to {int(size.max())}, "
                f"but must be 1 to {MOST}; split the job"
            )
    return m, n, k
