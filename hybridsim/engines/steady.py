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
*   Tasks are not alike in the last iteration (fewer tokens), beyond the end of a loop, and where
    another loop waits for them. There it executes every task again.

A loop is kept as a *window* of iterations from its first unfinished one. A plan whose tasks run
further ahead than that, or whose durations differ from iteration to iteration, is laid out and
given to :mod:`.fast` instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numba
import numpy as np
from numpy.typing import NDArray

from hybridsim.engines import fast
from hybridsim.plan import Mostly, Need, Outline, Step, Template, Within
from hybridsim.units import Ints

Record: TypeAlias = Any
Records: TypeAlias = NDArray[Any]
Bytes = NDArray[np.int8]

WINDOW = 64
"""Iterations of a loop that are looked at together, a power of two."""

_WAITING, _READY, _RUNNING, _DONE = range(4)
_NEVER = 2**62


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


def run(outline: Outline) -> Extent:
    """Execute ``outline``, jumping over what repeats."""
    names = tuple(dict.fromkeys(template.op for template in outline.templates))
    found = _run_compact(outline, names) if _is_regular(outline) else None
    if found is None:
        found = _run_laid_out(outline)
    first, last, executed = found
    return Extent(
        names,
        int(last.max(initial=0)),
        np.where(first < _NEVER, last - first, 0),
        busy_ps(outline),
        len(outline),
        executed,
    )


def busy_ps(outline: Outline) -> Ints:
    """Return how long the units of each resource are held, whatever the timeline [ps]."""
    busy = [0] * len(outline.resources)
    for template in outline.templates:
        for step in template.steps:
            total = _total(step, template.loop.count)
            for use in step.uses:
                busy[template.swaps.get(use, use)] += total
    return np.array(busy, np.int64)


def _total(step: Step, count: int) -> int:
    each = step.duration_ps
    if isinstance(each, Mostly):
        return each.usual * (count - 1) + each.last if count else 0
    return each * count if isinstance(each, int) else int(each.sum())


def _is_regular(outline: Outline) -> bool:
    """Return whether all durations are alike but the last, and no need runs beside a loop."""
    return all(
        (isinstance(step.duration_ps, int | Mostly) or template.loop.count == 1)
        and not (
            template.loop.count > 1
            and any(isinstance(need, Need) and need.stride for need in step.needs)
        )
        for template in outline.templates
        for step in template.steps
    )


def _run_laid_out(outline: Outline) -> tuple[Ints, Ints, int]:
    """Return first ready and last end of each op, and the number of tasks, all executed."""
    plan = outline.expand()
    timeline = fast.run(plan)
    first = np.full(len(plan.ops), _NEVER)
    last = np.zeros(len(plan.ops), np.int64)
    np.minimum.at(first, plan.op, timeline.ready)
    np.maximum.at(last, plan.op, timeline.end)
    return first, last, len(plan)


def _record(*fields: str) -> np.dtype[Any]:
    return np.dtype((np.record, [(field, np.int64) for field in fields]))


_LOOP = _record(
    "first",  # index in the plan of its first task
    "size",  # steps
    "count",  # iterations
    "alike",  # iterations before the first one with other durations
    "steps",  # its first step in the table of steps
    "op",
    "slots",  # where its window lies in the table of states
    "mask",  # length of the window - 1
    "left",  # where the counts of its window's unfinished steps lie
    "base",  # first iteration that is not complete
    "high",  # last iteration with a task that became ready
    "skipped",  # iterations jumped over: iteration i is in slot (i - skipped) & mask
    "gate_first",  # tasks of it that other loops wait for: gates[gate_first:gate_last]
    "gate_last",
)
_STEP = _record(
    "usual",  # duration
    "last",  # duration in the last iteration
    "use_first",
    "use_last",
    "need_first",
    "need_last",
    "user_first",
    "user_last",
    "closed",  # gates that are not open yet
    "gates",  # gates that one of its tasks opens
)
_LINK = _record("step", "back")  # a need within a loop, seen from its user or from its source
_GATE = _record("iteration", "step", "loop", "target")  # target: a step of that other loop
_READY_TASK = _record("task", "loop")
_RUNNING_TASK = _record("end", "task", "loop")
_SAVED = _record("lead", "top", "running", "now", "power", "seen")
_CLOCK = _record("now", "ready", "running", "lead", "top", "executed", "failed", "advanced")


