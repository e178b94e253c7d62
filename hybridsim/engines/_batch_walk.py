"""Batches that have the same steps, walked by the execution rule from one start to the next.

A task is walked when it starts: so its end is known, and with the last end of what a task waits
for it is known when that is ready. The server that can begin next is the one to go on with, as
whatever gets ready later does so after an end, and tasks take a picosecond at least. So no server
is asked about an instant at which nothing of its own begins.

On a line (:mod:`.lines`) times are walked with their growth (:mod:`._batch_lines`), and
what repeats is not walked at all (:mod:`._batch_repeats`).
"""

from hybridsim.engines._batch_lines import (
    LONGEST,
    begin_is_known,
    end_is_known,
    in_list,
    is_ready,
    need_is_met,
    unit_is_known,
)
from hybridsim.engines._batch_records import (
    BATCH,
    GROWTH,
    HOLDS,
    LINKED,
    LOW,
    LOWEST,
    NEVER,
    NONE,
    NOW,
    NUMBERS,
    ONCE,
    PLACE_BITS,
    PLACES,
    SERVERS,
    STEPS,
    THEN_LOW,
    TOO_FAR,
    TOP,
    UNIT,
    UNIT_GROWTH,
    Point,
    Room,
    Steps,
)
from hybridsim.engines._batch_repeats import after, repeat
from hybridsim.engines.lines import StepTimes
from hybridsim.machine_code import machine_code
from hybridsim.units import Ints

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
            server = _first_server(steps, room)
            if server < 0:
                found[i] = end_is_known(room, point)
                break
            end = _start(steps, room, times, point, server & SERVERS)
            if end == TOO_FAR or end > most[i]:
                found[i], at[HOLDS] = end, -1
                break
            if _retire(steps, room, point) and at[ONCE] == 0 and at[LOW] >= before:
                repeat(steps, room, point)


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
    for place in range(len(room.when)):
        room.when[place] = room.when_growth[place] = 0
    for place in range(0, ring, steps.size):
        room.done[place] = 0
    for server in range(len(room.free)):
        room.free[server] = room.free_growth[server] = room.waiting[server] = 0
        room.held[server] = room.held_growth[server] = 0
        room.began[server] = room.began_growth[server] = 0
        room.last[server], room.next[server] = NONE, NEVER
    at = room.at
    for number in range(NUMBERS):
        at[number] = 0
    at[ONCE], at[THEN_LOW], at[TOP] = steps.once, -1, steps.reach
    at[HOLDS] = LONGEST if point.on_line > 0 else -1
    for task in steps.ready:
        if task < point.batches << BATCH:
            _wait(steps, room, task)


@_inlined
def _wait(steps: Steps, room: Room, task: int) -> None:
    """Add a task to those of which it is known when they are ready."""
    server = steps.server[task & PLACES] & SERVERS
    number = room.waiting[server]
    room.tasks[in_list(room, server, number)] = task
    room.waiting[server] = number + 1
    _offer(steps, room, server, number, task)


@_inlined
def _offer(steps: Steps, room: Room, server: int, number: int, task: int) -> None:
    """Let a task that waits for a server be its next one if it can begin before all others."""
    begin = max(room.free[server], room.when[task & PLACES])
    if task & LINKED:
        begin = max(begin, room.at[UNIT])
    next_ = room.next[server]
    if begin < next_ or (begin == next_ and task < room.chosen[server]):
        room.next[server], room.number[server], room.chosen[server] = begin, number, task


@_inlined
def _look(steps: Steps, room: Room, server: int) -> None:
    """Find what a server does next."""
    room.next[server] = NEVER
    for number in range(room.waiting[server]):
        _offer(steps, room, server, number, room.tasks[in_list(room, server, number)])


@_inlined
def _first_server(steps: Steps, room: Room) -> int:
    """Return the server that begins before all others; -1 if none does.

    Of some that begin at the same time, the one whose task comes first in the plan.
    """
    found, now = 0, room.next[0]
    for server in range(1, len(room.next)):
        own = room.next[server]
        if own < now or (own == now and room.chosen[server] < room.chosen[found]):
            found, now = server, own
    return found if now < NEVER else -1


