"""The RedMulE machine, replayed cycle by cycle: who may use the one memory port, and when.

The engine has three readers (X, W, Y) and one writer (Z) on a single memory port, a padded
buffer for X, one buffer shared by Y and Z, and a small state machine that feeds the array.
As long as none of them is late the count of a job is a closed form
(:mod:`hybridsim.components.matrix_engine`). This module answers the rest: how long the array
waits when the port or the Z buffer is the bottleneck, and which jobs never end.

The behaviour (states, queue depths, arbitration) was read from the published hardware
description, pulp-platform/redmule and pulp-platform/hci (2025), and is written here from
scratch, without data. The replay reproduces 99 % of the measured jobs to the cycle
(``tests/rtl/test_redmule_rows.py``); nothing in it is fitted but :data:`START_AND_END`.

A job is ``Z[m x k] = X[m x n] W[n x k] + Y``: ``n`` is the reduction, ``k`` the output columns.
An array of height ``H``, width ``L`` and ``P`` pipeline registers makes output tiles of ``L`` rows
and ``D = H(P + 1)`` columns, one after the other along a row of tiles.
"""

from typing import NamedTuple

import numpy as np

from hybridsim.machine_code import machine_code
from hybridsim.units import Ints, ceil_div

START_AND_END = 35
"""Cycles of every job outside the replay: 34 from trigger to busy (the tiler multiplies the
sizes one bit a cycle) and 1 until the done event is seen. The sum is fitted: it is the most
frequent difference to the measured rows, on the half of the rows used for fitting."""

QUEUE = 4
"""Depth of the request, the response and the row queue of every reader [entries].
Source: streamer and top level of the published design."""
SHORT_QUEUE = 2
"""Depth of the address queues and of the two queues on the way of Z to memory [entries]."""

# What a job is, as the tiler hands it on: indices into one vector.
(HEIGHT, WIDTH, PIPE, DEPTH, ROW_TILES, COLUMN_TILES, CHUNKS, LAST_ROWS, LAST_COLUMNS,
 RAGGED_DEPTH, PADDED_N, RAGGED_N, LAST_SLOTS, WITH_Y) = range(14)  # fmt: skip

# A reader: one row of the stream state for each of X, W, Y.
X, W, Y, Z = range(4)
(PHASE, ISSUED, ADDRESS_VALID, ADDRESSES, DELIVERED, REQUESTS, RESPONSES, ROWS,
 IN_FLIGHT, HELD) = range(10)  # fmt: skip
IDLE, WORKING, DRAINING = range(3)

# The rest of the machine: one vector of registers.
(COMPUTING, DONE, READ_CHUNK, READ_COLUMN_TILE, READ_ROW_TILE, CHUNKS_READ,
 Z_PHASE, Z_ISSUED, Z_ADDRESS_VALID, Z_ADDRESSES, Z_STORED, Z_REQUESTS, Z_ROWS,
 TURN, YZ_TURN, YZ_WINNER, YZ_GRANTED, YZ_ASKED,
 FEED, COLUMN, X_CHUNK, X_COLUMN_TILE, X_ROW_TILE, X_DONE, X_LOADING, X_EMPTIED, X_REFILL,
 W_ROW, W_COLUMN_TILE, W_ROW_TILE, W_DONE, BUBBLE, ENABLED, RUNNING, FIRST,
 Y_COLUMN_TILE, Y_ROW_TILE, WAITING, WAITED, FILLING, FILLED, PUSHING, PUSHED_COLUMNS,
 Z_WIDTH, Z_HEIGHT,
 PAD, PAD_ROWS, PAD_COLUMN, PAD_COUNT, OUTPUT, TO_WRITE, FIRST_BLOCK, REFILLING,
 ZBUF, ZBUF_FILL, ZBUF_PUSH, ZBUF_STORE, ZBUF_LOAD,
 WAIT_W, WAIT_X, WAIT_Y) = range(61)  # fmt: skip

# States of the feeding machine, of the X pad and of the Z buffer.
OFF, PRELOAD, LOAD_W, SHIFT = range(4)
PAD_PRELOAD, PAD_FAST, PAD_FIRST, PAD_FILL, PAD_EMPTY = range(5)
Z_EMPTY, Z_LOADED, Z_PUSHED = range(3)