def _run_compact(outline: Outline, names: Sequence[str]) -> tuple[Ints, Ints, int] | None:
    """Return first ready and last end of each op, and tasks executed; None if out of window."""
    loops, steps, uses, needs, users, gates = _tables(outline, names)
    if _too_free(outline.templates):
        return None
    free = np.array([resource.units for resource in outline.resources], np.int64)
    window = loops["mask"] + 1
    states = np.zeros(int((window * loops["size"]).sum()), np.int8)
    left = np.repeat(loops["size"], window)
    most = min(len(outline), int((window * loops["size"]).sum())) + 1
    held = np.zeros(most, _RUNNING_TASK)
    first = np.full(len(names), _NEVER, np.int64)
    last = np.zeros(len(names), np.int64)
    clock = np.zeros(1, _CLOCK)
    _execute(loops, steps, uses, needs, users, gates, free, states, left,
             np.zeros(most, _READY_TASK), held, first, last, clock,
             np.zeros(1, _SAVED), loops.copy(), states.copy(), held.copy())  # fmt: skip
    return None if clock[0]["failed"] else (first, last, int(clock[0]["executed"]))


def _too_free(templates: Sequence[Template]) -> bool:
    """Return whether a task far from the first iteration has nothing to wait for in its loop."""
    for template in templates:
        if template.loop.count <= WINDOW:
            continue
        for step in template.steps:
            backs = [need.back for need in step.needs if isinstance(need, Within)]
            if min(backs, default=WINDOW) >= WINDOW:
                return True
    return False


def _tables(
    outline: Outline, names: Sequence[str]
) -> tuple[Records, Records, Ints, Records, Records, Records]:
    """Return loops, steps, uses, needs, users and gates as tables."""
    templates = [t for t in outline.templates if t.loop.size and t.loop.count]
    numbers = {name: i for i, name in enumerate(names)}
    loops = np.zeros(len(templates), _LOOP)
    steps = np.zeros(sum(t.loop.size for t in templates), _STEP)
    uses: list[int] = []
    needs: list[tuple[int, int]] = []
    users: list[tuple[int, int]] = []
    gates: list[list[tuple[int, int, int, int]]] = [[] for _ in templates]
    firsts = np.array([t.loop.first for t in templates], np.int64)
    step_first = slots = left = 0
    for number, template in enumerate(templates):
        loop, own = template.loop, [_within(step) for step in template.steps]
        length = min(WINDOW, 1 << (loop.count - 1).bit_length())
        alike = loop.count - any(
            isinstance(s.duration_ps, Mostly) and s.duration_ps.usual != s.duration_ps.last
            for s in template.steps
        )
        loops[number] = (
            loop.first, loop.size, loop.count, alike, step_first, numbers[template.op],
            slots, length - 1, left, 0, -1, 0, 0, 0,
        )  # fmt: skip
        for j, step in enumerate(template.steps):
            of_step = [(k, back) for k, found in enumerate(own) for s, back in found if s == j]
            outside = {n.base + template.shift for n in step.needs if isinstance(n, Need)}
            for source in outside:
                where = int(np.searchsorted(firsts, source, side="right")) - 1
                iteration, place = divmod(source - int(firsts[where]), templates[where].loop.size)
                gates[where].append((iteration, place, number, step_first + j))
            usual, last = _durations(step)
            steps[step_first + j] = (
                usual, last, len(uses), len(uses) + len(step.uses), len(needs),
                len(needs) + len(own[j]), len(users), len(users) + len(of_step), len(outside), 0,
            )  # fmt: skip
            uses += [template.swaps.get(use, use) for use in step.uses]
            needs += own[j]
            users += of_step
        step_first, slots, left = step_first + loop.size, slots + length * loop.size, left + length
    flat = [gate for of_loop in gates for gate in sorted(of_loop)]
    ends = np.cumsum([len(of_loop) for of_loop in gates])
    loops["gate_last"] = ends
    loops["gate_first"][1:] = ends[:-1]
    for number, of_loop in enumerate(gates):
        for _, place, _, _ in of_loop:
            steps[loops[number]["steps"] + place]["gates"] += 1
    return (
        loops,
        steps,
        np.array(uses, np.int64),
        np.array(needs, _LINK),
        np.array(users, _LINK),
        np.array(flat, _GATE),
    )


