"""The reference engine: the execution rule in SimPy. Read this one to learn the semantics.

The number behind each method is that of the clause in :mod:`hybridsim.plan` which it carries out.

SimPy's own resources grant a unit while other tasks may still end at the same instant, so they
cannot give what the rule asks for. Here one arbiter decides for all resources, in an event that
SimPy processes after all completions of the instant.

Only tasks that run are known to SimPy, one event each; the others are entries in arrays. So the
memory held by events grows with the machine, not with the plan. A decision looks at all queues
that compete for what was given back: clear, but slow where hundreds share one link.
"""

from heapq import heapify, heappop, heappush

import numpy as np
import simpy
from simpy.events import Event, EventPriority, Timeout

from hybridsim.plan import Plan, Timeline
from hybridsim.units import Ints

_AFTER_COMPLETIONS = EventPriority(2)  # later than SimPy's URGENT (0) and NORMAL (1)


def run(plan: Plan, time_ps: Ints) -> Timeline:
    """Execute ``plan`` event by event; ``time_ps`` gives the time of each work [ps]."""
    return _Execution(plan, plan.times(time_ps)).run()


class _Queue:
    """The ready tasks that use the same resources, least index first.

    If the first of them cannot start, no other can: they all lack the same resource.
    """

    def __init__(self, uses: tuple[int, ...]) -> None:
        self.uses = uses
        self.tasks: list[int] = []


class _Execution:
    """One run of one plan."""

    def __init__(self, plan: Plan, duration: Ints) -> None:
        self._env = simpy.Environment()
        # .data reads and writes the items of an array as Python integers, without a copy
        self._duration = duration.data
        self._unmet = np.diff(plan.need_first).data
        self._first, self._user = (column.data for column in _users(plan))
        self._timeline = Timeline(*(np.zeros(len(plan), np.int64) for _ in range(3)))
        self._ready = self._timeline.ready.data
        self._start = self._timeline.start.data
        self._end = self._timeline.end.data

        self._queue = _queues(plan)
        self._free = [resource.units for resource in plan.resources]
        self._competing: list[list[_Queue]] = [[] for _ in plan.resources]
        for queue in dict.fromkeys(self._queue):
            for resource in queue.uses:
                self._competing[resource].append(queue)
        self._to_visit: set[_Queue] = set()

    def run(self) -> Timeline:
        for task in range(len(self._unmet)):
            if self._unmet[task] == 0:
                self._become_ready(task)
        self._env.run()
        return self._timeline

    def _now(self) -> int:
        return int(self._env.now)

    def _become_ready(self, task: int) -> None:
        """1. The last need has ended."""
        self._ready[task] = self._now()
        queue = self._queue[task]
        heappush(queue.tasks, task)
        self._visit([queue])

    def _complete(self, task: int) -> None:
        """2. Give back the units; what waited for this task becomes ready."""
        self._end[task] = self._now()
        for resource in self._queue[task].uses:
            self._free[resource] += 1
            self._visit(self._competing[resource])
        for user in self._user[self._first[task] : self._first[task + 1]]:
            self._unmet[user] -= 1
            if self._unmet[user] == 0:
                self._become_ready(user)

    def _visit(self, queues: list[_Queue]) -> None:
        """Let the decision of this instant, which is still to come, visit ``queues``."""
        if not self._to_visit:
            decision = Event(self._env)
            decision._ok, decision._value = True, None
            decision.callbacks.append(self._decide)
            self._env.schedule(decision, _AFTER_COMPLETIONS)
        self._to_visit.update(queues)

    def _decide(self, _: Event) -> None:
        """3. Visit in plan order: each takes one unit of all that it uses, or nothing.

        Only queues to which something happened at this instant can have a task to start.
        """
        heads = [(queue.tasks[0], queue) for queue in self._to_visit if queue.tasks]
        heapify(heads)
        self._to_visit.clear()
        while heads:
            task, queue = heappop(heads)
            if all(self._free[resource] for resource in queue.uses):
                heappop(queue.tasks)
                self._begin(task)
                if queue.tasks:
                    heappush(heads, (queue.tasks[0], queue))

    def _begin(self, task: int) -> None:
        """4. Run for the whole duration."""
        for resource in self._queue[task].uses:
            self._free[resource] -= 1
        self._start[task] = self._now()
        ending = Timeout(self._env, self._duration[task])
        ending.callbacks.append(lambda _: self._complete(task))


def _queues(plan: Plan) -> list[_Queue]:
    """Return the queue that each task will wait in."""
    queues: dict[tuple[int, ...], _Queue] = {}
    first, use = plan.use_first.data, plan.use.data
    result = []
    for task in range(len(plan)):
        uses = tuple(use[first[task] : first[task + 1]])
        if uses not in queues:
            queues[uses] = _Queue(uses)
        result.append(queues[uses])
    return result


def _users(plan: Plan) -> tuple[Ints, Ints]:
    """Return (first, user): task ``i`` is needed by ``user[first[i] : first[i + 1]]``."""
    user = np.repeat(np.arange(len(plan)), np.diff(plan.need_first))
    by_need = np.argsort(plan.need, kind="stable")
    first = np.searchsorted(plan.need[by_need], np.arange(len(plan) + 1))
    return first.astype(np.int64), user[by_need]
