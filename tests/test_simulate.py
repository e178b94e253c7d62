"""The whole story: a result that adds up, and that carries what went in."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridsim
from hybridsim import InputError, Result, TokenParallel, load_machine, make_strategy, simulate
from hybridsim.workload import network_from_config


@pytest.fixture(scope="session")
def result() -> Result:
    network, machine = hybridsim.load("mobilebert", "ahwa_lora_2026")
    return simulate(network, machine, tokens=64)


def test_layers_add_up_to_the_network(result: Result) -> None:
    assert sum(layer.latency_ps for layer in result.layers) == result.latency_ps
    assert sum(layer.yardstick_ps for layer in result.layers) == result.yardstick_ps
    assert result.yardstick_ps == 361 * 64 * 256_000


def test_overhead_is_relative_to_all_analog(result: Result) -> None:
    for part in (result, *result.layers):
        ratio = part.latency_ps / part.yardstick_ps
        assert part.overhead_percent == pytest.approx((ratio - 1) * 100)
        assert ratio >= 1


def test_shares_of_the_critical_path_add_up(result: Result) -> None:
    assert sum(result.critical_path_share.values()) == pytest.approx(1)
    assert result.bound == next(iter(result.elasticity))


def test_utilization_is_a_share(result: Result) -> None:
    for part in (result, *result.layers):
        assert all(0 <= share <= 1 for share in part.utilization.values())
    for resource in result.resources:
        assert resource.busy_ps + resource.idle_ps == result.latency_ps


def test_a_result_reads_back_from_its_json(result: Result) -> None:
    assert Result.from_json(result.to_json()) == result


def test_a_result_can_be_run_again_from_what_it_carries(result: Result) -> None:
    inputs = result.inputs
    network = hybridsim.Network.model_validate(inputs["network"])
    machine = hybridsim.Machine.model_validate(inputs["machine"])
    options = {key: value for key, value in inputs["strategy"].items() if key != "kind"}
    strategy = make_strategy(inputs["strategy"]["kind"], options)
    assert simulate(network, machine, strategy, inputs["tokens"]) == result


def test_a_result_is_a_table_with_units_in_its_names(result: Result) -> None:
    table = result.to_frame()
    assert len(table) == 361
    assert {"latency_ps", "yardstick_ps", "overhead_percent", "tcdm_bytes"} <= set(table)
    assert table["latency_ps"].sum() == result.latency_ps


@given(tokens=st.integers(1, 200), rank=st.sampled_from([1, 4, 8, 16]))
@settings(max_examples=25)
def test_adapters_never_make_a_layer_faster(tokens: int, rank: int) -> None:
    network, machine = hybridsim.load("layer_128x128", "ahwa_lora_2026")
    layer = simulate(network.with_adapters(rank=rank), machine, tokens=tokens).layers[0]
    assert layer.latency_ps >= layer.yardstick_ps == tokens * 256_000


def test_one_analog_tile_time_more_costs_a_tile_bound_layer_one_time_more() -> None:
    """At long integration times the tile sets the pace, and the rest is hidden."""
    network, slow = hybridsim.load(
        "layer_512x128", "ahwa_lora_2026", {"tile.integration_time": "10 us"}
    )
    _, slower = hybridsim.load(
        "layer_512x128", "ahwa_lora_2026", {"tile.integration_time": "11 us"}
    )
    times = [simulate(network, m, TokenParallel(batch=8), 128).latency_ps for m in (slow, slower)]
    assert times[1] - times[0] == 128 * 1_000_000


@pytest.mark.parametrize("tokens", [0, -1, 2**20 + 1])
def test_a_length_without_sense_is_refused(tokens: int) -> None:
    network, machine = hybridsim.load("layer_128x128", "ahwa_lora_2026")
    with pytest.raises(InputError, match="tokens"):
        simulate(network, machine, tokens=tokens)


def test_more_tokens_than_positions_are_noted_and_not_refused() -> None:
    config = {
        "model_type": "bert", "vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 64, "hidden_act": "gelu",
        "max_position_embeddings": 32, "type_vocab_size": 2,
    }  # fmt: skip
    network = network_from_config(config, name="short", source="assumed")
    machine = load_machine("ahwa_lora_2026")
    notes = {
        tokens: [n for n in simulate(network, machine, tokens=tokens).notes if "positions" in n]
        for tokens in (32, 33)
    }
    assert not notes[32]
    assert len(notes[33]) == 1
    assert notes[33][0].startswith("33 tokens are more than the 32 that short has positions for")
