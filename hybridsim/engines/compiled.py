"""The compiled engine for sweeps: same plan, same rule, same integers as :mod:`.des`.

How it stays fast:

*   Ready tasks that use the same resources wait in one *queue*, by plan index. If the first of
    them, the *head*, cannot start, no other can, so only heads are ever visited.
*   A queue whose head cannot start is *parked* at one resource that the head lacks, and is not
    looked at again until a unit of that resource is given back. So an instant costs what happens
    at it, however many tasks and queues are waiting.
*   The heads to visit at an instant, its *agenda*, lie in a heap, which gives plan order. Of the
    queues parked at one resource only the first is sent there; when it has been visited the next
    one follows, and only if a unit is still free.
*   Tasks mostly become ready in plan order. Those that do join the end of their queue, and only
    the others go through a heap.

All heaps of plan indices lie in one array and grow downwards: item 0 of a heap is
``heaps[root]``, item ``i`` is ``heaps[root - i]``.

Numba counts references to arrays wherever the last use of an array lies in one branch only, and
that made the engine three times slower. Hence state is kept in arrays of records, which are not
counted, and a function reads from its arrays before it branches.
"""

from typing import Any, TypeAlias

import numba
import numpy as np
from numpy.typing import NDArray

from hybridsim.plan import Plan, Timeline
from hybridsim.units import Ints

Record: TypeAlias = Any
Records: TypeAlias = NDArray[Any]

_AGENDA = -1
_NOBODY = 2**63 - 1


def _record(*fields: str) -> np.dtype[Any]:
    # np.record, so that fields read as attributes even where Numba is switched off
    return np.dtype((np.record, [(field, np.int64) for field in fields]))


_TASK = _record(
    "duration",
    "queue",  # where it waits
    "unmet",  # needs that have not ended
    "user_first",  # it is needed by users[user_first:user_last]
    "user_last",
    "ready",
    "start",
    "end",
)
_QUEUE = _record(
    "use_first",  # its tasks use uses[use_first:use_last]
    "use_last",
    "line_first",  # those that came in plan order are heaps[line_first:line_last]
    "line_last",
    "root",  # the others are the heap here
    "count",
    "head",  # the first of all, or nobody
    "place",  # the resource where it is parked, or was until it was sent; or the agenda
)
_PLACE = _record(
    "free",  # units of the resource
    "root",  # the heads of the queues parked here are the heap here
    "count",
)
_RUNNING = _record("end", "task")
_CLOCK = _record(
    "now",
    "running",  # tasks in the heap of running ones, by their end
)


def run(plan: Plan, time_ps: Ints) -> Timeline:
    """Execute ``plan`` in machine code; ``time_ps`` gives the time of each work [ps]."""
    duration = plan.times(time_ps)
    slots = np.zeros(1 << (2 * len(plan)).bit_length(), np.int64)
    queue, examples = _number_queues(plan.use_first, plan.use, slots)
    tasks = np.zeros(len(plan), _TASK)
    users = _lay_out_tasks(duration, plan.need_first, plan.need, queue, tasks)
    queues = _queues(plan, queue, examples)
    places = _places(plan, queues)
    heaps = np.empty(int(places["root"][_AGENDA]) + 1, np.int64)
    held = sum(resource.units for resource in plan.resources)
    delays = int(np.count_nonzero(np.diff(plan.use_first) == 0))
    running = np.zeros(min(len(plan), held + delays), _RUNNING)
    _execute(tasks, users, queues, plan.use, places, heaps, running, np.zeros(1, _CLOCK))
    return Timeline(*(np.ascontiguousarray(tasks[column]) for column in ("ready", "start", "end")))


def _queues(plan: Plan, queue: Ints, examples: Ints) -> Records:
    """Return the queues, empty; that of a number holds tasks like the one in ``examples``."""
    last = np.cumsum(np.bincount(queue, minlength=len(examples)))
    queues = np.zeros(len(examples), _QUEUE)
    queues["use_first"] = plan.use_first[examples]
    queues["use_last"] = plan.use_first[examples + 1]
    queues["line_first"][1:] = queues["line_last"][1:] = last[:-1]
    queues["root"] = last - 1
    queues["head"], queues["place"] = _NOBODY, _AGENDA
    return queues


def _places(plan: Plan, queues: Records) -> Records:
    """Return the places where queues can be: at each resource, and on the agenda."""
    length = queues["use_last"] - queues["use_first"]
    shift = np.repeat(queues["use_last"] - np.cumsum(length), length)
    used = plan.use[shift + np.arange(len(shift))]
    room = np.bincount(used, minlength=len(plan.resources) + 1)
    room[_AGENDA] = len(queues)
    places = np.zeros(len(room), _PLACE)
    places["free"][:_AGENDA] = [resource.units for resource in plan.resources]
    places["root"] = len(plan) + np.cumsum(room) - 1
    return places


