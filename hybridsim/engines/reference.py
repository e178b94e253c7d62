"""The reference engine: the execution rule in SimPy. Read this one to learn the semantics.

The number behind each method is that of the clause in :mod:`hybridsim.plan` which it carries out.

SimPy's own resources grant a unit while other tasks may still end at the same instant, so they
cannot give what the rule asks for. Here one arbiter decides for all resources, in an event that
SimPy processes after all completions of the instant.

Only tasks that run are known to SimPy, one event each; the others are entries in arrays. So the
memory held by events grows with the machine, not with the plan.
"""

from functools import partial
from heapq import heappop, heappush

import numpy as np
import simpy
from simpy.events import Event, EventPriority, Timeout

from hybridsim.plan import Plan, Timeline
from hybridsim.units import Ints

_AFTER_COMPLETIONS = EventPriority(2)  # later than SimPy's URGENT (0) and NORMAL (1)
_NOWHERE = -1


def run(plan: Plan, time_ps: Ints) -> Timeline:
    """Execute ``plan`` event by event; ``time_ps`` gives the time of each work [ps]."""
    return _Execution(plan, plan.times(time_ps)).run()


class _Queue:
    """The ready tasks that use the same resources, as a heap: its *head* is the least index.

    If the head cannot start, no other can: they all lack the same resource. So only heads are
    visited. One that cannot start is *parked* at a resource that it lacks, and is not visited
    again before that resource has a free unit.
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
        self._parked: list[list[int]] = [[] for _ in plan.resources]
        """The heads parked at each resource, as heaps."""
        self._agenda: list[tuple[int, int]] = []
        """The heads to visit at this instant, as a heap, each with the resource that sent it."""
        self._given_back: list[int] = []
        self._is_deciding = False

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
        waiting = self._queue[task].tasks
        heappush(waiting, task)
        if waiting[0] == task:
            heappush(self._agenda, (task, _NOWHERE))
            self._decide_later()

    def _complete(self, task: int, _: Event) -> None:
        """2. Give back the units; what waited for this task becomes ready."""
        self._end[task] = self._now()
        for resource in self._queue[task].uses:
            self._free[resource] += 1
            self._given_back.append(resource)
            self._decide_later()
        for user in self._user[self._first[task] : self._first[task + 1]]:
            self._unmet[user] -= 1
            if self._unmet[user] == 0:
                self._become_ready(user)

    def _decide_later(self) -> None:
        """Let the decision of this instant follow all its completions."""
        if not self._is_deciding:
            self._is_deciding = True
            decision = Event(self._env)
            decision._ok, decision._value = True, None
            decision.callbacks.append(self._decide)
            self._env.schedule(decision, _AFTER_COMPLETIONS)

    def _decide(self, _: Event) -> None:
        """3. Visit the heads in plan order, once all completions have been processed."""
        self._is_deciding = False
        for resource in self._given_back:
            self._send(resource)
        self._given_back.clear()
        while self._agenda:
            task, sender = heappop(self._agenda)
            waiting = self._queue[task].tasks
            # one that came later can have taken its place, or it has started in the meantime
            if waiting and waiting[0] == task:
                self._visit(task)
            if sender != _NOWHERE:
                self._send(sender)

    def _visit(self, task: int) -> None:
        """3. Take one unit of all that it uses and begin, or take nothing and be parked."""
        queue = self._queue[task]
        for resource in queue.uses:
            if not self._free[resource]:
                heappush(self._parked[resource], task)
                return
        self._begin(task)
        heappop(queue.tasks)
        if queue.tasks:
            heappush(self._agenda, (queue.tasks[0], _NOWHERE))

    def _send(self, resource: int) -> None:
        """Move the first head that is parked at a resource to the agenda, if a unit is free.

        When that one has been visited, the next one follows. So a unit that is given back costs
        one or two visits, however many queues wait for it.
        """
        if self._free[resource] and self._parked[resource]:
            heappush(self._agenda, (heappop(self._parked[resource]), resource))

    def _begin(self, task: int) -> None:
        """4. Run for the whole duration."""
        for resource in self._queue[task].uses:
            self._free[resource] -= 1
        self._start[task] = self._now()
        ending = Timeout(self._env, self._duration[task])
        ending.callbacks.append(partial(self._complete, task))


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
    user = plan.user
    by_need = np.argsort(plan.need, kind="stable")
    first = np.searchsorted(plan.need[by_need], np.arange(len(plan) + 1))
    return first.astype(np.int64), user[by_need]
