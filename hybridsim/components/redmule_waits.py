"""How long the RedMulE array waits for its memory port and its Z buffer, per tile.

The waits are measured on the replay (:mod:`hybridsim.components.redmule_replay`), tile by tile,
when a shape first asks for them, and kept. So a job of any size costs a look-up, and an array
that nobody measured costs a few replays. Those of bundled machines come with the package
(:mod:`.redmule_replayed`): ``python -m hybridsim.components.redmule_waits`` replays them anew.
"""

from collections.abc import Callable
from functools import cache
from typing import TypeVar

import numpy as np

from hybridsim.components.redmule_contents import Outcome, outcome
from hybridsim.components.redmule_cycles import (
    FAR,
    FEW,
    HANGS,
    OUTCOME_WANTED,
    PER,
    SHORT,
    UNKNOWN,
    WANTED,
    WHOLE_HANGS,
    WORKS,
    WRONG,
    Array,
    Waits,
    entry,
    most_rows,
)
from hybridsim.components.redmule_replay import Replay, replay
from hybridsim.components.redmule_replayed import take, write
from hybridsim.units import Ints

Found = TypeVar("Found")
_FEW_SHAPES = [
    (down, across)
    for down in range(1, FEW + 1)
    for across in range(1, FEW + 1)
    if 1 < down * across <= FEW
]
"""Tiles down and across of jobs that are replayed whole, in the order of ``whole_row``."""
_KNOWN = {Outcome.WORKS: WORKS, Outcome.HANGS: HANGS, Outcome.WRONG: WRONG}
_LONGEST = 12
"""Tiles down and across of the longest job that is asked whether it hangs."""
BUNDLED = ((4, 8, 3), (4, 12, 3))
"""Height, width and pipeline registers of the arrays of bundled machines."""


