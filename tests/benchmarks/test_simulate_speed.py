"""From YAML to result: how long a whole network takes once everything is compiled."""

import pytest

import hybridsim
from hybridsim import make_strategy, simulate
from hybridsim.engines import ENGINES
from hybridsim.engines import engine as engine_by_name
from hybridsim.mapping import place
from hybridsim.strategies import Job
from hybridsim.work import price

pytestmark = pytest.mark.benchmark


def test_whole_mobilebert_from_yaml_to_result(benchmark) -> None:
    """361 layers, 320 tokens, compiled engine; the aim is well under a second."""

    def run() -> hybridsim.Result:
        network, machine = hybridsim.load("mobilebert", "ahwa_lora_2026")
        return simulate(network, machine, tokens=320)

    run()
    result = benchmark(run)
    assert len(result.layers) == 361


@pytest.mark.parametrize("name", ENGINES)
def test_plan_and_run_of_mobilebert(benchmark, name: str) -> None:
    """The same plan on each engine; compare the two rows for the ratio."""
    network, machine = hybridsim.load("mobilebert", "ahwa_lora_2026")
    plan = (
        make_strategy("token_parallel", {"batch": 8})
        .schedule(Job(place(network, machine), 320))
        .plan
    )
    run, time_ps = engine_by_name(name), price(plan.works, machine).time_ps
    run(plan, time_ps)
    timeline = benchmark(run, plan, time_ps)
    assert timeline.makespan > 0
