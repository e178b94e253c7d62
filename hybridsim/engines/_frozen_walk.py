"""Executing points by a table of states (:mod:`._frozen_states`), move after move.

Compiled by :mod:`hybridsim.compiling`, together with :mod:`._frozen_moves`: machine code that
Numba keeps for one file by itself does not see that another one has changed.
"""

import numpy as np
from numpy.typing import NDArray

from hybridsim.compiling import using
from hybridsim.engines._frozen_moves import RULE, code_of, follow, key_of, nearer
from hybridsim.engines._frozen_records import FULL, LOST, NEVER, Record, Records, Shorts
from hybridsim.units import Ints


def _go_on(
    clock: Records, end: Ints, saved: Ints, base: Ints, saved_base: Ints, states: Records,
    moves: Records, starts: Records, watches: Records, advanced: Shorts, gaps: Records,
    limits: Ints, time_ps: Ints, counts: Ints, point: int,
) -> bool:  # fmt: skip
    """Execute a point until it ends (False), or until a move is not known yet (True).

    That move is the one of ``mask``, or of what is ``near`` and has the value in ``mask``.
    """
    now, state = clock[0].now, clock[0].state
    saved_state, saved_now = clock[0].saved, clock[0].saved_now
    looks, power = clock[0].looks, clock[0].power
    going = True
    while True:
        near, mask = _near(states[state], base, gaps, watches, counts, point)
        if near >= 0:
            move = _known(states[state], key_of(near, mask, limits), moves)
            if move < 0:
                break
            state = moves[move].state
            continue
        if states[state].runs:
            now, mask = _first_end(end)
        elif now:
            going = False
            break
        move = _known(states[state], mask, moves)
        if move < 0:
            break
        _begin(moves[move], mask, end, now, starts, time_ps, point)
        state, clock[0].exits = moves[move].state, moves[move].exits
        if moves[move].advances == 0:
            continue
        for g in range(len(base)):
            base[g] += advanced[move, g]
        if state == saved_state and _same(end, saved, now):
            times = _repeats(gaps, limits, base, saved_base, counts, point)
            now += _skip(times, now - saved_now, end, base, saved_base)
            saved_state, looks, power = -1, 0, 1
        looks += 1
        if looks == power:
            # looked for again for twice as long each time, so that any period is found
            power *= 2
            saved_state, saved_now = state, now
            _remember(end, now, base, saved, saved_base)
    clock[0].now, clock[0].state, clock[0].mask, clock[0].near = now, state, mask, near
    clock[0].saved, clock[0].saved_now = saved_state, saved_now
    clock[0].looks, clock[0].power = looks, power
    return going


def _near(
    state: Record, base: Ints, gaps: Records, watches: Records, counts: Ints, point: int
) -> tuple[int, int]:
    """Return what is far in a state and has come near, with its value; -1 and 0 if nothing has."""
    for k in range(state.watch_first, state.watch_last):
        place, limit = watches[k].place, watches[k].limit
        if place < len(base):
            value = counts[place, point] - base[place]
            near = value <= limit
        else:
            gap = gaps[place - len(base)]
            value = gap.ratio * base[gap.user] + gap.ahead - base[gap.source]
            near = value >= -limit
        if near:
            return place, value
    return -1, 0


def _known(state: Record, key: int, moves: Records) -> int:
    """Return the move of a state with a key, or -1."""
    move: int = state.move
    while move >= 0 and moves[move].mask != key:
        move = moves[move].next
    return move


def _first_end(end: Ints) -> tuple[int, int]:
    """Return when the first running tasks end, and their slots as bits."""
    now = end[0]
    for s in range(1, len(end)):
        now = min(now, end[s])
    mask = 0
    for s in range(len(end)):
        mask |= (end[s] == now) << s
    return now, mask


def _begin(
    move: Record, mask: int, end: Ints, now: int, starts: Records, time_ps: Ints, point: int
) -> None:
    """Let the tasks of a move start where those of ``mask`` have ended."""
    if mask:
        for s in range(len(end)):
            end[s] = NEVER if end[s] == now else end[s]
    for k in range(move.start_first, move.start_last):
        end[starts[k].slot] = now + time_ps[starts[k].work, point]


def _remember(end: Ints, now: int, base: Ints, saved: Ints, saved_base: Ints) -> None:
    """Save the times that are left, and the iterations that are complete."""
    for g in range(len(base)):
        saved_base[g] = base[g]
    for s in range(len(end)):
        saved[s] = end[s] - now


def _skip(times: int, period: int, end: Ints, base: Ints, saved_base: Ints) -> int:
    """Add what happened since the saved state so many times; return how long that takes."""
    for g in range(len(base)):
        base[g] += times * (base[g] - saved_base[g])
    for s in range(len(end)):
        end[s] += times * period if end[s] != NEVER else 0
    return times * period


