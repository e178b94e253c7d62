"""The sum of a network's layers is the run of the network, on random machines and strategies."""

from functools import cache
from typing import Any

import pytest
from hybridsim.sweeps.executed import Executed, most_tcdm
from hybridsim.sweeps.layerwise import one_by_one, run_layers
from hypothesis import example, given, settings
from hypothesis import strategies as st

import hybridsim
from hybridsim import Machine, Network, make_strategy
from hybridsim.errors import CapacityError, InputError
from hybridsim.mapping import place
from hybridsim.specs import validate
from hybridsim.strategies import Job
from tests.carried_out import carried_out

LAYERS = st.lists(
    st.tuples(st.sampled_from([16, 128, 600]), st.sampled_from([16, 128, 700])),
    min_size=1,
    max_size=4,
)
OPTIONS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "all_analog": {},
    "layer_serial": {},
    "token_parallel": {"buffers": st.integers(1, 3), "last_batch": st.none() | st.integers(1, 4)},
    "early_xa": {"buffers": st.integers(1, 3), "first_batch": st.none() | st.integers(1, 4)},
    "separate_add": {"buffers": st.integers(1, 3)},
    "swapped": {},
    "split_cores": {},
    "multi_cluster": {
        "clusters": st.sampled_from(["all", 1, 2]),
        "early_xa": st.booleans(),
        "buffers": st.integers(1, 3),
        "unit": st.sampled_from(["matrix_engine", "best"]),
    },
}


@cache
def machine(clusters: int, nanoseconds: int, dma: int) -> Machine:
    changes = {
        "tile.count": "as_needed",
        "tile.integration_time": f"{nanoseconds} ns",
        "cluster.count": clusters,
        "cluster.dma.bytes_per_cycle": f"{dma} B/cycle",
    }
    return hybridsim.load("layer_512x128", "ahwa_lora_2026", changes)[1]


def network(layers: list[tuple[int, int]], adapted: str) -> Network:
    ops = [
        {"name": f"linear{i}", "kind": "linear", "in_features": n, "out_features": m}
        for i, (n, m) in enumerate(layers)
    ]
    text = {
        "name": "net", "source": "this test", "sequence_length": 8, "ops": ops,
        "adapters": {"rank": 4, "targets": [adapted]},
    }  # fmt: skip
    return validate(Network, text, "net")


def run(strategy: Any, job: Job) -> Executed:
    schedule = strategy.schedule(job)
    latency = carried_out(schedule.plan, job.machine).makespan
    return Executed(latency, len(schedule.plan), schedule.layers, most_tcdm(schedule.layers))


@st.composite
def strategies(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    name = draw(st.sampled_from(sorted(OPTIONS)))
    options = {key: draw(value) for key, value in OPTIONS[name].items()}
    if name != "all_analog":
        options["batch"] = draw(st.none() | st.integers(1, 16))
    return name, {key: value for key, value in options.items() if value is not None}


@given(
    layers=LAYERS,
    adapted=st.sampled_from(["linear*", "linear0"]),
    strategy=strategies(),
    clusters=st.sampled_from([1, 2, 5]),
    nanoseconds=st.sampled_from([1, 128, 2000]),
    dma=st.sampled_from([1, 8, 64]),
    tokens=st.integers(1, 40),
)
@example([(16, 16), (16, 16)], "linear*", ("multi_cluster", {"batch": 8}), 5, 1, 1, 20)
@settings(max_examples=120, deadline=None)
def test_a_network_is_the_sum_of_its_layers(
    layers, adapted, strategy, clusters, nanoseconds, dma, tokens
) -> None:
    strategy = make_strategy(*strategy)
    assert one_by_one(strategy)
    job = Job(place(network(layers, adapted), machine(clusters, nanoseconds, dma)), tokens)
    try:
        whole = run(strategy, job)
    except InputError as error:
        with pytest.raises(type(error)):
            run_layers(strategy, job, run)
        return
    found = run_layers(strategy, job, run)
    if found is None:
        assert clusters > 1
        return
    assert found == whole


def test_clusters_without_a_batch_are_not_added_up() -> None:
    """They still fetch A and B when the next layer begins, so a sum would be wrong."""
    slow = machine(5, 1, 1)
    job = Job(place(network([(600, 16), (16, 16)], "linear*"), slow), 1)
    strategy = make_strategy("multi_cluster", {"batch": 1})
    assert run_layers(strategy, job, run) is None
    assert run_layers(make_strategy("token_parallel", {"batch": 1}), job, run) is not None


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cross_layer", {}),
        ("auto", {}),
        ("xb_pipe", {}),
        ("token_parallel", {"prefetch_weights": True}),
    ],
)
def test_layers_that_overlap_are_not_added_up(name: str, options: dict[str, Any]) -> None:
    assert not one_by_one(make_strategy(name, options))


def test_what_does_not_fit_is_told_as_by_the_whole_network() -> None:
    job = Job(place(network([(600, 700)], "linear*"), machine(1, 128, 8)), 512)
    with pytest.raises(CapacityError, match="linear0"):
        run_layers(make_strategy("token_parallel", {"batch": 512}), job, run)
