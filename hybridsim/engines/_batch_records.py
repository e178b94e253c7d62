"""What a walk over batches reads, and what it writes to."""

from typing import NamedTuple

import numpy as np

from hybridsim.units import Ints

NONE, NEVER = -(2**62), 2**63 - 1
"""Stand for no task, and for a task and a time that come after all others."""
TOO_FAR = -1
"""The end of a point whose batches are further apart than the window."""
PLACE_BITS, STEP_BITS = 22, 16
"""A task is ``(batch << 16 | step) << 22 | place``, and before all batches ``(number - how many)
<< 22 | place``: in plan order, with where all else about it is found. One that takes a unit of
what is shared has the bit ``LINKED`` besides."""
LINKED = 1 << PLACE_BITS - 1
PLACES, STEPS = LINKED - 1, (1 << STEP_BITS) - 1
BATCH = PLACE_BITS + STEP_BITS
"""Where the batch of a task begins."""
SERVERS, ENTRIES = (1 << 16) - 1, (1 << 48) - 1
"""The most servers, and tasks that wait for them. What is masked is not negative, which spares
the question whether it counts from the end of an array."""


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
    sharing: Ints
    """The servers that do such steps."""
    group: Ints
    """Of each server which one stands for it in what is shared: itself where nothing is."""
    server: Ints
    """Of each place."""
    first: Ints
    """Where the steps begin that wait for a step, and one more entry for their end."""
    to: Ints
    """How much larger each of them is than the first one of the batch, as tasks."""
    far: Ints
    """How many batches later they are at most."""
    unmet: Ints
    """Needs of each place of the first batches."""
    usual: Ints
    """Needs of each step of all later ones."""
    ready: Ints
    """The tasks that wait for nothing."""
    once_first: Ints
    """Where the steps begin that wait for a task before all batches, and one more entry."""
    once_to: Ints


class Room(NamedTuple):
    """What a walk writes to. A growth is that of a time where a vector takes 1 ps more."""

    takes: Ints
    """Of each step of a full batch [ps]."""
    grows: Ints
    """Its growth."""
    unmet: Ints
    """Needs of each place that have not been walked; -1 if it has been itself."""
    when: Ints
    """The last end of those that have [ps]; 0 for none."""
    when_growth: Ints
    done: Ints
    """Of the first place of each batch: steps that have been walked."""
    free: Ints
    """When each server is free of what was walked [ps]."""
    free_growth: Ints
    held: Ints
    """When it gives back the unit of what is shared that it took last [ps]."""
    held_growth: Ints
    last: Ints
    """The last task that was walked of each group of servers."""
    began: Ints
    """When that began [ps]."""
    began_growth: Ints
    next: Ints
    """When each server begins what it does next, as far as that is known [ps]."""
    number: Ints
    """Which of the tasks that wait for the server that is."""
    chosen: Ints
    """And that task."""
    waiting: Ints
    """How many do."""
    tasks: Ints
    """Those, as many for each server as there are places."""
    then: Ints
    """``unmet``, ``when``, ``free`` and ``held`` when they were last kept, and growths."""
    at: Ints
    """Numbers, named below."""


NOW, GROWTH, HOLDS, LOW, LOWEST, TOP, ONCE, UNIT, UNIT_GROWTH = range(9)
"""When what was walked last began, and its growth; how much longer a vector may take before the
walk is another one; the first batch that is not done, and its first place; the last batch that was
looked for; tasks before all batches that have not been walked; when there is a unit of what is
shared."""
THEN, THEN_GROWTH, THEN_HOLDS, THEN_LOW, THEN_TOP, NUMBERS = range(9, 15)
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


def room_for(steps: Steps) -> Room:
    """Return room to walk in."""
    ring, servers = len(steps.unmet), len(steps.group)
    places = ring + steps.once
    by_step, by_place = np.empty((2, steps.size), np.int64), np.empty((4, places), np.int64)
    by_server = np.empty((11, servers), np.int64)
    tasks = np.empty(servers * places, np.int64)
    then, at = np.empty(3 * ring + 4 * servers, np.int64), np.empty(NUMBERS, np.int64)
    columns: list[Ints] = [*by_step, *by_place, *by_server, tasks, then, at]
    return Room(*columns)
