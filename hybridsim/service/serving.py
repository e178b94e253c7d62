"""A chip that serves requests: batches form, adapters are swapped in, the batch runs.

The chip works on one batch at a time. When it is free it takes the request that waits longest,
and with it others that wait, up to the batch size: those of the same task (``grouped``) or
whichever come next (``mixed``). Adapters that are not in the on-chip store are fetched from
external memory before the batch starts. With ``overlap`` the fetch for the next batch begins as
soon as that batch is known and the one before has started; its place in the store is then needed
beside that of the batch that runs.
"""

from array import array
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from hybridsim.errors import InputError
from hybridsim.service.requests import Request, Requests
from hybridsim.service.residency import Store
from hybridsim.units import Ints

Mix = Literal["grouped", "mixed", "continuous"]
MIXES: tuple[Mix, ...] = ("grouped", "mixed", "continuous")
BatchMix = Literal["grouped", "mixed"]
"""What shares a batch that runs from start to end; see :mod:`.continuous` for the other way."""
Times = NDArray[np.uint64]


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


class ServedRequests(Sequence[Served]):
    """Requests in the order in which they were served, held as columns."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self.requests = requests
        self.columns = Requests.of(requests)
        """The same as columns."""
        self.places = array("i")
        """The place of each among the requests."""
        self.batch = array("i")
        self.start_ps = array("Q")
        self.end_ps = array("Q")
        self.first_ps = array("Q")
        """When its first token was there; 0 if it generates none."""

    def add(self, place: int, batch: int, start_ps: int, end_ps: int, first_ps: int) -> None:
        """Append a request that was served."""
        self.places.append(place)
        self.batch.append(batch)
        self.start_ps.append(start_ps)
        self.end_ps.append(end_ps)
        self.first_ps.append(first_ps)

    def times(self, name: str) -> Times:
        """Return one of the columns of times [ps]."""
        column: array[int] = getattr(self, name)
        return np.frombuffer(column, np.uint64)

    @property
    def arrival_ps(self) -> Times:
        """When each arrived [ps]."""
        arrivals = np.frombuffer(self.columns.arrival_ps, np.uint64)
        arrival: Times = arrivals[np.frombuffer(self.places, np.intc)]
        return arrival

    def column(self, name: str) -> Ints:
        """Return a column of the requests: task (its number), prompt or output."""
        columns: Ints = np.frombuffer(getattr(self.columns, name), np.int64)
        column: Ints = columns[np.frombuffer(self.places, np.intc)]
        return column

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, place: int) -> Served: ...
    @overload
    def __getitem__(self, place: slice) -> list[Served]: ...
    def __getitem__(self, place: int | slice) -> Served | list[Served]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        return Served(
            self.requests[self.places[place]],
            self.batch[place],
            self.start_ps[place],
            self.end_ps[place],
            self.first_ps[place] or None,
        )


class Batches(Sequence[Batch]):
    """Batches in the order in which they ran, held as columns."""

    def __init__(self) -> None:
        self.requests = array("i")
        self.tasks = array("i")
        self.fetched: list[tuple[str, ...]] = []
        self.fetch_ps = array("Q")
        self.lost_ps = array("Q")
        self.start_ps = array("Q")
        self.end_ps = array("Q")

    def add(self, batch: Batch) -> None:
        """Append a batch."""
        self.requests.append(batch.requests)
        self.tasks.append(batch.tasks)
        self.fetched.append(batch.fetched)
        self.fetch_ps.append(batch.fetch_ps)
        self.lost_ps.append(batch.lost_ps)
        self.start_ps.append(batch.start_ps)
        self.end_ps.append(batch.end_ps)

    def __len__(self) -> int:
        return len(self.start_ps)

    @overload
    def __getitem__(self, place: int) -> Batch: ...
    @overload
    def __getitem__(self, place: slice) -> list[Batch]: ...
    def __getitem__(self, place: int | slice) -> Batch | list[Batch]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        return Batch(
            self.requests[place],
            self.tasks[place],
            self.fetched[place],
            self.fetch_ps[place],
            self.lost_ps[place],
            self.start_ps[place],
            self.end_ps[place],
        )


def serve(
    requests: Sequence[Request],
    store: Store,
    service_ps: Callable[[Sequence[Request]], int],
    fetch_ps: Callable[[str], int],
    *,
    most: int = 1,
    mix: BatchMix = "grouped",
    overlap: bool = False,
    moments: Callable[[Sequence[Request]], Sequence[Moments]] | None = None,
    watch: Callable[[int], None] = lambda done: None,
) -> tuple[ServedRequests, Batches]:
    """Serve ``requests``, which are sorted by arrival, and return when each one was.

    ``service_ps`` gives the time of a batch, ``fetch_ps`` that of fetching a task's adapters,
    ``most`` how many requests a batch holds, ``moments`` when each request of a batch is done,
    all of them with the batch unless given; ``watch`` is told now and then how many are done.

    Raises:
        InputError: ``most`` is below 1, or requests are not sorted by arrival.
        CapacityError: Adapters that are needed at the same time exceed the store.
    """
    check(requests, most)
    served, batches = ServedRequests(requests), Batches()
    waiting = _Waiting(requests)
    free = channel = began = 0
    running: tuple[str, ...] = ()
    while waiting:
        taken = max(free, waiting.earliest_ps)
        places = waiting.take(taken, most, mix)
        batch = [requests[place] for place in places]
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
        if moments is None:
            own: Sequence[Moments] = [Moments(service_ps(batch))] * len(batch)
        else:
            own = moments(batch)
        end = start + max(when.end_ps for when in own)
        for place, when in zip(places, own, strict=True):
            first = 0 if when.first_ps is None else start + when.first_ps
            served.add(place, len(batches), start, start + when.end_ps, first)
        batches.add(Batch(len(batch), len(tasks), fetched, took, start - taken, start, end))
        free, began, running = end, start, tasks
        if len(batches) % _OFTEN == 0:
            watch(len(served))
    return served, batches


_OFTEN = 1000
"""Batches after which progress is told."""


def check(requests: Sequence[Request], most: int) -> None:
    """Refuse what cannot be served.

    Raises:
        InputError: ``most`` is below 1, or requests are not sorted by arrival.
    """
    if most < 1:
        raise InputError(f"batch: found {most}; write a number of requests of 1 or more")
    if any(a > b for a, b in pairwise(Requests.of(requests).arrival_ps)):
        raise InputError("requests: not sorted by arrival; sort them")


class _Waiting:
    """Requests that have not been taken yet, by their places: all, and by task as they come."""

    def __init__(self, requests: Sequence[Request]) -> None:
        columns = Requests.of(requests)
        self._arrival, self._task = columns.arrival_ps, columns.task
        self._taken = bytearray(len(columns))
        self._first = self._coming = 0
        self._here: dict[int, deque[int]] = {}

    def __bool__(self) -> bool:
        return self._first < len(self._taken)

    @property
    def earliest_ps(self) -> int:
        """When the request arrived, or will, that has to be taken first [ps]."""
        return self._arrival[self._first]

    def take(self, now: int, most: int, mix: BatchMix) -> list[int]:
        """Take the request that waits longest, and up to ``most - 1`` that may join it."""
        place, end = self._first, len(self._taken)
        batch = [place]
        self._taken[place] = 1
        if mix == "grouped" and most > 1:
            self._let_in(now)
            same = self._here[self._task[place]]
            same.popleft()
            while same and len(batch) < most:
                batch.append(same.popleft())
                self._taken[batch[-1]] = 1
        while mix == "mixed" and len(batch) < most:
            place += 1
            if place == end or self._arrival[place] > now:
                break
            batch.append(place)
            self._taken[place] = 1
        while self._first < end and self._taken[self._first]:
            self._first += 1
        return batch

    def _let_in(self, now: int) -> None:
        """Put those that arrived to the others of their task."""
        while self._coming < len(self._arrival) and self._arrival[self._coming] <= now:
            own = self._here.setdefault(self._task[self._coming], deque())
            own.append(self._coming)
            self._coming += 1
