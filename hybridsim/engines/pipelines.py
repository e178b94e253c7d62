"""The execution rule for batches that have the same steps, on servers of one unit each.

The steps of a batch and what they wait for are read off a short plan (:class:`Pipeline`), so any
plan that repeats the same tasks batch by batch will do, and serves points with any number of
batches. A point is walked from one instant to the next, and looks at nothing but what runs, what
is ready, and how many needs of the batches in between have not ended: the *window*. Where the
window and what is left of the running tasks come back some batches later, what happened in between
happens again, as the rule knows no absolute time; so those periods are added at once, as far as
batches are all alike. A point costs what its first and its last batches do.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from hybridsim.engines.lines import StepTimes
from hybridsim.errors import PlanError
from hybridsim.machine_code import machine_code
from hybridsim.plan import Plan, check_total
from hybridsim.units import Ints
from hybridsim.work import MOST_PS

NONE, NEVER = -(2**62), 2**63 - 1
"""Stand for no task, and for a task and a time that come after all others."""
TOO_FAR = -1
"""The end of a point whose batches are further apart than the window."""
_STEP = 16
"""A task is ``batch << 16 | step``, and before all batches ``number - how many``: plan order."""
_MASK = (1 << _STEP) - 1
_LONGEST = 1 << 40
"""How much longer a vector may take on a line, at most [ps]."""

_inlined = machine_code(_nrt=False, forceinline=True)


class Steps(NamedTuple):
    """The steps of batches, those of a window in a ring of *places*: batch after batch."""

    size: int
    """Steps of a batch."""
    clusters: int
    reach: int
    """How many batches later a step can be that waits for one, at most."""
    once: int
    """Tasks before all batches; their places come behind the ring."""
    units: int
    """Units of what several servers share; 0 if each could have one."""
    row: Ints
    """What a step is priced as; behind them the tasks before all batches."""
    linked: Ints
    """Likewise, whether it takes a unit of what is shared."""
    alone: Ints
    """The servers that do no such steps."""
    sharing: Ints
    """Those that do."""
    server: Ints
    """Of each place."""
    first: Ints
    """Where the steps begin that wait for a step, and one more entry for their end."""
    to: Ints
    """How many places behind the first one of the batch each of them is."""
    code: Ints
    """And how much larger its task than the first one of the batch."""
    far: Ints
    """How many batches later they are at most."""
    unmet: Ints
    """Needs of each place of the first batches."""
    usual: Ints
    """Needs of each step of all later ones."""
    ready: Ints
    """The places that wait for nothing."""
    once_first: Ints
    """Where the places begin that wait for a task before all batches, and one more entry."""
    once_to: Ints


class Room(NamedTuple):
    """What a walk writes to."""

    takes: Ints
    """Of each step of a full batch [ps]."""
    grows: Ints
    """What that grows by where a vector takes a picosecond longer."""
    unmet: Ints
    """Needs of each place that have not ended; -1 if it has begun."""
    done: Ints
    """Of the first place of each batch: steps that have ended."""
    running: Ints
    """The task of each server."""
    place: Ints
    """The place of that."""
    end: Ints
    """When it ends [ps]; :data:`NEVER` if there is none."""
    growth: Ints
    """What that grows by where a vector takes a picosecond longer."""
    waiting: Ints
    """How many tasks each server has that are ready."""
    tasks: Ints
    """Those, shape (servers, places)."""
    places: Ints
    """And their places."""
    then: Ints
    """``unmet`` and ``running``, and what was left of ``end`` and ``growth``, when last kept."""
    at: Ints
    """Numbers, named below."""


NOW, GROWTH, HOLDS, LOW, PLACE, TOP, ONCE, FREE = range(8)
"""Time, and what it grows by; how much longer a vector may take before tasks end in another order;
the first batch that is not done, and its place; the last batch that was looked for; tasks before
all batches that have not ended; free units of what is shared."""
THEN, THEN_GROWTH, THEN_LOW, THEN_TOP, NUMBERS = range(8, 13)
"""The same when the state was kept; the batch is -1 before, and :data:`NONE` once it came back."""


class Point(NamedTuple):
    """A point that is walked."""

    batches: int
    before: int
    after: int
    begin: int
    """Its first entry of the times of steps."""
    kind: int
    vector: int
    on_line: int
    """Whether the next point is one of its kind, too."""


@dataclass(frozen=True, eq=False)
class Pipeline:
    """Plans of any number of batches that have the same steps."""

    steps: Steps

    @classmethod
    def of(cls, plan: Plan, row: Ints, once: int, clusters: int, window: int) -> "Pipeline":
        """Return what a plan does of at least ``window`` batches and one more round.

        Args:
            plan: Tasks before all batches, then batch after batch, on so many clusters in turn.
            row: What each task is priced as: before all batches from 0 on, and the steps of a
                batch from ``once`` on.
            once: See there.
            clusters: See there.
            window: Batches that may be under way at the same time, a multiple of the clusters.

        Raises:
            PlanError: A task holds something that has several units, beside what is shared.
        """
        before = int((row < once).sum())
        count = int((plan.item[before:] == 0).sum())
        last = len(plan) - count
        edges, usual = list[tuple[int, int, int]](), np.zeros(count, np.int64)
        for step in range(count):
            needs = plan.needs_of(last + step)
            needs = needs[needs >= before]
            usual[step] = len(needs)
            edges += [((n - last) % count, step, -((n - last) // count)) for n in needs.tolist()]
        first, to, later = _listed(sorted(edges), count)
        places = window * count
        unmet = np.diff(plan.need_first)[before : before + places]
        if (usual == 0).any():
            raise PlanError("a step of a batch waits for nothing that batches before it do")
        waits = [(n, t - before, 0) for t in range(before, before + places)
                 for n in plan.needs_of(t).tolist() if n < before]  # fmt: skip
        once_first, once_to, _ = _listed(sorted(waits), before)
        ready = [*range(places, places + before), *np.flatnonzero(unmet == 0).tolist()]
        server, linked, units = _servers(plan)
        of_places = np.concatenate((server[before : before + places], server[:before]))
        link = np.concatenate((linked[last:], linked[:before]))
        shares = np.bincount(server, linked, int(server.max()) + 1) > 0
        far = np.array([max([0, *later[i:j]]) for i, j in pairwise(first.tolist())], np.int64)
        prices = np.concatenate((row[last:] - once, row[:before]))
        steps = Steps(
            count, clusters, int(later.max()), before, units, prices, link,
            np.flatnonzero(~shares), np.flatnonzero(shares), of_places,
            first, later * count + to, later << _STEP | to, far,
            unmet.copy(), usual, np.array(ready, np.int64), once_first, once_to,
        )  # fmt: skip
        return cls(steps)

    def makespans(
        self, times: StepTimes, kind: Ints, vector: Ints, batches: Ints, most: Ints | None = None
    ) -> Ints:
        """Return the last end of each point [ps], or :data:`TOO_FAR`; shape (points,).

        Args:
            times: What tasks take, for kinds of points.
            kind: Of each point.
            vector: What a token takes more at each point [ps].
            batches: Batches of each point.
            most: Times [ps]; a point that takes longer may get any that is longer, too.

        Raises:
            TooLongError: The tasks of a point together last 2^62 ps or more.
        """
        self._check_totals(times, kind, vector, batches)
        if most is None:
            most = np.full(len(kind), MOST_PS, np.int64)
        found = np.empty(len(kind), np.int64)
        _fill_ends(self.steps, self._room(), times, kind, vector, batches, most, found)
        return found

    def _room(self) -> Room:
        steps = self.steps
        places, servers = len(steps.unmet), len(steps.alone) + len(steps.sharing)
        takes, grows = np.empty((2, steps.size), np.int64)
        unmet, done = np.empty((2, places), np.int64)
        running, place, end, growth, waiting = np.empty((5, servers), np.int64)
        tasks, where = np.empty((2, servers, places + steps.once), np.int64)
        then, at = np.empty(places + 3 * servers, np.int64), np.empty(NUMBERS, np.int64)
        return Room(
            takes, grows, unmet, done, running, place, end, growth, waiting, tasks, where, then, at
        )

    def _check_totals(self, times: StepTimes, kind: Ints, vector: Ints, batches: Ints) -> None:
        """Refuse points whose ends may not fit 64 bits."""
        steps, slow = self.steps, float(vector.max(initial=0))
        longest = max(float(times.steps_ps.max(initial=0)), float(times.once_ps.max(initial=0)))
        longest += slow * float(max(times.tokens.max(initial=0), times.once_tokens.max(initial=0)))
        most = steps.once + steps.size * float(batches.max(initial=0))
        if most * longest < MOST_PS:
            return  # mostly far from that
        usual = times.begin + times.before + times.after
        ends = np.add.reduceat(times.steps_ps.astype(np.float64).sum(axis=0), times.begin)
        each = times.steps_ps[:, usual].sum(axis=0, dtype=np.float64)[kind]
        total = ends[kind] + each * batches + vector.astype(np.float64) * batches * (
            times.tokens[usual][kind]
        )  # fmt: skip
        check_total(float(total.max(initial=0.0)))


def _listed(edges: list[tuple[int, int, int]], sources: int) -> tuple[Ints, Ints, Ints]:
    """Return sorted edges as lists behind each other: where each begins, and their columns."""
    columns = np.array(edges, np.int64).reshape(-1, 3).T
    begin = np.searchsorted(columns[0], np.arange(sources + 1)).astype(np.int64)
    return begin, columns[1].copy(), columns[2].copy()


def _servers(plan: Plan) -> tuple[Ints, Ints, int]:
    """Return the server of each task, whether it takes what is shared, and the units of that.

    A server is the first resource of a task. What else it holds is shared, unless no other server
    ever holds it, or there are units for all of them.
    """
    server = plan.use[plan.use_first[:-1]]
    others: dict[int, set[int]] = {}
    for task in range(len(plan)):
        for resource in plan.uses_of(task)[1:].tolist():
            others.setdefault(resource, set()).add(int(server[task]))
    shared = [r for r, users in others.items() if len(users) > plan.resources[r].units]
    single = all(plan.resources[r].units == 1 for r in np.unique(server).tolist())
    if len(shared) > 1 or not single:
        raise PlanError("batches share more than one resource, or have one of several units")
    linked = np.zeros(len(plan), np.int64)
    linked[plan.holder[np.isin(plan.use, shared)]] = 1
    units = plan.resources[shared[0]].units if shared else 0
    number: Ints = np.unique(server, return_inverse=True)[1]
    return number, linked, units


@machine_code(_nrt=False)
def _fill_ends(steps: Steps, room: Room, times: StepTimes, kinds: Ints, vectors: Ints,
               batches: Ints, most: Ints, found: Ints) -> None:  # fmt: skip
    """Fill in the last end of each point, from the one before where that is on the same line."""
    at, walked = room.at, 0
    for i in range(len(kinds)):
        kind, more = kinds[i], vectors[i] - vectors[walked]
        if i > 0 and kind == kinds[walked] and 0 <= more <= at[HOLDS]:
            found[i] = found[walked] + more * at[GROWTH]
            continue
        before, after, walked = times.before[kind], times.after[kind], i
        on_line = i + 1 < len(kinds) and kinds[i + 1] == kind
        point = Point(batches[i], before, after, times.begin[kind], kind, vectors[i], int(on_line))
        _begin(steps, room, times, point)
        while True:
            _start_all(steps, room, times, point)
            now = _next_end(room, point)
            if now == NONE or now > most[i]:
                break
            if not _end(steps, room, point):
                now = TOO_FAR
                break
            if _retire(steps, room, point) and at[ONCE] == 0 and at[LOW] >= before:
                _repeat(steps, room, point)
        found[i] = at[NOW] if now == NONE else now
        if now != NONE:
            at[HOLDS] = -1


@_inlined
def _begin(steps: Steps, room: Room, times: StepTimes, point: Point) -> None:
    """Set all to where nothing has begun."""
    usual = point.begin + point.before + point.after
    for step in range(steps.size):
        row = steps.row[step]
        room.grows[step] = times.tokens[usual] if row == 0 else 0
        room.takes[step] = times.steps_ps[row, usual] + room.grows[step] * point.vector
    ring = len(steps.unmet)
    there = min(ring, point.batches * steps.size)
    for place in range(there):
        room.unmet[place] = steps.unmet[place]
    for place in range(0, ring, steps.size):
        room.done[place] = 0
    for server in range(len(room.running)):
        room.running[server], room.end[server] = NONE, NEVER
        room.waiting[server] = 0
    at = room.at
    for number in range(NUMBERS):
        at[number] = 0
    at[ONCE], at[FREE], at[THEN_LOW], at[TOP] = steps.once, steps.units, -1, steps.reach
    at[HOLDS] = _LONGEST if point.on_line > 0 else 0
    for place in steps.ready:
        if place >= ring:
            _wait(steps, room, place - ring - steps.once, place)
        elif place < there:
            batch = place // steps.size
            _wait(steps, room, (batch << _STEP) + place - batch * steps.size, place)


@_inlined
def _wait(steps: Steps, room: Room, task: int, place: int) -> None:
    """Add a task to those that are ready."""
    server = steps.server[place]
    room.tasks[server, room.waiting[server]] = task
    room.places[server, room.waiting[server]] = place
    room.waiting[server] += 1


@_inlined
def _start_all(steps: Steps, room: Room, times: StepTimes, point: Point) -> None:
    """Start what can start, in plan order where servers share something."""
    for server in steps.alone:
        if room.waiting[server] > 0 and room.end[server] == NEVER:
            _start(steps, room, times, point, server, _lowest(steps, room, server))
    while True:
        found, number, least = -1, -1, NEVER
        for server in steps.sharing:
            if room.waiting[server] > 0 and room.end[server] == NEVER:
                own = _lowest(steps, room, server)
                if own >= 0 and room.tasks[server, own] < least:
                    found, number, least = server, own, room.tasks[server, own]
        if found < 0:
            break
        _start(steps, room, times, point, found, number)


@_inlined
def _is_linked(steps: Steps, task: int) -> bool:
    own = steps.size + steps.once + task if task < 0 else task & _MASK
    return bool(steps.linked[own] > 0)


@_inlined
def _lowest(steps: Steps, room: Room, server: int) -> int:
    """Return which ready task of a server is the first that can start; -1 if none can."""
    if room.waiting[server] == 1 and steps.units == 0:
        return 0
    found, least = -1, NEVER
    for number in range(room.waiting[server]):
        task = room.tasks[server, number]
        if task < least:
            if steps.units > 0 and room.at[FREE] == 0 and _is_linked(steps, task):
                continue
            found, least = number, task
    return found


@_inlined
def _start(
    steps: Steps, room: Room, times: StepTimes, point: Point, server: int, number: int
) -> None:
    """Start a ready task of a server."""
    task, place = room.tasks[server, number], room.places[server, number]
    room.waiting[server] -= 1
    last = room.waiting[server]
    room.tasks[server, number] = room.tasks[server, last]
    room.places[server, number] = room.places[server, last]
    room.running[server], room.place[server] = task, place
    if steps.units > 0 and _is_linked(steps, task):
        room.at[FREE] -= 1
    if task < 0:
        row = steps.row[steps.size + steps.once + task]
        grows = times.once_tokens[row, point.kind]
        takes = times.once_ps[row, point.kind] + grows * point.vector
    else:
        batch, step = task >> _STEP, task & _MASK
        room.unmet[place] = -1
        takes, grows, left = room.takes[step], room.grows[step], point.batches - batch
        if batch < point.before or left <= point.after:
            entry = point.begin + point.after
            entry += -left if left <= point.after else batch
            row = steps.row[step]
            grows = times.tokens[entry] if row == 0 else 0
            takes = times.steps_ps[row, entry] + grows * point.vector
    room.end[server] = room.at[NOW] + takes
    room.growth[server] = room.at[GROWTH] + grows


@_inlined
def _next_end(room: Room, point: Point) -> int:
    """Go to when the next tasks end, and return that; :data:`NONE` if nothing runs."""
    least, growth, at = NEVER, 0, room.at
    for server in range(len(room.running)):
        if room.end[server] < least:
            least, growth = room.end[server], room.growth[server]
    if least == NEVER:
        return NONE
    at[NOW], at[GROWTH] = least, growth
    if point.on_line > 0:
        for server in range(len(room.running)):
            if room.end[server] != NEVER:
                later, slower = room.end[server] - least, growth - room.growth[server]
                if later == 0 and slower != 0:
                    at[HOLDS] = 0
                elif slower > 0 and later <= at[HOLDS] * slower:
                    at[HOLDS] = (later - 1) // slower
    return int(least)


@_inlined
def _end(steps: Steps, room: Room, point: Point) -> bool:
    """End all tasks that end now; return False where a batch is beyond the window."""
    at, ring, behind = room.at, len(steps.unmet), point.batches << _STEP
    for server in range(len(room.running)):
        if room.end[server] != at[NOW]:
            continue
        task = room.running[server]
        room.running[server], room.end[server] = NONE, NEVER
        if steps.units > 0 and _is_linked(steps, task):
            at[FREE] += 1
        if task < 0:
            at[ONCE] -= 1
            own = steps.once + task
            for edge in range(steps.once_first[own], steps.once_first[own + 1]):
                place = steps.once_to[edge]
                if place < point.batches * steps.size:
                    batch = place // steps.size
                    _met(steps, room, (batch << _STEP) + place - batch * steps.size, place)
            continue
        step = task & _MASK
        place, batch = room.place[server] - step, task >> _STEP
        room.done[place] += 1
        far = batch + steps.far[step]
        at[TOP] = max(at[TOP], far)
        ends = at[LOW] * steps.size + ring
        if far * steps.size >= ends and point.batches * steps.size > ends:
            return False
        for edge in range(steps.first[step], steps.first[step + 1]):
            later = task - step + steps.code[edge]
            if later < behind:
                to = place + steps.to[edge]
                _met(steps, room, later, to - ring if to >= ring else to)
    return True


@_inlined
def _met(steps: Steps, room: Room, task: int, place: int) -> None:
    """Count a need that has ended, and let the task wait for its server if it was the last one."""
    room.unmet[place] -= 1
    if room.unmet[place] == 0:
        _wait(steps, room, task, place)


@_inlined
def _retire(steps: Steps, room: Room, point: Point) -> bool:
    """Make room for the batches behind those that are done; return whether there are such."""
    at, before = room.at, room.at[LOW]
    while at[LOW] < point.batches and room.done[at[PLACE]] == steps.size:
        place = at[PLACE]
        room.done[place] = 0
        for step in range(steps.size):
            room.unmet[place + step] = steps.usual[step]
        at[LOW] += 1
        at[PLACE] = _after(steps, place)
    return bool(at[LOW] > before)


@_inlined
def _after(steps: Steps, place: int) -> int:
    """Return the first place of the batch behind that of another one."""
    place += steps.size
    return 0 if place == len(steps.unmet) else place


@_inlined
def _repeat(steps: Steps, room: Room, point: Point) -> None:
    """Where the state came back, add its periods as far as batches are full; else keep it."""
    at = room.at
    if at[THEN_LOW] == NONE:
        return
    by = at[LOW] - at[THEN_LOW]
    if at[THEN_LOW] >= 0 and by % steps.clusters == 0 and _is_as_then(steps, room, point, by):
        times = (point.batches - point.after - 1 - at[TOP]) // by
        at[THEN_LOW] = NONE
        if times > 0:
            later, longer = times * by, times * (at[NOW] - at[THEN])
            growth = times * (at[GROWTH] - at[THEN_GROWTH])
            for server in range(len(room.running)):
                if room.running[server] != NONE:
                    room.running[server] += later << _STEP
                    room.end[server] += longer
                    room.growth[server] += growth
                for number in range(room.waiting[server]):
                    room.tasks[server, number] += later << _STEP
            at[NOW] += longer
            at[GROWTH] += growth
            at[LOW] += later
            at[TOP] += later
    elif at[THEN_LOW] < 0 or by >= max(steps.clusters, at[THEN_LOW] // 2):
        _keep(steps, room, point)


@_inlined
def _under_way(room: Room, point: Point) -> int:
    """Return how many batches that are not done may be unlike the usual ones."""
    return int(min(room.at[TOP] + 1, point.batches) - room.at[LOW])


@_inlined
def _keep(steps: Steps, room: Room, point: Point) -> None:
    """Keep the state."""
    at, ring, servers = room.at, len(steps.unmet), len(room.running)
    at[THEN], at[THEN_GROWTH], at[THEN_LOW], at[THEN_TOP] = at[NOW], at[GROWTH], at[LOW], at[TOP]
    place = at[PLACE]
    for batch in range(_under_way(room, point)):
        for step in range(steps.size):
            room.then[batch * steps.size + step] = room.unmet[place + step]
        place = _after(steps, place)
    for server in range(servers):
        room.then[ring + server] = room.running[server]
        room.then[ring + servers + server] = room.end[server] - at[NOW]
        room.then[ring + 2 * servers + server] = room.growth[server] - at[GROWTH]


@_inlined
def _is_as_then(steps: Steps, room: Room, point: Point, by: int) -> bool:
    """Return whether the state is that which was kept, so many batches later."""
    at, ring, servers = room.at, len(steps.unmet), len(room.running)
    if at[TOP] - at[THEN_TOP] != by:
        return False
    for server in range(servers):
        task, then = room.running[server], room.then[ring + server]
        if (task == NONE) != (then == NONE):
            return False
        if task != NONE:
            if task - then != by << _STEP:
                return False
            if room.end[server] - at[NOW] != room.then[ring + servers + server]:
                return False
            growth = room.growth[server] - at[GROWTH]
            if point.on_line > 0 and growth != room.then[ring + 2 * servers + server]:
                return False
    place = at[PLACE]
    for batch in range(_under_way(room, point)):
        for step in range(steps.size):
            if room.then[batch * steps.size + step] != room.unmet[place + step]:
                return False
        place = _after(steps, place)
    return True