# Wires: what the machine decides in one cycle from the state before it.
(STALL, NEXT_FEED, STEP, PAD_DRAINED, PAD_FULL, PAD_WIDTH, PAD_SLOTS, ACKNOWLEDGE, LOAD_X,
 PAD_SETUP, WRITE_X, TAKE_W, TAKE_Y, STORE_Z, Z_FREED, FILL_Z, PUSH_Y, FILL_ENDS,
 Y_WIDTH, Y_HEIGHT, GRANTED, GRANT) = range(22)  # fmt: skip


# Counting who holds the arrays in every small function took several times as long as its step.
compiled = machine_code(error_model="numpy", _nrt=False)
inlined = machine_code(cached=False, forceinline=True, error_model="numpy", _nrt=False)


class Replay(NamedTuple):
    """What became of one job: its cycles, whether it hangs, and why the array waited."""

    cycles: int
    """Trigger to done [cycles]; meaningless when the job hangs."""
    hangs: bool
    """The machine has made no progress for longer than any tile takes."""
    port_wait: int
    """Cycles in which the array waited for W or X, that is for the memory port."""
    z_wait: int
    """Cycles in which the array waited for Y, that is for the Z buffer."""


def replay(
    height: int, width: int, pipe_regs: int, m: int, n: int, k: int, with_y: bool = True
) -> Replay:
    """Run one job through the machine and return its cycles and waits.

    Takes about 0.1 us per simulated cycle once compiled (the compiled code is cached on disk).
    The memory always grants and answers in the next cycle.
    """
    machine = np.zeros((3, 10), np.int64), np.zeros(61, np.int64), np.zeros(22, np.int64)
    cycles = _run(job_of(height, width, pipe_regs, m, n, k, with_y), *machine)
    waits = machine[1][[WAIT_W, WAIT_X, WAIT_Y]].tolist()
    return Replay(abs(cycles) + START_AND_END, cycles < 0, waits[0] + waits[1], waits[2])


def job_of(height: int, width: int, pipe_regs: int, m: int, n: int, k: int, with_y: bool) -> Ints:
    """Return the sizes that the tiler derives from a shape, in the order of the indices above."""
    depth = height * (pipe_regs + 1)
    return np.array(
        [height, width, pipe_regs, depth,
         ceil_div(m, width), ceil_div(k, depth), ceil_div(n, depth), m % width,
         k % depth, n % depth, ceil_div(n, height) * height, n % height,
         ceil_div(n % depth, height) * height, with_y],
        dtype=np.int64,
    )  # fmt: skip


@inlined
def longest(job: Ints) -> tuple[int, int]:
    """Return how long a job can go without moving, and how long it can take, unless it hangs."""
    patience = 4 * job[DEPTH] + 8 * job[WIDTH] + 64  # longer than any wait that ends
    tiles = job[ROW_TILES] * job[COLUMN_TILES]
    return patience, (tiles + 1) * (2 * (job[PIPE] + 1) * (job[PADDED_N] + job[HEIGHT]) + patience)


@compiled
def _run(job: Ints, streams: Ints, state: Ints, wires: Ints) -> int:
    """Step the machine until the last row of Z is stored, or nothing can move any more.

    ``streams``, ``state`` and ``wires`` are zeros. Returns the cycles, negative in the latter
    case.
    """
    state[REFILLING] = state[FIRST] = 1
    cycle, moved = 0, 0
    patience, limit = longest(job)
    while True:
        cycle += 1
        decide(job, streams, state, wires)
        if state[DONE] and state[COMPUTING]:
            return cycle
        if moves(state, wires):
            moved = cycle
        if cycle - moved > patience or cycle > limit:
            return -cycle
        move(job, streams, state, wires)


@inlined
def decide(job: Ints, streams: Ints, state: Ints, wires: Ints) -> None:
    """Work out everything that the machine does in this cycle."""
    _decide(job, streams, state, wires)
    _arbitrate(streams, state, wires)


@inlined
def moves(state: Ints, wires: Ints) -> bool:
    """Return whether anything moves in this cycle."""
    return bool(wires[GRANTED] or (state[FEED] >= LOAD_W and not wires[STALL]))


