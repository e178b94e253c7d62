"""Periods of a walk over batches, added at once.

What happens from some batch on depends on nothing but when servers are free, which needs of the
batches in between are left, and when the others ended, as far as that is later than now. Where
all that comes back some batches later, what happened in between happens again, as the rule knows
no absolute time; so those periods are added at once, as far as batches are all alike.
"""

from hybridsim.engines._batch_lines import (
    from_now_on,
    in_list,
)
from hybridsim.engines._batch_records import (
    BATCH,
    GROWTH,
    HOLDS,
    LOW,
    LOWEST,
    NONE,
    NOW,
    THEN,
    THEN_GROWTH,
    THEN_HOLDS,
    THEN_LOW,
    THEN_TOP,
    TOP,
    UNIT,
    UNIT_GROWTH,
    Point,
    Room,
    Steps,
)
from hybridsim.machine_code import machine_code

_inlined = machine_code(_nrt=False, forceinline=True)


@_inlined
def after(steps: Steps, place: int) -> int:
    """Return the first place of the batch behind that of another one."""
    place += steps.size
    return 0 if place == len(steps.unmet) else place


@_inlined
def repeat(steps: Steps, room: Room, point: Point) -> None:
    """Where the state came back, add its periods as far as batches are full; else keep it."""
    at = room.at
    if at[THEN_LOW] == NONE:
        return
    by = at[LOW] - at[THEN_LOW]
    if at[THEN_LOW] >= 0 and by % steps.clusters == 0 and _is_as_then(steps, room, point, by):
        times = (point.batches - point.after - 1 - at[TOP]) // by
        at[THEN_LOW] = NONE
        if times > 0:
            if point.on_line > 0:
                holds = from_now_on(steps, room, _under_way(room, point))
                at[HOLDS] = min(at[HOLDS], at[THEN_HOLDS], holds)
            longer, growth = at[NOW] - at[THEN], at[GROWTH] - at[THEN_GROWTH]
            _add(steps, room, point, times * by, times * longer, times * growth)
    elif at[THEN_LOW] < 0 or by >= max(steps.clusters, at[THEN_LOW] // 2):
        _keep(steps, room, point)


@_inlined
def _add(steps: Steps, room: Room, point: Point, later: int, longer: int, growth: int) -> None:
    """Go so many batches and so much time on, in the same state."""
    at, place = room.at, room.at[LOWEST]
    for _ in range(_under_way(room, point)):
        for step in range(steps.size):
            if room.when[place + step] > 0:
                room.when[place + step] += longer
                room.when_growth[place + step] += growth
        place = after(steps, place)
    for server in range(len(room.free)):
        room.free[server] += longer
        room.free_growth[server] += growth
        room.held[server] += longer
        room.held_growth[server] += growth
        room.began[server] += longer
        room.began_growth[server] += growth
        room.last[server] += later << BATCH
        for number in range(room.waiting[server]):
            room.tasks[in_list(room, server, number)] += later << BATCH
        if room.waiting[server] > 0:
            room.next[server] += longer
            room.chosen[server] += later << BATCH
    at[UNIT] += longer
    at[UNIT_GROWTH] += growth
    at[LOW] += later
    at[TOP] += later


@_inlined
def _under_way(room: Room, point: Point) -> int:
    """Return how many batches that are not done may be unlike the usual ones."""
    return int(min(room.at[TOP] + 1, point.batches) - room.at[LOW])


@_inlined
def _keep(steps: Steps, room: Room, point: Point) -> None:
    """Keep the state."""
    at, ring, servers = room.at, len(steps.unmet), len(room.free)
    at[THEN], at[THEN_GROWTH], at[THEN_LOW], at[THEN_TOP] = at[NOW], at[GROWTH], at[LOW], at[TOP]
    now, growth, place, to = at[NOW], at[GROWTH], at[LOWEST], 0
    under_way = _under_way(room, point)
    if point.on_line > 0:
        at[THEN_HOLDS] = from_now_on(steps, room, under_way)
    for _ in range(under_way):
        for own in range(place, place + steps.size):
            later = room.when[own] > now
            room.then[to] = room.unmet[own]
            room.then[ring + to] = room.when[own] - now if later else 0
            room.then[2 * ring + to] = room.when_growth[own] - growth if later else 0
            to += 1
        place = after(steps, place)
    to = 3 * ring
    for server in range(servers):
        later, holds = room.free[server] > now, room.held[server] > now
        room.then[to] = room.free[server] - now if later else 0
        room.then[to + 1] = room.free_growth[server] - growth if later else 0
        room.then[to + 2] = room.held[server] - now if holds else 0
        room.then[to + 3] = room.held_growth[server] - growth if holds else 0
        to += 4


@_inlined
def _is_as_then(steps: Steps, room: Room, point: Point, by: int) -> bool:
    """Return whether the state is that which was kept, so many batches later."""
    at, ring, servers = room.at, len(steps.unmet), len(room.free)
    if at[TOP] - at[THEN_TOP] != by:
        return False
    for server in range(servers):
        own = 3 * ring + 4 * server
        if not _agree(room, point, own, own + 1, room.free[server], room.free_growth[server]):
            return False
        own += 2
        if steps.units > 0 and not _agree(
            room, point, own, own + 1, room.held[server], room.held_growth[server]
        ):
            return False
    place, then = at[LOWEST], 0
    for _ in range(_under_way(room, point)):
        for own in range(place, place + steps.size):
            if room.then[then] != room.unmet[own]:
                return False
            when, growth = ring + then, 2 * ring + then
            if not _agree(room, point, when, growth, room.when[own], room.when_growth[own]):
                return False
            then += 1
        place = after(steps, place)
    return True


@_inlined
def _agree(room: Room, point: Point, then: int, then_growth: int, time: int, growth: int) -> bool:
    """Return whether a time is as late as one that was kept, or neither is later than now."""
    at = room.at
    if time <= at[NOW]:
        return bool(room.then[then] == 0)
    if time - at[NOW] != room.then[then]:
        return False
    return bool(point.on_line == 0 or growth - at[GROWTH] == room.then[then_growth])
