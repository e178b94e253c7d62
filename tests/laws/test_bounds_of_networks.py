"""Bounds of whole networks hold where adapters go in slices, over several chips, and are close."""

import numpy as np
import pytest

import hybridsim
from hybridsim import make_strategy
from hybridsim.errors import InputError
from hybridsim.simulation import job_of
from hybridsim.strategies import Job, NetworkStrategy
from hybridsim.strategies.networks.running import makespan_of
from hybridsim.strategies.networks.strategy import Choice
from hybridsim.workload import Add, Input, Linear, Network, Op


def random_case(seed: int) -> tuple[Job, NetworkStrategy]:
    """A network whose adapters mostly find no room in a cluster, on one chip or several."""
    draw = np.random.default_rng([seed, 18])

    def one_of(*values: object) -> object:
        return values[draw.integers(len(values))]

    overrides = {
        "cluster.count": int(draw.integers(1, 17)),
        "cluster.tcdm.size": one_of("20 KiB", "28 KiB", "40 KiB", "64 KiB"),
        "link.width": f"{one_of(1, 8, 64)} B/cycle",
        "link.count": one_of(1, 4),
        "tile.integration_time": one_of("32 ns", "256 ns", "2 us"),
    }
    bundle = one_of("ahwa_lora_2026", "llm_2026")
    if bundle == "ahwa_lora_2026":
        overrides |= {"tile.count": "as_needed", "tile.columns": one_of(64, 128, 512)}
    network, machine = hybridsim.load("minilm_l6", str(bundle), overrides)
    options = {
        "unit": one_of("matrix_engine", "best", "cores"),
        "early_xa": one_of(True, False, False),
        "split": one_of(True, True, False),
        "share_adapters": one_of("never", "best"),
    }
    strategy = make_strategy(str(one_of("xl_pipe", "xb_pipe", "network", "il_pipe")), options)
    assert isinstance(strategy, NetworkStrategy)
    return job_of(network, machine, strategy, int(draw.integers(2, 64))), strategy


def some(choices: list[Choice], seed: int) -> list[Choice]:
    """Return a few candidates, the first and the last one among them."""
    draw = np.random.default_rng([seed, 19])
    places = {0, len(choices) - 1, *draw.integers(0, len(choices), 6).tolist()}
    return [choices[place] for place in sorted(places)]


@pytest.mark.parametrize("seed", range(12))
def test_no_plan_beats_its_bound_where_adapters_go_in_slices(seed: int) -> None:
    job, strategy = random_case(seed)
    choices = some(strategy.candidates(job), seed)
    for choice, bound in zip(choices, strategy.bounds_ps(job, choices).tolist(), strict=True):
        try:
            took = makespan_of(job, strategy.decide_for(job, choice))
        except InputError:
            continue  # not a token fits
        assert bound <= took, choice


@pytest.mark.parametrize("strategy", ["il_pipe", "xb_pipe"])
@pytest.mark.parametrize("bundle", ["ahwa_lora_2026", "harp_2026", "llm_2026"])
def test_no_plan_beats_its_bound_without_adapters_behind_a_slow_link(
    bundle: str, strategy: str
) -> None:
    """The link sets the pace, and outputs that no adapter reads need not cross it."""
    network, machine = hybridsim.load("minilm_l6", bundle, {"link.width": "1 B/cycle"})
    made = make_strategy(strategy)
    assert isinstance(made, NetworkStrategy)
    job = job_of(network.without_adapters(), machine, made, 8)
    choices = made.candidates(job)[:1]
    bound = int(made.bounds_ps(job, choices)[0])
    assert 0 < bound <= makespan_of(job, made.decide_for(job, choices[0]))


def test_no_plan_beats_its_bound_where_tiles_add_what_they_made() -> None:
    """Behind a slow link, which carries the other operand alone."""
    ops: list[Op] = [Input(name="x", features=512)]
    for block in range(4):
        made, before = f"made{block}", ops[-1].name
        sides = {"in_features": 512, "out_features": 512}
        ops.append(Linear(name=made, inputs=(before,), bias=False, **sides))
        ops.append(Add(name=f"sum{block}", inputs=(before, made), features=512))
    network = Network(name="residual", source="made up", ops=tuple(ops))
    machine = hybridsim.load_machine("harp_2026", {"link.width": "1 B/cycle"})
    strategy = make_strategy("network", {"batch": 8})
    assert isinstance(strategy, NetworkStrategy)
    job = job_of(network, machine, strategy, 32)
    (choice,) = strategy.candidates(job)
    took = makespan_of(job, strategy.decide_for(job, choice))
    assert 0.9 * took < int(strategy.bounds_ps(job, [choice])[0]) <= took


@pytest.mark.parametrize("barrier", [False, True])
def test_where_clusters_abound_the_bound_is_the_longest_way(barrier: bool) -> None:
    """What is missing is what no bound knows: the embedding's fetch, and waiting for a link. A
    barrier makes the way 9 % longer here."""
    network, machine = hybridsim.load("llama_3_2_1b", "llm_2026")
    strategy = make_strategy("xb_pipe", {"batch": 64, "barrier": barrier})
    assert isinstance(strategy, NetworkStrategy)
    job = job_of(network, machine, strategy)
    choices = strategy.candidates(job)[:1]
    bound = int(strategy.bounds_ps(job, choices)[0])
    took = makespan_of(job, strategy.decide_for(job, choices[0]))
    assert bound <= took < 1.01 * bound