class WaitTables:
    """How long a tile waits on one array, measured on the replay and kept.

    A wait depends on how deep the reduction is (``n_rows``: rows of W, a multiple of ``H``), on
    the rows of X in the tile and on its columns. Entries are replayed when first asked for and
    are sums over :data:`PER` tiles, so that they stay integers. Each entry is a pair: the whole
    wait, and the part of it in which the Z buffer was the late one.
    """

    def __init__(self, height: int, width: int, pipe_regs: int) -> None:
        self.height, self.width, self.pipe_regs = height, width, pipe_regs
        self.depth = height * (pipe_regs + 1)
        self.array = Array.of(height, width, pipe_regs)
        self._deepest = SHORT * (pipe_regs + 1)
        classes = FAR * (pipe_regs + 1) + 1

        def table(rows: int, columns: int) -> Ints:
            return np.full((rows, columns + 1, 2), UNKNOWN, np.int64)

        self.waits = Waits(
            start=table(4, width),
            steady=table(classes, width),
            edge_of_2=table(classes, self.depth),
            edge_of_3=table(classes, self.depth),
            column=table(classes, self.depth),
            tile_2=table(classes, width),
            tile_3=table(classes, width),
            # zeros take no memory until they are written
            outcomes=np.zeros((4 * most_rows(self.array), _LONGEST * self.depth + 1), np.int8),
            whole=np.zeros(
                (len(_FEW_SHAPES) * self._deepest * width, self.depth + 1, 2), np.int64
            ),
            asked=np.zeros(1, np.int64),
        )

    def fill_all(self) -> None:
        """Replay every entry that a job can ask for."""
        waits, array = self.waits, self.array
        waits.start[:, 1:, 0] = WANTED
        deep = waits.steady, waits.edge_of_2, waits.edge_of_3, waits.column
        for table in (*deep, waits.tile_2, waits.tile_3):
            table[1:, 1:, 0] = WANTED
        waits.whole[:, 1:, 0] = WANTED
        each = waits.outcomes.reshape(4, most_rows(array), -1)
        each[2:, 1:, 1:] = OUTCOME_WANTED
        each[2:, 1 : self.width + 1, 1 : self.depth + 1] = 0  # a single tile always works
        self._fill()

    def settled(self, evaluate: Callable[[], Found]) -> Found:
        """Return what an equation gives once every wait that it asks for has been replayed."""
        found = evaluate()
        while self.waits.asked[0]:
            self._fill()
            found = evaluate()
        return found

    def _fill(self) -> None:
        """Replay all entries that were asked for."""
        waits = self.waits
        waits.asked[0] = 0
        measures: list[tuple[Ints, Callable[[int, int], tuple[int, int]]]] = [
            (waits.start, self._start),
            (waits.steady, self._steady),
            (waits.edge_of_2, lambda deep, columns: self._edge(deep, columns, 2)),
            (waits.edge_of_3, lambda deep, columns: self._edge(deep, columns, 3)),
            (waits.column, self._column),
            (waits.tile_2, lambda deep, rows: self._opening(deep, rows, 2)),
            (waits.tile_3, lambda deep, rows: self._opening(deep, rows, 3)),
        ]
        for table, measure in measures:
            for row, column in np.argwhere(table[..., 0] == WANTED).tolist():
                table[row, column] = measure(row, column)
        for row, columns in np.argwhere(waits.whole[..., 0] == WANTED).tolist():
            waits.whole[row, columns] = self._whole(row, columns)
        for row, columns in np.argwhere(waits.outcomes == OUTCOME_WANTED).tolist():
            deep, rows = divmod(row, most_rows(self.array))
            array = self.height, self.width, self.pipe_regs
            waits.outcomes[row, columns] = _KNOWN[
                outcome(*array, rows, deep * self.height, columns)
            ]

    def _whole(self, row: int, columns: int) -> tuple[int, int]:
        """Replay a job of few tiles as it is."""
        row, rows = divmod(row, self.width)
        shape, deep = divmod(row, self._deepest)
        down, across = _FEW_SHAPES[shape]
        m, k = self.width * (down - 1) + rows + 1, self.depth * (across - 1) + columns
        job = self._replay(m, (deep + 1) * self.height, k)
        return (WHOLE_HANGS, 0) if job.hangs else (job.cycles, job.z_wait)

    def _known(self, table: Ints, row: int, column: int) -> int:
        """Return an entry that another one is measured with."""
        return self.settled(lambda: entry(self.waits, table, row, column, 0))

    def _replay(self, m: int, n: int, k: int, with_y: bool = True) -> Replay:
        return replay(self.height, self.width, self.pipe_regs, m, n, k, with_y)

    def _compute(self, n_rows: int) -> int:
        return (self.pipe_regs + 1) * n_rows

    def _start(self, kind: int, rows: int) -> tuple[int, int]:
        """Replay a job in which nothing waits and take its compute cycles away.

        Four chunks of X, because a job that has read all of X before the array starts is where
        the replay itself is up to 5 cycles short.
        """
        n = self.height if kind == 2 else 4 * self.depth
        tiles = 2 if kind == 1 else 1
        job = self._replay(rows, n, tiles * self.depth, kind != 3)
        wait = job.port_wait + job.z_wait
        return job.cycles - wait - tiles * self._compute(n) - self.depth, 0

    def _between(
        self, shape: Callable[[int], tuple[int, int, int]], spans: tuple[int, int], full: int
    ) -> tuple[int, int] | None:
        """Return the wait between two jobs that differ in their number of tiles alone."""
        few, many = (self._replay(*shape(span)) for span in spans)
        if few.hangs or many.hangs:
            return None
        return max(0, many.cycles - few.cycles - full), max(0, many.z_wait - few.z_wait)

    def _steady(self, deep: int, rows: int) -> tuple[int, int]:
        n = deep * self.height
        waits = self._between(
            lambda tiles: (rows, n, tiles * self.depth),
            (PER, 2 * PER),
            PER * self._compute(n),
        )
        return waits or self._z_chain(n, self.depth)

    def _edge(self, deep: int, columns: int, across: int) -> tuple[int, int]:
        n = deep * self.height
        k = (across - 1) * self.depth + columns
        for first, last in ((PER // 2, PER), (2, 3), (1, 2)):
            rows = last - first  # a job with many rows of tiles may hang where a short one ends
            compute = across * rows * self._compute(n)
            waits = self._between(lambda tiles: (tiles * self.width, n, k), (first, last), compute)
            if waits:
                break
        else:
            return self._z_chain(n, columns)
        self._known(self.waits.steady, deep, self.width)
        full, scale = self.waits.steady[deep, self.width].tolist(), PER // rows
        wait, z_wait = (
            max(0, scale * wait - (across - 1) * fit)
            for wait, fit in zip(waits, full, strict=True)
        )
        return wait, z_wait

    def _column(self, deep: int, columns: int) -> tuple[int, int]:
        n = deep * self.height
        waits = self._between(
            lambda tiles: (tiles * self.width, n, columns),
            (PER, 2 * PER),
            PER * self._compute(n),
        )
        return waits or self._z_chain(n, columns)

    def _opening(self, deep: int, rows: int, tile: int) -> tuple[int, int]:
        n = deep * self.height
        compute, depth = self._compute(n), self.depth
        if tile == 2:
            start = self._known(self.waits.start, 1, rows)
            before, z_before = start + compute + depth, 0
        else:
            few = self._replay(rows, n, (tile - 1) * depth)
            before, z_before = few.cycles, few.z_wait
        job = self._replay(rows, n, tile * depth)
        wait = max(0, job.cycles - before - compute)
        return PER * wait, PER * min(wait, max(0, job.z_wait - z_before))

    def _z_chain(self, n: int, columns: int) -> tuple[int, int]:
        """Return the bound that the Z buffer sets, for tiles of which a job would hang."""
        wait = PER * max(0, columns + 2 * self.width + 1 - self._compute(n))
        return wait, wait


@cache
def wait_tables(height: int, width: int, pipe_regs: int) -> WaitTables:
    """Return the tables of one array; they fill up as they are used and live with the process."""
    found = WaitTables(height, width, pipe_regs)
    take(found.array, found.waits)
    return found


def main() -> None:
    """Replay what comes with the package."""
    for size in BUNDLED:
        tables = WaitTables(*size)
        tables.fill_all()
        write(tables.array, tables.waits)


if __name__ == "__main__":
    main()
