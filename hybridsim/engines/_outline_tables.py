"""An outline as tables of numbers, and why a plan may not be fit for that."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hybridsim.plan import Mostly, Need, Outline, Step, Template, Within
from hybridsim.units import Ints
from hybridsim.work import Prices

Record: TypeAlias = Any
Records: TypeAlias = NDArray[Any]

WINDOW = 64
"""Iterations of a loop that are looked at together, a power of two."""
TOO_FAR = f"a loop runs ahead by more than {WINDOW} iterations"
NOT_VALID = "it is not a valid plan"

_LONGEST = 2**62


def record(*fields: str) -> np.dtype[Any]:
    """Return a type of integers whose fields read as attributes, also without Numba."""
    return np.dtype((np.record, [(field, np.int64) for field in fields]))


LOOP = record(
    "first",  # index in the plan of its first task
    "size",  # steps
    "count",  # iterations
    "begun",  # iterations at the beginning that have other durations
    "alike",  # iterations before the first one at the end that has other durations
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
STEP = record(
    "usual",  # duration
    "odd",  # its other durations: odds[odd:odd + early + late]
    "early",  # how many first iterations have those
    "late",  # how many last ones
    "use_first",
    "use_last",
    "need_first",
    "need_last",
    "user_first",
    "user_last",
    "side_first",  # what it needs beside its loop: sides[side_first:side_last]
    "side_last",
    "reader_first",  # who needs it beside its loop: readers[reader_first:reader_last]
    "reader_last",
    "closed",  # gates that are not open yet
    "gates",  # gates that one of its tasks opens
)
LINK = record("step", "back")  # a need within a loop, seen from its user or from its source
GATE = record("iteration", "step", "loop", "target")  # target: a step of that other loop
SIDE = record(
    "source",  # a loop
    "place",  # its step
    "user",  # another loop
    "step",  # its step, of which iteration i needs iteration ratio * i + ahead of the source
    "ratio",
    "ahead",
)


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """Loops, their steps, and how these depend on each other."""

    loops: Records
    steps: Records
    odds: Ints
    uses: Ints
    needs: Records
    users: Records
    gates: Records
    sides: Records
    """By user."""
    readers: Records
    """The same by source."""


def why_not(outline: Outline, prices: Prices) -> str:
    """Return why a plan cannot be executed in outline; empty if nothing speaks against it.

    A plan that is not valid is one of these: laying it out says what is wrong.
    """
    if outline.links:
        return "it has links between single tasks"
    total, there = 0, range(len(outline.resources))
    if any(resource.units < 1 for resource in outline.resources):
        return NOT_VALID
    known: dict[tuple[int, int], tuple[str, int]] = {}
    for template in outline.templates:
        key = (id(template.steps), template.loop.count)
        if key not in known:
            known[key] = _look_at(template, prices)
        reason, time = known[key]
        if reason:
            return reason
        total += time
        if not all(len({*each}) == len(each) and {*each} <= {*there} for each in template.uses):
            return NOT_VALID
    return "" if total < _LONGEST else NOT_VALID


def _look_at(template: Template, prices: Prices) -> tuple[str, int]:
    """Return why the steps of a template cannot stay in outline, and their time together [ps]."""
    count, total = template.loop.count, 0
    for place, step in enumerate(template.steps):
        if count > 1 and isinstance(step.work, tuple):
            return "durations differ from iteration to iteration", 0
        usual, first, last = durations(step, prices)
        own = [need for need in step.needs if isinstance(need, Within)]
        late = any(need.back < 0 or (not need.back and need.step >= place) for need in own)
        if late or len(first) + len(last) > count > 0 or min((usual, *first, *last)) < 1:
            return NOT_VALID, 0
        total += total_ps(step, count, prices)
    return "", total


def durations(step: Step, prices: Prices) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Return the usual duration of a step, and those of its first and last iterations [ps]."""
    each = step.work
    if isinstance(each, Mostly):
        first, last = (tuple(map(prices.of, works)) for works in (each.first, each.last))
        return prices.of(each.usual), first, last
    if isinstance(each, tuple):
        return prices.of(each[0]) if each else 1, (), ()
    return prices.of(each), (), ()


def total_ps(step: Step, count: int, prices: Prices) -> int:
    """Return how long all iterations of a step take together [ps]."""
    if isinstance(step.work, tuple):
        return sum(map(prices.of, step.work))
    usual, first, last = durations(step, prices)
    return usual * (count - len(first) - len(last)) + sum(first) + sum(last)


def tables(outline: Outline, names: Sequence[str], prices: Prices) -> Tables | str:
    """Return the tables of an outline, or why it has none; ``names`` are the ops in order."""
    drawn = _Drawing([t for t in outline.templates if t.loop.size and t.loop.count], prices)
    ops = {name: i for i, name in enumerate(names)}
    for number, template in enumerate(drawn.templates):
        problem = drawn.add(number, template, ops[template.op])
        if problem:
            return problem
    return drawn.tables()


