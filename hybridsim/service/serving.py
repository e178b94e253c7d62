"""A chip that serves requests: batches form, adapters are swapped in, the batch runs.

The chip works on one batch at a time. When it is free it takes the request that waits longest,
and with it others that wait, up to the batch size: those of the same task (``grouped``) or
whichever come next (``mixed``). Adapters that are not in the on-chip store are fetched from
external memory before the batch starts. With ``overlap`` the fetch for the next batch begins as
soon as that batch is known and the one before has started; its place in the store is then needed
beside that of the batch that runs.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from hybridsim.errors import InputError
from hybridsim.service.requests import Request
from hybridsim.service.residency import Store

Mix = Literal["grouped", "mixed"]
MIXES: tuple[Mix, ...] = ("grouped", "mixed")


@dataclass(frozen=True, slots=True)
class Served:
    """One request and when it was served; times in ps from the beginning of the trace."""

    request: Request
    batch: int
    """Which batch it was part of, from 0."""
    start_ps: int
    end_ps: int
    first_ps: int | None = None
    """When its first token was there, if it generates any."""

    @property
    def latency_ps(self) -> int:
        """From arrival to end [ps]."""
        return self.end_ps - self.request.arrival_ps

    @property
    def first_token_ps(self) -> int | None:
        """From arrival to the first token [ps]; None if it generates none."""
        return None if self.first_ps is None else self.first_ps - self.request.arrival_ps

    @property
    def waiting_ps(self) -> int:
        """From arrival to the start of its batch [ps]."""
        return self.start_ps - self.request.arrival_ps


@dataclass(frozen=True, slots=True)
class Moments:
    """When a request of a batch is done, from the start of the batch."""

    end_ps: int
    first_ps: int | None = None
    """When its first token is there, if it generates any."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests that ran together."""

    requests: int
    tasks: int
    fetched: tuple[str, ...]
    """Tasks whose adapters were fetched for it."""
    fetch_ps: int
    """How long the fetches took [ps]."""
    lost_ps: int
    """How long the chip was free and waited for them [ps]."""
    start_ps: int
    end_ps: int


def serve(
    requests: Sequence[Request],
    store: Store,
    service_ps: Callable[[Sequence[Request]], int],
    fetch_ps: Callable[[str], int],
    *,
    most: int = 1,
    mix: Mix = "grouped",
    overlap: bool = False,
    moments: Callable[[Sequence[Request]], Sequence[Moments]] | None = None,
) -> tuple[tuple[Served, ...], tuple[Batch, ...]]:
    """Serve ``requests``, which are sorted by arrival, and return when each one was.

    ``service_ps`` gives the time of a batch, ``fetch_ps`` that of fetching a task's adapters,
    ``most`` how many requests a batch holds, ``moments`` when each request of a batch is done,
    all of them with the batch unless given.

    Raises:
        InputError: ``most`` is below 1, or requests are not sorted by arrival.
        CapacityError: Adapters that are needed at the same time exceed the store.
    """
    if most < 1:
        raise InputError(f"batch: found {most}; write a number of requests of 1 or more")
    if any(a.arrival_ps > b.arrival_ps for a, b in pairwise(requests)):
        raise InputError("requests: not sorted by arrival; sort them")
    served: list[Served] = []
    batches: list[Batch] = []
    waiting = _Waiting(requests)
    free = channel = began = 0
    running: tuple[str, ...] = ()
    while waiting:
        taken = max(free, waiting.earliest_ps)
        batch = waiting.take(taken, most, mix)
        tasks = tuple(dict.fromkeys(request.task for request in batch))
        fetched = store.use(tasks, running if overlap else ())
        ready = took = 0
        for task in fetched:
            known = next(request.arrival_ps for request in batch if request.task == task)
            channel = max(channel, known, began) if overlap else max(channel, taken)
            took += fetch_ps(task)
            channel += fetch_ps(task)
            ready = channel
        start = max(taken, ready)
        end = start + service_ps(batch)
        own = moments(batch) if moments else [Moments(end - start)] * len(batch)
        served += [
            Served(
                request,
                len(batches),
                start,
                start + when.end_ps,
                None if when.first_ps is None else start + when.first_ps,
            )
            for request, when in zip(batch, own, strict=True)
        ]
        batches.append(Batch(len(batch), len(tasks), fetched, took, start - taken, start, end))
        free, began, running = end, start, tasks
    return tuple(served), tuple(batches)


class _Waiting:
    """Requests that have not been taken yet: those that arrived, task by task, and the others."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self._coming = deque(enumerate(requests))
        self._here: dict[str, deque[tuple[int, Request]]] = {}

    def __bool__(self) -> bool:
        return bool(self._coming) or any(self._here.values())

    @property
    def earliest_ps(self) -> int:
        """When the request arrived, or will, that has to be taken first [ps]."""
        first = min(
            (queue[0] for queue in self._here.values() if queue),
            key=lambda numbered: numbered[0],
            default=None,
        )
        return (first or self._coming[0])[1].arrival_ps

    def take(self, now: int, most: int, mix: Mix) -> list[Request]:
        """Take the request that waits longest, and up to ``most - 1`` that may join it."""
        while self._coming and self._coming[0][1].arrival_ps <= now:
            number, request = self._coming.popleft()
            self._here.setdefault(request.task, deque()).append((number, request))
        batch: list[Request] = []
        while len(batch) < most:
            queues = [queue for queue in self._here.values() if queue]
            if mix == "grouped" and batch:
                queues = [queue for queue in queues if queue[0][1].task == batch[0].task]
            if not queues:
                break
            batch.append(min(queues, key=lambda queue: queue[0][0]).popleft()[1])
        return batch
