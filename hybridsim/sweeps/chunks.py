"""Sending points to an executor in chunks, each long enough for its overhead not to matter."""

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hybridsim.errors import InputError
from hybridsim.sweeps.evaluate import Done, Work, evaluate_chunk
from hybridsim.sweeps.executors import Processes
from hybridsim.units import Ints

OVERHEAD = 0.05
"""The most that sending, receiving and recording a chunk may take of the time to compute it."""
LEAST_SECONDS, MOST_SECONDS = 1.0, 5.0
"""How long a chunk should take: not so short that points share little, nor so long that an
interrupted sweep makes people wait."""
LAST_SECONDS = 0.2
"""How long one takes at least when workers share what is left: one may end that much later."""
GROWTH = 16
"""By how much a chunk may be larger than the one before: the first ones time themselves."""

MOST_TOGETHER = 2**18
"""Points of a chunk at most: what is held of them at the same time is bounded, however little
time each takes."""

MOST_DEATHS = 3
"""How often in a row processes may die before anything is finished."""

Record = Callable[[Ints, Done], None]


@dataclass
class Pace:
    """How many points go together, from what the chunks before took."""

    per_point: float = 0.0
    """Seconds per point of the last chunks; one that was cut short says less."""
    overhead: float = 0.0
    """Seconds per chunk that are not computation, a running mean."""
    size: int = 1

    def measured(self, points: int, seconds: float, overhead: float) -> None:
        """Take in what a chunk of that many points took."""
        weight = min(1.0, points / self.size)
        self.per_point += (max(seconds / points, 1e-9) - self.per_point) * weight
        self.overhead += (overhead - self.overhead) / (4 if self.overhead else 1)
        target = min(max(LEAST_SECONDS, self.overhead / OVERHEAD), MOST_SECONDS)
        self.size = max(1, min(round(target / self.per_point), points * GROWTH, MOST_TOGETHER))

    def chunk(self, left: int, workers: int) -> int:
        """Return the size of the next chunk: at the end, so that workers finish together."""
        if workers == 1:
            return min(self.size, left)
        few = round(LAST_SECONDS / self.per_point) if self.per_point else 1
        return min(self.size, left, max(1, few, -(-left // (2 * workers))))


class Source(Protocol):
    """Points that are left to evaluate."""

    def __len__(self) -> int:
        """Return how many are left."""

    def take(self, most: int) -> Ints:
        """Return the next points, ``most`` of them or less."""


def evaluate_all(
    work: Work,
    source: Source,
    executor: Executor,
    workers: int,
    record: Record,
    stopped: Callable[[], bool],
) -> bool:
    """Evaluate points in order, give finished chunks to ``record``; return whether all were.

    When ``stopped`` says so, nothing more is sent, and what is under way is still recorded. What
    a process was doing that dies is done again.

    Raises:
        InputError: Processes die again and again.
    """
    waiting: dict[Future[Done], tuple[Ints, float]] = {}
    again: list[Ints] = []
    pace, deaths = Pace(), 0
    most_waiting = workers + 1 if workers > 1 else 1  # one ahead, so that no worker waits for us
    try:
        while True:
            while (again or len(source)) and len(waiting) < most_waiting and not stopped():
                chunk = again.pop() if again else source.take(pace.chunk(len(source), workers))
                start = time.thread_time()  # what else the machine does is no matter
                future = executor.submit(evaluate_chunk, work, chunk)
                waiting[future] = chunk, time.thread_time() - start
            if not waiting:
                return not again and not len(source)
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                chunk, sending = waiting.pop(future)
                if isinstance(future.exception(), BrokenExecutor):
                    again.append(chunk)
                    continue
                done, deaths = future.result(), 0
                start = time.perf_counter()
                record(chunk, done)
                sending -= done.seconds if workers == 1 and sending > done.seconds else 0
                overhead = sending + time.perf_counter() - start
                pace.measured(len(chunk), done.seconds, overhead)
            if again and not waiting:  # the others of a broken executor end in the same way
                deaths = _begin_again(executor, deaths)
    finally:
        for future in waiting:
            future.cancel()


def _begin_again(executor: Executor, deaths: int) -> int:
    if deaths == MOST_DEATHS or not isinstance(executor, Processes):
        raise InputError(
            f"--executor: processes died {deaths + 1} times and finished nothing in between, "
            "killed from outside or for want of memory; fewer of them would do, and what was "
            "recorded before is kept"
        )
    executor.begin_again()
    return deaths + 1


def spread(count: int, most: int) -> Ints:
    """Return up to ``most`` of ``count`` indices, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
