"""The compiled engine for the beginnings of one plan: as many of its batches as a point has.

A plan that repeats the same tasks batch by batch, each of which needs only what comes before it,
holds all plans with fewer batches. So it is laid out once, and points with any number of batches
are executed in it (:mod:`.compiled`), in one call.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hybridsim.engines.compiled import (
    AGENDA,
    END,
    NOBODY,
    Int32s,
    Records,
    SetUp,
    run_tasks,
    watch,
)
from hybridsim.engines.lines import StepTimes
from hybridsim.machine_code import machine_code
from hybridsim.plan import Plan
from hybridsim.units import Ints


@dataclass(eq=False)
class Prefixes:
    """A plan of batches."""

    plan: Plan
    slot: Ints
    """What each task does: tasks before the first batch have numbers of their own, from 0 to below
    ``once``, and steps of a batch those that follow."""
    once: int
    batches: int
    """The most batches that a point can have."""

    def makespans(self, times: StepTimes, kind: Ints, vector: Ints, batches: Ints) -> Ints:
        """Return the last end of each point [ps], shape (points,).

        Args:
            times: What tasks take, for kinds of points.
            kind: Of each point.
            vector: What a token takes more at each point [ps].
            batches: Batches of each point.
        """
        plan, own = self.plan, self._set_up
        found = np.empty(len(batches), np.int64)
        ends = np.empty((3, len(plan)), np.int64)
        size = (len(plan) - self._first) // self.batches
        _fill_makespans(
            own.tasks, ends, plan.need_first, plan.need, own.queues, plan.use, own.places,
            own.heaps, own.running, own.clock, self._free, self.slot, plan.item, self.once,
            self._first + batches * size, batches, times.once_ps, times.once_tokens,
            times.steps_ps, times.tokens, times.begin, times.before, times.after, kind, vector,
            np.empty(len(plan), np.int64), found,
        )  # fmt: skip
        return found

    @cached_property
    def _first(self) -> int:
        """Tasks before the first batch."""
        return int((self.slot < self.once).sum())

    @cached_property
    def _set_up(self) -> SetUp:
        return SetUp.of(self.plan)

    @cached_property
    def _free(self) -> Ints:
        """Free units of each place before anything has begun."""
        return np.array(self._set_up.places["free"], np.int64)


@machine_code(_nrt=False)
def _fill_makespans(tasks: Records, times: Ints, need_first: Ints, need: Ints, queues: Records,
                    uses: Ints, places: Records, heaps: Int32s, running: Records, clock: Records,
                    free: Ints, slot: Ints, item: Ints, once: int, lengths: Ints,
                    batches: Ints, once_ps: Ints, once_tokens: Ints, steps_ps: Ints,
                    tokens: Ints, begin: Ints, befores: Ints, afters: Ints, kinds: Ints,
                    vector: Ints, duration: Ints, found: Ints) -> None:  # fmt: skip
    """Execute the first tasks of the plan for each point, and fill in their last end.

    ``duration`` has room for that of each task.
    """
    for point in range(len(lengths)):
        length, kind = lengths[point], kinds[point]
        before, after = befores[kind], afters[kind]
        for task in range(length):
            row = slot[task]
            if row < once:
                duration[task] = once_ps[row, kind] + once_tokens[row, kind] * vector[point]
            else:
                entry, left = begin[kind] + before + after, batches[point] - item[task]
                if left <= after:
                    entry = begin[kind] + after - left
                elif item[task] < before:
                    entry = begin[kind] + after + item[task]
                duration[task] = steps_ps[row - once, entry]
                if row == once:
                    duration[task] += tokens[entry] * vector[point]
            tasks[task].unmet = 0
            tasks[task].watcher = 0
            tasks[task].next = 0
        for queue in range(len(queues)):
            queues[queue].line_first = NOBODY
            queues[queue].line_last = NOBODY
            queues[queue].count = 0
            queues[queue].head = NOBODY
            queues[queue].place = AGENDA
        for place in range(len(places)):
            places[place].free = free[place]
            places[place].count = 0
        clock[0].now = 0
        clock[0].running = 0
        watch(duration, need_first, need, tasks[:length], times)
        run_tasks(tasks[:length], times, need_first, need, queues, uses, places, heaps, running,
                  clock)  # fmt: skip
        latest = 0
        for task in range(length):
            latest = max(latest, times[END, task])
        found[point] = latest
