"""Auto: the optimum of what it searches, never worse than a strategy by name, and why."""

from itertools import product

import numpy as np
import pytest

import hybridsim
from hybridsim.arch import load_machine
from hybridsim.components.matrix_engine import MOST
from hybridsim.engines import engine as engine_by_name
from hybridsim.errors import CapacityError
from hybridsim.library import machine_names, network_names
from hybridsim.mapping import place
from hybridsim.simulation import simulate
from hybridsim.strategies import (
    ADAPTER_STRATEGIES,
    Auto,
    Job,
    make_strategy,
    one_by_one,
    shape_of,
)
from hybridsim.strategies.layers.bounds import PARTS, BatchTimes, bounds_of
from hybridsim.strategies.layers.candidates import EVERYTHING, Space, candidates
from hybridsim.strategies.layers.outlines import job_of_one
from hybridsim.strategies.layers.search import Latencies, best_of_layer, least
from hybridsim.units import Ints
from hybridsim.validation.strategies import layer
from tests.strategies.naive_search import bound, layer_latency, naive_best
from tests.strategies.naive_search import candidates as naive_candidates

# adapters of Llama outgrow the scratchpad: only strategies for whole networks cut them in slices
NETWORKS = [name for name in network_names() if not name.startswith("llama")]
# published_tiles has the cluster of ahwa_lora_2026, and other tiles alone
MACHINES = [name for name in machine_names() if name not in ("llm_2026", "published_tiles")]
SMALL = Space(batches=(4, 12, 24), buffers=(1, 2), ramps=(None, 2), starts=(None,))
WIDE = Space(batches=(1, 2, *range(4, 68, 12), 96))
"""Batches enough for a search one by one, in all other respects everything."""


def job_of(inner: int, outer: int, time: str, tokens: int, **changes: object) -> Job:
    machine = load_machine("ahwa_lora_2026", {"tile.integration_time": time, **changes})
    return Job(place(layer(inner, outer), machine), tokens, engine_by_name("compiled"))


CASES = [
    *product([(128, 128), (512, 128), (64, 768)], ["32 ns", "128 ns", "512 ns"], [40], [1]),
    *product([(128, 128), (512, 128)], ["64 ns"], [40, 7], [3]),
]


@pytest.mark.parametrize("shape", [(MOST + 1, 8), (8, MOST + 1)])
def test_what_is_wider_than_the_engine_can_count_goes_to_the_cores(shape: tuple[int, int]) -> None:
    """Though it fits the scratchpad; with one feature less the engine has its share."""
    for inner, outer in (shape, (min(shape[0], MOST), min(shape[1], MOST))):
        decided = Auto().decide(job_of(inner, outer, "64 ns", 2, **{"cluster.tcdm.size": "4 MiB"}))
        ((_, batching),) = decided.batchings
        assert (batching.program.choice.unit == "cores") == (max(inner, outer) > MOST)


@pytest.mark.parametrize(("shape", "time", "tokens", "clusters"), CASES[::2])
def test_the_best_is_that_of_brute_force(
    shape: tuple[int, int], time: str, tokens: int, clusters: int
) -> None:
    job = job_of(*shape, time, tokens, **{"cluster.count": clusters})
    own = job.mapping.layers[0]
    space = naive_candidates(job.machine, own, tokens, SMALL)
    every = [candidate.batching(job.machine, tokens) for candidate in space]
    latencies = [layer_latency(job, own, batching) for batching in every]
    found = best_of_layer(job, own, SMALL)
    assert len(every) > 50
    assert found.latency_ps == min(latencies)
    assert found.batching in every
    assert found.candidates == len(every)


@pytest.mark.parametrize(("shape", "time", "tokens", "clusters"), CASES[::3])
def test_columns_are_searched_as_candidates_one_by_one(
    shape: tuple[int, int], time: str, tokens: int, clusters: int
) -> None:
    """The same in every respect: what is told of bounds, of the second, and of what was run."""
    job = job_of(*shape, time, tokens, **{"cluster.count": clusters})
    own = job.mapping.layers[0]
    for space in (SMALL, WIDE):
        assert best_of_layer(job, own, space) == naive_best(job, own, space)


@pytest.mark.parametrize(("shape", "time", "tokens", "clusters"), CASES[1::3])
def test_columns_hold_what_candidates_are(
    shape: tuple[int, int], time: str, tokens: int, clusters: int
) -> None:
    """Decisions, bounds and latencies.

    No plan beats its bound: that would lose the best candidate without a trace.
    """
    job = job_of(*shape, time, tokens, **{"cluster.count": clusters})
    own = job.mapping.layers[0]
    one_by_one = [*naive_candidates(job.machine, own, tokens, SMALL)]
    columns = candidates(job.machine, own, tokens, SMALL)
    assert len(columns) == len(one_by_one)
    times = BatchTimes(columns)
    bounds, parts = bounds_of(times)
    latencies = Latencies(job_of_one(job, own), times).of(np.arange(len(columns)))
    for number, candidate in enumerate(one_by_one):
        batching = candidate.batching(job.machine, tokens)
        assert columns.batching(number) == batching
        found = int(bounds[number]), PARTS[parts[number]]
        assert found == bound(job.machine, tokens, candidate)
        assert bounds[number] <= latencies[number] == layer_latency(job, own, batching)