@numba.njit(cache=True)
def _number_queues(use_first: Ints, use: Ints, slots: Ints) -> tuple[Ints, Ints]:
    """Return the queue of each task, and the first task of each queue.

    ``slots`` is an empty hash table, more than twice as long as there are tasks; its length is a
    power of two. A slot holds 0, or a queue plus 1.
    """
    queue = np.empty(len(use_first) - 1, np.int64)
    examples = np.empty(len(queue), np.int64)
    count = 0
    for task in range(len(queue)):
        code = 0
        for k in range(use_first[task], use_first[task + 1]):
            code = (code * 1_000_003 + use[k] + 1) & 0xFFFFFFFF
        slot = (code ^ (code >> 15)) & (len(slots) - 1)
        while slots[slot] and not _same(use_first, use, task, examples[slots[slot] - 1]):
            slot = (slot + 1) & (len(slots) - 1)
        if not slots[slot]:
            examples[count] = task
            count += 1
            slots[slot] = count
        queue[task] = slots[slot] - 1
    return queue, examples[:count].copy()


@numba.njit(cache=True)
def _same(use_first: Ints, use: Ints, a: int, b: int) -> bool:
    """Return whether two tasks list the same resources."""
    length = use_first[a + 1] - use_first[a]
    same: bool = use_first[b + 1] - use_first[b] == length
    for k in range(length):
        same = same and use[use_first[a] + k] == use[use_first[b] + k]
    return same


@numba.njit(cache=True)
def _lay_out_tasks(
    duration: Ints, need_first: Ints, need: Ints, queue: Ints, tasks: Records
) -> Ints:
    """Fill in what is known of each task, and return the users of all tasks."""
    for source in need:
        tasks[source].user_last += 1
    last = 0
    for i in range(len(tasks)):
        task = tasks[i]
        task.duration, task.queue = duration[i], queue[i]
        task.unmet = need_first[i + 1] - need_first[i]
        last += task.user_last
        task.user_first = task.user_last = last - task.user_last
    users = np.empty(len(need), np.int64)
    for i in range(len(tasks)):
        for k in range(need_first[i], need_first[i + 1]):
            source = tasks[need[k]]
            users[source.user_last] = i
            source.user_last += 1
    return users


@numba.njit(cache=True)
def _execute(tasks: Records, users: Ints, queues: Records, uses: Ints, places: Records,
             heaps: Ints, running: Records, clock: Records) -> None:  # fmt: skip
    """Carry out the four clauses of the rule, instant by instant, until nothing runs."""
    for task in range(len(tasks)):
        if tasks[task].unmet == 0:
            _become_ready(task, tasks, queues, places, heaps, clock)
    _decide(tasks, queues, uses, places, heaps, running, clock)
    while clock[0].running:
        clock[0].now = running[0].end
        last = clock[0].running
        while clock[0].running and running[0].end == clock[0].now:
            _set_aside_first(running, clock)
        first = clock[0].running
        for i in range(first, last):
            _complete(running[i].task, tasks, users, queues, uses, places, heaps, clock)
        for i in range(first, last):
            queue = queues[tasks[running[i].task].queue]
            for k in range(queue.use_first, queue.use_last):
                _send(places[uses[k]], places, heaps)
        _decide(tasks, queues, uses, places, heaps, running, clock)


@numba.njit(cache=True, forceinline=True)
def _become_ready(task: int, tasks: Records, queues: Records, places: Records, heaps: Ints,
                  clock: Records) -> None:  # fmt: skip
    """Clause 1: let ``task`` wait in its queue.

    If it is the new head, it takes the place of the old one; an empty queue is on the agenda.
    """
    tasks[task].ready = clock[0].now
    queue = queues[tasks[task].queue]
    place = places[queue.place]
    if task < queue.head:
        hole = 0
        while hole < place.count and heaps[place.root - hole] != queue.head:
            hole += 1
        place.count = max(place.count, hole + 1)
        _rise(heaps, place.root, hole, task)
    _join(queue, heaps, task)


@numba.njit(cache=True, forceinline=True)
def _complete(task: int, tasks: Records, users: Ints, queues: Records, uses: Ints,
              places: Records, heaps: Ints, clock: Records) -> None:  # fmt: skip
    """Clause 2: give back the units of ``task``; what waited for it becomes ready."""
    queue = queues[tasks[task].queue]
    for k in range(queue.use_first, queue.use_last):
        places[uses[k]].free += 1
    for k in range(tasks[task].user_first, tasks[task].user_last):
        user = users[k]
        tasks[user].unmet -= 1
        if tasks[user].unmet == 0:
            _become_ready(user, tasks, queues, places, heaps, clock)


@numba.njit(cache=True, forceinline=True)
def _decide(tasks: Records, queues: Records, uses: Ints, places: Records, heaps: Ints,
            running: Records, clock: Records) -> None:  # fmt: skip
    """Clause 3: visit in plan order; each takes one unit of all that it uses, or nothing."""
    while places[_AGENDA].count:
        task = _take(places[_AGENDA], heaps)
        queue = queues[tasks[task].queue]
        sender = queue.place
        queue.place = _lacking(queue, uses, places)
        if queue.place == _AGENDA:
            _begin(task, tasks, queue, uses, places, running, clock)
            _leave(queue, heaps)
        if queue.head != _NOBODY:
            _add(places[queue.place], heaps, queue.head)
        if sender != _AGENDA:
            _send(places[sender], places, heaps)


