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


def _set_off(clock: Records, end: Ints, rise: Ints, base: Ints, reach: int) -> None:
    """Begin a point: nothing runs, nothing is complete, and no state is looked for again."""
    end[:] = NEVER
    rise[:] = 0
    base[:] = 0
    clock[0].now = clock[0].state = clock[0].mask = clock[0].exits = clock[0].looks = 0
    clock[0].saved, clock[0].power = -1, 1
    clock[0].rising, clock[0].reach = 0, reach


def _go_on(
    clock: Records, end: Ints, rise: Ints, saved: Ints, saved_rise: Ints, base: Ints,
    saved_base: Ints, states: Records, moves: Records, starts: Records, watches: Records,
    advanced: Shorts, gaps: Records, limits: Ints, time_ps: Ints, growth: Ints, at: int,
    counts: Ints, kind: int,
) -> bool:  # fmt: skip
    """Execute a point until it ends (False), or until a move is not known yet (True).

    That move is the one of ``mask``, or of what is ``near`` and has the value in ``mask``.
    """
    now, state = clock[0].now, clock[0].state
    saved_state, saved_now = clock[0].saved, clock[0].saved_now
    saved_rising = clock[0].saved_rising
    looks, power = clock[0].looks, clock[0].power
    rising, reach = clock[0].rising, clock[0].reach
    going = True
    while True:
        near, mask = _near(states[state], base, gaps, watches, counts, kind)
        if near >= 0:
            move = _known(states[state], key_of(near, mask, limits), moves)
            if move < 0:
                break
            state = moves[move].state
            continue
        if states[state].runs:
            now, mask, rising, reach = _first_end(end, rise, reach)
        elif now:
            going = False
            break
        move = _known(states[state], mask, moves)
        if move < 0:
            break
        _begin(moves[move], mask, end, rise, now, rising, starts, time_ps, growth, at, kind)
        state, clock[0].exits = moves[move].state, moves[move].exits
        if moves[move].advances == 0:
            continue
        _advance(base, advanced[move])
        if state == saved_state and _same(end, end, saved, now):
            if not _same(end, rise, saved_rise, rising):
                reach = 0  # it repeats itself at this point alone
            times = _repeats(gaps, limits, base, saved_base, counts, kind)
            _skip(times, rising - saved_rising, end, rise)
            _skip(times, now - saved_now, end, end)
            _go_round(times, base, saved_base)
            now += times * (now - saved_now)
            rising += times * (rising - saved_rising)
            saved_state, looks, power = -1, 0, 1
        looks += 1
        if looks == power:
            # looked for again for twice as long each time, so that any period is found
            power *= 2
            saved_state, saved_now, saved_rising = state, now, rising
            _remember(end, now, saved)
            _remember(rise, rising, saved_rise)
            _remember(base, 0, saved_base)
    clock[0].now, clock[0].state, clock[0].mask, clock[0].near = now, state, mask, near
    clock[0].saved, clock[0].saved_now = saved_state, saved_now
    clock[0].looks, clock[0].power = looks, power
    clock[0].rising, clock[0].saved_rising, clock[0].reach = rising, saved_rising, reach
    return going


def _near(
    state: Record, base: Ints, gaps: Records, watches: Records, counts: Ints, kind: int
) -> tuple[int, int]:
    """Return what is far in a state and has come near, with its value; -1 and 0 if nothing has."""
    for k in range(state.watch_first, state.watch_last):
        place, limit = watches[k].place, watches[k].limit
        if place < len(base):
            value = counts[place, kind] - base[place]
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


def _first_end(end: Ints, rise: Ints, reach: int) -> tuple[int, int, int, int]:
    """Return when the first running tasks end, their slots as bits, how that rises, and the reach.

    So much further the same tasks end first.
    """
    now, rising = end[0], rise[0]
    for s in range(1, len(end)):
        if end[s] < now:
            now, rising = end[s], rise[s]
    mask = 0
    for s in range(len(end)):
        closer = rising - rise[s]
        if end[s] == now:
            mask |= 1 << s
            reach = 0 if closer != 0 else reach
        elif closer * reach >= end[s] - now:
            reach = (end[s] - now - 1) // closer
    return now, mask, rising, reach


def _begin(
    move: Record, mask: int, end: Ints, rise: Ints, now: int, rising: int, starts: Records,
    time_ps: Ints, growth: Ints, at: int, kind: int,
) -> None:  # fmt: skip
    """Let the tasks of a move start where those of ``mask`` have ended."""
    if mask:
        for s in range(len(end)):
            if end[s] == now:
                end[s], rise[s] = NEVER, 0
    for k in range(move.start_first, move.start_last):
        slot, work = starts[k].slot, starts[k].work
        end[slot] = now + time_ps[work, kind] + growth[work, kind] * at
        rise[slot] = rising + growth[work, kind]


def _advance(base: Ints, by: Shorts) -> None:
    """Add the iterations that a move completes."""
    for g in range(len(base)):
        base[g] += by[g]


def _remember(own: Ints, start: int, saved: Ints) -> None:
    """Save numbers from a start on: times that are left, iterations that are complete."""
    for k in range(len(own)):
        saved[k] = own[k] - start


