"""What a walk over batches reads, and what it writes to."""

from typing import NamedTuple

import numpy as np

from hybridsim.units import Ints

NONE, NEVER = -(2**62), 2**63 - 1
"""Stand for no task, and for a task and a time that come after all others."""
TOO_FAR = -1
"""The end of a point whose batches are further apart than the window."""
STEP = 16
"""A task is ``batch << 16 | step``, and before all batches ``number - how many``: plan order."""
MASK = (1 << STEP) - 1


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


def room_for(steps: Steps) -> Room:
    """Return room to walk in."""
    places, servers = len(steps.unmet), len(steps.alone) + len(steps.sharing)
    takes, grows = np.empty((2, steps.size), np.int64)
    unmet, done = np.empty((2, places), np.int64)
    running, place, end, growth, waiting = np.empty((5, servers), np.int64)
    tasks, where = np.empty((2, servers, places + steps.once), np.int64)
    then, at = np.empty(places + 3 * servers, np.int64), np.empty(NUMBERS, np.int64)
    return Room(
        takes, grows, unmet, done, running, place, end, growth, waiting, tasks, where, then, at
    )
