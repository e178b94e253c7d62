"""What tables of states hold: records of integers, and what these stand for."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Shorts: TypeAlias = NDArray[np.int16]
Record: TypeAlias = Any
Records: TypeAlias = NDArray[Any]

FAR, GONE = 32_000, 32_001
WAITING, READY, DONE, RUNNING = range(4)
"""What a task is; one that runs in slot s is ``RUNNING + s``."""
MOST_SLOTS = 60
COMMON = 8
"""Tasks without a resource of one unit that can run at the same time."""
NEVER = 2**62
FULL, LOST = -1, -2
"""What a move is if the tables may not grow, or if the window is too small for it."""


def record(*fields: str) -> np.dtype[Any]:
    """Return a type of integers whose fields read as attributes, also without Numba."""
    return np.dtype((np.record, [(field, np.int64) for field in fields]))


LOOP = record(
    "step_first",  # its steps are steps[step_first:step_first + size]
    "size",
    "window",  # iterations that a state holds
    "marks",  # where those lie in a state
    "begun",  # where the number of complete iterations lies in a state
    "left",  # where the number of others lies
    "most_begun",  # from here on begun is not counted
    "late",  # iterations at the end that are different, or waited for
    "ahead",  # how far behind the last task touched one can be that becomes ready next
)
STEP = record(
    "usual",  # its work
    "odd",  # its other works: odds[odd:odd + early + late]
    "early",
    "late",
    "use_first",
    "use_last",
    "need_first",
    "need_last",
    "slot",  # where it runs, or -1 for any of the common slots
)
NEED = record(
    "kind",  # WITHIN, BESIDE, FROM_START or FROM_END
    "loop",
    "step",  # place in its loop
    "back",  # iterations back, or the iteration, or how many before the end
    "gap",  # number among the gaps
)
WITHIN, BESIDE, FROM_START, FROM_END = range(4)
GAP = record("source", "user", "ratio", "ahead", "place")
EXIT = record("set", "loop", "step", "from_end")
MOVE = record("mask", "state", "next", "start_first", "start_last", "advances", "exits")
STATE = record("move", "watch_first", "watch_last", "runs")
WATCH = record("place", "limit")  # place: a loop, or the number of loops plus a gap
START = record("slot", "work")
SIZES = record("states", "moves", "starts", "watches", "most")  # most: of the states
CLOCK = record("now", "state", "mask", "near", "exits", "saved", "saved_now", "looks",
               "power", "rising", "saved_rising", "reach")  # fmt: skip