@inlined
def move(job: Ints, streams: Ints, state: Ints, wires: Ints) -> None:
    """Do what was decided."""
    chunk_read = _move_reads(job, streams, state, wires)
    _move_stores(job, state, wires)
    if chunk_read:
        _count_chunk(job, state)
    _move_z_buffer(state, wires)
    _move_pad(job, state, wires)
    _move_feed(job, state, wires, streams[W, ROWS])


@inlined
def _decide(job: Ints, streams: Ints, state: Ints, wires: Ints) -> None:
    """Work out what the array, the X pad and the Z buffer do in this cycle."""
    last_rows = state[X_ROW_TILE] == job[ROW_TILES] - 1 and job[LAST_ROWS] != 0
    wires[PAD_WIDTH] = job[LAST_ROWS] if last_rows else job[WIDTH]
    ragged = state[X_CHUNK] == job[CHUNKS] - 1 and job[RAGGED_DEPTH] != 0
    wires[PAD_SLOTS] = job[LAST_SLOTS] if ragged else job[DEPTH]
    wires[PAD_FULL] = state[PAD_ROWS] == wires[PAD_WIDTH]
    # The hardware compares the row tile of Y with the rows of W: wrong for very tall jobs.
    y_ragged = state[Y_ROW_TILE] == job[PADDED_N] - 1 and job[RAGGED_N] != 0
    wires[Y_WIDTH] = job[RAGGED_N] if y_ragged else job[WIDTH]
    y_narrow = state[Y_COLUMN_TILE] == job[COLUMN_TILES] - 1 and job[LAST_COLUMNS] != 0
    wires[Y_HEIGHT] = job[LAST_COLUMNS] if y_narrow else job[DEPTH]
    wires[FILL_Z] = state[FILLING] and state[ENABLED]
    y_waits = streams[Y, ROWS] > 0
    wires[TAKE_Y] = (
        y_waits and state[ZBUF] == Z_EMPTY and not wires[FILL_Z] and state[ZBUF_PUSH] == 0
    )
    y_loaded = state[ZBUF] == Z_LOADED or (
        state[ZBUF] == Z_EMPTY and state[ZBUF_LOAD] == wires[Y_WIDTH] - 1 and y_waits
    )
    _decide_feed(job, state, wires, streams[W, ROWS] > 0, y_loaded)
    stall, step = wires[STALL], wires[STEP]
    wires[PUSH_Y] = state[PUSHING] and not stall
    wires[STORE_Z] = state[ZBUF] == Z_PUSHED and state[Z_ROWS] < SHORT_QUEUE
    stored = wires[STORE_Z] and state[ZBUF_STORE] == state[Z_WIDTH] - 1
    first_tile = state[Y_COLUMN_TILE] == 0 and state[Y_ROW_TILE] == 0
    pushed = wires[PUSH_Y] and state[ZBUF_PUSH] == wires[Y_HEIGHT] - 1
    wires[Z_FREED] = stored or (first_tile and pushed and state[ZBUF] == Z_LOADED)
    wires[PAD_DRAINED] = step and state[PAD_COUNT] >= wires[PAD_SLOTS]
    starts = state[FEED] == OFF and not state[COMPUTING]
    full = wires[PAD_FULL]
    reload = starts or wires[PAD_DRAINED] or (state[X_EMPTIED] and not full)
    wires[LOAD_X] = state[X_LOADING] and not (full and not reload) and streams[X, ROWS] > 0
    wires[ACKNOWLEDGE] = step and full and state[COLUMN] == job[HEIGHT] - 1
    filling = state[PAD] == PAD_FAST or (state[PAD] == PAD_FILL and step)
    wires[WRITE_X] = filling and not state[REFILLING]


