"""Sending points to an executor in chunks, each long enough for its overhead not to matter."""

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass

import numpy as np

from hybridsim.sweeps.evaluate import Done, Work, evaluate_chunk
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
        self.size = max(1, min(round(target / self.per_point), points * GROWTH))

    def chunk(self, left: int, workers: int) -> int:
        """Return the size of the next chunk: at the end, so that workers finish together."""
        if workers == 1:
            return min(self.size, left)
        few = round(LAST_SECONDS / self.per_point) if self.per_point else 1
        return min(self.size, left, max(1, few, -(-left // (2 * workers))))


def evaluate_all(
    work: Work,
    indices: Ints,
    executor: Executor,
    workers: int,
    record: Record,
    stopped: Callable[[], bool],
    begins: Ints | None = None,
) -> bool:
    """Evaluate points in order, give finished chunks to ``record``; return whether all were.

    Points from one of the ``begins`` to the next share most work, and stay in one chunk if they
    can. When ``stopped`` says so, nothing more is sent, and what is under way is still recorded.
    """
    cuts = np.concatenate(([0], () if begins is None else begins, [len(indices)])).astype(np.int64)
    waiting: dict[Future[Done], tuple[Ints, float]] = {}
    pace, sent = Pace(), 0
    most_waiting = workers + 1 if workers > 1 else 1  # one ahead, so that no worker waits for us
    try:
        while True:
            while sent < len(indices) and len(waiting) < most_waiting and not stopped():
                chunk = indices[sent : _cut(cuts, sent, pace.chunk(len(indices) - sent, workers))]
                start = time.thread_time()  # what else the machine does is no matter
                future = executor.submit(evaluate_chunk, work, chunk)
                waiting[future] = chunk, time.thread_time() - start
                sent += len(chunk)
            if not waiting:
                return sent == len(indices)
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                chunk, sending = waiting.pop(future)
                done = future.result()
                start = time.perf_counter()
                record(chunk, done)
                sending -= done.seconds if workers == 1 and sending > done.seconds else 0
                overhead = sending + time.perf_counter() - start
                pace.measured(len(chunk), done.seconds, overhead)
    finally:
        for future in waiting:
            future.cancel()


def _cut(cuts: Ints, sent: int, size: int) -> int:
    """Return where a chunk of about a size ends that begins at ``sent``."""
    last = int(cuts[np.searchsorted(cuts, sent + size, side="right") - 1])
    return last if last > sent else sent + size


def spread(count: int, most: int) -> Ints:
    """Return up to ``most`` of ``count`` indices, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
