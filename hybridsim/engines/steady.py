"""The compiled engine for long plans: it executes until a plan repeats itself, then jumps ahead.

It obeys the same rule as the other engines, but works on an :class:`~hybridsim.plan.Outline` and
returns sums, not a timeline. So its cost grows with the templates, not with their iterations.

What it does, and why that is exact (the proof is in ``docs/decisions``):

*   The rule looks at which tasks are done, running or ready, and at how long the running ones
    still take. That is the *state*. It is taken at instants at which an iteration of the first
    unfinished loop is complete, relative to the instant and to each loop's first unfinished
    iteration.
*   If a state equals an earlier one, what happened in between happens again, as often as the
    tasks it touches are alike. The engine adds that many times the time and the iterations.
*   Tasks are not alike in the first and last iterations of other durations, beyond the end of a
    loop, and where another loop waits for one of them. There every task is executed again.
*   A loop may run *beside* another one: its iteration i needs iteration m i + c of that. In both
    states it is then at the same distance behind it, or so far behind that it never waits.

A loop is kept as a *window* of iterations from its first unfinished one. A plan whose tasks run
further ahead than that, or whose durations differ from iteration to iteration, is laid out and
given to :mod:`.compiled` instead, and :attr:`Extent.laid_out` says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from hybridsim.engines import compiled
from hybridsim.engines._outline_tables import (
    TOO_FAR,
    WINDOW,
    Record,
    Records,
    record,
    tables,
    total_ps,
    why_not,
)
from hybridsim.plan import Outline
from hybridsim.units import Ints
from hybridsim.work import Prices

Bytes = NDArray[np.int8]

_WAITING, _READY, _RUNNING, _DONE = range(4)
_NEVER = 2**62
_REACH = WINDOW + 1

_READY_TASK = record("task", "loop")
_RUNNING_TASK = record("end", "task", "loop")
_SAVED = record("lead", "top", "running", "now", "power", "seen")
_CLOCK = record("now", "ready", "running", "lead", "top", "executed", "failed", "advanced")


@dataclass(frozen=True, slots=True, eq=False)
class Extent:
    """How long a plan and its parts take, as :class:`~hybridsim.plan.Timeline` would show."""

    ops: tuple[str, ...]
    makespan_ps: int
    """The last end [ps]."""
    latency_ps: Ints
    """For every op, the time from its first ready task to its last end [ps]."""
    busy_ps: Ints
    """For every resource, the time that its units are held [ps]."""
    tasks: int
    """Tasks of the plan."""
    executed: int
    """Tasks that were executed one by one."""
    laid_out: str = ""
    """Why the plan was laid out and executed as a whole; empty if it was not."""


def run(outline: Outline, prices: Prices) -> Extent:
    """Execute ``outline``, whose works have ``prices``, jumping over what repeats.

    Raises:
        PlanError: As :class:`~hybridsim.plan.Plan`.
    """
    names = tuple(dict.fromkeys(template.op for template in outline.templates))
    found = why_not(outline, prices) or _run_compact(outline, names, prices)
    reason = found if isinstance(found, str) else ""
    first, last, executed = _run_laid_out(outline, prices) if isinstance(found, str) else found
    return Extent(
        names,
        int(last.max(initial=0)),
        np.where(first < _NEVER, last - first, 0),
        busy_ps(outline, prices),
        len(outline),
        executed,
        reason,
    )


def busy_ps(outline: Outline, prices: Prices) -> Ints:
    """Return how long the units of each resource are held, whatever the timeline [ps]."""
    busy = [0] * len(outline.resources)
    for template in outline.templates:
        for step, uses in zip(template.steps, template.uses, strict=True):
            if uses:
                total = total_ps(step, template.loop.count, prices)
                for use in uses:
                    busy[use] += total
    return np.array(busy, np.int64)


def _run_laid_out(outline: Outline, prices: Prices) -> tuple[Ints, Ints, int]:
    """Return first ready and last end of each op, and the number of tasks, all executed."""
    plan = outline.expand()
    timeline = compiled.run(plan, np.array([prices.of(work) for work in plan.works], np.int64))
    first = np.full(len(plan.ops), _NEVER)
    last = np.zeros(len(plan.ops), np.int64)
    np.minimum.at(first, plan.op, timeline.ready)
    np.maximum.at(last, plan.op, timeline.end)
    return first, last, len(plan)


def _run_compact(
    outline: Outline, names: Sequence[str], prices: Prices
) -> tuple[Ints, Ints, int] | str:
    """Return first ready and last end of each op, and tasks executed; or why that cannot be."""
    drawn = tables(outline, names, prices)
    if isinstance(drawn, str):
        return drawn
    loops = drawn.loops
    free = np.array([resource.units for resource in outline.resources], np.int64)
    window = loops["mask"] + 1
    states = np.zeros(int((window * loops["size"]).sum()), np.int8)
    left = np.repeat(loops["size"], window)
    most = len(states) + 1
    held = np.zeros(most, _RUNNING_TASK)
    first = np.full(len(names), _NEVER, np.int64)
    last = np.zeros(len(names), np.int64)
    clock = np.zeros(1, _CLOCK)
    _execute(loops, drawn.steps, drawn.odds, drawn.uses, drawn.needs, drawn.users, drawn.gates,
             drawn.sides, drawn.readers, free, states, left, np.zeros(most, _READY_TASK), held,
             first, last, clock, np.zeros(1, _SAVED), loops.copy(), states.copy(),
             held.copy())  # fmt: skip
    return TOO_FAR if clock[0]["failed"] else (first, last, int(clock[0]["executed"]))


@numba.njit(cache=True)
def _execute(
    loops: Records, steps: Records, odds: Ints, uses: Ints, needs: Records, users: Records,
    gates: Records, sides: Records, readers: Records, free: Ints, states: Bytes, left: Ints,
    ready: Records, running: Records, first: Ints, last: Ints, clock: Records, saved: Records,
    saved_loops: Records, saved_states: Bytes, saved_running: Records,
) -> None:  # fmt: skip
    """Carry out the rule; look for a repetition whenever the first loop has advanced."""
    for number in range(len(loops)):
        for j in range(loops[number].size):
            if steps[loops[number].steps + j].closed == 0:
                _open(number, j, loops, steps, needs, sides, states, ready, first, clock)
    _decide(loops, steps, odds, uses, free, states, ready, running, clock)
    while clock[0].running and not clock[0].failed:
        now = _NEVER
        for i in range(clock[0].running):
            now = min(now, running[i].end)
        clock[0].now = now
        clock[0].advanced = 0
        kept = 0
        count = clock[0].running
        for i in range(count):
            if running[i].end == now:
                # tasks that end now are completed below; all units first
                for k in range(steps[_step_of(loops, running[i])].use_first,
                               steps[_step_of(loops, running[i])].use_last):  # fmt: skip
                    free[uses[k]] += 1
        for i in range(count):
            if running[i].end == now:
                _complete(running[i].task, running[i].loop, loops, steps, needs, users, gates,
                          sides, readers, states, left, ready, first, last, clock)  # fmt: skip
            else:
                running[kept].end = running[i].end
                running[kept].task = running[i].task
                running[kept].loop = running[i].loop
                kept += 1
        clock[0].running = kept
        if clock[0].advanced:
            _look_back(loops, gates, sides, states, ready, running, clock, saved, saved_loops,
                       saved_states, saved_running)  # fmt: skip
        _decide(loops, steps, odds, uses, free, states, ready, running, clock)


@numba.njit(cache=True, forceinline=True)
def _step_of(loops: Records, task: Record) -> int:
    loop = loops[task.loop]
    step: int = loop.steps + (task.task - loop.first) % loop.size
    return step


@numba.njit(cache=True, forceinline=True)
def _slot(loop: Record, iteration: int, step: int) -> int:
    """Return where the state of a task lies."""
    slot: int = loop.slots + ((iteration - loop.skipped) & loop.mask) * loop.size + step
    return slot


@numba.njit(cache=True)
def _open(
    number: int, step: int, loops: Records, steps: Records, needs: Records, sides: Records,
    states: Bytes, ready: Records, first: Ints, clock: Records,
) -> None:  # fmt: skip
    """Let a step start that waits for no single task of another loop any more."""
    loop = loops[number]
    # what could start beyond the window needs what is in it, or in that of another loop
    last = loop.base + loop.mask + _REACH
    for iteration in range(loop.base, min(last, loop.count - 1) + 1):
        _check(number, iteration, step, loops, steps, needs, sides, states, ready, first, clock)


@numba.njit(cache=True)
def _may_start(
    loop: Record, iteration: int, step: int, loops: Records, steps: Records, needs: Records,
    sides: Records, states: Bytes,
) -> bool:  # fmt: skip
    """Return whether all needs of a task have ended."""
    row = steps[loop.steps + step]
    if row.closed:
        return False
    for k in range(row.need_first, row.need_last):
        if not _is_done(loop, iteration - needs[k].back, needs[k].step, states):
            return False
    for k in range(row.side_first, row.side_last):
        source = sides[k].ratio * iteration + sides[k].ahead
        if not _is_done(loops[sides[k].source], source, sides[k].place, states):
            return False
    return True


@numba.njit(cache=True, forceinline=True)
def _is_done(loop: Record, iteration: int, step: int, states: Bytes) -> bool:
    """Return whether a task has ended; none beyond the window has."""
    if iteration < loop.base:
        return True
    if iteration > loop.base + loop.mask:
        return False
    done: bool = states[_slot(loop, iteration, step)] == _DONE
    return done


@numba.njit(cache=True)
def _check(
    number: int, iteration: int, step: int, loops: Records, steps: Records, needs: Records,
    sides: Records, states: Bytes, ready: Records, first: Ints, clock: Records,
) -> None:  # fmt: skip
    """Clause 1: a task whose needs have all ended becomes ready; none may beyond the window."""
    loop = loops[number]
    beyond = iteration > loop.base + loop.mask
    if not beyond and states[_slot(loop, iteration, step)] != _WAITING:
        return
    if not _may_start(loop, iteration, step, loops, steps, needs, sides, states):
        return
    if beyond:
        clock[0].failed = 1
        return
    states[_slot(loop, iteration, step)] = _READY
    loop.high = max(loop.high, iteration)
    clock[0].top = max(clock[0].top, number)
    first[loop.op] = min(first[loop.op], clock[0].now)
    task = loop.first + iteration * loop.size + step
    hole = clock[0].ready
    while hole > 0 and ready[hole - 1].task > task:
        ready[hole].task, ready[hole].loop = ready[hole - 1].task, ready[hole - 1].loop
        hole -= 1
    ready[hole].task, ready[hole].loop = task, number
    clock[0].ready += 1


@numba.njit(cache=True)
def _complete(
    task: int, number: int, loops: Records, steps: Records, needs: Records, users: Records,
    gates: Records, sides: Records, readers: Records, states: Bytes, left: Ints, ready: Records,
    first: Ints, last: Ints, clock: Records,
) -> None:  # fmt: skip
    """Clause 2: what waited for the task becomes ready, and complete iterations leave."""
    loop = loops[number]
    iteration, step = divmod(task - loop.first, loop.size)
    states[_slot(loop, iteration, step)] = _DONE
    last[loop.op] = max(last[loop.op], clock[0].now)
    row = steps[loop.steps + step]
    for k in range(row.user_first, row.user_last):
        user = iteration + users[k].back
        if user < loop.count:
            _check(number, user, users[k].step, loops, steps, needs, sides, states, ready, first,
                   clock)  # fmt: skip
    for k in range(row.reader_first, row.reader_last):
        user, odd = divmod(iteration - readers[k].ahead, readers[k].ratio)
        other = loops[readers[k].user]
        if not odd and other.base <= user < other.count:
            _check(readers[k].user, user, readers[k].step, loops, steps, needs, sides, states,
                   ready, first, clock)  # fmt: skip
    if row.gates:
        for k in range(loop.gate_first, loop.gate_last):
            if gates[k].iteration == iteration and gates[k].step == step:
                target = gates[k].target
                steps[target].closed -= 1
                if steps[target].closed == 0:
                    _open(gates[k].loop, target - loops[gates[k].loop].steps, loops, steps, needs,
                          sides, states, ready, first, clock)  # fmt: skip
    left[loop.left + ((iteration - loop.skipped) & loop.mask)] -= 1
    while loop.base < loop.count:
        place = (loop.base - loop.skipped) & loop.mask
        if left[loop.left + place]:
            break
        left[loop.left + place] = loop.size
        begin = loop.slots + place * loop.size
        states[begin : begin + loop.size] = _WAITING
        loop.base += 1
        clock[0].advanced |= number == clock[0].lead
    while clock[0].lead < len(loops) and loops[clock[0].lead].base == loops[clock[0].lead].count:
        clock[0].lead += 1


@numba.njit(cache=True)
def _decide(
    loops: Records, steps: Records, odds: Ints, uses: Ints, free: Ints, states: Bytes,
    ready: Records, running: Records, clock: Records,
) -> None:  # fmt: skip
    """Clauses 3 and 4: visit the ready tasks in plan order; each takes all it uses, or nothing."""
    kept = 0
    for i in range(clock[0].ready):
        loop = loops[ready[i].loop]
        iteration, step = divmod(ready[i].task - loop.first, loop.size)
        row = steps[loop.steps + step]
        possible = True
        for k in range(row.use_first, row.use_last):
            possible = possible and free[uses[k]] > 0
        if possible:
            for k in range(row.use_first, row.use_last):
                free[uses[k]] -= 1
            states[_slot(loop, iteration, step)] = _RUNNING
            duration, late = row.usual, iteration - (loop.count - row.late)
            if iteration < row.early:
                duration = odds[row.odd + iteration]
            elif late >= 0:
                duration = odds[row.odd + row.early + late]
            count = clock[0].running
            running[count].end = clock[0].now + duration
            running[count].task, running[count].loop = ready[i].task, ready[i].loop
            clock[0].running += 1
            clock[0].executed += 1
        else:
            ready[kept].task, ready[kept].loop = ready[i].task, ready[i].loop
            kept += 1
    clock[0].ready = kept


@numba.njit(cache=True)
def _look_back(
    loops: Records, gates: Records, sides: Records, states: Bytes, ready: Records,
    running: Records, clock: Records, saved: Records, saved_loops: Records, saved_states: Bytes,
    saved_running: Records,
) -> None:  # fmt: skip
    """Compare with the saved state; jump if it is the same, and save now and then.

    A state is saved after 1, 2, 4, 8, ... looks (R. P. Brent's way to find a period), so that
    one saved state is enough.
    """
    old = saved[0]
    same_loops = old.seen and old.lead == clock[0].lead and old.top == clock[0].top
    if same_loops and _equal(loops, states, running, clock, old, saved_loops, saved_states,
                             saved_running):  # fmt: skip
        times = min(
            _repetitions(loops, gates, states, clock, saved_loops),
            _beside(loops, sides, clock, saved_loops),
        )
        if times > 0:
            _jump(times, loops, ready, running, clock, old, saved_loops)
            old.seen = 0
            return
    if not old.seen or old.lead != clock[0].lead:
        old.power, old.seen = 1, 1
    elif old.seen == old.power:
        old.power, old.seen = 2 * old.power, 1
    else:
        old.seen += 1
        return
    old.lead, old.top, old.now = clock[0].lead, clock[0].top, clock[0].now
    old.running = clock[0].running
    for number in range(old.lead, old.top + 1):
        loop = loops[number]
        saved_loops[number].base, saved_loops[number].high = loop.base, loop.high
        for iteration in range(loop.base, loop.high + 1):
            for step in range(loop.size):
                place = loop.slots + (iteration - loop.base) * loop.size + step
                saved_states[place] = states[_slot(loop, iteration, step)]
    for i in range(old.running):
        task, number = running[i].task, running[i].loop
        saved_running[i].end = running[i].end - old.now
        saved_running[i].task = task - loops[number].base * loops[number].size
        saved_running[i].loop = number


@numba.njit(cache=True)
def _equal(
    loops: Records, states: Bytes, running: Records, clock: Records, old: Record,
    saved_loops: Records, saved_states: Bytes, saved_running: Records,
) -> bool:  # fmt: skip
    """Return whether the state is the saved one, relative to time and first iterations."""
    if clock[0].running != old.running:
        return False
    for number in range(old.lead, old.top + 1):
        loop, before = loops[number], saved_loops[number]
        if loop.high - loop.base != before.high - before.base:
            return False
        for iteration in range(loop.base, loop.high + 1):
            for step in range(loop.size):
                place = loop.slots + (iteration - loop.base) * loop.size + step
                if states[_slot(loop, iteration, step)] != saved_states[place]:
                    return False
    for i in range(old.running):
        found = False
        number = running[i].loop
        task = running[i].task - loops[number].base * loops[number].size
        for k in range(old.running):
            found = found or (
                saved_running[k].task == task
                and saved_running[k].loop == number
                and saved_running[k].end == running[i].end - clock[0].now
            )
        if not found:
            return False
    return True


@numba.njit(cache=True)
def _repetitions(
    loops: Records, gates: Records, states: Bytes, clock: Records, saved_loops: Records
) -> int:
    """Return how often what happened since the saved state happens again."""
    times = _NEVER
    for number in range(clock[0].lead, clock[0].top + 1):
        loop = loops[number]
        advance = loop.base - saved_loops[number].base
        if advance:
            if saved_loops[number].base < loop.begun:
                return 0
            limit = loop.alike
            for k in range(loop.gate_first, loop.gate_last):
                iteration = gates[k].iteration
                if iteration >= loop.base and (
                    iteration > loop.high or states[_slot(loop, iteration, gates[k].step)] != _DONE
                ):
                    limit = min(limit, iteration)
            times = min(times, (limit - 1 - loop.high) // advance)
    return times


@numba.njit(cache=True)
def _beside(loops: Records, sides: Records, clock: Records, saved_loops: Records) -> int:
    """Return how often loops that run beside each other repeat what they did."""
    times = _NEVER
    for k in range(len(sides)):
        source, user = sides[k].source, sides[k].user
        if source < clock[0].lead or loops[user].base == loops[user].count:
            continue
        gains = loops[source].base - saved_loops[source].base
        takes = sides[k].ratio * (loops[user].base - saved_loops[user].base)
        if gains == takes:
            continue
        # what any iteration of the window reads had been there since the saved state
        last = min(loops[user].base + loops[user].mask, loops[user].count - 1)
        spare = saved_loops[source].base - (sides[k].ratio * last + sides[k].ahead)
        if spare <= 0:
            return 0
        if gains < takes:
            times = min(times, (spare - 1) // (takes - gains))
    return times


@numba.njit(cache=True)
def _jump(
    times: int, loops: Records, ready: Records, running: Records, clock: Records, old: Record,
    saved_loops: Records,
) -> None:  # fmt: skip
    """Add the time and the iterations of as many repetitions to everything that is pending."""
    later = times * (clock[0].now - old.now)
    for i in range(clock[0].ready):
        number = ready[i].loop
        advance = times * (loops[number].base - saved_loops[number].base)
        ready[i].task += advance * loops[number].size
    for i in range(clock[0].running):
        number = running[i].loop
        advance = times * (loops[number].base - saved_loops[number].base)
        running[i].task += advance * loops[number].size
        running[i].end += later
    for number in range(clock[0].lead, clock[0].top + 1):
        loop = loops[number]
        advance = times * (loop.base - saved_loops[number].base)
        loop.base += advance
        loop.high += advance
        loop.skipped += advance
    clock[0].now += later