@numba.njit(cache=True, forceinline=True)
def _begin(task: int, tasks: Records, queue: Record, uses: Ints, places: Records,
           running: Records, clock: Records) -> None:  # fmt: skip
    """Clause 4: run ``task`` for its whole duration."""
    for k in range(queue.use_first, queue.use_last):
        places[uses[k]].free -= 1
    tasks[task].start = clock[0].now
    tasks[task].end = clock[0].now + tasks[task].duration
    _run_until(tasks[task].end, task, running, clock)


@numba.njit(cache=True, forceinline=True)
def _lacking(queue: Record, uses: Ints, places: Records) -> int:
    """Return a resource of ``queue`` that has no free unit; the agenda if there is none."""
    lacking = _AGENDA
    for k in range(queue.use_first, queue.use_last):
        if places[uses[k]].free == 0:
            lacking = uses[k]
    return lacking


@numba.njit(cache=True, forceinline=True)
def _send(place: Record, places: Records, heaps: Ints) -> None:
    """Move the first queue that is parked at a resource to the agenda, if a unit is free."""
    if place.free and place.count:
        _add(places[_AGENDA], heaps, _take(place, heaps))


@numba.njit(cache=True, forceinline=True)
def _join(queue: Record, heaps: Ints, task: int) -> None:
    """Let ``task`` wait in ``queue``.

    Each task joins once and the line never moves back, so line and heap can share one stretch,
    as long as the queue has tasks in the plan, from both ends.
    """
    if queue.line_first == queue.line_last or heaps[queue.line_last - 1] < task:
        heaps[queue.line_last] = task
        queue.line_last += 1
    else:
        _add(queue, heaps, task)
    queue.head = min(queue.head, task)


@numba.njit(cache=True, forceinline=True)
def _leave(queue: Record, heaps: Ints) -> None:
    """Take the head out of ``queue``."""
    if queue.line_first < queue.line_last and heaps[queue.line_first] == queue.head:
        queue.line_first += 1
    else:
        _take(queue, heaps)
    line = heaps[queue.line_first] if queue.line_first < queue.line_last else _NOBODY
    others = heaps[queue.root] if queue.count else _NOBODY
    queue.head = min(line, others)


@numba.njit(cache=True, forceinline=True)
def _add(owner: Record, heaps: Ints, item: int) -> None:
    """Insert ``item`` into the heap of a place or queue."""
    _rise(heaps, owner.root, owner.count, item)
    owner.count += 1


@numba.njit(cache=True, forceinline=True)
def _rise(heaps: Ints, root: int, hole: int, item: int) -> None:
    """Put ``item`` into the ``hole`` of a heap, or as far above it as it belongs."""
    while hole > 0 and heaps[root - ((hole - 1) >> 1)] > item:
        heaps[root - hole] = heaps[root - ((hole - 1) >> 1)]
        hole = (hole - 1) >> 1
    heaps[root - hole] = item


@numba.njit(cache=True, forceinline=True)
def _take(owner: Record, heaps: Ints) -> int:
    """Remove and return the least item in the heap of a place or queue."""
    owner.count -= 1
    root, count = owner.root, owner.count
    least: int = heaps[root]
    last, hole = heaps[root - count], 0
    while 2 * hole + 1 < count:
        child = 2 * hole + 1
        if child + 1 < count and heaps[root - (child + 1)] < heaps[root - child]:
            child += 1
        if heaps[root - child] >= last:
            break
        heaps[root - hole] = heaps[root - child]
        hole = child
    heaps[root - hole] = last
    return least


@numba.njit(cache=True, forceinline=True)
def _run_until(end: int, task: int, running: Records, clock: Records) -> None:
    """Insert ``task`` into the heap of running ones."""
    hole = clock[0].running
    while hole > 0 and running[(hole - 1) >> 1].end > end:
        running[hole].end = running[(hole - 1) >> 1].end
        running[hole].task = running[(hole - 1) >> 1].task
        hole = (hole - 1) >> 1
    running[hole].end, running[hole].task = end, task
    clock[0].running += 1


@numba.njit(cache=True, forceinline=True)
def _set_aside_first(running: Records, clock: Records) -> None:
    """Move the running task that ends first out of the heap, to the place behind it."""
    clock[0].running -= 1
    count = clock[0].running
    first, end, task, hole = running[0].task, running[count].end, running[count].task, 0
    while 2 * hole + 1 < count:
        child = 2 * hole + 1
        if child + 1 < count and running[child + 1].end < running[child].end:
            child += 1
        if running[child].end >= end:
            break
        running[hole].end, running[hole].task = running[child].end, running[child].task
        hole = child
    running[hole].end, running[hole].task = end, task
    running[count].task = first