@_inlined
def _start(steps: Steps, room: Room, times: StepTimes, point: Point, server: int) -> int:
    """Walk what a server does next; return its end, or :data:`TOO_FAR` beyond the window."""
    at, task = room.at, room.chosen[server]
    at[NOW] = now = room.next[server]
    linked, growth = task & LINKED > 0, 0
    if point.on_line > 0:
        at[GROWTH] = growth = begin_is_known(steps, room, server, task, linked)
    last = room.waiting[server] - 1
    room.waiting[server] = last
    number = room.number[server]
    room.tasks[in_list(room, server, number)] = room.tasks[in_list(room, server, last)]
    takes, grows = _lasts(steps, room, times, point, task)
    end, growth = now + takes, growth + grows
    room.free[server], room.free_growth[server] = end, growth
    if linked:
        room.held[server], room.held_growth[server] = end, growth
        if steps.units == 1:
            at[UNIT], at[UNIT_GROWTH] = end, growth
        else:
            _find_unit(steps, room, point)
        for other in steps.sharing:
            # units get free later and later, so what begins after that does so still
            if room.next[other & SERVERS] < at[UNIT]:
                _look(steps, room, other & SERVERS)
    _look(steps, room, server)
    if task < 0:
        at[ONCE] -= 1
        own = steps.once + (task >> PLACE_BITS)
        for edge in range(steps.once_first[own], steps.once_first[own + 1]):
            if steps.once_to[edge] < point.batches << BATCH:
                _met(steps, room, point, steps.once_to[edge], end, growth)
    elif not _go_on(steps, room, point, task, end, growth):
        return TOO_FAR
    return int(end)


@_inlined
def _lasts(steps: Steps, room: Room, times: StepTimes, point: Point, task: int) -> tuple[int, int]:
    """Return how long a task takes [ps], and the growth of that."""
    if task < 0:
        row = steps.row[steps.size + steps.once + (task >> PLACE_BITS)]
        grows = times.once_tokens[row, point.kind]
        return times.once_ps[row, point.kind] + grows * point.vector, grows
    batch, step = task >> BATCH, task >> PLACE_BITS & STEPS
    left = point.batches - batch
    if batch >= point.before and left > point.after:
        return room.takes[step], room.grows[step]
    entry = point.begin + point.after
    entry += -left if left <= point.after else batch
    row = steps.row[step]
    grows = times.tokens[entry] if row == 0 else 0
    return times.steps_ps[row, entry] + grows * point.vector, grows


@_inlined
def _find_unit(steps: Steps, room: Room, point: Point) -> None:
    """Find when one of several units is free: less than all are given back later than that."""
    at = room.at
    at[UNIT], at[UNIT_GROWTH] = NEVER, 0
    for server in steps.sharing:
        own, growth, later = room.held[server], room.held_growth[server], 0
        for other in steps.sharing:
            held = room.held[other]
            later += held > own or (held == own and room.held_growth[other] > growth)
        sooner = own < at[UNIT] or (own == at[UNIT] and growth < at[UNIT_GROWTH])
        if later < steps.units and sooner:
            at[UNIT], at[UNIT_GROWTH] = own, growth
    if point.on_line > 0:
        unit_is_known(steps, room)


@_inlined
def _go_on(steps: Steps, room: Room, point: Point, task: int, end: int, growth: int) -> bool:
    """Tell a step's end to all that wait for it; return False if a batch is beyond the window."""
    at, ring, behind = room.at, len(steps.unmet), point.batches << BATCH
    step, place = task >> PLACE_BITS & STEPS, task & PLACES
    room.unmet[place] = -1
    room.when[place] = 0
    room.done[place - step] += 1
    far = (task >> BATCH) + steps.far[step]
    if far > at[TOP]:
        at[TOP] = far
        ends = at[LOW] * steps.size + ring
        if far * steps.size >= ends and point.batches * steps.size > ends:
            return False
    first = (task & ~LINKED) - (step << PLACE_BITS) - step
    for edge in range(steps.first[step], steps.first[step + 1]):
        later = first + steps.to[edge]
        if later < behind:
            if later & PLACES >= ring:
                later -= ring
            _met(steps, room, point, later, end, growth)
    return True


@_inlined
def _met(steps: Steps, room: Room, point: Point, task: int, end: int, growth: int) -> None:
    """Count a need whose end is known, and let the task wait for its server if it was the last."""
    place = task & PLACES
    if point.on_line > 0:
        need_is_met(room, place, end, growth)
    else:
        room.when[place] = max(room.when[place], end)
    left = room.unmet[place] - 1
    room.unmet[place] = left
    if left == 0:
        if point.on_line > 0:
            is_ready(steps, room, task)
        _wait(steps, room, task)


@_inlined
def _retire(steps: Steps, room: Room, point: Point) -> bool:
    """Make room for the batches behind those that are done; return whether there are such."""
    at, before = room.at, room.at[LOW]
    while at[LOW] < point.batches and room.done[at[LOWEST] & PLACES] == steps.size:
        place = at[LOWEST] & PLACES
        room.done[place] = 0
        for step in range(steps.size):
            room.unmet[place + step] = steps.usual[step]
            room.when[place + step] = room.when_growth[place + step] = 0
        at[LOW] += 1
        at[LOWEST] = after(steps, place)
    return bool(at[LOW] > before)
