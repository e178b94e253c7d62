"""The equations of RedMulE, as plain functions of single integers.

Python calls them for one job; for columns of jobs the loops at the end are compiled. Waits that
nobody measured before are asked for in the tables and count as none until they are filled in, so
an equation is evaluated until it asks for nothing (:meth:`.redmule_waits.WaitTables.settled`).
What the equations mean, and their errors: ``docs/matrix_engine.md``.
"""

from enum import IntEnum
from typing import NamedTuple

from hybridsim.compiling import using
from hybridsim.units import Ints, ceil_div

SETUP = 34
"""Trigger to busy: the tiler multiplies the sizes bit by bit [cycles]. Source: measured."""
SETTLE = 5
"""From the last column of Z to done, besides the L rows to store [cycles]. Source: measured."""
PER = 12
"""Tiles per entry of a table; a multiple of 3 because the port serves three readers in turn."""
NEAR, FAR = 4, 8
"""Chunks of X between which a wait is continued as a straight line for longer ``n``."""
FEW, SHORT = 6, 2
"""Jobs of so many tiles and chunks of X at most are replayed whole: their first waits are unlike
those that follow, and unlike each other."""
UNKNOWN, WANTED = -1, -2
"""Entries of a table that nobody asked for yet, and those that somebody did."""
WHOLE_UNKNOWN, WHOLE_HANGS = 0, -1
"""Entries of the table of whole jobs besides :data:`WANTED`."""
MOST_PADS = 4
"""Hazards that padding meets one after the other at most."""
OUTCOME_UNKNOWN, WORKS, HANGS, WRONG, OUTCOME_WANTED = range(5)
"""Entries of the table of jobs that hang or compute wrongly."""


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
    OVERTAKEN = 8


class Array(NamedTuple):
    """An array of multiply-adders in numbers."""

    height: int
    width: int
    pipe_regs: int
    depth: int
    """D: columns of an output tile."""
    per_height: int
    per_width: int
    per_depth: int
    """Reciprocals of H, L and D, as :func:`parts` takes them."""

    @classmethod
    def of(cls, height: int, width: int, pipe_regs: int) -> "Array":
        """Return an array of so many multiply-adders."""
        depth = height * (pipe_regs + 1)
        return cls(height, width, pipe_regs, depth, *map(reciprocal, (height, width, depth)))


def reciprocal(size: int) -> int:
    """Return what :func:`parts` takes in place of a size below 2^20."""
    return (1 << 40) // size + 1


def parts(number: int, size: int, per: int) -> int:
    """Return ``number / size`` rounded up, for sums of both below 2^20.

    ``per`` is the reciprocal of the size: a job takes half the time that it takes with divisions.
    """
    return (number + size - 1) * per >> 40


class Waits(NamedTuple):
    """Tables of waits, by rows of W / H and rows of X or columns, in pairs of whole and Z."""

    start: Ints
    """Set-up, preload and drain without the columns of the last tile, by kind and rows [cycles].
    Kind 0 is a job of one tile, 1 of more, 2 of one tile with ``n <= H``, 3 of one without Y."""
    steady: Ints
    """Of :data:`PER` tiles of full width in the middle of a job."""
    edge_of_2: Ints
    """Of :data:`PER` tiles that follow a last tile, in jobs of two columns of tiles."""
    edge_of_3: Ints
    """The same in jobs of three columns of tiles or more."""
    column: Ints
    """Of :data:`PER` tiles of a job that is one tile wide."""
    tile_2: Ints
    """Of the second tile of a job, times :data:`PER`. The first never waits; these two wait less
    than those that follow, because the queues were full when the job began."""
    tile_3: Ints
    """Of the third tile."""
    outcomes: Ints
    """What becomes of jobs of up to three heights, by (rows of W / H, rows of X) and columns."""
    whole: Ints
    """Cycles, and wait for the Z buffer, of whole jobs of few tiles, by :func:`whole_row` and the
    columns of the last tile."""
    asked: Ints
    """How many entries were asked for since the tables were filled last; shape (1,)."""