@inlined
def _decide_feed(job: Ints, state: Ints, wires: Ints, w_waits: bool, y_loaded: bool) -> None:
    """Decide whether the array takes the next row of W, stalls, or shifts."""
    feed, stall = state[FEED], False
    if feed == LOAD_W:
        lacks_w = not w_waits and not state[W_DONE]
        last_column = state[COLUMN] == job[HEIGHT] - 1
        lacks_x = state[X_REFILL] and last_column and not wires[PAD_FULL] and not state[X_DONE]
        lacks_y = not y_loaded and state[WAITED] == job[PIPE] and not state[W_DONE]
        stall = lacks_w or lacks_x or lacks_y
        if lacks_y:
            state[WAIT_Y] += 1
        elif lacks_x:
            state[WAIT_X] += 1
        elif lacks_w:
            state[WAIT_W] += 1
    wires[FILL_ENDS] = state[FILLING] and not stall and state[FILLED] == state[Z_HEIGHT] - 1
    following = feed
    if feed == OFF and not state[COMPUTING]:
        following = PRELOAD
    elif feed == PRELOAD and wires[PAD_FULL] and (y_loaded or not job[WITH_Y]):
        following = LOAD_W
    elif feed == LOAD_W and state[W_DONE] and wires[FILL_ENDS]:
        following = OFF
    elif feed == LOAD_W and not stall:
        following = SHIFT
    elif feed == SHIFT and state[BUBBLE] == job[PIPE]:
        following = LOAD_W
    wires[STALL], wires[NEXT_FEED] = stall, following
    wires[STEP] = feed == LOAD_W and not stall
    wires[TAKE_W] = wires[STEP] and w_waits and not state[W_DONE]
    wires[PAD_SETUP] = feed == PRELOAD and following == LOAD_W


@inlined
def _arbitrate(streams: Ints, state: Ints, wires: Ints) -> None:
    """Give the port to X, W or Y/Z, round robin; between Y and Z by a second arbiter.

    While Z has rows to store the second arbiter is told to prefer one side, and the side it
    prefers is Y. A side once chosen is kept until it is served, even if it withdraws: that is
    how jobs with short tiles come to hang.
    """
    asks_x, asks_w = _asks(streams, X), _asks(streams, W)
    asks_y, asks_z = _asks(streams, Y), state[Z_REQUESTS] > 0
    if state[YZ_GRANTED] or not state[YZ_ASKED]:
        prefer_y = state[ZBUF] == Z_PUSHED or state[Z_ROWS] > 0 or state[YZ_TURN] == 0
        if asks_y and (prefer_y or not asks_z):
            winner = 0
        elif asks_z:
            winner = 1
        else:
            winner = state[YZ_TURN]
    else:
        winner = state[YZ_WINNER]
    asks_yz = asks_z if winner == 1 else asks_y
    granted, grant = False, X
    for place in range(3):
        side = (state[TURN] + place) % 3
        if not granted and (
            (side == 0 and asks_x) or (side == 1 and asks_w) or (side == 2 and asks_yz)
        ):
            granted, grant = True, side
    if granted and grant == 2 and winner == 1:
        grant = Z
    served_yz = granted and grant >= Y
    if served_yz:
        state[YZ_TURN] = 1 - state[YZ_TURN]
    state[YZ_WINNER], state[YZ_GRANTED] = winner, served_yz
    state[YZ_ASKED] = asks_y or asks_z
    if granted:
        state[TURN] = (state[TURN] + 1) % 3
    wires[GRANTED], wires[GRANT] = granted, grant


@inlined
def _asks(streams: Ints, which: int) -> bool:
    """Return whether a reader puts a request on the port.

    It holds back when its answer might find no room. The flag used for this goes up at one
    entry instead of one short of full, so a reader whose rows are not taken pauses early.
    """
    cautious = (
        streams[which, RESPONSES] == 1
        and streams[which, IN_FLIGHT]
        and streams[which, ROWS] == QUEUE
    )
    return streams[which, REQUESTS] > 0 and streams[which, RESPONSES] < QUEUE and not cautious


@inlined
def _move_reads(job: Ints, streams: Ints, state: Ints, wires: Ints) -> bool:
    """Advance the three readers one cycle; return whether X has delivered a whole chunk."""
    tiles = job[ROW_TILES] * job[COLUMN_TILES]
    last_rows = state[READ_ROW_TILE] == job[ROW_TILES] - 1 and job[LAST_ROWS] != 0
    starting = not state[COMPUTING]
    more_x = state[CHUNKS_READ] != 0 and state[CHUNKS_READ] != tiles * job[CHUNKS]
    chunk_read = _move_reader(
        streams,
        X,
        job[LAST_ROWS] if last_rows else job[WIDTH],
        more_x or starting,
        wires[GRANTED] and wires[GRANT] == X,
        wires[LOAD_X],
    )
    _move_reader(
        streams,
        W,
        tiles * job[PADDED_N],
        starting,
        wires[GRANTED] and wires[GRANT] == W,
        wires[TAKE_W],
    )
    _move_reader(
        streams,
        Y,
        tiles * job[WIDTH],
        starting and job[WITH_Y],
        wires[GRANTED] and wires[GRANT] == Y,
        wires[TAKE_Y],
    )
    return chunk_read


