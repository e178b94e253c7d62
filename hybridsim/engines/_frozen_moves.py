"""Working out a move of a table of states (:mod:`._frozen_states`) by the execution rule.

Plain functions, which :mod:`._frozen_walk` compiles together: they allocate nothing.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridsim.engines._frozen_records import (
    BESIDE,
    COMMON,
    DONE,
    FAR,
    FROM_START,
    FULL,
    GONE,
    LOST,
    READY,
    RUNNING,
    WAITING,
    WITHIN,
    Record,
    Records,
    Shorts,
)
from hybridsim.units import Ints


def nearer(
    state: int, place: int, value: int, loops: Records, steps: Records, gaps: Records,
    marks: Shorts, words: Ints, table: Ints, states: Records, moves: Records, watches: Records,
    sizes: Records, limits: Ints,
) -> int:  # fmt: skip
    """Return the state that holds a number that was far; a move that takes no time."""
    if sizes[0].moves == len(moves):
        return FULL
    new = marks[len(marks) - 1]
    _copy(marks[state], new)
    new[loops[place].left if place < len(loops) else gaps[place - len(loops)].place] = value
    target = _find(loops, steps, gaps, marks, words, table, states, watches, sizes, limits)
    if target >= 0:
        _append(state, key_of(place, value, limits), target, moves, states, sizes)
    return target


def _copy(source: NDArray[Any], target: NDArray[Any]) -> None:
    """Copy numbers one by one: to assign a whole array, Numba would allocate."""
    for k in range(len(source)):
        target[k] = source[k]


def key_of(place: int, value: int, limits: Ints) -> int:
    """Return what stands for a number that came near in place of the tasks that end."""
    key: int = -1 - ((value + (1 << 20)) * len(limits) + place)
    return key


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


def follow(
    state: int, mask: int, loops: Records, steps: Records, odds: Ints, uses: Ints, needs: Records,
    gaps: Records, exits: Records, units: Ints, slots: int, marks: Shorts, words: Ints,
    table: Ints, states: Records, moves: Records, starts: Records, watches: Records,
    advanced: Shorts, sizes: Records, limits: Ints, free: Ints, taken: NDArray[np.int8],
) -> int:  # fmt: skip
    """Work out one move by the rule; return its number, or :data:`FULL` or :data:`LOST`."""
    if sizes[0].moves == len(moves) or sizes[0].starts + slots > len(starts):
        return FULL
    new = marks[len(marks) - 1]
    _copy(marks[state], new)
    _copy(units, free)
    done = _complete(new, mask, loops, steps, uses, exits, free)
    if not _make_ready(new, loops, steps, needs, gaps):
        return LOST
    begin = sizes[0].starts
    taken[:] = 0
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


def _touched(new: Shorts, loop: Record) -> int:
    """Return the last iteration in the window with a task that does not wait, or -1."""
    place = loop.window * loop.size - 1
    while place >= 0 and new[loop.marks + place] == WAITING:
        place -= 1
    last: int = place // loop.size
    return last


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


def _work(new: Shorts, loop: Record, step: Record, iteration: int, odds: Ints) -> int:
    """Return the work of a task."""
    begun, left = new[loop.begun], new[loop.left]
    work: int = step.usual
    if begun + iteration < step.early and begun < loop.most_begun:
        work = odds[step.odd + begun + iteration]
    elif left < FAR and left - iteration <= step.late:
        work = odds[step.odd + step.early + step.late - (left - iteration)]
    return work


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
    slot = code_of(row) & (len(table) - 1)
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
    _copy(row, words[count])
    state = states[count]
    state.move, state.watch_first, state.watch_last, state.runs = -1, begin, sizes[0].watches, 0
    for g in range(len(loops)):
        for place in range(loops[g].window * loops[g].size):
            state.runs += new[loops[g].marks + place] >= RUNNING
    sizes[0].states += 1
    added: int = count
    return added


def code_of(row: Ints) -> int:
    """Return what tells most contents of states apart."""
    code = np.int64(0)
    for word in row:
        code = (code ^ word) * np.int64(0x9E3779B97F4A7C1)
        code ^= code >> 29
    return code  # type: ignore[return-value]  # a plain integer once compiled


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


def _watch(place: int, limit: int, watches: Records, sizes: Records, limits: Ints) -> None:
    """Note that a number is far in the state as long as it is beyond a limit."""
    watch = watches[sizes[0].watches]
    watch.place, watch.limit = place, limit
    limits[place] = max(limits[place], limit)
    sizes[0].watches += 1


RULE = (nearer, follow, key_of, code_of, _copy, _append, _complete, _touched, _make_ready,
        _all_done, _decide, _work, _leave, _find, _make_far, _watch)  # fmt: skip
"""All functions here: what compiles one of them has to know all."""