def _same(end: Ints, saved: Ints, now: int) -> bool:
    """Return whether what runs has the same time left as in the saved state."""
    same = True
    for s in range(len(end)):
        same = same and (end[s] == NEVER or end[s] - now == saved[s])
    return same


def _repeats(
    gaps: Records, limits: Ints, base: Ints, saved_base: Ints, counts: Ints,
    point: int,
) -> int:  # fmt: skip
    """Return how often what happened since the saved state happens again, all being far."""
    times = NEVER
    for g in range(len(base)):
        by = base[g] - saved_base[g]
        if by > 0:
            times = min(times, (counts[g, point] - base[g] - limits[g] - 1) // by)
    for k in range(len(gaps)):
        source, user, ratio = gaps[k].source, gaps[k].user, gaps[k].ratio
        taken = ratio * (base[user] - saved_base[user])
        closer = taken - (base[source] - saved_base[source])
        if closer > 0 and base[source] < counts[source, point]:
            gap = ratio * base[user] + gaps[k].ahead - base[source]
            times = min(times, (-limits[len(base) + k] - 1 - taken - gap) // closer)
    return max(0, times) if times != NEVER else 0


@using(*RULE, _go_on, _near, _known, _first_end, _begin, _remember, _skip, _same, _repeats)
def execute(
    loops: Records, steps: Records, odds: Ints, uses: Ints, needs: Records, gaps: Records,
    exits: Records, units: Ints, slots: int, marks: Shorts, words: Ints, table: Ints,
    states: Records, moves: Records, starts: Records, watches: Records, advanced: Shorts,
    sizes: Records, limits: Ints, time_ps: Ints, counts: Ints, first: int, latest: Ints,
    found: Ints, ends: Ints, begun: Ints, clock: Records, free: Ints, taken: NDArray[np.int8],
) -> int:  # fmt: skip
    """Execute points from ``first`` on; return the first that was not, as a table is full.

    Args:
        loops: Tables of the plan, as are the next seven; ``units`` are those of its resources.
        steps: See there.
        odds: See there.
        uses: See there.
        needs: See there.
        gaps: See there.
        exits: See there.
        units: See there.
        slots: How many tasks can run at the same time.
        marks: Contents of the states; the last row is for one under construction.
        words: The same memory, four numbers in one.
        table: States by their contents, a hash table; its length is a power of two.
        states: Tables that grow, as are the next five.
        moves: See there.
        starts: See there.
        watches: See there.
        advanced: See there: iterations that each loop completes in a move.
        sizes: How far the tables are filled, and how many states there may be.
        limits: The largest limit of each watch.
        time_ps: Time of each work [ps], shape (works, points).
        counts: Iterations of each loop, shape (loops, points).
        first: The first point.
        latest: For each point the last end [ps], or -1 if its window is too small.
        found: For each point which of the exits end last, as bits.
        ends: Room for the ends of what runs, and for the times left in a state that is looked
            for again, shape (2, slots).
        begun: Room for the iterations that each loop has completed now, and had in that state,
            shape (2, loops).
        clock: Room for one record.
        free: Room for the units that each resource has left.
        taken: Room for the slots that are taken.
    """
    end, saved, base, saved_base = ends[0], ends[1], begun[0], begun[1]
    for point in range(first, len(latest)):
        end[:] = NEVER
        base[:] = 0
        clock[0].now = clock[0].state = clock[0].mask = clock[0].exits = clock[0].looks = 0
        clock[0].saved, clock[0].power = -1, 1
        while _go_on(clock, end, saved, base, saved_base, states, moves, starts, watches, advanced,
                     gaps, limits, time_ps, counts, point):  # fmt: skip
            state = clock[0].state
            if clock[0].near >= 0:
                move = nearer(state, clock[0].near, clock[0].mask, loops, steps, gaps, marks,
                              words, table, states, moves, watches, sizes, limits)  # fmt: skip
            else:
                move = follow(state, clock[0].mask, loops, steps, odds, uses, needs, gaps, exits,
                              units, slots, marks, words, table, states, moves, starts, watches,
                              advanced, sizes, limits, free, taken)  # fmt: skip
            if move == FULL:
                return point
            if move == LOST:
                clock[0].now = -1
                break
        latest[point], found[point] = clock[0].now, clock[0].exits
    return len(latest)


@using(code_of)
def enter(states: int, words: Ints, table: Ints) -> None:
    """Enter so many states into an empty hash table, which is larger than the one before."""
    for known in range(states):
        slot = code_of(words[known]) & (len(table) - 1)
        while table[slot]:
            slot = (slot + 1) & (len(table) - 1)
        table[slot] = known + 1