@inlined
def _move_reader(
    streams: Ints, which: int, length: int, start: bool, granted: bool, taken: bool
) -> bool:
    """Advance one reader: address queue, request queue, answer queue, row queue."""
    room, phase, finished = streams[which, ROWS] < QUEUE, streams[which, PHASE], False
    address_room = streams[which, ADDRESSES] < SHORT_QUEUE
    all_issued = streams[which, ISSUED] >= length
    asks = (
        phase != IDLE
        and streams[which, ADDRESSES] > 0
        and room
        and streams[which, REQUESTS] < QUEUE
    )
    delivers = streams[which, RESPONSES] > 0 and room
    arrives = streams[which, IN_FLIGHT] or streams[which, HELD]
    streams[which, HELD] = arrives and streams[which, RESPONSES] >= QUEUE
    issuing = phase != IDLE or start
    if phase == IDLE and start:
        streams[which, PHASE] = WORKING
    elif phase == WORKING and all_issued and address_room:
        streams[which, PHASE] = DRAINING
    elif (
        phase == DRAINING
        and streams[which, ADDRESSES] == 0
        and streams[which, DELIVERED] == length
    ):
        streams[which, PHASE] = IDLE
        finished = True
    streams[which, RESPONSES] += int(arrives and streams[which, RESPONSES] < QUEUE) - int(delivers)
    streams[which, ROWS] += int(delivers) - int(taken)
    streams[which, ADDRESSES] += int(streams[which, ADDRESS_VALID] and address_room) - int(asks)
    streams[which, REQUESTS] += int(asks) - int(granted)
    streams[which, IN_FLIGHT] = granted
    if finished:
        streams[which, ISSUED] = streams[which, ADDRESS_VALID] = streams[which, DELIVERED] = 0
        return True
    streams[which, DELIVERED] += delivers
    if issuing and address_room:
        streams[which, ADDRESS_VALID] = not all_issued
        streams[which, ISSUED] += not all_issued
    return False


@inlined
def _move_stores(job: Ints, state: Ints, wires: Ints) -> None:
    """Advance the writer of Z: rows leave the buffer, get an address, wait for the port."""
    length = job[ROW_TILES] * job[COLUMN_TILES] * job[WIDTH]
    room, all_issued = state[Z_ADDRESSES] < SHORT_QUEUE, state[Z_ISSUED] >= length
    phase = state[Z_PHASE]
    asks = phase != IDLE and state[Z_ROWS] > 0 and state[Z_ADDRESSES] > 0
    asks = asks and state[Z_REQUESTS] < SHORT_QUEUE
    finished = phase == DRAINING and state[Z_STORED] == length
    issuing = phase != IDLE or not state[COMPUTING]
    if phase == IDLE and not state[COMPUTING]:
        state[Z_PHASE] = WORKING
    elif phase == WORKING and all_issued and room:
        state[Z_PHASE] = DRAINING
    elif finished:
        state[Z_PHASE] = IDLE
    state[DONE] = finished
    state[Z_ADDRESSES] += int(state[Z_ADDRESS_VALID] and room) - int(asks)
    state[Z_STORED] += asks
    state[Z_REQUESTS] += int(asks) - int(wires[GRANTED] and wires[GRANT] == Z)
    state[Z_ROWS] += wires[STORE_Z] - int(asks)
    if issuing and room and not finished:
        state[Z_ADDRESS_VALID] = not all_issued
        state[Z_ISSUED] += not all_issued


@inlined
def _count_chunk(job: Ints, state: Ints) -> None:
    """Move the X reader to its next chunk: along n, then the next column tile, then down."""
    total = job[ROW_TILES] * job[COLUMN_TILES] * job[CHUNKS]
    state[CHUNKS_READ] = 0 if state[CHUNKS_READ] == total else state[CHUNKS_READ] + 1
    state[READ_CHUNK] += 1
    if state[READ_CHUNK] == job[CHUNKS]:
        state[READ_CHUNK] = 0
        state[READ_COLUMN_TILE] += 1
        if state[READ_COLUMN_TILE] == job[COLUMN_TILES]:
            state[READ_COLUMN_TILE] = 0
            state[READ_ROW_TILE] = (state[READ_ROW_TILE] + 1) % job[ROW_TILES]


