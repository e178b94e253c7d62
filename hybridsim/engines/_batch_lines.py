"""How much longer a vector may take until a walk over batches is another one.

Each time of a walk grows evenly with what a vector takes, as long as what is later of some times
stays so, and as long as each server, or those that share something, do their tasks in the same
order. Whatever a server begins has to come before all else that could begin there: what waits for
it by then (:func:`begin_is_known`), and what is ready later (:func:`is_ready`). In which order
servers begin that share nothing has no say.

Where periods are added at once, at both ends all that was not walked has to come later than what
was (:func:`from_now_on`): so a time that was over stays over, and has no say either.
"""

from hybridsim.engines._batch_records import (
    ENTRIES,
    GROWTH,
    HOLDS,
    LINKED,
    LOWEST,
    NOW,
    PLACES,
    SERVERS,
    UNIT,
    UNIT_GROWTH,
    Point,
    Room,
    Steps,
)
from hybridsim.machine_code import machine_code

LONGEST = 1 << 40
"""How much longer a vector may take on a line, at most [ps]."""

_inlined = machine_code(_nrt=False, forceinline=True)


@_inlined
def _until(holds: int, later: int, growth: int, time: int, its_growth: int) -> int:
    """Return how much longer a vector may take, at most ``holds``, and one time be no later."""
    slower = its_growth - growth
    if slower > 0 and later - time < holds * slower:
        return int((later - time) // slower)
    return holds


@_inlined
def _keep_order(room: Room, later: int, growth: int, time: int, its_growth: int) -> None:
    """See to it that one time is no later than another one."""
    room.at[HOLDS] = _until(room.at[HOLDS], later, growth, time, its_growth)


@_inlined
def in_list(room: Room, server: int, number: int) -> int:
    """Return where a task that waits for a server lies."""
    return (server * len(room.when) + number) & ENTRIES


@_inlined
def _latest(steps: Steps, room: Room, server: int, task: int) -> tuple[int, int]:
    """Return when a task that waits for a server can begin [ps], and the growth of that."""
    begin, growth = room.free[server], room.free_growth[server]
    time, own = room.when[task & PLACES], room.when_growth[task & PLACES]
    if time > begin or (time == begin and own > growth):
        begin, growth = time, own
    if task & LINKED:
        time, own = room.at[UNIT], room.at[UNIT_GROWTH]
        if time > begin or (time == begin and own > growth):
            begin, growth = time, own
    return begin, growth


@_inlined
def begin_is_known(steps: Steps, room: Room, server: int, task: int, linked: bool) -> int:
    """Return the growth of when a server begins a task, which comes before all that waits."""
    place = task & PLACES
    begin, growth = _latest(steps, room, server, task)
    _keep_order(room, begin, growth, room.free[server], room.free_growth[server])
    _keep_order(room, begin, growth, room.when[place], room.when_growth[place])
    if linked and steps.units == 1:
        _keep_order(room, begin, growth, room.at[UNIT], room.at[UNIT_GROWTH])
    elif linked:
        for other in steps.sharing:
            if room.held[other] <= begin:
                _keep_order(room, begin, growth, room.held[other], room.held_growth[other])
    group = steps.group[server] & SERVERS
    if steps.units > 0 and group == steps.sharing[0]:
        for other in steps.sharing:
            _before_all_that_wait(steps, room, other & SERVERS, task, begin, growth)
    else:
        _before_all_that_wait(steps, room, server, task, begin, growth)
    room.last[group], room.began[group], room.began_growth[group] = task, begin, growth
    return growth


@_inlined
def unit_is_known(steps: Steps, room: Room) -> None:
    """See to it that all units that are given back later than the first one are so."""
    at = room.at
    for server in steps.sharing:
        if room.held[server] > at[UNIT]:
            held, growth = room.held[server], room.held_growth[server]
            _keep_order(room, held, growth, at[UNIT], at[UNIT_GROWTH])


@_inlined
def _before_all_that_wait(
    steps: Steps, room: Room, server: int, task: int, begin: int, growth: int
) -> None:
    """See to it that a task begins before all others that wait for a server."""
    for number in range(room.waiting[server]):
        other = room.tasks[in_list(room, server, number)]
        if other != task:
            time, own = _latest(steps, room, server, other)
            _keep_order(room, time - (other < task), own, begin, growth)


@_inlined
def need_is_met(room: Room, place: int, end: int, growth: int) -> None:
    """Let a task be ready no earlier than the end of one of its needs."""
    time, own = room.when[place], room.when_growth[place]
    if end > time or (end == time and growth > own):
        _keep_order(room, end, growth, time, own)
        room.when[place], room.when_growth[place] = end, growth
    else:
        _keep_order(room, time, own, end, growth)


@_inlined
def is_ready(steps: Steps, room: Room, task: int) -> None:
    """See to it that a task gets ready after its server, or its group, began the last one."""
    place = task & PLACES
    group = steps.group[steps.server[place] & SERVERS] & SERVERS
    time = room.when[place] - (task < room.last[group])
    _keep_order(room, time, room.when_growth[place], room.began[group], room.began_growth[group])


@_inlined
def end_is_known(room: Room, point: Point) -> int:
    """Return the last end of all, whose growth is left."""
    latest, growth = room.free[0], room.free_growth[0]
    for server in range(1, len(room.free)):
        time, own = room.free[server], room.free_growth[server]
        if time > latest or (time == latest and own > growth):
            latest, growth = time, own
    if point.on_line > 0:
        for server in range(len(room.free)):
            _keep_order(room, latest, growth, room.free[server], room.free_growth[server])
    room.at[GROWTH] = growth
    return int(latest)


@_inlined
def from_now_on(steps: Steps, room: Room, under_way: int) -> int:
    """Return how much longer a vector may take and what is over, or is to come, be so by now."""
    at, holds, now, growth = room.at, LONGEST, room.at[NOW], room.at[GROWTH]
    for server in range(len(room.free)):
        holds = _until(holds, now, growth, room.began[server], room.began_growth[server])
        if room.free[server] <= now:
            holds = _until(holds, now, growth, room.free[server], room.free_growth[server])
        if room.held[server] <= now:
            holds = _until(holds, now, growth, room.held[server], room.held_growth[server])
        for number in range(room.waiting[server]):
            task = room.tasks[in_list(room, server, number)]
            begin, own = _latest(steps, room, server, task)
            holds = _until(holds, begin, own, now, growth)
    place = at[LOWEST]
    for _ in range(under_way):
        for own in range(place, place + steps.size):
            if room.when[own] <= now:
                holds = _until(holds, now, growth, room.when[own], room.when_growth[own])
        place += steps.size
        if place == len(steps.unmet):
            place = 0
    return holds