def _within(step: Step) -> list[tuple[int, int]]:
    """Return the needs of a step in its own loop, each once."""
    found = [(need.step, need.back) for need in step.needs if isinstance(need, Within)]
    return list(dict.fromkeys(found))


def _durations(step: Step) -> tuple[int, int]:
    each = step.duration_ps
    if isinstance(each, Mostly):
        return each.usual, each.last
    return (each, each) if isinstance(each, int) else (int(each[0]), int(each[0]))


@numba.njit(cache=True)
def _execute(
    loops: Records, steps: Records, uses: Ints, needs: Records, users: Records, gates: Records,
    free: Ints, states: Bytes, left: Ints, ready: Records, running: Records, first: Ints,
    last: Ints, clock: Records, saved: Records, saved_loops: Records, saved_states: Bytes,
    saved_running: Records,
) -> None:  # fmt: skip
    """Carry out the rule; look for a repetition whenever the first loop has advanced."""
    for number in range(len(loops)):
        for j in range(loops[number].size):
            if steps[loops[number].steps + j].closed == 0:
                _open(number, j, loops, steps, needs, states, ready, first, clock)
    _decide(loops, steps, uses, free, states, ready, running, clock)
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
                          states, left, ready, first, last, clock)  # fmt: skip
            else:
                running[kept].end = running[i].end
                running[kept].task = running[i].task
                running[kept].loop = running[i].loop
                kept += 1
        clock[0].running = kept
        if clock[0].advanced:
            _look_back(loops, gates, states, ready, running, clock, saved, saved_loops,
                       saved_states, saved_running)  # fmt: skip
        _decide(loops, steps, uses, free, states, ready, running, clock)


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
    number: int, step: int, loops: Records, steps: Records, needs: Records, states: Bytes,
    ready: Records, first: Ints, clock: Records,
) -> None:  # fmt: skip
    """Let a step start that waits for nothing outside of its loop any more."""
    loop = loops[number]
    for iteration in range(loop.base, min(loop.base + loop.mask + 1, loop.count)):
        _check(number, iteration, step, loops, steps, needs, states, ready, first, clock)


@numba.njit(cache=True)
def _check(
    number: int, iteration: int, step: int, loops: Records, steps: Records, needs: Records,
    states: Bytes, ready: Records, first: Ints, clock: Records,
) -> None:  # fmt: skip
    """Clause 1: a task of the window whose needs have all ended becomes ready."""
    loop = loops[number]
    row = steps[loop.steps + step]
    if row.closed or states[_slot(loop, iteration, step)] != _WAITING:
        return
    for k in range(row.need_first, row.need_last):
        source = iteration - needs[k].back
        if source >= loop.base and states[_slot(loop, source, needs[k].step)] != _DONE:
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
    gates: Records, states: Bytes, left: Ints, ready: Records, first: Ints, last: Ints,
    clock: Records,
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
            if user > loop.base + loop.mask:
                clock[0].failed = 1  # further ahead than the window reaches
                return
            _check(number, user, users[k].step, loops, steps, needs, states, ready, first, clock)
    if row.gates:
        for k in range(loop.gate_first, loop.gate_last):
            if gates[k].iteration == iteration and gates[k].step == step:
                target = gates[k].target
                steps[target].closed -= 1
                if steps[target].closed == 0:
                    _open(gates[k].loop, target - loops[gates[k].loop].steps, loops, steps, needs,
                          states, ready, first, clock)  # fmt: skip
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
    loops: Records, steps: Records, uses: Ints, free: Ints, states: Bytes, ready: Records,
    running: Records, clock: Records,
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
            duration = row.last if iteration == loop.count - 1 else row.usual
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
    loops: Records, gates: Records, states: Bytes, ready: Records, running: Records,
    clock: Records, saved: Records, saved_loops: Records, saved_states: Bytes,
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
        times = _repetitions(loops, gates, states, clock, saved_loops)
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