@inlined
def _move_z_buffer(state: Ints, wires: Ints) -> None:
    """Advance the buffer that holds Y before a tile and Z after it, never both."""
    phase = state[ZBUF]
    filled = wires[FILL_Z] and state[ZBUF_FILL] == state[Z_HEIGHT] - 1
    pushed = wires[PUSH_Y] and state[ZBUF_PUSH] == wires[Y_HEIGHT] - 1
    loaded = wires[TAKE_Y] and state[ZBUF_LOAD] == wires[Y_WIDTH] - 1
    stored = wires[STORE_Z] and state[ZBUF_STORE] == state[Z_WIDTH] - 1
    if filled and phase != Z_PUSHED:
        state[ZBUF] = Z_PUSHED
    elif phase == Z_EMPTY and loaded:
        state[ZBUF] = Z_LOADED
    elif (phase == Z_LOADED and pushed and not wires[FILL_Z]) or (phase == Z_PUSHED and stored):
        state[ZBUF] = Z_EMPTY
    state[ZBUF_FILL] = 0 if filled else state[ZBUF_FILL] + wires[FILL_Z]
    state[ZBUF_PUSH] = 0 if pushed else state[ZBUF_PUSH] + wires[PUSH_Y]
    state[ZBUF_LOAD] = 0 if loaded else state[ZBUF_LOAD] + wires[TAKE_Y]
    state[ZBUF_STORE] = 0 if stored else state[ZBUF_STORE] + wires[STORE_Z]


@inlined
def _move_pad(job: Ints, state: Ints, wires: Ints) -> None:
    """Advance the X pad: filled row by row from memory, emptied column by column to the array."""
    phase, step, full = state[PAD], wires[STEP], wires[PAD_FULL]
    if phase == PAD_PRELOAD and wires[PAD_SETUP]:
        state[PAD] = PAD_FAST
    elif phase == PAD_FAST and state[PAD_COLUMN] == state[TO_WRITE] - 1:
        exhausted = state[PAD_COUNT] == wires[PAD_SLOTS]
        if exhausted:
            state[PAD] = PAD_FIRST if full else PAD_EMPTY
        elif state[FIRST_BLOCK]:
            state[PAD] = PAD_FIRST
        elif not step:
            state[PAD] = PAD_FILL
    elif phase == PAD_FIRST and step and state[OUTPUT] == job[HEIGHT] - 1:
        state[PAD] = PAD_FILL
    elif phase == PAD_FILL and wires[PAD_DRAINED] and not full:
        state[PAD] = PAD_EMPTY
    elif phase == PAD_EMPTY and full:
        state[PAD] = PAD_FAST if state[TO_WRITE] != 0 or step else PAD_FILL
    if wires[PAD_DRAINED]:
        state[PAD_COUNT], state[TO_WRITE] = 1, 0
    else:
        state[PAD_COUNT] += wires[WRITE_X] or wires[PAD_SETUP]
        if step and (phase == PAD_EMPTY or (phase == PAD_FAST and not state[FIRST_BLOCK])):
            state[TO_WRITE] += 1
        elif wires[PAD_SETUP]:
            state[TO_WRITE] = 2 * job[HEIGHT]
    if state[PAD_COLUMN] == 2 * job[HEIGHT] - 1:
        state[FIRST_BLOCK] = 0
    elif wires[PAD_SETUP]:
        state[FIRST_BLOCK] = 1
    if full:
        state[REFILLING] = 0
    elif wires[PAD_DRAINED]:
        state[REFILLING] = 1
    if wires[WRITE_X]:
        more = state[PAD_COLUMN] < wires[PAD_SLOTS] - 1
        state[PAD_COLUMN] = state[PAD_COLUMN] + 1 if more else 0
    state[PAD_ROWS] = 0 if wires[ACKNOWLEDGE] else state[PAD_ROWS] + wires[LOAD_X]
    if step:
        state[OUTPUT] = (state[OUTPUT] + 1) % job[HEIGHT]


