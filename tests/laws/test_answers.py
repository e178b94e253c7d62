"""What an answer says: what it covers, what it is measured against; no choice is beaten."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridsim
from hybridsim.arch import Machine, load_machine
from hybridsim.measure.coverage import coverage_of
from hybridsim.measure.measure import overhead_percent
from hybridsim.measure.result import Result
from hybridsim.simulation import job_of, simulate
from hybridsim.strategies import (
    ADAPTER_STRATEGIES,
    NETWORK_STRATEGIES,
    LayerStrategy,
    carry_out,
    make_strategy,
)
from hybridsim.validation.strategies import layer
from hybridsim.whole import run_by_default, whole_network, with_whole_network
from hybridsim.workload import AdapterSpec, Linear, Network, network_from_config
from tests.digest.networks import CONFIGS

REARRANGING = {"input", "concat", "slice", "trigram", "first_token", "last_token", "class_token"}


def small(name: str) -> Network:
    """Return a small whole network with adapters."""
    config, head, _ = CONFIGS[name]
    return network_from_config(
        config, name=name, source="made up", head=head, adapters=AdapterSpec(rank=4)
    )


BERT, LLAMA = small("small_bert"), small("small_llama")
SHAPES = [layer(64, 32), layer(128, 128), layer(200, 48), BERT]


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    """Return machines of 1 to 8 clusters, with slow and fast parts of every kind."""
    changes: dict[str, Any] = {
        "cluster.count": draw(st.integers(1, 8)),
        "cluster.clock.frequency": draw(st.sampled_from(["100 MHz", "400 MHz", "1 GHz"])),
        "link.width": draw(st.sampled_from(["1 B/cycle", "8 B/cycle", "64 B/cycle"])),
        "link.count": draw(st.integers(1, 2)),
        "tile.integration_time": draw(st.sampled_from(["10 ns", "256 ns", "2 us"])),
        "cluster.tcdm.size": draw(st.sampled_from(["64 KiB", "128 KiB"])),
    }
    if draw(st.booleans()):
        changes |= {
            "cluster.matrix_engine.array_height": 2,
            "cluster.matrix_engine.port_width": "128 bit",
        }
    return load_machine("ahwa_lora_2026", changes)


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "batch": st.integers(1, 40),
        "early_xa": st.booleans(),
        "unit": st.sampled_from(["matrix_engine", "cores", "best"]),
        "prefetch_weights": st.booleans(),
        "stream": st.booleans(),
    },
)


@given(machines(), st.sampled_from(SHAPES), OPTIONS, st.integers(1, 80), st.data())
@settings(max_examples=25, deadline=None)
def test_open_clusters_are_never_beaten_by_a_number_that_could_be_named(
    machine: Machine, network: Network, options: dict[str, Any], tokens: int, data: st.DataObject
) -> None:
    assert machine.cluster is not None
    there = machine.cluster.count
    named = data.draw(st.sampled_from([1, "all", *range(1, there + 1)]))

    def latency_ps(own: dict[str, Any]) -> float:
        try:
            run = simulate(network, machine, make_strategy("token_parallel", own), tokens)
        except hybridsim.CapacityError:
            return math.inf  # the batch that is asked for does not fit
        return run.latency_ps

    assert latency_ps(options) <= latency_ps(options | {"clusters": named})


def test_on_one_cluster_open_clusters_are_one() -> None:
    network, machine = hybridsim.load("minilm_l6", "ahwa_lora_2026")
    for name, kind in ADAPTER_STRATEGIES.items():
        if "clusters" in kind.model_fields:
            open_, one = (
                simulate(network, machine, make_strategy(name, own), 32)
                for own in ({}, {"clusters": 1})
            )
            assert open_.model_dump(exclude={"inputs"}) == one.model_dump(exclude={"inputs"})


def test_multi_cluster_takes_all_clusters_without_asking() -> None:
    machine = load_machine("ahwa_lora_2026", {"cluster.count": 3, "link.width": "1 B/cycle"})
    result = simulate(layer(128, 128), machine, make_strategy("multi_cluster", {"batch": 4}), 64)
    assert [own.clusters for own in result.layers] == [3]


def test_beyond_1024_tokens_every_batch_of_a_stream_is_tried_where_unit_and_order_are_named() -> (
    None
):
    """Where transfers take long to issue, the best batch is large, and here no power of two."""
    ops = (
        Linear(name="a", in_features=64, out_features=64),
        Linear(name="b", in_features=64, out_features=64, inputs=("a",)),
    )
    chain = Network(name="chain", source="made up", ops=ops).with_adapters(rank=4)
    slow = {"cluster.dma.issue_1d": "20000 cycles", "cluster.tcdm.size": "4 MiB"}
    machine, tokens = load_machine("ahwa_lora_2026", slow), 2100
    found = simulate(chain, machine, make_strategy("cross_layer"), tokens)
    (best,) = {own.batch for own in found.layers}
    assert 1024 < best < 2048
    for batch in (1024, best - 1, best, best + 1, tokens):
        named = simulate(chain, machine, make_strategy("cross_layer", {"batch": batch}), tokens)
        assert found.latency_ps <= named.latency_ps, batch


@pytest.mark.parametrize(("unit", "tokens", "says"), [("either", 1030, True),
                                                      ("either", 1024, False),
                                                      ("matrix_engine", 1030, False)])  # fmt: skip
def test_a_stream_that_does_not_try_every_batch_says_so(
    unit: str, tokens: int, says: bool
) -> None:
    strategy = make_strategy("cross_layer", {"unit": unit})
    result = simulate(BERT, load_machine("ahwa_lora_2026"), strategy, tokens)
    assert any("batches of 1 to 1,024 tokens" in note for note in result.notes) == says


BIASED = {
    "on tiles": ("token_parallel", {}, {}),
    "in a whole network": ("xb_pipe", {}, {}),
    "on a cluster": ("xb_pipe", {}, {"tile.count": 1, "mapping.overflow": "digital"}),
}


@pytest.mark.parametrize("where", BIASED)
def test_biases_cost_neither_time_nor_energy_and_are_told(where: str) -> None:
    """docs/model.md says why: the periphery's offset holds them, or the sum begins with them."""
    strategy, options, changes = BIASED[where]
    machine = load_machine("ahwa_lora_2026", changes)
    told = BERT.model_dump()
    told["ops"] = [{**op, "bias": False} if "bias" in op else op for op in told["ops"]]
    without = Network.model_validate(told)
    assert BERT.biases > without.biases == 0
    plain, biased = (
        simulate(network, machine, make_strategy(strategy, options), 24)
        for network in (without, BERT)
    )
    assert biased.latency_ps == plain.latency_ps
    assert biased.energy is not None
    assert biased.energy == plain.energy
    assert biased.covers is not None
    assert plain.covers is not None
    assert "and biases" in biased.covers.text
    assert "biases" not in plain.covers.text


