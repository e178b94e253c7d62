"""Requests to a chip over time: when each arrives, for which task, and how long it is."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from hybridsim.errors import InputError

LATEST_PS = 15 * 10**18
"""The latest arrival [ps]: 173 days, so that what follows it fits 64 bits without a sign."""
MOST_REQUESTS = 10**7
"""The most requests of a trace: about 0.5 GB as columns."""
MOST_TASKS = 10**4
"""The most tasks of random requests."""


@dataclass(frozen=True, slots=True)
class Request:
    """One sequence that a user wants processed."""

    arrival_ps: int
    """When it arrives, from the beginning of the trace [ps]."""
    task: str
    """Which task's adapter it needs."""
    prompt: int
    """Tokens that come in."""
    output: int = 0
    """Tokens that are to be generated; 0 for an encoder."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The file that requests come from."""

    file: str
    format: str
    """The name of its format, one of :data:`hybridsim.service.traces.FORMATS`."""
    lines: "array[int]"
    """The line of each request."""
    left_out: int = 0
    """Lines of a published trace that are no requests, as they have no prompt."""


@dataclass(eq=False)
class Requests(Sequence[Request]):
    """Requests in the order of their arrival, held as columns: some 40 bytes each."""

    tasks: tuple[str, ...]
    """The names of all tasks."""
    arrival_ps: "array[int]" = field(default_factory=lambda: array("Q"))
    task: "array[int]" = field(default_factory=lambda: array("q"))
    """The number of the task of each."""
    prompt: "array[int]" = field(default_factory=lambda: array("q"))
    output: "array[int]" = field(default_factory=lambda: array("q"))
    blocks: "list[array[int]] | None" = None
    """Numbers of the blocks of each prompt, alike for equal beginnings; None if unknown."""
    block: int = 0
    """Tokens of such a block; 0 where there are none."""
    origin: Origin | None = None

    @classmethod
    def of(cls, requests: Iterable[Request]) -> "Requests":
        """Return some requests as columns."""
        if isinstance(requests, Requests):
            return requests
        numbers: dict[str, int] = {}
        found = cls(())
        for each in requests:
            number = numbers.setdefault(each.task, len(numbers))
            found.add(each.arrival_ps, number, each.prompt, each.output)
        found.tasks = tuple(numbers)
        return found

    def add(self, arrival_ps: int, task: int, prompt: int, output: int) -> None:
        """Append a request."""
        self.arrival_ps.append(arrival_ps)
        self.task.append(task)
        self.prompt.append(prompt)
        self.output.append(output)

    def only(self, kept: Sequence[int]) -> "Requests":
        """Return some of the requests, by their places in order."""
        origin = self.origin
        if origin is not None:
            lines = array("q", [origin.lines[i] for i in kept])
            origin = Origin(origin.file, origin.format, lines, origin.left_out)
        arrival, task, prompt, output = (
            array(column.typecode, [column[i] for i in kept])
            for column in (self.arrival_ps, self.task, self.prompt, self.output)
        )
        blocks = None if self.blocks is None else [self.blocks[i] for i in kept]
        return Requests(self.tasks, arrival, task, prompt, output, blocks, self.block, origin)

    @property
    def asked(self) -> tuple[str, ...]:
        """The tasks that are asked for, in the order in which they come up."""
        return tuple(self.tasks[number] for number in dict.fromkeys(self.task))

    @property
    def generate(self) -> bool:
        """Whether any of them generates tokens."""
        return any(self.output)

    def __len__(self) -> int:
        return len(self.prompt)

    @overload
    def __getitem__(self, index: int) -> Request: ...
    @overload
    def __getitem__(self, index: slice) -> list[Request]: ...
    def __getitem__(self, index: int | slice) -> Request | list[Request]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return Request(
            self.arrival_ps[index],
            self.tasks[self.task[index]],
            self.prompt[index],
            self.output[index],
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


def poisson_requests(
    tasks: Sequence[str],
    rate_per_s: float,
    count: int,
    prompt: int,
    output: int = 0,
    seed: int = 0,
) -> Requests:
    """Return ``count`` requests of random tasks that arrive independently of each other.

    Times between arrivals are exponential with mean 1 / ``rate_per_s``; every task is as likely
    as any other. The same seed gives the same requests.

    Raises:
        InputError: There is no task, or too many; the rate is not a positive number, or so low
            that the last request would arrive after :data:`LATEST_PS`; count or seed are out of
            range.
    """
    if not tasks:
        raise InputError("requests: found no task; name one or more")
    for name, value, least, most in (
        ("tasks", len(tasks), 1, MOST_TASKS),
        ("count", count, 1, MOST_REQUESTS),
        ("seed", seed, 0, 2**63 - 1),
    ):
        if not least <= value <= most:
            raise InputError(f"{name}: found {value}; write a whole number from {least} to {most}")
    if not 0 < rate_per_s < float("inf"):
        raise InputError(
            f"rate: found {rate_per_s}; write a number of requests per second above 0"
        )
    generator = np.random.default_rng(seed)
    gaps = generator.exponential(min(10**12 / rate_per_s, 1e300), count)
    if gaps.sum() > LATEST_PS:
        raise InputError(
            f"rate: found {rate_per_s:g} requests per second; {count} of them would take more "
            f"than {LATEST_PS // (86_400 * 10**12)} days; a higher rate or a lower count would do"
        )
    arrivals = np.cumsum(np.maximum(1, gaps.astype(np.uint64)))
    chosen = generator.integers(len(tasks), size=count)
    found = Requests(tuple(tasks), array("Q", arrivals.tobytes()), _column(chosen))
    found.prompt = array("q", [prompt]) * count
    found.output = array("q", [output]) * count
    return found


def _column(numbers: NDArray[Any]) -> "array[int]":
    return array("q", numbers.astype(np.int64).tobytes())