@inlined
def _move_feed(job: Ints, state: Ints, wires: Ints, w_rows: int) -> None:
    """Advance the counters of the state machine that feeds the array."""
    starts = state[FEED] == OFF and not state[COMPUTING]
    _count_x(job, state, wires, starts)
    stall, following = wires[STALL], wires[NEXT_FEED]
    last_push = state[PUSHING] and not stall and state[PUSHED_COLUMNS] == wires[Y_HEIGHT] - 1
    wait_ends = state[WAITING] and not stall and state[WAITED] == job[PIPE]
    push_due = state[WAITING] and not stall and state[WAITED] == job[PIPE] - 1
    begins = state[FIRST] and following == LOAD_W and not stall
    if state[FILLING] and not stall:
        state[FILLED] = 0 if wires[FILL_ENDS] else state[FILLED] + 1
    if state[PUSHING] and not stall:
        state[PUSHED_COLUMNS] = 0 if last_push else state[PUSHED_COLUMNS] + 1
    if state[WAITING] and not stall:
        state[WAITED] = 0 if wait_ends else state[WAITED] + 1
    state[FILLING] = (state[FILLING] and not wires[FILL_ENDS]) or wait_ends
    if last_push:
        state[PUSHING] = 0
    elif push_due or begins:
        state[PUSHING] = 1
    row_ends = _count_w(job, state, wires)
    state[WAITING] = (state[WAITING] and not wait_ends) or row_ends
    if wires[Z_FREED] or begins:
        state[Z_WIDTH], state[Z_HEIGHT] = wires[Y_WIDTH], wires[Y_HEIGHT]
    if wires[Z_FREED]:
        _count_y(job, state)
    if state[FEED] >= LOAD_W and not stall:
        state[BUBBLE] = 0 if state[BUBBLE] == job[PIPE] else state[BUBBLE] + 1
    state[ENABLED] = state[RUNNING] and not stall
    if wires[STEP]:
        state[FIRST], state[COMPUTING] = 0, 1
    if wires[PAD_SETUP]:
        state[RUNNING] = 1
    state[FEED] = following


@inlined
def _count_x(job: Ints, state: Ints, wires: Ints, starts: bool) -> None:
    """Follow which chunk of X the array is consuming, and when the pad must be loaded again."""
    full, drained = wires[PAD_FULL], wires[PAD_DRAINED]
    reload = starts or drained or (state[X_EMPTIED] and not full)
    if full and not reload:
        state[X_LOADING] = 0
    elif reload:
        state[X_LOADING] = 1
    state[X_EMPTIED] = full and (drained or state[X_EMPTIED])
    if wires[STEP]:
        state[COLUMN] = (state[COLUMN] + 1) % job[HEIGHT]
    if wires[ACKNOWLEDGE]:
        state[X_REFILL] = 0
    elif drained:
        state[X_REFILL] = 1
    if not drained or state[X_DONE]:
        return
    state[X_CHUNK] += 1
    if state[X_CHUNK] == job[CHUNKS]:
        state[X_CHUNK] = 0
        state[X_COLUMN_TILE] += 1
        if state[X_COLUMN_TILE] == job[COLUMN_TILES]:
            state[X_COLUMN_TILE] = 0
            state[X_ROW_TILE] += 1
            state[X_DONE] = state[X_ROW_TILE] == job[ROW_TILES]


@inlined
def _count_w(job: Ints, state: Ints, wires: Ints) -> bool:
    """Count a consumed row of W; return whether it was the last of a tile."""
    if not wires[TAKE_W]:
        return False
    state[W_ROW] += 1
    if state[W_ROW] < job[PADDED_N]:
        return False
    state[W_ROW] = 0
    state[W_COLUMN_TILE] += 1
    if state[W_COLUMN_TILE] == job[COLUMN_TILES]:
        state[W_COLUMN_TILE] = 0
        state[W_ROW_TILE] += 1
        state[W_DONE] = state[W_ROW_TILE] == job[ROW_TILES]
    return True


@inlined
def _count_y(job: Ints, state: Ints) -> None:
    """Move to the next tile of Y and Z; the row count wraps where the hardware's does."""
    state[Y_COLUMN_TILE] += 1
    if state[Y_COLUMN_TILE] == job[COLUMN_TILES]:
        state[Y_COLUMN_TILE] = 0
        state[Y_ROW_TILE] = (state[Y_ROW_TILE] + 1) % job[PADDED_N]
