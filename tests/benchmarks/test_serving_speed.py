"""CPU time of serving long traces; run with ``pytest -m benchmark``."""

import time
from typing import Any

import numpy as np
import pytest

import hybridsim
from hybridsim.service import Request, Requests, poisson_requests, run_service


def of_cpu(group: str) -> pytest.MarkDecorator:
    """Return the mark of a benchmark of CPU time, which others on the machine do not change."""
    return pytest.mark.benchmark(group=group, timer=time.process_time, disable_gc=True)


def conversations(count: int, rate_per_s: float) -> Requests:
    """Return requests with lengths like those of Azure's conversations of 2023.

    Their groups of lengths were read off the trace that Vidur publishes.
    """
    random = np.random.default_rng(1)
    arrivals = np.cumsum(random.exponential(1e12 / rate_per_s, count)).astype(int)
    kinds = random.choice(4, count, p=[0.25, 0.6, 0.1, 0.05])
    low = np.array([[20, 12], [900, 280], [1300, 120], [2000, 27]])[kinds]
    high = np.array([[460, 220], [1260, 520], [1360, 280], [4120, 170]])[kinds]
    lengths = random.integers(low, high)
    return Requests.of(
        Request(arrival, "requests", *both)
        for arrival, both in zip(arrivals.tolist(), lengths.tolist(), strict=True)
    )


@of_cpu("20,000 conversations on Llama-3.2-1B, continuous batching")
@pytest.mark.parametrize("rate_per_s", [1.5, 5.5])
def test_conversations(benchmark: Any, rate_per_s: float) -> None:
    """The target is 60 s."""
    network, machine = hybridsim.load("llama_3_2_1b_lm", "llm_2026")
    trace = conversations(20_000, rate_per_s)
    served = benchmark.pedantic(
        run_service, (network, machine, trace), {"mix": "continuous"}, rounds=1
    )
    assert served.result.requests == len(trace)
    assert abs(served.result.continuous.error_together_percent) < 2


@of_cpu("a million encoder requests")
@pytest.mark.parametrize("most", [1, 8])
def test_encoder_requests(benchmark: Any, most: int) -> None:
    """The target is 60 s and 500 MB."""
    network, machine = hybridsim.load("minilm_l6", "ahwa_lora_2026:served")
    trace = poisson_requests([*"abcdefgh"], 80, 10**6, 128)
    served = benchmark.pedantic(run_service, (network, machine, trace), {"most": most}, rounds=1)
    assert served.result.requests == len(trace)