def test_candidates_beyond_the_last_that_counts_are_not_counted() -> None:
    """Blocks run more than a search one by one would, and that changes nothing."""
    job = job_of(128, 128, "512 ns", 40)
    own = job.mapping.layers[0]
    columns = candidates(job.machine, own, 40, EVERYTHING)
    bounds = np.array([10, 11, 12, 13, 14, 15, 16, 17, 18])
    taken = np.array([20, 13, 30, 5, 30, 30, 30, 30, 30])
    ran: list[int] = []

    def latency(numbers: Ints) -> Ints:
        ran.extend(numbers.tolist())
        return taken[numbers]

    assert least(columns, bounds, latency, np.arange(9)) == (1, 3)
    assert ran == [*range(8)]


def test_the_search_runs_few_of_the_candidates() -> None:
    job = job_of(128, 128, "512 ns", 128)
    found = best_of_layer(job, job.mapping.layers[0], EVERYTHING)
    assert found.candidates > 2000
    assert found.tried < found.candidates / 10


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    "network",
    [
        pytest.param(n, marks=[pytest.mark.slow] * n.startswith(("bert", "vit")))
        for n in NETWORKS[1::6]
    ],
)
def test_auto_is_never_worse_than_a_strategy_by_name(network: str, machine: str) -> None:
    net, parts = hybridsim.load(network, machine, {"tile.count": "as_needed"})
    best = simulate(net, parts, Auto(), 32).latency_ps
    for name in ADAPTER_STRATEGIES:
        if name != "auto":
            assert best <= simulate(net, parts, make_strategy(name), 32).latency_ps, name


def test_equal_inputs_give_equal_decisions() -> None:
    net, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026:128ns")
    assert simulate(net, machine, Auto()) == simulate(net, machine, Auto())


def test_a_layer_takes_as_long_in_a_network_as_on_its_own() -> None:
    """What the search relies on: without streams latencies of layers add up."""
    net, machine = hybridsim.load("minilm_l6", "ahwa_lora_2026")
    job = Job(place(net, machine), 64, engine_by_name("compiled"))
    expected = sum(best_of_layer(job, own).latency_ps for own in job.mapping.layers)
    best = {shape_of(job, own): best_of_layer(job, own).batching for own in job.mapping.layers}
    assert job.run_ps(one_by_one(job, best).lay_out(job).plan) == expected


def test_the_notes_say_what_bounds_a_layer_and_what_is_next_best() -> None:
    net, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026:128ns")
    notes = simulate(net, machine, Auto()).notes
    assert notes[0].startswith("auto: layer after layer")
    assert "512x128 (1 layers)" in notes[1]
    assert "bound by cores" in notes[1]
    assert "next best" in notes[1]


def test_without_an_engine_it_trusts_the_estimates() -> None:
    net, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026")
    schedule = Auto().schedule(Job(place(net, machine), 128))
    assert len(schedule.plan) > 0
    assert schedule.notes == ()


def test_a_network_without_adapters_is_all_analog() -> None:
    net, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026")
    assert simulate(net.without_adapters(), machine, Auto()).overhead_percent == 0


def test_a_scratchpad_that_holds_no_token_is_refused() -> None:
    net, machine = hybridsim.load(
        "layer_512x128", "ahwa_lora_2026", {"cluster.tcdm.size": "4 KiB"}
    )
    with pytest.raises(CapacityError, match="not even one token fits"):
        simulate(net, machine, Auto())


def test_published_overheads_are_beaten() -> None:
    """4 % in the best case becomes less than 1 %; 2.72 times less than 2 on one cluster.

    Below 1.63 times no order of work helps: a 512x128 layer asks a cluster for 209 ns per token.
    """
    ratio = {}
    for name, shape, time, clusters in (
        ("best", (128, 128), "512 ns", 1),
        ("worst", (512, 128), "128 ns", 1),
        ("worst on two", (512, 128), "128 ns", 2),
    ):
        machine = load_machine(
            "ahwa_lora_2026", {"tile.integration_time": time, "cluster.count": clusters}
        )
        ratio[name] = 1 + simulate(layer(*shape), machine, Auto(), 128).overhead_percent / 100
    assert ratio["best"] < 1.01
    assert 1.63 < ratio["worst"] < 2
    assert ratio["worst on two"] < 1.2
