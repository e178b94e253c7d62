"""Llama: published counts to the digit, and the order of ops that its modules have."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hybridsim.errors import SpecError
from hybridsim.workload import (
    Attention,
    Linear,
    Network,
    Rotary,
    load_network,
    network_from_config,
)

WORKLOADS = Path(__file__).parents[2] / "workloads"
CONFIG = json.loads((WORKLOADS / "hf" / "llama_3_2_1b" / "config.json").read_text())


def bundled(name: str) -> Network:
    return load_network(WORKLOADS / f"{name}.yaml")


def built(**changes: Any) -> Network:
    config = {key: value for key, value in (CONFIG | changes).items() if value is not ...}
    return network_from_config(config, name="net", source="test")


@pytest.mark.parametrize(
    ("name", "parameters", "weights", "adapters"),
    [
        ("llama_3_1_8b_lm", 8_030_261_248, 6_979_321_856, 41_943_040),
        ("llama_3_2_1b_lm", 1_235_814_400, 973_078_528, 11_272_192),
    ],
)
def test_published_parameters(name: str, parameters: int, weights: int, adapters: int) -> None:
    """Parameters of transformers' ``LlamaForCausalLM``; adapters of rank 16 on all its layers.

    41,943,040 is the 0.52 % of AHWA-LoRA (arXiv 2411.17367) for Llama-3.1-8B.
    """
    network = bundled(name)
    head = network.op("lm_head")
    assert isinstance(head, Linear)
    assert (network.parameters, network.weights - head.weights) == (parameters, weights)
    assert network.adapter_parameters == adapters
    assert "lm_head" not in {op.name for op in network.adapted_layers}
    assert bundled(name.removesuffix("_lm")).adapter_parameters == adapters


def test_the_share_of_trained_parameters() -> None:
    """0.52 %, whether the adapters count with the whole or not."""
    network = bundled("llama_3_1_8b_lm")
    adapters = network.adapter_parameters
    assert round(100 * adapters / network.parameters, 2) == 0.52
    assert round(100 * adapters / (network.parameters + adapters), 2) == 0.52


@pytest.mark.parametrize(("name", "tiles"), [("llama_3_1_8b", 26_624), ("llama_3_2_1b", 3_712)])
def test_tiles_of_512_x_512(name: str, tiles: int) -> None:
    """Every layer on tiles of its own: no layer of the blocks leaves a part of a tile empty."""
    layers = bundled(name).static_linear_layers
    own = sum(-(-op.in_features // 512) * -(-op.out_features // 512) for op in layers)
    assert own == tiles
    assert sum(op.weights for op in layers) == tiles * 512 * 512


def test_shapes_of_the_8b() -> None:
    network = bundled("llama_3_1_8b")
    shapes = Counter((op.in_features, op.out_features) for op in network.static_linear_layers)
    assert shapes == {(4096, 4096): 64, (4096, 1024): 64, (4096, 14336): 64, (14336, 4096): 32}
    attention = network.op("block0.self_attn")
    assert isinstance(attention, Attention)
    assert (attention.heads, attention.kv_heads, attention.head_dim) == (32, 8, 128)
    assert attention.causal


def test_queries_and_keys_are_turned_and_values_are_not() -> None:
    network = bundled("llama_3_2_1b")
    attention = network.op("block3.self_attn")
    kinds = [network.op(name).kind for name in attention.inputs]
    assert kinds == ["rotary", "rotary", "linear"]
    turned = [network.op(name) for name in attention.inputs[:2]]
    assert [op.heads for op in turned if isinstance(op, Rotary)] == [32, 8]


def test_the_head_scores_the_last_token_alone() -> None:
    network = bundled("llama_3_2_1b_lm")
    assert network.tokens(network.op("lm_head"), 512) == 1
    assert network.tokens(network.op("norm"), 512) == 512


def test_what_a_config_leaves_out() -> None:
    """As transformers' ``LlamaConfig``: as many key-value heads as heads, their size computed."""
    network = built(num_key_value_heads=..., head_dim=...)
    attention = network.op("block0.self_attn")
    assert isinstance(attention, Attention)
    assert (attention.kv_heads, attention.head_dim) == (32, 64)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"num_key_value_heads": 5},
            "num_key_value_heads: found 5; a number that divides 32 would do",
        ),
        ({"head_dim": ..., "hidden_size": 2050}, "num_attention_heads: found 32"),
        ({"hidden_act": "tanh"}, "hidden_act: found 'tanh'; silu or gelu would do"),
        ({"intermediate_size": ...}, "intermediate_size"),
    ],
)
def test_configs_of_no_use(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        built(**changes)