@pytest.mark.parametrize("name", [*ADAPTER_STRATEGIES, *NETWORK_STRATEGIES, "all_analog"])
def test_a_network_without_adapters_has_no_overhead(name: str) -> None:
    machine = load_machine("ahwa_lora_2026", {"cluster.count": 2})
    result = simulate(BERT.without_adapters(), machine, make_strategy(name), 24)
    assert result.overhead_percent == 0


@given(
    machines(), st.sampled_from(SHAPES), st.sampled_from([*ADAPTER_STRATEGIES]), st.integers(1, 60)
)
@settings(max_examples=25, deadline=None)
def test_layers_cost_no_less_with_adapters_than_without_under_the_same_freedom(
    machine: Machine, network: Network, name: str, tokens: int
) -> None:
    result = simulate(network, machine, make_strategy(name), tokens)
    anomaly = any("scheduling anomaly" in note for note in result.notes)
    assert anomaly == (result.overhead_percent < 0)
    assert not anomaly
    assert result.layer_by_layer_ps is not None
    assert result.yardstick_ps <= result.layer_by_layer_ps
    assert result.layer_by_layer_percent == overhead_percent(
        result.latency_ps, result.layer_by_layer_ps
    )


@pytest.mark.parametrize("name", [*ADAPTER_STRATEGIES])
def test_both_overheads_are_one_where_layers_run_in_turn(name: str) -> None:
    strategy = make_strategy(name)
    assert isinstance(strategy, LayerStrategy)
    result = simulate(BERT, load_machine("ahwa_lora_2026"), strategy, 24)
    streams = name in ("cross_layer", "auto")
    assert (result.layer_by_layer_percent == result.overhead_percent) != streams
    assert result.layers_in_turn != streams


@given(machines(), st.integers(1, 60), st.none() | st.integers(1, 16))
@settings(max_examples=5, deadline=None)
def test_the_streamed_yardstick_is_what_the_same_stream_takes_without_adapters(
    machine: Machine, tokens: int, batch: int | None
) -> None:
    strategy = make_strategy("cross_layer", {"batch": batch})
    adapted = simulate(BERT, machine, strategy, tokens)
    bare = simulate(BERT.without_adapters(), machine, strategy, tokens)
    assert adapted.yardstick_ps == bare.latency_ps


