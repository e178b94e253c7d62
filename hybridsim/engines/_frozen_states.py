"""The execution rule as a table of states that grows while points are executed.

What the rule does next depends on which tasks are done, ready and running, and on which of the
running ones end first; durations decide nothing else. So a *state* is which tasks are what, and a
*move* leads from a state and the set of tasks that end first to the next one, and names the tasks
that start. Each move is worked out once, by the rule itself; from then on an instant costs a look
at the ends of what runs. There is no order to prove.

Tasks of a loop are kept relative to its first unfinished iteration, in a *window*, so loops of any
length share their states. A state also holds numbers of three kinds:

*   *begun*: how many iterations of a loop are complete, as far as the first ones are different.
*   *left*: how many are not complete, as far as the last ones are near, else :data:`FAR`.
*   *gap*: how far a loop is behind one that it reads beside it, unless that is done with what can
    be asked for, :data:`FAR`.

What is far in a state is counted for each point. When it comes near, the state is changed for one
that holds the number. Where a state comes back after some time with the same times left, what
happened in between happens again, until something comes near: those periods are added at once.
"""

from typing import Any, TypeAlias

import numba
import numpy as np
from numpy.typing import NDArray

from hybridsim.units import Ints

Shorts: TypeAlias = NDArray[np.int16]
Record: TypeAlias = Any
Records: TypeAlias = NDArray[Any]

FAR, GONE = 32_000, 32_001
WAITING, READY, DONE, RUNNING = range(4)
"""What a task is; one that runs in slot s is ``RUNNING + s``."""
MOST_SLOTS = 60
_NEVER = 2**62
FULL, LOST = -1, -2
"""What a move is if the tables are full, or if the window is too small for it."""


def record(*fields: str) -> np.dtype[Any]:
    """Return a type of integers whose fields read as attributes, also without Numba."""
    return np.dtype((np.record, [(field, np.int64) for field in fields]))


LOOP = record(
    "step_first",  # its steps are steps[step_first:step_first + size]
    "size",
    "window",  # iterations that a state holds
    "marks",  # where those lie in a state
    "begun",  # where the number of complete iterations lies in a state
    "left",  # where the number of others lies
    "most_begun",  # from here on begun is not counted
    "late",  # iterations at the end that are different, or waited for
    "ahead",  # how far behind the last task touched one can be that becomes ready next
)
STEP = record(
    "usual",  # its work
    "odd",  # its other works: odds[odd:odd + early + late]
    "early",
    "late",
    "use_first",
    "use_last",
    "need_first",
    "need_last",
    "slot",  # where it runs, or -1 for any of the common slots
)
NEED = record(
    "kind",  # WITHIN, BESIDE, FROM_START or FROM_END
    "loop",
    "step",  # place in its loop
    "back",  # iterations back, or the iteration, or how many before the end
    "gap",  # number among the gaps
)
WITHIN, BESIDE, FROM_START, FROM_END = range(4)
GAP = record("source", "user", "ratio", "ahead", "place")
EXIT = record("set", "loop", "step", "from_end")
MOVE = record("mask", "state", "next", "start_first", "start_last", "advances", "exits")
STATE = record("move", "watch_first", "watch_last", "runs")
WATCH = record("place", "limit")  # place: a loop, or the number of loops plus a gap
START = record("slot", "work")
SIZES = record("states", "moves", "starts", "watches", "most")  # most: of the states
CLOCK = record("now", "state", "mask", "near", "exits", "saved", "saved_now", "looks", "power")