class Tiles(NamedTuple):
    """How a job falls into tiles."""

    n_rows: int
    """Rows of W that go through the array per tile: n rounded up to a multiple of H."""
    deep: int
    """These in multiples of H."""
    down: int
    """Rows of tiles."""
    across: int
    """Columns of tiles."""
    last_rows: int
    """Rows of X in the last row of tiles, 1 to L."""
    last_columns: int
    """Columns of W in the last column of tiles, 1 to D."""


def tiles_of(array: Array, m: int, n: int, k: int) -> Tiles:
    """Return how a job falls into tiles."""
    down = parts(m, array.width, array.per_width)
    across = parts(k, array.depth, array.per_depth)
    deep = parts(n, array.height, array.per_height)
    return Tiles(
        deep * array.height,
        deep,
        down,
        across,
        m - array.width * (down - 1),
        k - array.depth * (across - 1),
    )


# --- hazards --------------------------------------------------------------------------------


def early_pad(array: Array, n: int, cut: Tiles) -> bool:
    """Return whether rows of X are used too early.

    A last chunk of at most H columns frees the pad so soon that the next tile's rows are
    taken before they are there; the first 3 rows are always in time. An array as wide as
    the port allows (L >= H P) loads so slowly that only jobs of one row of tiles, not
    completely filled, come into the wrong order. Source: the replay, for H 2, 4 and 8;
    agrees with the measured rows.
    """
    if n <= array.depth:
        return False
    leftover = n - array.depth * (parts(n, array.depth, array.per_depth) - 1)
    if leftover > array.height:
        return False
    one_row = cut.down == 1 and cut.across > 1 and cut.last_rows > 3
    if array.width >= array.height * array.pipe_regs:
        return one_row and cut.last_rows < array.width
    two_tall = cut.down == 2 and cut.across == 1
    tall = cut.down > 1 and array.width > 3 and (not two_tall or cut.last_rows > 3)
    return one_row or tall


def narrow_edge(array: Array, cut: Tiles) -> bool:
    """Return whether a narrow second column of tiles overtakes the Y being pushed.

    Y is pushed for D cycles; filling Z takes the columns of the tile, storing it L cycles and
    one more for every third row beyond the queues. Source: the replay; agrees with the
    measured rows.
    """
    store = array.width + 2 + max(0, array.width - 4) // 3
    several = cut.across == 2 and cut.down > 1 and cut.n_rows > 2 * array.height
    return several and cut.last_columns + store <= array.depth


