"""The matrix engine of a cluster: RedMulE, its cycles, its hazards and its buffers.

``Z[m x k] = X[m x n] W[n x k] + Y``: ``n`` is the reduction, ``k`` the output columns. The engine
cuts Z into tiles of ``L`` rows and ``D = H(P + 1)`` columns and makes them one after the
other, along a row of tiles first. How it works, the equations and their errors:
``docs/matrix_engine.md``.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import model_validator

from hybridsim.compiling import over_columns, side_by_side
from hybridsim.components.redmule_cycles import (
    Hazard,
    cycles_of,
    fill_cycles,
    fill_hazards,
    fill_padded,
    fill_terms,
    hazard_of,
    padded,
    terms_of,
)
from hybridsim.errors import UnsupportedError
from hybridsim.units import Count, IntLike, Ints, Parts, Spec, Width, at_most, ceil_div

ELEMENT_BITS = 16
"""FP16, the only format that is modelled [bit]."""
MOST = 2**16 - 1
"""The largest m, n and k: the engine has 16-bit size registers."""


TERMS = ("setup", "preload", "compute", "port_wait", "z_wait", "drain")

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
    Hazard.OVERTAKEN: "n is at most three times the height, and columns of X are overtaken by "
    "those of the next row of tiles (silently wrong numbers); pad n by H or 2 H",
}
"""What each :class:`Hazard` means and what would do, in words."""


class MatrixEngine(Spec):
    """A RedMulE array: ``array_height x array_width`` fused multiply-adders on one memory port.

    All equations take ints or int64 arrays and give back the same. Exact for most measured
    jobs; see ``docs/matrix_engine.md`` for errors and for what is not modelled (bank conflicts,
    FP8, a second context, the core's register writes).
    """

    kind: Literal["redmule"] = "redmule"
    """RedMulE."""
    array_height: Parts
    """H: multiply-adders in a row of the array, along the reduction."""
    array_width: Parts
    """L: rows of the array, that is rows of X at a time. The designers' limit is H * P."""
    pipe_regs: Annotated[Count, at_most(64, "no multiply-adder has more stages")]
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
        self._check_y(m, k, with_y)
        if isinstance(m, int) and isinstance(n, int) and isinstance(k, int):
            return _known_cycles(self, m, n, k, with_y)
        cycles: IntLike = self._found(cycles_of, fill_cycles, (m, n, k), with_y, True)
        return cycles

    def gemm_terms(
        self, m: IntLike, n: IntLike, k: IntLike, with_y: bool = True
    ) -> dict[str, IntLike]:
        """Return the terms that add up to :meth:`gemm_cycles` [cycles].

        ``setup`` trigger to busy; ``preload`` first rows of X and Y; ``compute`` P + 1 cycles per
        row of W and tile; ``port_wait`` the array waits for X or W; ``z_wait`` it waits until Z
        is stored and the next Y loaded; ``drain`` the last tile goes to memory.
        """
        self._check_y(m, k, with_y)
        found = self._found(terms_of, fill_terms, (m, n, k), with_y, True, rows=6)
        return dict(zip(TERMS, found, strict=True))

    def raw_cycles(self, m: IntLike, n: IntLike, k: IntLike, with_y: bool = True) -> IntLike:
        """Return the cycles of the shape as it stands, also where :meth:`hazard` warns.

        This is what a measurement of the unpadded job compares with; a job that hangs gets the
        cycles that it would take if it did not.
        """
        cycles: IntLike = self._found(cycles_of, fill_cycles, (m, n, k), with_y, False)
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
        code = self._found(hazard_of, fill_hazards, (m, n, k), with_y)
        return int(code) if isinstance(code, int) else code  # type: ignore[return-value]

    def padded(
        self, m: IntLike, n: IntLike, k: IntLike, with_y: bool = True
    ) -> tuple[IntLike, IntLike, IntLike]:
        """Return the smallest shape found that works: n, k or both filled up with zeros.

        Raises:
            UnsupportedError: No padding helps: a size beyond the registers, or several tiles
                without Y.
        """
        self._check_y(m, k, with_y)
        m, n, k = self._found(padded, fill_padded, (m, n, k), with_y, rows=3)
        return m, n, k

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

    def _check_y(self, m: IntLike, k: IntLike, with_y: bool) -> None:
        """Refuse jobs of several tiles without Y."""
        tiles = ceil_div(m, self.array_width) * ceil_div(k, self.tile_columns)
        if not with_y and np.any(tiles > 1):
            raise UnsupportedError(f"matrix engine: {HAZARDS[Hazard.NO_Y]}")

    def _found(
        self,
        equation: Callable[..., Any],
        fill: Callable[..., None],
        sizes: tuple[Any, Any, Any],
        *how: bool,
        rows: int = 0,
    ) -> Any:
        """Return what an equation gives for one job, or in ``rows`` rows for columns of jobs.

        ``fill`` is the loop over columns; ``how`` its further arguments and those of the equation.
        """
        from hybridsim.components.redmule_waits import wait_tables  # slow to import: numba

        tables = wait_tables(self.array_height, self.array_width, self.pipe_regs)
        if not any(isinstance(size, np.ndarray) for size in sizes):
            single = tuple(map(int, _sizes(*sizes)))
            return tables.settled(lambda: equation(tables.array, tables.waits, *single, *how))
        columns = _sizes(*sizes)
        figures = (tables.array, tables.waits, *(*how, True)[:2])
        return tables.settled(lambda: over_columns(fill, figures, *columns, rows=rows))


@lru_cache(maxsize=65536)
def _known_cycles(engine: MatrixEngine, m: int, n: int, k: int, with_y: bool) -> int:
    """Return the cycles of one shape; plans ask for few shapes, and often."""
    cycles: int = engine._found(cycles_of, fill_cycles, (m, n, k), with_y, True)
    return cycles


def _sizes(*sizes: Any) -> tuple[Ints, Ints, Ints]:
    m, n, k = side_by_side(*sizes)
    for name, size in (("m", m), ("n", n), ("k", k)):
        if size.size and (int(size.min()) < 1 or int(size.max()) > MOST):
            raise UnsupportedError(
                f"matrix engine: {name} is {int(size.min())} to {int(size.max())}, "
                f"but must be 1 to {MOST}; split the job"
            )
    return m, n, k