@numba.njit(cache=True)
def execute(
    loops: Records, steps: Records, odds: Ints, uses: Ints, needs: Records, gaps: Records,
    exits: Records, units: Ints, slots: int, marks: Shorts, words: Ints, table: Ints,
    states: Records, moves: Records, starts: Records, watches: Records, advanced: Shorts,
    sizes: Records, limits: Ints, time_ps: Ints, counts: Ints, first: int, latest: Ints,
    found: Ints,
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
    """
    end, saved = np.empty(slots, np.int64), np.empty(slots, np.int64)
    base, saved_base = np.empty(len(loops), np.int64), np.empty(len(loops), np.int64)
    clock = np.zeros(1, CLOCK)
    for point in range(first, len(latest)):
        end[:] = _NEVER
        base[:] = 0
        clock[0].now = clock[0].state = clock[0].mask = clock[0].exits = clock[0].looks = 0
        clock[0].saved, clock[0].power = -1, 1
        while _go_on(clock, end, saved, base, saved_base, states, moves, starts, watches, advanced,
                     gaps, limits, time_ps, counts, point):  # fmt: skip
            state = clock[0].state
            if clock[0].near >= 0:
                move = _nearer(state, clock[0].near, clock[0].mask, loops, steps, gaps, marks,
                               words, table, states, moves, watches, sizes, limits)  # fmt: skip
            else:
                move = _follow(state, clock[0].mask, loops, steps, odds, uses, needs, gaps, exits,
                               units, slots, marks, words, table, states, moves, starts, watches,
                               advanced, sizes, limits)  # fmt: skip
            if move == FULL:
                return point
            if move == LOST:
                clock[0].now = -1
                break
        latest[point], found[point] = clock[0].now, clock[0].exits
    return len(latest)


@numba.njit(cache=True)
def _go_on(
    clock: Records, end: Ints, saved: Ints, base: Ints, saved_base: Ints, states: Records,
    moves: Records, starts: Records, watches: Records, advanced: Shorts, gaps: Records,
    limits: Ints, time_ps: Ints, counts: Ints, point: int,
) -> bool:  # fmt: skip
    """Execute a point until it ends (False), or until a move is not known yet (True).

    That move is the one of ``mask``, or of what is ``near`` and has the value in ``mask``.
    """
    loops, slots = len(base), len(end)
    now, state = clock[0].now, clock[0].state
    saved_state, saved_now = clock[0].saved, clock[0].saved_now
    looks, power = clock[0].looks, clock[0].power
    near, going = -1, True
    mask: Any = 0
    while True:
        k, last = states[state].watch_first, states[state].watch_last
        while k < last:
            place, limit = watches[k].place, watches[k].limit
            k += 1
            if place < loops:
                mask = counts[place, point] - base[place]
                if mask > limit:
                    continue
            else:
                gap = gaps[place - loops]
                mask = gap.ratio * base[gap.user] + gap.ahead - base[gap.source]
                if mask < -limit:
                    continue
            near = place
            break
        if near >= 0:
            key = _key(near, mask, limits)
            move = states[state].move
            while move >= 0 and moves[move].mask != key:
                move = moves[move].next
            if move < 0:
                break
            state, near = moves[move].state, -1
            continue
        mask = 0
        if states[state].runs:
            now = end[0]
            for s in range(1, slots):
                now = min(now, end[s])
            for s in range(slots):
                mask |= np.int64(end[s] == now) << s
        elif now:
            going = False
            break
        move = states[state].move
        while move >= 0 and moves[move].mask != mask:
            move = moves[move].next
        if move < 0:
            break
        if mask:
            for s in range(slots):
                end[s] = _NEVER if end[s] == now else end[s]
        for k in range(moves[move].start_first, moves[move].start_last):
            end[starts[k].slot] = now + time_ps[starts[k].work, point]
        state, clock[0].exits = moves[move].state, moves[move].exits
        if moves[move].advances == 0:
            continue
        for g in range(loops):
            base[g] += advanced[move, g]
        if state == saved_state and _same(end, saved, now):
            times = _repeats(gaps, limits, base, saved_base, counts, point)
            for g in range(loops):
                base[g] += times * (base[g] - saved_base[g])
            later = times * (now - saved_now)
            for s in range(slots):
                end[s] += later if end[s] != _NEVER else 0
            now += later
            saved_state, looks, power = -1, 0, 1
        looks += 1
        if looks == power:
            power *= 2
            saved_state, saved_now = state, now
            for g in range(loops):
                saved_base[g] = base[g]
            for s in range(slots):
                saved[s] = end[s] - now
    clock[0].now, clock[0].state, clock[0].mask, clock[0].near = now, state, mask, near
    clock[0].saved, clock[0].saved_now = saved_state, saved_now
    clock[0].looks, clock[0].power = looks, power
    return going


@numba.njit(cache=True, forceinline=True)
def _key(place: int, value: int, limits: Ints) -> int:
    """Return what stands for a number that came near in place of the tasks that end."""
    key: int = -1 - ((value + (1 << 20)) * len(limits) + place)
    return key


@numba.njit(cache=True, forceinline=True)
def _same(end: Ints, saved: Ints, now: int) -> bool:
    """Return whether what runs has the same time left as in the saved state."""
    same = True
    for s in range(len(end)):
        same = same and (end[s] == _NEVER or end[s] - now == saved[s])
    return same


@numba.njit(cache=True)
def _repeats(
    gaps: Records, limits: Ints, base: Ints, saved_base: Ints, counts: Ints,
    point: int,
) -> int:  # fmt: skip
    """Return how often what happened since the saved state happens again, all being far."""
    times = _NEVER
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
    return max(0, times) if times != _NEVER else 0


@numba.njit(cache=True)
def _nearer(
    state: int, place: int, value: int, loops: Records, steps: Records, gaps: Records,
    marks: Shorts, words: Ints, table: Ints, states: Records, moves: Records, watches: Records,
    sizes: Records, limits: Ints,
) -> int:  # fmt: skip
    """Return the state that holds a number that was far; a move that takes no time."""
    if sizes[0].moves == len(moves):
        return FULL
    new = marks[len(marks) - 1]
    new[:] = marks[state]
    new[loops[place].left if place < len(loops) else gaps[place - len(loops)].place] = value
    target = _find(loops, steps, gaps, marks, words, table, states, watches, sizes, limits)
    if target >= 0:
        _append(state, _key(place, value, limits), target, moves, states, sizes)
    return target


@numba.njit(cache=True)
def _append(state: int, mask: int, target: int, moves: Records, states: Records,
            sizes: Records) -> int:  # fmt: skip
    """Add a move without starts."""
    move = sizes[0].moves
    moves[move].mask, moves[move].state, moves[move].next = mask, target, states[state].move
    moves[move].start_first = moves[move].start_last = sizes[0].starts
    moves[move].advances = moves[move].exits = 0
    states[state].move = move
    sizes[0].moves += 1
    added: int = move
    return added


@numba.njit(cache=True)
def _follow(
    state: int, mask: int, loops: Records, steps: Records, odds: Ints, uses: Ints, needs: Records,
    gaps: Records, exits: Records, units: Ints, slots: int, marks: Shorts, words: Ints,
    table: Ints, states: Records, moves: Records, starts: Records, watches: Records,
    advanced: Shorts, sizes: Records, limits: Ints,
) -> int:  # fmt: skip
    """Work out one move by the rule; return its number, or :data:`FULL` or :data:`LOST`."""
    if sizes[0].moves == len(moves) or sizes[0].starts + slots > len(starts):
        return FULL
    new = marks[len(marks) - 1]
    new[:] = marks[state]
    free = units.copy()
    done = _complete(new, mask, loops, steps, uses, exits, free)
    if not _make_ready(new, loops, steps, needs, gaps):
        return LOST
    begin = sizes[0].starts
    taken = np.zeros(slots, np.int8)
    if not _decide(new, taken, loops, steps, odds, uses, free, slots, starts, sizes):
        return LOST
    last = sizes[0].starts
    row = advanced[sizes[0].moves]
    advances = _leave(new, loops, gaps, row)
    target = _find(loops, steps, gaps, marks, words, table, states, watches, sizes, limits)
    if target < 0:
        sizes[0].starts = begin
        return target
    move = _append(state, mask, target, moves, states, sizes)
    moves[move].start_first, moves[move].start_last = begin, last
    moves[move].advances, moves[move].exits = advances, done
    return move


@numba.njit(cache=True)
def _complete(
    new: Shorts, mask: int, loops: Records, steps: Records, uses: Ints, exits: Records, free: Ints
) -> int:
    """Clause 2: tasks in the slots of ``mask`` end; return which of the exits are among them.

    ``free`` is left with the units that no other task holds.
    """
    found = 0
    for g in range(len(loops)):
        loop = loops[g]
        for place in range(loop.window * loop.size):
            slot = new[loop.marks + place] - RUNNING
            if slot < 0:
                continue
            if mask >> slot & 1:
                new[loop.marks + place] = DONE
                for k in range(len(exits)):
                    iteration = new[loop.left] - exits[k].from_end
                    if exits[k].loop == g and place == iteration * loop.size + exits[k].step:
                        found |= 1 << exits[k].set
            else:
                step = steps[loop.step_first + place % loop.size]
                for k in range(step.use_first, step.use_last):
                    free[uses[k]] -= 1
    return found


@numba.njit(cache=True, forceinline=True)
def _touched(new: Shorts, loop: Record) -> int:
    """Return the last iteration in the window with a task that does not wait, or -1."""
    place = loop.window * loop.size - 1
    while place >= 0 and new[loop.marks + place] == WAITING:
        place -= 1
    last: int = place // loop.size
    return last


@numba.njit(cache=True)
def _make_ready(
    new: Shorts, loops: Records, steps: Records, needs: Records, gaps: Records
) -> bool:
    """Clause 1: tasks whose needs have ended become ready; False if the window may not do."""
    for g in range(len(loops)):
        loop = loops[g]
        last, left = _touched(new, loop) + loop.ahead, new[loop.left]
        if last >= loop.window:
            if left == FAR or left > loop.window:
                return False
            last = loop.window - 1
        if left < FAR:
            last = min(last, left - 1)
        for iteration in range(last + 1):
            for j in range(loop.size):
                place = loop.marks + iteration * loop.size + j
                if new[place] == WAITING:
                    step = steps[loop.step_first + j]
                    if _all_done(new, loop, iteration, step, loops, needs, gaps):
                        new[place] = READY
    return True


@numba.njit(cache=True)
def _all_done(
    new: Shorts, loop: Record, iteration: int, step: Record, loops: Records, needs: Records,
    gaps: Records,
) -> bool:  # fmt: skip
    """Return whether all needs of a task have ended."""
    for k in range(step.need_first, step.need_last):
        need = needs[k]
        source = loops[need.loop]
        if need.kind == WITHIN:
            at = iteration - need.back
        elif need.kind == BESIDE:
            gap = new[gaps[need.gap].place]
            if gap >= FAR:
                continue
            at = gaps[need.gap].ratio * iteration + gap
        elif need.kind == FROM_START:
            begun = new[source.begun]
            at = need.back - begun if begun < source.most_begun else -1
        else:
            left = new[source.left]
            if left == FAR:
                return False
            at = left - need.back
        if at >= source.window:
            return False
        if at >= 0 and new[source.marks + at * source.size + need.step] != DONE:
            return False
    return True


@numba.njit(cache=True)
def _decide(
    new: Shorts, taken: NDArray[np.int8], loops: Records, steps: Records, odds: Ints, uses: Ints,
    free: Ints, slots: int, starts: Records, sizes: Records,
) -> bool:  # fmt: skip
    """Clauses 3 and 4: ready tasks in plan order; False if there are too few common slots."""
    for g in range(len(loops)):
        for place in range(loops[g].window * loops[g].size):
            if new[loops[g].marks + place] >= RUNNING:
                taken[new[loops[g].marks + place] - RUNNING] = 1
    for g in range(len(loops)):
        loop = loops[g]
        for place in range(loop.window * loop.size):
            if new[loop.marks + place] != READY:
                continue
            step = steps[loop.step_first + place % loop.size]
            possible = True
            for k in range(step.use_first, step.use_last):
                possible = possible and free[uses[k]] > 0
            if not possible:
                continue
            for k in range(step.use_first, step.use_last):
                free[uses[k]] -= 1
            slot = step.slot
            if slot < 0:
                slot = slots - 1
                while slot >= 0 and taken[slot]:
                    slot -= 1
                if slot < max(0, len(taken) - COMMON):
                    return False
            taken[slot] = 1
            new[loop.marks + place] = RUNNING + slot
            start = starts[sizes[0].starts]
            start.slot, start.work = slot, _work(new, loop, step, place // loop.size, odds)
            sizes[0].starts += 1
    return True


COMMON = 8
"""Tasks without a resource of one unit that can run at the same time."""


@numba.njit(cache=True, forceinline=True)
def _work(new: Shorts, loop: Record, step: Record, iteration: int, odds: Ints) -> int:
    """Return the work of a task."""
    begun, left = new[loop.begun], new[loop.left]
    work: int = step.usual
    if begun + iteration < step.early and begun < loop.most_begun:
        work = odds[step.odd + begun + iteration]
    elif left < FAR and left - iteration <= step.late:
        work = odds[step.odd + step.early + step.late - (left - iteration)]
    return work


@numba.njit(cache=True)
def _leave(new: Shorts, loops: Records, gaps: Records, row: Shorts) -> int:
    """Let complete iterations leave their windows; return how many, ``row`` how many of each."""
    total = 0
    for g in range(len(loops)):
        loop = loops[g]
        row[g] = 0
        length = loop.window * loop.size
        while new[loop.left] > 0:
            complete = True
            for j in range(loop.size):
                complete = complete and new[loop.marks + j] == DONE
            if not complete:
                break
            for place in range(length - loop.size):
                new[loop.marks + place] = new[loop.marks + place + loop.size]
            for place in range(length - loop.size, length):
                new[loop.marks + place] = WAITING
            row[g] += 1
            new[loop.begun] = min(new[loop.begun] + 1, loop.most_begun)
            if new[loop.left] < FAR:
                new[loop.left] -= 1
        total += row[g]
    for k in range(len(gaps)):
        gap = gaps[k]
        if new[gap.place] < FAR:
            new[gap.place] += gap.ratio * row[gap.user] - row[gap.source]
    return total


@numba.njit(cache=True)
def _find(
    loops: Records, steps: Records, gaps: Records, marks: Shorts, words: Ints, table: Ints,
    states: Records, watches: Records, sizes: Records, limits: Ints,
) -> int:  # fmt: skip
    """Return the number of the state under construction, which is added if it is new."""
    count = sizes[0].states
    if count >= sizes[0].most or sizes[0].watches + len(limits) > len(watches):
        return FULL
    new, row = marks[len(marks) - 1], words[len(words) - 1]
    begin = sizes[0].watches
    _make_far(new, loops, gaps, watches, sizes, limits)
    slot = _code(row) & (len(table) - 1)
    while table[slot]:
        known = table[slot] - 1
        same = True
        for k in range(len(row)):
            same = same and words[known, k] == row[k]
        if same:
            sizes[0].watches = begin
            found: int = known
            return found
        slot = (slot + 1) & (len(table) - 1)
    table[slot] = count + 1
    words[count] = row
    state = states[count]
    state.move, state.watch_first, state.watch_last, state.runs = -1, begin, sizes[0].watches, 0
    for g in range(len(loops)):
        for place in range(loops[g].window * loops[g].size):
            state.runs += new[loops[g].marks + place] >= RUNNING
    sizes[0].states += 1
    added: int = count
    return added


@numba.njit(cache=True, forceinline=True)
def _code(row: Ints) -> int:
    """Return what tells most contents of states apart."""
    code = np.int64(0)
    for word in row:
        code = (code ^ word) * np.int64(0x9E3779B97F4A7C1)
        code ^= code >> 29
    return code


@numba.njit(cache=True)
def enter(states: int, words: Ints, table: Ints) -> None:
    """Enter so many states into an empty hash table, which is larger than the one before."""
    for known in range(states):
        slot = _code(words[known]) & (len(table) - 1)
        while table[slot]:
            slot = (slot + 1) & (len(table) - 1)
        table[slot] = known + 1


@numba.njit(cache=True)
def _make_far(
    new: Shorts, loops: Records, gaps: Records, watches: Records, sizes: Records, limits: Ints
) -> None:
    """Forget the numbers that cannot matter before the next state, and note how far that goes."""
    for g in range(len(loops)):
        loop = loops[g]
        if new[loop.left] == 0:
            new[loop.begun] = loop.most_begun
            continue
        limit = _touched(new, loop) + loop.ahead + loop.late
        if new[loop.left] > limit:
            new[loop.left] = FAR
            _watch(g, limit, watches, sizes, limits)
    for k in range(len(gaps)):
        gap = gaps[k]
        source, user = loops[gap.source], loops[gap.user]
        if new[source.left] == 0 or new[user.left] == 0:
            new[gap.place] = GONE
            continue
        limit = gap.ratio * (_touched(new, user) + user.ahead)
        if new[gap.place] < -limit or new[gap.place] == FAR:
            new[gap.place] = FAR
            _watch(len(loops) + k, limit, watches, sizes, limits)


@numba.njit(cache=True)
def _watch(place: int, limit: int, watches: Records, sizes: Records, limits: Ints) -> None:
    """Note that a number is far in the state as long as it is beyond a limit."""
    watch = watches[sizes[0].watches]
    watch.place, watch.limit = place, limit
    limits[place] = max(limits[place], limit)
    sizes[0].watches += 1
