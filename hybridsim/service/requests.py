"""Requests to a chip over time: when each arrives, for which task, and how long it is."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np

from hybridsim.csv_files import Row, read_table
from hybridsim.errors import InputError
from hybridsim.units import Ints

COLUMNS = ("arrival", "task", "prompt")
"""Columns that a request trace must have; ``output`` may follow, and is 0 where it is missing."""
_PS_PER_UNIT = {"": 10**12, "s": 10**12, "ms": 10**9, "us": 10**6, "ns": 10**3, "ps": 1}
_ARRIVAL = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)\s*([a-z]*)")
_MOST_PS = 2**61
"""Latest arrival [ps]: 26 days, so that sums of times fit 64 bits."""


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


def read_requests(path: Path) -> tuple[Request, ...]:
    """Return the requests of a CSV file with the columns arrival, task, prompt and maybe output.

    An arrival is a time with a unit (``12.5 ms``) or a bare number of seconds.

    Raises:
        SpecError: The file is no such table, a value is not usable, or arrivals go back in time.
    """
    table = read_table(path)
    table.require(COLUMNS)
    requests: list[Request] = []
    for row in table.rows:
        request = _request(row)
        if requests and request.arrival_ps < requests[-1].arrival_ps:
            raise row.problem(
                "arrival",
                f"the line before arrives at {requests[-1].arrival_ps / 10**12:g} s; "
                "sort the requests by arrival",
            )
        requests.append(request)
    return tuple(requests)


def _request(row: Row) -> Request:
    match = _ARRIVAL.fullmatch(row.cells["arrival"].strip())
    if match is None or match[2] not in _PS_PER_UNIT:
        raise row.problem("arrival", "write a time of 0 or more, as in '12.5 ms', or in seconds")
    arrival = int(Decimal(match[1]) * _PS_PER_UNIT[match[2]])
    if arrival > _MOST_PS:
        raise row.problem("arrival", "write a time of at most 26 days")
    task = row.cells["task"].strip()
    if not 1 <= len(task) <= 200:
        raise row.problem("task", "write a name of 1 to 200 characters")
    output = row.whole("output", 0, 2**20) if "output" in row.cells else 0
    return Request(arrival, task, row.whole("prompt", 1, 2**20), output)


def poisson_requests(
    tasks: Sequence[str],
    rate_per_s: float,
    count: int,
    prompt: int,
    output: int = 0,
    seed: int = 0,
) -> tuple[Request, ...]:
    """Return ``count`` requests of random tasks that arrive independently of each other.

    Times between arrivals are exponential with mean 1 / ``rate_per_s``; every task is as likely
    as any other. The same seed gives the same requests.

    Raises:
        InputError: There is no task, or the rate is not a positive number.
    """
    if not tasks:
        raise InputError("requests: found no task; name one or more")
    if not 0 < rate_per_s < float("inf"):
        raise InputError(
            f"rate: found {rate_per_s}; write a number of requests per second above 0"
        )
    generator = np.random.default_rng(seed)
    gaps = generator.exponential(10**12 / rate_per_s, count)
    arrivals: Ints = np.cumsum(np.maximum(1, gaps.astype(np.int64)))
    chosen = generator.integers(len(tasks), size=count)
    return tuple(
        Request(int(arrival), tasks[task], prompt, output)
        for arrival, task in zip(arrivals, chosen, strict=True)
    )