def outcome_of(array: Array, waits: Waits, m: int, n: int, k: int) -> int:
    """Return whether a job with ``n`` of at most three heights works, hangs, or is wrong.

    The arbiters come back to the same turn after at most 6 tiles (3 turns of the port, 2 of Y
    and Z), so longer jobs are cut to 7 to 12 tiles down and across; on 1,500 random jobs of 2
    to 30 tiles each way the answer was that of the whole job.
    """
    m = m - array.width * (max(0, ceil_div(m, array.width) - 7) // 6 * 6)
    k = k - array.depth * (max(0, ceil_div(k, array.depth) - 7) // 6 * 6)
    row = ceil_div(n, array.height) * most_rows(array) + m
    if waits.outcomes[row, k] == OUTCOME_UNKNOWN:
        waits.outcomes[row, k] = OUTCOME_WANTED
    if waits.outcomes[row, k] == OUTCOME_WANTED:
        waits.asked[0] += 1
        return WORKS
    return int(waits.outcomes[row, k])


def most_rows(array: Array) -> int:
    """Return one more than the rows of X of the longest job in the table of outcomes."""
    return 12 * array.width + 1


def hazard_of(array: Array, waits: Waits, m: int, n: int, k: int, with_y: bool) -> Hazard:
    """Return why a job does not work as it stands; the first reason that there is."""
    cut = tiles_of(array, m, n, k)
    height, several = array.height, cut.down * cut.across > 1
    if several and not with_y:
        return Hazard.NO_Y
    # one tile with n = H: of 4 x 8 one of three rows with 5 to 7 rows of X was wrong, and all with
    # fewer rows, or on an array that loads X more slowly, were right
    early = array.width < height * array.pipe_regs and 3 < cut.last_rows < array.width
    if n < height or (n == height and (several or early)):
        return Hazard.SHORT_REDUCTION
    outcome = WORKS
    if height < n <= 3 * height and several:
        outcome = outcome_of(array, waits, m, n, k)
    if outcome != WORKS and n <= 2 * height and cut.across == 1:
        return Hazard.SHORT_TALL
    if cut.down >= cut.n_rows and n % height != 0:
        return Hazard.TALL_RAGGED
    if early_pad(array, n, cut):
        return Hazard.EARLY_PAD
    if narrow_edge(array, cut):
        return Hazard.NARROW_EDGE
    if outcome == HANGS:
        return Hazard.DEADLOCK
    if outcome == WRONG:
        return Hazard.OVERTAKEN
    return Hazard.NONE


def padded(
    array: Array, waits: Waits, m: int, n: int, k: int, with_y: bool
) -> tuple[int, int, int]:
    """Return the smallest shape found that works: n, k or both filled up with zeros."""
    height, depth = array.height, array.depth
    for _ in range(MOST_PADS):
        code = hazard_of(array, waits, m, n, k, with_y)
        if code == Hazard.NONE or code == Hazard.NO_Y:
            break
        full = ceil_div(k, depth) * depth
        if code == Hazard.SHORT_REDUCTION:
            n = 2 * height
        elif code == Hazard.EARLY_PAD:
            n = n // depth * depth + 2 * height
        elif code == Hazard.TALL_RAGGED:
            n = ceil_div(n, height) * height
        elif k < full and (code == Hazard.NARROW_EDGE or code == Hazard.DEADLOCK):
            k = full
        else:
            n = (ceil_div(max(n, 2 * height), height) + 1) * height
    return m, n, k


# --- waits ----------------------------------------------------------------------------------


def entry(waits: Waits, table: Ints, row: int, column: int, part: int) -> int:
    """Return one entry of a table; ``part`` 0 is the whole wait, 1 that for the Z buffer."""
    if table[row, column, 0] < 0:
        table[row, column, 0] = WANTED
        waits.asked[0] += 1
        return 0
    return int(table[row, column, part])


def wait_at(array: Array, waits: Waits, table: Ints, deep: int, column: int, part: int) -> int:
    """Return a wait, continued along a straight line beyond the chunks that are replayed."""
    chunk = array.pipe_regs + 1
    if deep <= FAR * chunk:
        return entry(waits, table, deep, column, part)
    chunks = ceil_div(deep, chunk)
    slots = deep - chunk * (chunks - 1)
    first, last = slots + chunk * (NEAR - 1), slots + chunk * (FAR - 1)
    begin = entry(waits, table, first, column, part)
    end = entry(waits, table, last, column, part)
    return begin + (end - begin) * (chunks - NEAR) // (FAR - NEAR)


def after_edge(array: Array, waits: Waits, cut: Tiles, part: int) -> int:
    """Return the wait after the last column of tiles, which may be narrow."""
    deep, columns = cut.deep, cut.last_columns
    if columns == array.depth or cut.down == 1:
        return wait_at(array, waits, waits.steady, deep, array.width, part)
    if cut.across == 1:
        return wait_at(array, waits, waits.column, deep, columns, part)
    if cut.across == 2:
        return wait_at(array, waits, waits.edge_of_2, deep, columns, part)
    return wait_at(array, waits, waits.edge_of_3, deep, columns, part)


def all_waits(array: Array, waits: Waits, cut: Tiles, part: int) -> int:
    """Return how long the array waits in a job of several tiles, times :data:`PER`.

    The first tile finds its X and Y loaded, the second and third have waits of their own.
    Later a tile waits for the tile before it to be stored, so the first tile of a row waits
    as the last, perhaps narrow column of tiles makes it (:func:`after_edge`).
    """
    deep, down, across = cut.deep, cut.down, cut.across
    rows = cut.last_rows if down == 1 else array.width
    short = down > 1 and cut.last_rows < array.width
    total = wait_at(array, waits, waits.tile_2, deep, rows, part)
    if across == 1:
        if down > 2:
            total += column_waits(array, waits, cut, short, part)
        return total
    if across > 2:
        usual = wait_at(array, waits, waits.steady, deep, rows, part)
        total += wait_at(array, waits, waits.tile_3, deep, rows, part) + (across - 3) * usual
    if down > 1:
        edge = after_edge(array, waits, cut, part)
        full = wait_at(array, waits, waits.steady, deep, array.width, part)
        total += (down - 1 - short) * (edge + (across - 1) * full)
        if short:
            lowest = wait_at(array, waits, waits.steady, deep, cut.last_rows, part)
            total += edge + (across - 1) * lowest
    return total


def column_waits(array: Array, waits: Waits, cut: Tiles, short: bool, part: int) -> int:
    """Return the waits from the third tile on of a job that is one tile wide."""
    edge = after_edge(array, waits, cut, part)
    if cut.last_columns < array.depth:
        return edge + edge * (cut.down - 3)
    total = wait_at(array, waits, waits.tile_3, cut.deep, array.width, part)
    total += edge * (cut.down - 3)
    if short:
        total += wait_at(array, waits, waits.steady, cut.deep, cut.last_rows, part) - edge
    return total


def is_few(array: Array, cut: Tiles) -> bool:
    """Return whether a job is one of those that are replayed whole."""
    return 1 < cut.down * cut.across <= FEW and cut.n_rows <= SHORT * array.depth


def whole_row(array: Array, cut: Tiles) -> int:
    """Return the row of a job of few tiles in the table of whole jobs."""
    if cut.down == 1:
        shape = cut.across - 2
    elif cut.down == 2:
        shape = 4 + cut.across
    elif cut.down == 3:
        shape = 7 + cut.across
    else:
        shape = 6 + cut.down
    deepest = SHORT * (array.pipe_regs + 1)
    return (shape * deepest + cut.deep - 1) * array.width + cut.last_rows - 1


def whole_at(array: Array, waits: Waits, cut: Tiles, part: int) -> int:
    """Return the cycles of a job of few tiles, or its wait for the Z buffer; 0 or less if none."""
    row, column = whole_row(array, cut), cut.last_columns
    if waits.whole[row, column, 0] == WHOLE_UNKNOWN:
        waits.whole[row, column, 0] = WANTED
    if waits.whole[row, column, 0] == WANTED:
        waits.asked[0] += 1
        return 0
    return int(waits.whole[row, column, part])


def wait_of(array: Array, waits: Waits, cut: Tiles, start: int) -> int:
    """Return how long the array waits in a job [cycles].

    Less than none where the first tiles of a short job begin earlier than :func:`start_of` says.
    """
    if cut.down * cut.across == 1:
        return 0
    if is_few(array, cut):
        whole = whole_at(array, waits, cut, 0)
        if whole > 0:
            return whole - start - compute_of(array, cut) - cut.last_columns
    # lines through the waits of short jobs may cross zero on long ones; a wait cannot
    return max(0, (all_waits(array, waits, cut, 0) + PER // 2) // PER)


def z_wait_of(array: Array, waits: Waits, cut: Tiles, wait: int) -> int:
    """Return how much of a wait is for the Z buffer [cycles]."""
    if cut.down * cut.across == 1:
        return 0
    if is_few(array, cut) and whole_at(array, waits, cut, 0) > 0:
        return min(wait, whole_at(array, waits, cut, 1))
    return min(wait, max(0, all_waits(array, waits, cut, 1) // PER))


# --- cycles ---------------------------------------------------------------------------------


def start_of(array: Array, waits: Waits, m: int, n: int, cut: Tiles, with_y: bool) -> int:
    """Return set-up, preload and drain without the columns of the last tile [cycles]."""
    kind = 3
    if with_y:
        kind = 1 if cut.down * cut.across > 1 else (2 if n <= array.height else 0)
    return entry(waits, waits.start, kind, min(m, array.width), 0)


def compute_of(array: Array, cut: Tiles) -> int:
    """Return the cycles in which the array computes: P + 1 per row of W and tile."""
    return (array.pipe_regs + 1) * cut.n_rows * cut.down * cut.across


def cycles_of(array: Array, waits: Waits, m: int, n: int, k: int, with_y: bool, pads: bool) -> int:
    """Return the cycles from trigger to done, as it stands or of the padded shape."""
    if pads:
        m, n, k = padded(array, waits, m, n, k, with_y)
    cut = tiles_of(array, m, n, k)
    start = start_of(array, waits, m, n, cut, with_y)
    wait = wait_of(array, waits, cut, start)
    return start + compute_of(array, cut) + wait + cut.last_columns


def terms_of(
    array: Array, waits: Waits, m: int, n: int, k: int, with_y: bool, pads: bool
) -> tuple[int, int, int, int, int, int]:
    """Return set-up, preload, compute, wait for the port, wait for Z and drain [cycles]."""
    if pads:
        m, n, k = padded(array, waits, m, n, k, with_y)
    cut = tiles_of(array, m, n, k)
    start = start_of(array, waits, m, n, cut, with_y)
    wait, early = wait_of(array, waits, cut, start), 0
    if wait < 0:
        wait, early = 0, wait
    z_wait = z_wait_of(array, waits, cut, wait)
    store = SETTLE + array.width
    preload = start + early - SETUP - store
    drain = store + cut.last_columns
    return SETUP, preload, compute_of(array, cut), wait - z_wait, z_wait, drain


# --- columns --------------------------------------------------------------------------------

_SHAPES = (
    ceil_div,
    parts,
    tiles_of,
    early_pad,
    narrow_edge,
    outcome_of,
    most_rows,
    hazard_of,
    padded,
)
_WAITS = (
    entry, wait_at, after_edge, all_waits, column_waits, is_few, whole_row, whole_at, wait_of
)  # fmt: skip
_CYCLES = (*_SHAPES, *_WAITS, start_of, compute_of)


@using(*_CYCLES, cycles_of)
def fill_cycles(
    array: Array, waits: Waits, with_y: bool, pads: bool, m: Ints, n: Ints, k: Ints, found: Ints
) -> None:
    """Fill in the cycles of each job."""
    for i in range(len(found)):
        found[i] = cycles_of(array, waits, m[i], n[i], k[i], with_y, pads)


@using(*_CYCLES, z_wait_of, terms_of)
def fill_terms(
    array: Array, waits: Waits, with_y: bool, pads: bool, m: Ints, n: Ints, k: Ints, found: Ints
) -> None:
    """Fill in the terms of each job, a row each."""
    for i in range(found.shape[1]):
        own = terms_of(array, waits, m[i], n[i], k[i], with_y, pads)
        for term in range(6):
            found[term, i] = own[term]


@using(*_SHAPES)
def fill_hazards(
    array: Array, waits: Waits, with_y: bool, pads: bool, m: Ints, n: Ints, k: Ints, found: Ints
) -> None:
    """Fill in the code of the hazard of each job as it stands."""
    for i in range(len(found)):
        found[i] = hazard_of(array, waits, m[i], n[i], k[i], with_y)


@using(*_SHAPES)
def fill_padded(
    array: Array, waits: Waits, with_y: bool, pads: bool, m: Ints, n: Ints, k: Ints, found: Ints
) -> None:
    """Fill in the padded sizes of each job, a row each."""
    for i in range(found.shape[1]):
        found[0, i], found[1, i], found[2, i] = padded(array, waits, m[i], n[i], k[i], with_y)
