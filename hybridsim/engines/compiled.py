"""The compiled engine for sweeps: same plan, same rule, same integers as :mod:`.reference`.

How it stays fast:

*   Ready tasks that use the same resources wait in one *queue*, by plan index. If the first of
    them, the *head*, cannot start, no other can, so only heads are ever visited.
*   A queue whose head cannot start is *parked* at one resource that the head lacks, and is not
    looked at again until a unit of that resource is given back. So an instant costs what happens
    at it, however many tasks and queues are waiting.
*   The heads to visit at an instant, its *agenda*, lie in a heap, which gives plan order. Of the
    queues parked at one resource only the first is sent there; when it has been visited the next
    one follows, and only if a unit is still free.
*   Tasks mostly become ready in plan order. Those that do join the end of their queue, its
    *line*, and only the others go through a heap.

And when the plan outgrows the caches: a task has 16 bytes beside its three times, no more.

*   A task *watches* one of its needs at a time, the last first, and then the next that has not
    ended. So each need is looked at once, and no lists of the users of all tasks are made.
*   A task is in one list at a time: of those that watch the same need, then in the line of its
    queue. So one field links both.
*   Until a task starts, its end is minus its duration. So the ends tell what has ended by now:
    what is more than 0, and not later.

All heaps of plan indices lie in one array and grow downwards: item 0 of a heap is
``heaps[root]``, item ``i`` is ``heaps[root - i]``.

Nothing is allocated in machine code. So no references to arrays are counted there, which would
make the engine three times slower, and the code can be shipped. What is not a column of the plan
or the timeline lies in a few arrays of records.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hybridsim.errors import PlanError
from hybridsim.machine_code import machine_code
from hybridsim.plan import Plan, Timeline
from hybridsim.units import Ints

Record: TypeAlias = Any
Records: TypeAlias = NDArray[Any]
Int32s: TypeAlias = NDArray[np.int32]

_compiled = machine_code(_nrt=False)
_inlined = machine_code(_nrt=False, forceinline=True)

AGENDA = -1
NOBODY = 2**63 - 1
_MOST_TASKS = 2**31 - 1
_READY, _START, END = range(3)  # rows of the times


def _record(*fields: str, of: type[np.signedinteger[Any]] = np.int64) -> np.dtype[Any]:
    # np.record, so that fields read as attributes even where Numba is switched off
    return np.dtype((np.record, [(field, of) for field in fields]))


_TASK = _record(
    "queue",  # where it waits when it is ready
    "unmet",  # of its needs, those behind the first ``unmet`` ones have ended
    "watcher",  # the first of the tasks that watch it, or 0
    "next",  # the task behind it in its list: of watchers or, once ready, its line; or 0
    of=np.int32,
)
_QUEUE = _record(
    "use_first",  # its tasks use uses[use_first:use_last]
    "use_last",
    "line_first",  # those that came in plan order are a list from this task, or nobody,
    "line_last",  # to this one
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
    """Execute ``plan`` in machine code; ``time_ps`` gives the time of each work [ps].

    Raises:
        PlanError: The plan has 2^31 tasks or more, and tasks are numbered in 32 bits.
    """
    return execute(plan, plan.times(time_ps))


def execute(plan: Plan, duration: Ints) -> Timeline:
    """Execute ``plan`` with its own time for each task [ps], at least 1, below 2^62 in all.

    Raises:
        PlanError: As :func:`run`.
    """
    own = SetUp.of(plan)
    times = np.empty((3, len(plan)), np.int64)
    watch(duration, plan.need_first, plan.need, own.tasks, times)
    run_tasks(own.tasks, times, plan.need_first, plan.need, own.queues, plan.use, own.places,
              own.heaps, own.running, own.clock)  # fmt: skip
    return Timeline(*times)


@dataclass(frozen=True, eq=False)
class SetUp:
    """What an execution of a plan works on, as it is before anything has begun."""

    tasks: Records
    queues: Records
    places: Records
    heaps: Int32s
    running: Records
    clock: Records

    @classmethod
    def of(cls, plan: Plan) -> "SetUp":
        """Return what an execution of a plan begins with.

        Raises:
            PlanError: As :func:`run`.
        """
        if len(plan) > _MOST_TASKS:
            raise PlanError(
                f"a plan of {len(plan)} tasks: the compiled engine takes {_MOST_TASKS}"
            )
        tasks = np.zeros(len(plan), _TASK)
        slots = np.zeros(1 << (2 * len(plan)).bit_length(), np.int32)
        # as long as the plan, but only what is written takes memory
        examples, sizes = np.empty(len(plan), np.int64), np.empty(len(plan), np.int64)
        count = _number_queues(plan.use_first, plan.use, slots, tasks, examples, sizes)
        examples, sizes = examples[:count], sizes[:count]
        queues = _queues(plan, examples, sizes)
        places = _places(plan, queues)
        heaps = np.empty(int(places["root"][AGENDA]) + 1, np.int32)
        held = sum(resource.units for resource in plan.resources)
        delays = int(sizes[queues["use_first"] == queues["use_last"]].sum())
        running = np.zeros(min(len(plan), held + delays), _RUNNING)
        return cls(tasks, queues, places, heaps, running, np.zeros(1, _CLOCK))


def _queues(plan: Plan, examples: Ints, sizes: Ints) -> Records:
    """Return the queues, empty; one holds tasks like its example, all of them if need be."""
    queues = np.zeros(len(examples), _QUEUE)
    queues["use_first"] = plan.use_first[examples]
    queues["use_last"] = plan.use_first[examples + 1]
    queues["root"] = np.cumsum(sizes) - 1
    queues["line_first"], queues["head"], queues["place"] = NOBODY, NOBODY, AGENDA
    return queues


def _places(plan: Plan, queues: Records) -> Records:
    """Return the places where queues can be: at each resource, and on the agenda."""
    length = queues["use_last"] - queues["use_first"]
    shift = np.repeat(queues["use_last"] - np.cumsum(length), length)
    used = plan.use[shift + np.arange(len(shift))]
    room = np.bincount(used, minlength=len(plan.resources) + 1)
    room[AGENDA] = len(queues)
    places = np.zeros(len(room), _PLACE)
    places["free"][:AGENDA] = [resource.units for resource in plan.resources]
    places["root"] = len(plan) + np.cumsum(room) - 1
    return places


@_compiled
def _number_queues(use_first: Ints, use: Ints, slots: Int32s, tasks: Records,
                   examples: Ints, sizes: Ints) -> int:  # fmt: skip
    """Set the queue of each task; return how many queues there are.

    Fills in the first task of each queue, and how many it has. ``slots`` is an empty hash table,
    more than twice as long as there are tasks; its length is a power of two. A slot holds 0, or a
    queue plus 1.
    """
    count = 0
    for task in range(len(tasks)):
        code = 0
        for k in range(use_first[task], use_first[task + 1]):
            code = (code * 1_000_003 + use[k] + 1) & 0xFFFFFFFF
        slot = (code ^ (code >> 15)) & (len(slots) - 1)
        while slots[slot] and not _same(use_first, use, task, examples[slots[slot] - 1]):
            slot = (slot + 1) & (len(slots) - 1)
        if not slots[slot]:
            examples[count], sizes[count] = task, 0
            count += 1
            slots[slot] = count
        queue = slots[slot] - 1
        tasks[task].queue = queue
        sizes[queue] += 1
    return count


@_compiled
def _same(use_first: Ints, use: Ints, a: int, b: int) -> bool:
    """Return whether two tasks list the same resources."""
    length = use_first[a + 1] - use_first[a]
    same: bool = use_first[b + 1] - use_first[b] == length
    for k in range(length):
        same = same and use[use_first[a] + k] == use[use_first[b] + k]
    return same


@_compiled
def watch(duration: Ints, need_first: Ints, need: Ints, tasks: Records, times: Ints) -> None:
    """Let each task watch the last of its needs; its end is minus its duration for now.

    A task that is watched comes before those that watch it, so the first task of the plan watches
    none: its index, 0, ends a list. From the last task to the first, as one that begins to watch
    is put in front: so watchers become ready in plan order.
    """
    for task in range(len(tasks) - 1, -1, -1):
        times[END, task] = -duration[task]
        tasks[task].unmet = need_first[task + 1] - need_first[task]
        if tasks[task].unmet:
            source = tasks[need[need_first[task + 1] - 1]]
            tasks[task].next = source.watcher
            source.watcher = task


@_compiled
def run_tasks(tasks: Records, times: Ints, need_first: Ints, need: Ints, queues: Records,
              uses: Ints, places: Records, heaps: Int32s, running: Records,
              clock: Records) -> None:  # fmt: skip
    """Carry out the four clauses of the rule, instant by instant, until nothing runs."""
    for task in range(len(tasks)):
        if tasks[task].unmet == 0:
            _become_ready(task, tasks, times, queues, places, heaps, clock)
    _decide(tasks, times, queues, uses, places, heaps, running, clock)
    while clock[0].running:
        clock[0].now = running[0].end
        last = clock[0].running
        while clock[0].running and running[0].end == clock[0].now:
            _set_aside_first(running, clock)
        first = clock[0].running
        for i in range(first, last):
            _complete(running[i].task, tasks, times, need_first, need, queues, uses, places,
                      heaps, clock)  # fmt: skip
        for i in range(first, last):
            queue = queues[tasks[running[i].task].queue]
            for k in range(queue.use_first, queue.use_last):
                _send(places[uses[k]], places, heaps)
        _decide(tasks, times, queues, uses, places, heaps, running, clock)


@_inlined
def _become_ready(task: int, tasks: Records, times: Ints, queues: Records, places: Records,
                  heaps: Int32s, clock: Records) -> None:  # fmt: skip
    """Clause 1: let ``task`` wait in its queue.

    If it is the new head, it takes the place of the old one; an empty queue is on the agenda.
    """
    times[_READY, task] = clock[0].now
    queue = queues[tasks[task].queue]
    place = places[queue.place]
    if task < queue.head:
        hole = 0
        while hole < place.count and heaps[place.root - hole] != queue.head:
            hole += 1
        place.count = max(place.count, hole + 1)
        _rise(heaps, place.root, hole, task)
    _join(queue, heaps, task, tasks)


@_inlined
def _complete(task: int, tasks: Records, times: Ints, need_first: Ints, need: Ints,
              queues: Records, uses: Ints, places: Records, heaps: Int32s,
              clock: Records) -> None:  # fmt: skip
    """Clause 2: give back the units of ``task``; what waited for it becomes ready.

    What still lacks another need watches that one from now on. A need that ends at this instant
    counts as ended even before its own turn here, as what waits for it would be ready now anyway.
    """
    queue = queues[tasks[task].queue]
    for k in range(queue.use_first, queue.use_last):
        places[uses[k]].free += 1
    watcher = tasks[task].watcher
    while watcher:
        row = tasks[watcher]
        following, first, unmet = row.next, need_first[watcher] - 1, row.unmet - 1
        while unmet and 0 < times[END, need[first + unmet]] <= clock[0].now:
            unmet -= 1
        row.unmet = unmet
        if unmet:
            source = tasks[need[first + unmet]]
            row.next = source.watcher
            source.watcher = watcher
        else:
            row.next = 0
            _become_ready(watcher, tasks, times, queues, places, heaps, clock)
        watcher = following


@_inlined
def _decide(tasks: Records, times: Ints, queues: Records, uses: Ints, places: Records,
            heaps: Int32s, running: Records, clock: Records) -> None:  # fmt: skip
    """Clause 3: visit in plan order; each takes one unit of all that it uses, or nothing."""
    while places[AGENDA].count:
        task = _take(places[AGENDA], heaps)
        queue = queues[tasks[task].queue]
        sender = queue.place
        queue.place = _lacking(queue, uses, places)
        if queue.place == AGENDA:
            _begin(task, times, queue, uses, places, running, clock)
            _leave(queue, heaps, tasks)
        if queue.head != NOBODY:
            _add(places[queue.place], heaps, queue.head)
        if sender != AGENDA:
            _send(places[sender], places, heaps)


@_inlined
def _begin(task: int, times: Ints, queue: Record, uses: Ints, places: Records,
           running: Records, clock: Records) -> None:  # fmt: skip
    """Clause 4: run ``task`` for its whole duration."""
    for k in range(queue.use_first, queue.use_last):
        places[uses[k]].free -= 1
    times[_START, task] = clock[0].now
    times[END, task] = clock[0].now - times[END, task]
    _run_until(times[END, task], task, running, clock)


@_inlined
def _lacking(queue: Record, uses: Ints, places: Records) -> int:
    """Return a resource of ``queue`` that has no free unit; the agenda if there is none."""
    lacking = AGENDA
    for k in range(queue.use_first, queue.use_last):
        if places[uses[k]].free == 0:
            lacking = uses[k]
    return lacking


@_inlined
def _send(place: Record, places: Records, heaps: Int32s) -> None:
    """Move the first queue that is parked at a resource to the agenda, if a unit is free."""
    if place.free and place.count:
        _add(places[AGENDA], heaps, _take(place, heaps))


@_inlined
def _join(queue: Record, heaps: Int32s, task: int, tasks: Records) -> None:
    """Let ``task`` wait in ``queue``: at the end of its line or, if it came late, in its heap."""
    if queue.line_first == NOBODY:
        queue.line_first = queue.line_last = task
    elif queue.line_last < task:
        tasks[queue.line_last].next = task
        queue.line_last = task
    else:
        _add(queue, heaps, task)
    queue.head = min(queue.head, task)


@_inlined
def _leave(queue: Record, heaps: Int32s, tasks: Records) -> None:
    """Take the head out of ``queue``."""
    following = tasks[queue.head].next
    if queue.line_first == queue.head:
        queue.line_first = following if following else NOBODY
    else:
        _take(queue, heaps)
    others = heaps[queue.root] if queue.count else NOBODY
    queue.head = min(queue.line_first, others)


@_inlined
def _add(owner: Record, heaps: Int32s, item: int) -> None:
    """Insert ``item`` into the heap of a place or queue."""
    _rise(heaps, owner.root, owner.count, item)
    owner.count += 1


@_inlined
def _rise(heaps: Int32s, root: int, hole: int, item: int) -> None:
    """Put ``item`` into the ``hole`` of a heap, or as far above it as it belongs."""
    while hole > 0 and heaps[root - ((hole - 1) >> 1)] > item:
        heaps[root - hole] = heaps[root - ((hole - 1) >> 1)]
        hole = (hole - 1) >> 1
    heaps[root - hole] = item


@_inlined
def _take(owner: Record, heaps: Int32s) -> int:
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


@_inlined
def _run_until(end: int, task: int, running: Records, clock: Records) -> None:
    """Insert ``task`` into the heap of running ones."""
    hole = clock[0].running
    while hole > 0 and running[(hole - 1) >> 1].end > end:
        running[hole].end = running[(hole - 1) >> 1].end
        running[hole].task = running[(hole - 1) >> 1].task
        hole = (hole - 1) >> 1
    running[hole].end, running[hole].task = end, task
    clock[0].running += 1


@_inlined
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
