"""Tasks per second of both engines; run with ``pytest -m benchmark tests/benchmarks``.

Engines of one group run the same plan, so the table of pytest-benchmark shows their ratio. Time is
that of the process, and the best of several rounds is the one to quote: the machine may be shared.
"""

import time
from functools import partial
from math import inf
from typing import Any

import pytest

from hybridsim.engines import ENGINES, engine
from hybridsim.measure.critical_path import critical_path
from hybridsim.measure.stalls import stalls_by_resource
from hybridsim.plan import Plan, PlanBuilder, Resource, Step, Within
from hybridsim.work import delay
from tests.random_inputs import times

pytestmark = pytest.mark.benchmark(timer=time.process_time, disable_gc=True)


def token_pipeline(tasks: int, stages: int = 10, room: int = 4) -> Plan:
    """Tokens go through stages of one resource each; the later a stage, the slower."""
    builder = PlanBuilder(tuple(Resource(f"stage {i}", "stage") for i in range(stages)))
    steps = []
    for stage in range(stages):
        needs = [Within(stage - 1)] if stage else []
        if stage < stages - 1:
            needs.append(Within(stage + 1, back=room, room=True))
        steps.append(Step(delay("work", 100_000 + 7_000 * stage), (stage,), tuple(needs)))
    builder.repeat("op", steps, tasks // stages)
    return builder.build()


def shared_link(tasks: int, tiles: int = 100) -> Plan:
    """Tiles send their results in bursts, each through a port of its own and one slow link."""
    kinds = ["tile"] * tiles + ["port"] * tiles + ["link"]
    builder = PlanBuilder(tuple(Resource(f"{kind} {i}", kind) for i, kind in enumerate(kinds)))
    for tile in range(tiles):
        send = [
            Step(delay("send", 3_000 + tile), (tiles + tile, 2 * tiles), (Within(burst),))
            for burst in range(4)
        ]
        mvm = Step(delay("mvm", 256_000), (tile,), (Within(4, back=2, room=True),))
        builder.repeat(f"linear {tile}", [mvm, *send], tasks // tiles // 5)
    return builder.build()


def senders(tasks: int, count: int) -> Plan:
    """Each sends its transfers one by one, through a DMA engine of its own and one shared link."""
    dma = [Resource(f"dma {i}", "dma") for i in range(count)]
    builder = PlanBuilder((*dma, Resource("link", "link")))
    send = [Step(delay("send", 1_000 + i), (i, count), (Within(i, back=1),)) for i in range(count)]
    builder.repeat("op", send, tasks // count)
    return builder.build()


def seconds_per_task(name: str, plan: Plan, rounds: int = 3) -> float:
    """The best of several rounds."""
    run, best, own = engine(name), inf, times(plan)
    for _ in range(rounds):
        begin = time.process_time()
        run(plan, own)
        best = min(best, time.process_time() - begin)
    return best / len(plan)


def measure(benchmark: Any, name: str, plan: Plan, rounds: int) -> None:
    run = engine(name)
    benchmark.pedantic(run, (plan, times(plan)), rounds=rounds, warmup_rounds=1)
    if benchmark.stats:
        benchmark.extra_info["tasks"] = len(plan)
        benchmark.extra_info["tasks_per_s"] = round(len(plan) / benchmark.stats.stats.min)


@pytest.mark.benchmark(group="token pipeline, 100k tasks")
@pytest.mark.parametrize("name", ENGINES)
def test_token_pipeline(benchmark: Any, name: str) -> None:
    measure(benchmark, name, token_pipeline(100_000), rounds=5)


@pytest.mark.benchmark(group="shared link, 20k tasks")
@pytest.mark.parametrize("name", ENGINES)
def test_shared_link(benchmark: Any, name: str) -> None:
    measure(benchmark, name, shared_link(20_000), rounds=3)


@pytest.mark.benchmark(group="token pipeline, 1M tasks")
@pytest.mark.parametrize("room", [4, 10**6], ids=["room for 4", "room for all"])
def test_a_million_tasks(benchmark: Any, room: int) -> None:
    measure(benchmark, "compiled", token_pipeline(1_000_000, room=room), rounds=5)


@pytest.mark.benchmark(group="senders on one link, 30k tasks")
@pytest.mark.parametrize("count", [1, 100, 300])
@pytest.mark.parametrize("name", ENGINES)
def test_a_crowd_costs_little_more_than_one(benchmark: Any, name: str, count: int) -> None:
    """All senders wait for the link all the time, yet each transfer costs about the same."""
    plan = senders(30_000, count)
    measure(benchmark, name, plan, rounds=3)
    ratio = seconds_per_task(name, plan) / seconds_per_task(name, senders(30_000, 1))
    benchmark.extra_info["times_one_sender"] = round(ratio, 2)
    assert ratio < 3


@pytest.mark.benchmark(group="10M tasks")
@pytest.mark.parametrize(
    "make", [token_pipeline, shared_link, partial(senders, count=100)], ids=["pipe", "link", "100"]
)
def test_ten_million_tasks_cost_no_more_each_than_100k(benchmark: Any, make: Any) -> None:
    """Plan and engine together take about 2 GiB; build and first touch are not timed."""
    small = make(100_000)
    measure(benchmark, "compiled", small, rounds=5)
    short = seconds_per_task("compiled", small, rounds=10)
    long = seconds_per_task("compiled", make(10_000_000))
    benchmark.extra_info.update(
        million_tasks_per_s=round(1e-6 / long, 1), times_100k_tasks=round(long / short, 2)
    )
    assert long < 2 * short


@pytest.mark.benchmark(group="metrics, 1M tasks")
@pytest.mark.parametrize("metric", [critical_path, stalls_by_resource])
def test_metrics_of_a_million_tasks(benchmark: Any, metric: Any) -> None:
    plan = token_pipeline(1_000_000)
    timeline = engine("compiled")(plan, times(plan))
    benchmark.pedantic(metric, (plan, timeline), rounds=3)
