"""How long the RedMulE array waits for its memory port and its Z buffer, per tile.

The waits are measured on the replay (:mod:`hybridsim.components.redmule_replay`), tile by tile,
when a shape first asks for them, and kept. So a job of any size costs a look-up, and an array
that nobody measured costs a few replays.
"""

from collections.abc import Callable
from functools import cache

import numpy as np

from hybridsim.components.redmule_replay import Replay, replay
from hybridsim.units import Ints, ceil_div


class WaitTables:
    """How long a tile waits on one array, measured on the replay and kept.

    A wait depends on how deep the reduction is (``n_rows``: rows of W, a multiple of ``H``), on
    the rows of X in the tile and on its columns. Entries are replayed when first asked for and
    are sums over :data:`PER` tiles, so that they stay integers. Each entry is a pair: the whole
    wait, and the part of it in which the Z buffer was the late one.
    """

    PER = 12
    """Tiles per entry; a multiple of 3 because the port serves three readers in turn."""
    FAR = (4, 8)
    """Chunks of X between which a wait is continued as a straight line for longer ``n``."""

    def __init__(self, height: int, width: int, pipe_regs: int) -> None:
        self.height, self.width, self.pipe_regs = height, width, pipe_regs
        self.depth = height * (pipe_regs + 1)
        self._known: dict[str, Ints] = {}

    def start(self, rows: Ints, kind: Ints) -> Ints:
        """Return set-up, preload and drain without the columns of the last tile [cycles].

        ``kind`` is 0 for a job of one tile, 1 for more, 2 for one tile with ``n <= H``, 3 for
        one tile without Y.
        """
        return self._look_up("start", 4, self.width, kind, rows, self._start)[..., 0]

    def steady(self, n_rows: Ints, rows: Ints) -> Ints:
        """Return the waits of :data:`PER` tiles of full width in the middle of a job."""
        return self._far(n_rows, lambda deep: self._look_up(
            "steady", self._classes, self.width, deep, rows, self._steady))  # fmt: skip

    def edge(self, n_rows: Ints, columns: Ints, wide: bool) -> Ints:
        """Return the waits of :data:`PER` tiles that follow a last tile of ``columns`` columns.

        ``wide`` jobs have three columns of tiles or more, the others two.
        """
        across = 3 if wide else 2
        return self._far(n_rows, lambda deep: self._look_up(
            f"edge of {across}", self._classes, self.depth, deep, columns,
            lambda row, column: self._edge(row, column, across)))  # fmt: skip

    def column(self, n_rows: Ints, columns: Ints) -> Ints:
        """Return the waits of :data:`PER` tiles of a job that is one tile wide."""
        return self._far(n_rows, lambda deep: self._look_up(
            "column", self._classes, self.depth, deep, columns, self._column))  # fmt: skip

    def opening(self, tile: int, n_rows: Ints, rows: Ints) -> Ints:
        """Return the wait of the second or third tile of a job, times :data:`PER`.

        The first never waits; these two wait less than those that follow, because the queues
        were full when the job began.
        """
        return self._far(n_rows, lambda deep: self._look_up(
            f"tile {tile}", self._classes, self.width, deep, rows,
            lambda row, column: self._opening(row, column, tile)))  # fmt: skip

    def hangs(self, m: Ints, n: Ints, k: Ints) -> Ints:
        """Return whether jobs with ``n`` of at most three heights hang in the arbiter (0 or 1).

        The arbiters come back to the same turn after at most 6 tiles (3 turns of the port, 2 of Y
        and Z), so longer jobs are cut to 7 to 12 tiles down and across; on 1,500 random jobs of 2
        to 30 tiles each way the answer was that of the whole job.
        """
        most_rows, most_columns = 12 * self.width + 1, 12 * self.depth + 1
        m = m - self.width * (np.maximum(0, ceil_div(m, self.width) - 7) // 6 * 6)
        k = k - self.depth * (np.maximum(0, ceil_div(k, self.depth) - 7) // 6 * 6)
        deep = ceil_div(n, self.height)

        def measure(row: int, column: int) -> tuple[int, int]:
            deep, rows = divmod(row, most_rows)
            return int(self._replay(rows, deep * self.height, column).hangs), 0

        found = self._look_up(
            "hangs", 4 * most_rows, most_columns, deep * most_rows + m, k, measure
        )
        return found[..., 0]

    @property
    def _classes(self) -> int:
        return self.FAR[1] * (self.pipe_regs + 1) + 1

    def _far(self, n_rows: Ints, look_up: Callable[[Ints], Ints]) -> Ints:
        """Continue a wait along a straight line beyond the chunks that are replayed."""
        near, far = self.FAR
        chunks = ceil_div(n_rows, self.depth)
        beyond = chunks > far
        if not beyond.any():
            return look_up(n_rows // self.height)
        slots = n_rows - self.depth * (chunks - 1)
        first = look_up(np.where(beyond, slots + self.depth * (near - 1), n_rows) // self.height)
        last = look_up(np.where(beyond, slots + self.depth * (far - 1), n_rows) // self.height)
        steps = np.where(beyond, chunks - near, 0)[..., None]
        return first + (last - first) * steps // (far - near)

    def _look_up(
        self, name: str, rows: int, columns: int, row: Ints, column: Ints,
        measure: Callable[[int, int], tuple[int, int]],
    ) -> Ints:  # fmt: skip
        """Gather entries of a table, replaying those that nobody asked for before."""
        if name not in self._known:
            self._known[name] = np.full((rows, columns + 1, 2), -1, dtype=np.int64)
        table = self._known[name]
        found = table[row, column]
        missing = found[..., 0] < 0
        if missing.any():
            wanted = np.broadcast_arrays(row, column)
            flat = np.unique(wanted[0][missing] * (columns + 1) + wanted[1][missing])
            for place in flat.tolist():
                table[divmod(place, columns + 1)] = measure(*divmod(place, columns + 1))
            found = table[row, column]
        return found

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
            (self.PER, 2 * self.PER),
            self.PER * self._compute(n),
        )
        return waits or self._z_chain(n, self.depth)

    def _edge(self, deep: int, columns: int, across: int) -> tuple[int, int]:
        n = deep * self.height
        k = (across - 1) * self.depth + columns
        for first, last in ((self.PER // 2, self.PER), (2, 3), (1, 2)):
            rows = last - first  # a job with many rows of tiles may hang where a short one ends
            compute = across * rows * self._compute(n)
            waits = self._between(lambda tiles: (tiles * self.width, n, k), (first, last), compute)
            if waits:
                break
        else:
            return self._z_chain(n, columns)
        deep_, width = np.array(deep), np.array(self.width)
        full = self._look_up("steady", self._classes, self.width, deep_, width, self._steady) * (
            across - 1
        )
        scale = self.PER // rows
        wait, z_wait = (
            max(0, scale * wait - int(fit)) for wait, fit in zip(waits, full, strict=True)
        )
        return wait, z_wait

    def _column(self, deep: int, columns: int) -> tuple[int, int]:
        n = deep * self.height
        waits = self._between(
            lambda tiles: (tiles * self.width, n, columns),
            (self.PER, 2 * self.PER),
            self.PER * self._compute(n),
        )
        return waits or self._z_chain(n, columns)

    def _opening(self, deep: int, rows: int, tile: int) -> tuple[int, int]:
        n = deep * self.height
        compute, depth = self._compute(n), self.depth
        if tile == 2:
            start = int(self.start(np.array(rows), np.array(1)))
            before, z_before = start + compute + depth, 0
        else:
            few = self._replay(rows, n, (tile - 1) * depth)
            before, z_before = few.cycles, few.z_wait
        job = self._replay(rows, n, tile * depth)
        wait = max(0, job.cycles - before - compute)
        return self.PER * wait, self.PER * min(wait, max(0, job.z_wait - z_before))

    def _z_chain(self, n: int, columns: int) -> tuple[int, int]:
        """Return the bound that the Z buffer sets, for tiles of which a job would hang."""
        wait = self.PER * max(0, columns + 2 * self.width + 1 - self._compute(n))
        return wait, wait


@cache
def wait_tables(height: int, width: int, pipe_regs: int) -> WaitTables:
    """Return the tables of one array; they fill up as they are used and live with the process."""
    return WaitTables(height, width, pipe_regs)