def test_a_negative_overhead_says_that_it_is_an_anomaly() -> None:
    job = job_of(BERT, load_machine("ahwa_lora_2026"), make_strategy("token_parallel"), 8)
    from hybridsim.measure.elasticity import Elasticities
    from hybridsim.measure.measure import measure

    fast, slow = (
        carry_out(make_strategy(name).schedule(job), job.machine, job.engine)  # type: ignore[arg-type]
        for name in ("all_analog", "layer_serial")
    )
    labels = {"strategy": "made up", "engine": "compiled"}
    sides = (slow.schedule, slow.timeline)
    worth = Elasticities({}, {})
    result = measure(job, fast.schedule, fast.timeline, sides, labels, {}, worth)
    assert result.overhead_percent < 0
    assert "scheduling anomaly" in result.notes[-1]


@pytest.mark.parametrize("network", [BERT, LLAMA, hybridsim.load("vit_b_16", "ahwa_lora_2026")[0]])
@pytest.mark.parametrize("name", ["token_parallel", "xb_pipe"])
def test_a_latency_covers_or_names_every_op_that_takes_time(network: Network, name: str) -> None:
    strategy, machine = make_strategy(name), load_machine("ahwa_lora_2026")
    job = job_of(network, machine, strategy, 8)
    covers = coverage_of(job, strategy.schedule(job))
    kinds: dict[str, int] = {}
    for op in network.ops:
        if op.kind not in REARRANGING:
            kinds[op.kind] = kinds.get(op.kind, 0) + 1
    told = [covers.timed, covers.left_out, covers.free]
    assert {kind: sum(each.get(kind, 0) for each in told) for kind in kinds} == kinds
    assert covers.whole == (name == "xb_pipe")
    assert covers.timed["linear"] == len(network.static_linear_layers)
    assert covers.adapters == len(network.adapted_layers)


def test_the_whole_network_is_the_fastest_strategy_that_could_be_named() -> None:
    machine = load_machine("harp_2026")
    found = whole_network(BERT, machine, 8)
    each = {name: simulate(BERT, machine, make_strategy(name), 8) for name in NETWORK_STRATEGIES}
    best = each[found.strategy]
    assert found.tried == {found.strategy: best.latency_ps}
    assert {found.strategy, *found.slower} == {*each}
    assert found.latency_ps == min(result.latency_ps for result in each.values())
    assert (found.yardstick_ps, found.overhead_percent) == (
        best.yardstick_ps, best.overhead_percent
    )  # fmt: skip
    assert found.covers == best.covers


def test_the_whole_network_stands_beside_a_study_of_layers_alone() -> None:
    machine = load_machine("ahwa_lora_2026")
    layers = with_whole_network(simulate(BERT, machine, tokens=8), BERT, machine)
    assert layers.whole_network is not None
    assert Result.from_json(layers.to_json()) == layers
    whole = simulate(BERT, machine, make_strategy("xb_pipe"), 8)
    assert with_whole_network(whole, BERT, machine) is whole
    alone = simulate(layer(64, 32), machine, tokens=8)
    assert with_whole_network(alone, layer(64, 32), machine) is alone


def test_where_no_strategy_for_whole_networks_runs_the_answer_says_why() -> None:
    machine = load_machine("ahwa_lora_2026", {"cluster": None})
    bare = BERT.without_adapters()
    result = with_whole_network(simulate(bare, machine, tokens=8), bare, machine)
    assert result.whole_network is not None
    assert result.whole_network.latency_ps is None
    assert "has no cluster" in result.whole_network.problem
    assert ";" not in result.whole_network.problem


def test_where_layers_do_not_fit_the_default_is_the_whole_network() -> None:
    machine = load_machine("ahwa_lora_2026", {"cluster.tcdm.size": "2 KiB"})
    network = replace_rank(LLAMA, 16)
    with pytest.raises(hybridsim.CapacityError):
        simulate(network, machine, tokens=8)
    done = run_by_default(network, load_machine("ahwa_lora_2026"), 8)
    assert done.result.strategy == "token_parallel"


def replace_rank(network: Network, rank: int) -> Network:
    """Return a network whose adapters have another rank."""
    return network.with_adapters(rank=rank)


def test_results_of_earlier_releases_are_read() -> None:
    result = simulate(BERT, load_machine("ahwa_lora_2026"), tokens=8)
    old = result.model_dump(mode="json")
    for name in ("covers", "layer_by_layer_ps", "layer_by_layer_percent"):
        del old[name]
    for own in old["layers"]:
        del own["clusters"]
    read = Result.model_validate(old)
    assert read.covers is None
    assert read.latency_ps == result.latency_ps
    assert read.layers_in_turn
