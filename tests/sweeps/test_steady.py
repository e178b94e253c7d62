"""A point on the steady-state path shows what a run on the event engine shows."""

import numpy as np
import pytest
from hybridsim.sweeps.events import EventEvaluator
from hybridsim.sweeps.steady import can_outline, evaluate_point, run_outlined

import hybridsim
from hybridsim import make_strategy, simulate
from hybridsim.engines import ENGINES
from hybridsim.errors import InputError
from hybridsim.mapping import place
from hybridsim.strategies import STRATEGIES, Job
from tests.carried_out import carried_out

OUTLINED = [name for name in STRATEGIES if can_outline(make_strategy(name))]


def test_all_strategies_for_layers_can_be_outlined() -> None:
    assert {"all_analog", *hybridsim.strategies.ADAPTER_STRATEGIES} == set(OUTLINED)


@pytest.mark.parametrize(
    ("network", "strategy"),
    [("layer_128x128", name) for name in OUTLINED]
    + [("minilm_l6", name) for name in ("token_parallel", "layer_serial", "cross_layer")],
)
def test_a_point_equals_a_run(network: str, strategy: str) -> None:
    net, machine = hybridsim.load(network, "ahwa_lora_2026")
    strategy = make_strategy(strategy)
    found, result = (
        evaluate_point(net, machine, strategy, 200),
        simulate(net, machine, strategy, 200),
    )
    for name in ("latency_ps", "yardstick_ps", "tcdm_bytes", "tasks"):
        assert found[name] == getattr(result, name)
    for kind in ("tile", "dma", "matrix_engine", "link"):
        own = [r.busy_ps * r.parts for r in result.resources if r.kind == kind]
        assert found[f"{kind}_busy_ps"] == sum(own)


@pytest.mark.parametrize("tokens", [8, 100, 1_000, 131_072])
def test_short_and_long_sequences_end_where_the_laid_out_plan_ends(tokens: int) -> None:
    net, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026")
    job, strategy = Job(place(net, machine), tokens), make_strategy("token_parallel")
    schedule = strategy.schedule(job)
    latency = carried_out(schedule.plan, machine).makespan
    found = run_outlined(strategy, job)
    assert (found.latency_ps, found.tasks) == (latency, len(schedule.plan))
    assert found.layers == schedule.layers


def test_a_sweep_says_the_same_with_both_engines(studies) -> None:
    """SimPy executes every task of what the compiled path jumps over."""
    axes = {"strategy": ["cross_layer", "layer_serial", "early_xa"], "strategy.batch": [1, 8]}
    inputs = studies.inputs(tokens=700, axes=axes, keep=["latency_ps", "tasks"])
    every = np.arange(len(inputs))
    found, expected = (EventEvaluator(inputs, name).evaluate(every) for name in ENGINES)
    assert found == expected
    assert all(latency > 0 for latency in found["latency_ps"])


@pytest.mark.parametrize("tokens", [0, 2**20 + 1])
def test_a_length_without_sense_is_refused(tokens: int) -> None:
    net, machine = hybridsim.load("layer_128x128", "ahwa_lora_2026")
    with pytest.raises(InputError, match="tokens"):
        evaluate_point(net, machine, make_strategy("token_parallel"), tokens)


def test_a_strategy_for_whole_networks_has_no_outline() -> None:
    net, machine = hybridsim.load("minilm_l6", "harp_2026")
    with pytest.raises(InputError, match="xb_pipe has no outline"):
        evaluate_point(net, machine, make_strategy("xb_pipe"), 8)