def _go_round(times: int, base: Ints, saved_base: Ints) -> None:
    """Add the iterations that were completed since the saved state so many times."""
    for g in range(len(base)):
        base[g] += times * (base[g] - saved_base[g])


def _skip(times: int, period: int, end: Ints, own: Ints) -> None:
    """Let what runs end later by so many periods."""
    for s in range(len(end)):
        own[s] += times * period if end[s] != NEVER else 0


def _same(end: Ints, own: Ints, saved: Ints, start: int) -> bool:
    """Return whether what runs has the same numbers from a start on as in the saved state."""
    same = True
    for s in range(len(end)):
        same = same and (end[s] == NEVER or own[s] - start == saved[s])
    return same


def _repeats(
    gaps: Records, limits: Ints, base: Ints, saved_base: Ints, counts: Ints, kind: int
) -> int:  # fmt: skip
    """Return how often what happened since the saved state happens again, all being far."""
    times = NEVER
    for g in range(len(base)):
        by = base[g] - saved_base[g]
        if by > 0:
            times = min(times, (counts[g, kind] - base[g] - limits[g] - 1) // by)
    for k in range(len(gaps)):
        source, user, ratio = gaps[k].source, gaps[k].user, gaps[k].ratio
        taken = ratio * (base[user] - saved_base[user])
        closer = taken - (base[source] - saved_base[source])
        if closer > 0 and base[source] < counts[source, kind]:
            gap = ratio * base[user] + gaps[k].ahead - base[source]
            times = min(times, (-limits[len(base) + k] - 1 - taken - gap) // closer)
    return max(0, times) if times != NEVER else 0


def _end_of_line(kinds: Ints, places: Ints, point: int) -> int:
    """Return the first point behind one that is of another kind, or at an earlier place."""
    point += 1
    while (
        point < len(kinds)
        and kinds[point] == kinds[point - 1]
        and places[point] >= places[point - 1]
    ):
        point += 1
    return point


@using(*RULE, _set_off, _go_on, _near, _known, _first_end, _begin, _advance, _remember,
       _skip, _go_round, _same, _repeats, _end_of_line)  # fmt: skip
def execute(
    loops: Records, steps: Records, odds: Ints, uses: Ints, needs: Records, gaps: Records,
    exits: Records, units: Ints, slots: int, marks: Shorts, words: Ints, table: Ints,
    states: Records, moves: Records, starts: Records, watches: Records, advanced: Shorts,
    sizes: Records, limits: Ints, time_ps: Ints, growth: Ints, kinds: Ints, places: Ints,
    counts: Ints, first: int, latest: Ints, found: Ints, ends: Ints, begun: Ints,
    clock: Records, free: Ints, taken: NDArray[np.int8],
) -> int:  # fmt: skip
    """Execute points from ``first`` on; return the first that was not, as a table is full.

    From ``loops`` to ``units``: tables of the plan; from ``states`` to ``advanced``: tables that
    grow, filled as far as ``sizes`` says. ``clock``, ``free`` and ``taken`` are room for one
    record, for the units that each resource has left, and for the slots that are taken.

    Args:
        slots: How many tasks can run at the same time.
        marks: Contents of the states, the last row for one under construction; ``words`` are the
            same memory, four numbers in one.
        table: States by their contents, a hash table; its length is a power of two.
        limits: The largest limit of each watch.
        time_ps: Time of each work at place 0 [ps], shape (works, kinds).
        growth: How much longer that is from place to place [ps], shape (works, kinds).
        kinds: Of each point, as are ``places``.
        counts: Iterations of each loop, shape (loops, kinds).
        latest: For each point the last end [ps], or -1 if its window is too small.
        found: For each point which of the exits end last, as bits.
        ends: Room for the ends of what runs, how they rise from place to place, and the same of
            what is left in a state that is looked for again, shape (4, slots).
        begun: The same for the iterations of loops now and in that state, shape (2, loops).
    """
    end, rise, saved, saved_rise = ends[0], ends[1], ends[2], ends[3]
    base, saved_base = begun[0], begun[1]
    point, line = first, first
    while point < len(latest):
        kind, at = kinds[point], places[point]
        if point >= line:
            line = _end_of_line(kinds, places, point)
        _set_off(clock, end, rise, base, places[line - 1] - at)
        while _go_on(clock, end, rise, saved, saved_rise, base, saved_base, states, moves, starts,
                     watches, advanced, gaps, limits, time_ps, growth, at, counts,
                     kind):  # fmt: skip
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
                clock[0].now, clock[0].rising, clock[0].reach = -1, 0, 0
                break
        # what ends first is the same up to there
        while point < line and places[point] - at <= clock[0].reach:
            latest[point] = clock[0].now + clock[0].rising * (places[point] - at)
            found[point] = clock[0].exits
            point += 1
    return point


@using(code_of)
def enter(states: int, words: Ints, table: Ints) -> None:
    """Enter so many states into an empty hash table, which is larger than the one before."""
    for known in range(states):
        slot = code_of(words[known]) & (len(table) - 1)
        while table[slot]:
            slot = (slot + 1) & (len(table) - 1)
        table[slot] = known + 1