class _Drawing:
    """Tables under construction."""

    def __init__(self, templates: Sequence[Template], prices: Prices) -> None:
        self.templates, self._prices = templates, prices
        self._firsts = [template.loop.first for template in templates]
        self._loops: list[tuple[int, ...]] = []
        self._steps: list[tuple[int, ...]] = []
        self._step_first: list[int] = []
        self._odds: list[int] = []
        self._uses: list[int] = []
        self._needs: list[tuple[int, int]] = []
        self._users: list[tuple[int, int]] = []
        self._gates: list[tuple[int, int, int, int, int]] = []
        self._sides: list[tuple[int, ...]] = []
        self._slots = self._left = 0

    def add(self, number: int, template: Template, op: int) -> str:
        """Append a loop; return why it cannot be, or nothing."""
        loop, length = template.loop, min(WINDOW, 1 << (template.loop.count - 1).bit_length())
        self._step_first.append(len(self._steps))
        users: list[list[tuple[int, int]]] = [[] for _ in template.steps]
        for place, step in enumerate(template.steps):
            for source, back in _within(step):
                users[source].append((place, back))
        begun = ended = 0
        for place, step in enumerate(template.steps):
            sides, problem = len(self._sides), self._outside(number, template, place, op)
            if problem:
                return problem
            usual, first, last = durations(step, self._prices)
            begun, ended = max(begun, len(first)), max(ended, len(last))
            firsts = [len(self._odds), len(self._uses), len(self._needs), len(self._users)]
            self._odds += [*first, *last]
            self._uses += template.uses[place]
            self._needs += _within(step)
            self._users += users[place]
            self._steps.append((
                usual, firsts[0], len(first), len(last), firsts[1], len(self._uses), firsts[2],
                len(self._needs), firsts[3], len(self._users), sides, len(self._sides), 0, 0, 0, 0,
            ))  # fmt: skip
        self._loops.append((
            loop.first, loop.size, loop.count, begun, loop.count - ended,
            self._step_first[number], op, self._slots, length - 1, self._left, 0, -1, 0, 0, 0,
        ))  # fmt: skip
        self._slots += length * loop.size
        self._left += length
        return ""

    def _outside(self, number: int, template: Template, place: int, op: int) -> str:
        """Append what a step waits for in other loops; return why it cannot be, or nothing."""
        loop, needs = template.loop, template.steps[place].needs
        outside = dict.fromkeys((n.base, n.stride) for n in needs if isinstance(n, Need))
        for base, stride in outside:
            task = base + template.shift
            if not 0 <= task < loop.first + place:
                return NOT_VALID
            source = bisect_right(self._firsts, task) - 1
            other = self.templates[source].loop
            iteration, step = divmod(task - other.first, other.size)
            if loop.count == 1 or not stride:
                target = self._step_first[number] + place
                self._gates.append((source, iteration, step, number, target))
                continue
            ratio, odd = divmod(stride, other.size)
            last = iteration + ratio * (loop.count - 1)
            if odd or ratio < 1 or last >= other.count or source == number:
                return "a loop runs beside another one out of step with it"
            self._sides.append((source, step, number, place, ratio, iteration))
        return ""

    def tables(self) -> Tables:
        """Return the tables of all loops so far."""
        loops, steps = np.array(self._loops, LOOP), np.array(self._steps, STEP)
        flat = sorted(self._gates)
        gates = np.array([gate[1:] for gate in flat], GATE)
        first = np.searchsorted([gate[0] for gate in flat], np.arange(len(loops) + 1))
        loops["gate_first"], loops["gate_last"] = first[:-1], first[1:]
        np.add.at(steps["closed"], gates["target"], 1)
        opens = [self._step_first[loop] + place for loop, _, place, _, _ in flat]
        np.add.at(steps["gates"], np.array(opens, np.int64), 1)
        readers = sorted(self._sides, key=lambda side: self._step_first[side[0]] + side[1])
        sources = [self._step_first[side[0]] + side[1] for side in readers]
        first = np.searchsorted(sources, np.arange(len(steps) + 1))
        steps["reader_first"], steps["reader_last"] = first[:-1], first[1:]
        return Tables(
            loops,
            steps,
            np.array(self._odds, np.int64),
            np.array(self._uses, np.int64),
            np.array(self._needs, LINK),
            np.array(self._users, LINK),
            gates,
            np.array(self._sides, SIDE),
            np.array(readers, SIDE),
        )


def _within(step: Step) -> list[tuple[int, int]]:
    """Return the needs of a step in its own loop, each once."""
    found = [(need.step, need.back) for need in step.needs if isinstance(need, Within)]
    return list(dict.fromkeys(found))
