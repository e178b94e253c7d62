"""How sure the times of a service are: the trace served again with all runs at their ends."""

from collections.abc import Sequence
from typing import Any

from hybridsim.arch import Machine
from hybridsim.certainty import interval_of
from hybridsim.service.requests import Request, Requests
from hybridsim.service.result import ServiceInterval, ServiceResult
from hybridsim.service.service import run_service
from hybridsim.simulation import execute
from hybridsim.strategies import Strategy
from hybridsim.workload import Network

MOST_AGAIN = 20_000
"""Requests of a trace that is served again: of longer ones the time at work alone is told."""


def service_interval(
    result: ServiceResult,
    network: Network,
    machine: Machine,
    requests: Sequence[Request],
    strategy: Strategy,
    **options: Any,
) -> ServiceInterval:
    """Return how sure a result is; ``options`` are those of :func:`run_service` that led to it.

    Raises:
        InputError: As :func:`run_service`.
    """
    columns = Requests.of(requests)
    done = execute(network, machine, strategy, max(columns.prompt))
    found = interval_of(done)
    paces = [end / max(1, done.result.latency_ps)
             for end in (found.latency_low_ps, found.latency_high_ps)]  # fmt: skip
    ends: list[dict[str, float] | None] = [None, None]
    if result.continuous is None and len(columns) <= MOST_AGAIN:
        ends = [
            run_service(
                network, machine, requests, strategy=strategy, pace=pace, **options
            ).result.latency_ms
            for pace in paces
        ]
    return ServiceInterval(
        level=found.level,
        service_low_ms=result.service_mean_ms * paces[0],
        service_high_ms=result.service_mean_ms * paces[1],
        latency_low_ms=ends[0],
        latency_high_ms=ends[1],
        not_in_interval=tuple(n for n in found.not_in_interval if n != "energy constants"),
    )
