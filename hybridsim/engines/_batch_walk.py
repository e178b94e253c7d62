"""Batches that have the same steps, walked by the execution rule from one instant to the next.

A walk looks at nothing but what runs, what is ready, and how many needs of the batches in between
have not ended: the *window*. Where the window and what is left of the running tasks come back some
batches later, what happened in between happens again, as the rule knows no absolute time; so those
periods are added at once, as far as batches are all alike.
"""

from hybridsim.engines._batch_records import (
    FREE,
    GROWTH,
    HOLDS,
    LOW,
    MASK,
    NEVER,
    NONE,
    NOW,
    NUMBERS,
    ONCE,
    PLACE,
    STEP,
    THEN,
    THEN_GROWTH,
    THEN_LOW,
    THEN_TOP,
    TOO_FAR,
    TOP,
    Point,
    Room,
    Steps,
)
from hybridsim.engines.lines import StepTimes
from hybridsim.machine_code import machine_code
from hybridsim.units import Ints

_LONGEST = 1 << 40
"""How much longer a vector may take on a line, at most [ps]."""


_inlined = machine_code(_nrt=False, forceinline=True)


@machine_code(_nrt=False)
def fill_ends(steps: Steps, room: Room, times: StepTimes, kinds: Ints, vectors: Ints,
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
            _wait(steps, room, (batch << STEP) + place - batch * steps.size, place)


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
    own = steps.size + steps.once + task if task < 0 else task & MASK
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
        batch, step = task >> STEP, task & MASK
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
    at, ring, behind = room.at, len(steps.unmet), point.batches << STEP
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
                    _met(steps, room, (batch << STEP) + place - batch * steps.size, place)
            continue
        step = task & MASK
        place, batch = room.place[server] - step, task >> STEP
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
                    room.running[server] += later << STEP
                    room.end[server] += longer
                    room.growth[server] += growth
                for number in range(room.waiting[server]):
                    room.tasks[server, number] += later << STEP
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
            if task - then != by << STEP:
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
