"""Which rows of X the RedMulE array really multiplies: the replay with what its buffers hold.

X goes from memory to a pad, row by row, and from the pad to a buffer of 2 H columns, column by
column. Nothing in the hardware checks that the column which the array takes is that of the tile it
works on; where the timing does not happen to be right, the numbers are wrong without a sign. Here
every row and column carries the row of tiles and the chunk that it is of, and a job is wrong when
the array works with another one. Jobs of one row of tiles read the same X again for each tile, so
there an old column may do. Agrees with every measured row (``tests/rtl/test_redmule_rows.py``).
"""

from enum import IntEnum

import numpy as np

from hybridsim.components.redmule_replay import (
    CHUNKS,
    COLUMN_TILES,
    COMPUTING,
    DEPTH,
    DONE,
    ENABLED,
    FIRST,
    HEIGHT,
    LOAD_X,
    PAD_COLUMN,
    PAD_ROWS,
    PAD_WIDTH,
    PADDED_N,
    REFILLING,
    ROW_TILES,
    STEP,
    WIDTH,
    WRITE_X,
    compiled,
    decide,
    job_of,
    longest,
    move,
    moves,
)
from hybridsim.units import Ints

_NOTHING, _MIXED = -1, -2
"""Tags of a place that was never filled, and of a column whose rows are of several tiles."""


class Outcome(IntEnum):
    """What becomes of a job."""

    WORKS = 0
    HANGS = 1
    WRONG = 2


def outcome(height: int, width: int, pipe_regs: int, m: int, n: int, k: int) -> Outcome:
    """Return what becomes of a job with Y; one that hangs after wrong numbers hangs."""
    machine = np.zeros((3, 10), np.int64), np.zeros(61, np.int64), np.zeros(22, np.int64)
    pad, buffer, place, wanted = (
        np.full(places, _NOTHING, np.int64) for places in (width, 2 * height, height, height)
    )
    job = job_of(height, width, pipe_regs, m, n, k, True)
    return Outcome(_outcome(job, *machine, pad, buffer, place, wanted))


@compiled
def _outcome(
    job: Ints, streams: Ints, state: Ints, wires: Ints,
    pad: Ints, buffer: Ints, place: Ints, wanted: Ints,
) -> int:  # fmt: skip
    """Step the machine with tags in place of numbers.

    ``streams``, ``state`` and ``wires`` are zeros, all that follows holds nothing.
    """
    state[REFILLING] = state[FIRST] = 1
    height, tiles = job[HEIGHT], job[ROW_TILES] * job[COLUMN_TILES]
    written = taken = 0
    loading = -1
    cycle, moved, wrong = 0, 0, 0
    patience, limit = longest(job)
    while True:
        cycle += 1
        decide(job, streams, state, wires)
        if state[DONE] and state[COMPUTING]:
            return 2 * wrong
        if moves(state, wires):
            moved = cycle
        if cycle - moved > patience or cycle > limit:
            return 1
        if state[ENABLED]:
            for column in range(height):
                if wanted[column] != _NOTHING and buffer[place[column]] != wanted[column]:
                    wrong = 1
        column, rows, row = state[PAD_COLUMN], wires[PAD_WIDTH], state[PAD_ROWS]
        writes, loads, steps = wires[WRITE_X], wires[LOAD_X], wires[STEP]
        move(job, streams, state, wires)
        if writes:
            tag = pad[0]
            for other in range(1, rows):
                if pad[other] != tag:
                    tag = _MIXED
            buffer[written % (2 * height)] = tag if tag < 0 else tag * job[DEPTH] + column
            written += 1
        if steps:
            place[taken % height] = taken % (2 * height)
            tile, at = taken // job[PADDED_N], taken % job[PADDED_N]
            tag = tile // job[COLUMN_TILES] * job[CHUNKS] + at // job[DEPTH]
            wanted[taken % height] = (
                tag * job[DEPTH] + at % job[DEPTH] if tile < tiles else _NOTHING
            )
            taken += 1
        if loads:
            loading += row == 0
            if row < job[WIDTH]:
                tile = loading // job[CHUNKS] % tiles  # read again if the array starts late
                pad[row] = tile // job[COLUMN_TILES] * job[CHUNKS] + loading % job[CHUNKS]
