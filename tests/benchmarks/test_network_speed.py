"""Time of a whole network, from mapping to timeline; run with ``pytest -m benchmark``."""

import time
from typing import Any

import pytest

import hybridsim
from hybridsim.engines import compiled
from hybridsim.mapping import place
from hybridsim.strategies import Job, make_strategy
from hybridsim.strategies.job import carry_out

pytestmark = pytest.mark.benchmark(timer=time.process_time, disable_gc=True)


def job(network: str, machine: str) -> Job:
    loaded, there = hybridsim.load(network, machine)
    return Job(place(loaded.without_adapters(), there), 128)


@pytest.mark.benchmark(group="MobileBERT, 128 tokens, batches of 8: plan and run")
@pytest.mark.parametrize("dispatch", ["online", "reserved"])
def test_plan_and_run(benchmark: Any, dispatch: str) -> None:
    """The target is 20 ms online: 13,195 tasks."""
    given = job("mobilebert", "harp_2026")
    strategy = make_strategy("xb_pipe", {"batch": 8, "dispatch": dispatch})

    def plan_and_run() -> int:
        return carry_out(strategy.schedule(given), given.machine, compiled.run).makespan

    assert benchmark.pedantic(plan_and_run, rounds=10, warmup_rounds=2) > 0


@pytest.mark.benchmark(group="mapping for an objective")
@pytest.mark.parametrize("objective", ["latency", "area", "balance"])
def test_mapping(benchmark: Any, objective: str) -> None:
    network, machine = hybridsim.load("mobilebert", "harp_2026", {"tile.sharing": objective})
    assert benchmark.pedantic(place, (network, machine), rounds=5).crossbars


@pytest.mark.benchmark(group="simulate, with adapters")
def test_simulate(benchmark: Any) -> None:
    network, machine = hybridsim.load("mobilebert", "harp_2026")
    strategy = make_strategy("xb_pipe", {"batch": 8})
    result = benchmark.pedantic(
        hybridsim.simulate, (network, machine, strategy), rounds=3, warmup_rounds=1
    )
    assert result.overhead_percent > 0
