"""Every model family: counts to the digit, and each runs; the truth is transformers and PEFT.

``data/families.json`` holds configs of published models (some with fewer layers), in the keys of
their day, and what transformers 5.24 and PEFT 0.21 count of each: linear layers and their weights
without output head and pooler, adapter parameters at rank 8 on all of them, weights of experts.
"""

import json
import warnings
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from hybridsim import generate, load_machine, simulate
from hybridsim.errors import InputError
from hybridsim.strategies import make_strategy
from hybridsim.workload import FAMILIES, Network, network_from_config
from hybridsim.workload.families.module_tree import counts_of, counts_of_modules
from tests.sampling import every

DATA = json.loads((Path(__file__).parent / "data" / "families.json").read_text())
FEW = {
    "vocab_size": 512, "num_hidden_layers": 2, "n_layer": 2, "n_layers": 2, "num_layers": 2,
    "num_decoder_layers": 2, "intermediate_size": 256, "moe_intermediate_size": 128,
    "shared_expert_intermediate_size": 128, "ffn_dim": 256, "d_ff": 256, "hidden_dim": 256,
    "encoder_ffn_dim": 256, "decoder_ffn_dim": 256, "ffn_hidden_size": 256, "n_inner": 256,
    "encoder_layers": 2, "decoder_layers": 2, "depths": [1, 1, 1, 1],
    "first_k_dense_replace": 1, "num_hidden_groups": 1, "image_size": 64, "num_experts": 8,
    "n_routed_experts": 8, "max_source_positions": 32,
}  # fmt: skip
"""What makes a model of any family small enough to run in a moment."""

NEEDS_HF = pytest.mark.skipif(
    any(find_spec(each) is None for each in ("transformers", "peft")), reason="needs hybridsim[hf]"
)


def network(config: dict[str, Any], **more: Any) -> Network:
    return network_from_config(config, name="net", source="test", **more)


def small(config: dict[str, Any]) -> dict[str, Any]:
    by_block = ("layer_types", "no_rope_layers", "attention_window")
    found = {key: FEW.get(key, value) for key, value in config.items() if key not in by_block}
    if config["model_type"] in ("mamba", "swin"):
        found |= {"intermediate_size": None, "hidden_size": config.get("embed_dim", 768)}
        found["hidden_size"] *= 8 if "embed_dim" in config else 1
    for key in ("text_config", "vision_config"):
        if key in config:
            found[key] = {"num_hidden_layers": 2} | small({"model_type": key} | config[key])
    if "attention_types" in config:
        found |= {"attention_types": [[["global", "local"], 2]], "attention_layers": None}
    return found


@pytest.mark.parametrize("name", DATA)
def test_counts_are_those_of_transformers_and_peft(name: str) -> None:
    found = counts_of(network(DATA[name]["config"]), rank=8)
    counted = (
        found.static_linear_layers,
        found.weights,
        found.adapter_parameters,
        found.expert_weights,
    )
    assert list(counted) == DATA[name]["counts"]


@NEEDS_HF
@pytest.mark.parametrize("name", DATA)
def test_counts_are_what_transformers_and_peft_count_now(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        truth = counts_of_modules(DATA[name]["config"], "config.json", rank=8)
    own = counts_of(network(DATA[name]["config"]), rank=8)
    assert own.shapes == truth.shapes
    assert (own.weights, own.expert_weights) == (truth.weights, truth.expert_weights)
    assert truth.adapter_parameters in (None, own.adapter_parameters)  # PEFT refuses Mamba


@pytest.mark.parametrize(
    ("name", "parameters"),
    [  # of the models with their language model heads, on the hub
        ("deepseek-v2-lite", 15_706_484_224),
        ("gemma-2b", 2_506_172_416),
        ("mistral-7b-v0.1", 7_241_732_096),
        ("mixtral-8x7b", 46_702_792_704),
        ("phi-2", 2_779_683_840),
        ("pythia-160m", 162_322_944),
        ("qwen2-0.5b", 494_032_768),
        ("whisper-tiny", 37_760_640),
    ],
)
def test_published_parameters(name: str, parameters: int) -> None:
    """Biases, norms and tables as well as weights."""
    assert network(DATA[name]["config"], head="lm_head").parameters == parameters


def test_every_family_has_a_published_config() -> None:
    assert {entry["config"]["model_type"] for entry in DATA.values()} == set(FAMILIES)


ONE_OF_EACH = {
    entry["config"]["model_type"]: entry["config"]
    for entry in sorted(DATA.values(), key=lambda entry: -entry["counts"][1])
}
"""The smallest config of each model type."""


@pytest.mark.parametrize("model_type", every(3, ONE_OF_EACH))
@pytest.mark.usefixtures("few_samples")
def test_each_runs_under_a_network_strategy_and_generates_if_it_can(model_type: str) -> None:
    """A latency that is more than the bare MVMs of one block, with adapters and without."""
    config = small(ONE_OF_EACH[model_type])
    machine = load_machine("ahwa_lora_2026")
    net = network(config).with_adapters(rank=8)
    tokens = net.sequence_length or 8
    result = simulate(net, machine, make_strategy("network", {}), tokens=tokens)
    assert result.latency_ps >= result.yardstick_ps > tokens * machine.tile.integration_time
    if net.remembers:
        run = generate(net, machine, prompt=8, new=2)
        assert len(run.token_ps) == 1
        assert min(run.token_ps) > machine.tile.integration_time


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("qwen2-0.5b", {"num_attention_heads": 13}, "num_key_value_heads: found 2; a number that"),
        ("gpt2", {"n_embd": 768, "hidden_size": 1024}, "hidden_size: found 1024; the 768 of n_em"),
        ("deepseek-v2-lite", {"qk_head_dim": 100}, "qk_head_dim: found 100; the 192 of the other"),
        ("gpt-neo-125m", {"attention_layers": ["global"]}, "attention_layers: found 1 entries"),
        ("modernbert-base", {"layer_types": ["full_attention"]}, "layer_types: found 1 entries"),
        ("wav2vec2-base", {"conv_kernel": [3]}, "conv_kernel: found 1 numbers; 7 would do"),
        ("bart-base", {"num_hidden_layers": 3}, "num_hidden_layers: found 3; the 6 of encoder_la"),
        ("mt5-small", {"head_dim": 80}, "head_dim: found 80; the 64 of d_kv would do"),
        (
            "deberta-v2-xlarge",
            {"attention_head_size": 32},
            "attention_head_size: found 32; the 64",
        ),
        ("mobilebert", {"use_bottleneck": False}, "true_hidden_size: found 128; the 512 of the"),
        ("qwen2-0.5b", {"num_hidden_layers": 12}, "layer_types: found 24 entries; the 12 blocks"),
        ("swin-base", {"hidden_size": 768}, "hidden_size: found 768; the 1024 of the other keys"),
        ("mt5-small", {"is_gated_act": False}, "is_gated_act: found false; the true of the other"),
        ("mamba-130m", {"expand": 3}, "intermediate_size: found 1536; the 2304 of the other"),
        ("swin-base", {"num_heads": [4]}, "num_heads: found 1 numbers; 4 would do"),
        ("albert-base-v2", {"num_hidden_groups": 5}, "num_hidden_groups: found 5; a number that"),
        ("mixtral-8x7b", {"num_experts_per_tok": 9}, "active: found 9; at most the 8 experts"),
        ("bart-base", {"is_encoder_decoder": False}, "is_encoder_decoder: found false; true woul"),
        ("clip-large", {"vision_config": 3}, "vision_config: found 3; a mapping would do"),
        ("bert-base", {"pruned_heads": {"0": [0, 1]}}, "pruned_heads: found a mapping; no pruned"),
        ("gpt2", {"pruned_heads": {"0": [0]}}, "pruned_heads: found a mapping; no pruned heads"),
        ("deit-base", {"image_size": [224, 8]}, "patch_size: found 16; at most the image's 8"),
    ],
)
def test_a_config_that_contradicts_itself(
    name: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        network(DATA[name]["config"] | changes)


TEXT = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4,
    "vocab_size": 1000, "max_position_embeddings": 128,
}  # fmt: skip
VISION = {
    "model_type": "siglip_vision_model", "hidden_size": 32, "intermediate_size": 64,
    "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8,
}  # fmt: skip
GEMMA3 = {
    "model_type": "gemma3", "mm_tokens_per_image": 4,
    "text_config": TEXT | {"model_type": "gemma3_text", "num_key_value_heads": 1, "head_dim": 16},
}  # fmt: skip
SIGLIP = {"model_type": "siglip", "vision_config": VISION}
SPEECH = {
    "model_type": "wav2vec2", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 128, "conv_dim": [32, 48], "conv_stride": [5, 2], "conv_kernel": [10, 3],
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
NO_HEAD = {"vision_config": VISION | {"vision_use_head": False}}
STABLE = {"adapter_attn_dim": 16, "do_stable_layer_norm": True}
CHANGED: dict[str, tuple[dict[str, Any], dict[tuple[int, int], int]]] = {
    "mobilebert": (DATA["mobilebert"]["config"] | {"hidden_size": 384}, {(384, 384): 1}),
    "vit": (
        DATA["vit-large"]["config"] | {"head_dim": 80},
        {(1024, 1280): 72, (1280, 1024): 24},
    ),
    "minicpm3": (
        DATA["minicpm3-4b"]["config"] | {"num_attention_heads": 20},
        {(256, 3840): 62, (2560, 2560): 62},
    ),
    "stablelm": (DATA["stablelm-2-1.6b"]["config"] | {"head_dim": 80}, {(2048, 2048): 96}),
    "gemma3": (GEMMA3 | {"vision_config": VISION}, {(32, 32): 9, (32, 64): 3, (64, 32): 3}),
    "gemma3, no head": (GEMMA3 | NO_HEAD, {(32, 32): 8, (32, 64): 2, (64, 32): 2}),
    "siglip, no head": (
        SIGLIP | NO_HEAD | {"text_config": TEXT | {"projection_size": 40}},
        {(32, 32): 8, (64, 64): 12, (64, 40): 1},
    ),
    "siglip": (
        SIGLIP | {"text_config": TEXT | {"projection_size": 40}},
        {(32, 32): 9, (64, 64): 12, (64, 40): 1},
    ),
    "wav2vec2, shortened": (
        SPEECH | {"add_adapter": True, "output_hidden_size": 48},
        {(64, 48): 1, (48, 64): 1},
    ),
    "wav2vec2, adapters": (SPEECH | STABLE, {(64, 16): 2, (16, 64): 2}),
    "wav2vec2, unread": (SPEECH | {"adapter_attn_dim": 16}, {(64, 64): 8}),
    "hubert, adapters": (SPEECH | STABLE | {"model_type": "hubert"}, {(64, 16): 2, (16, 64): 2}),
    "hubert, unread": (SPEECH | {"model_type": "hubert", "add_adapter": True}, {(64, 64): 8}),
}
"""Configs with keys that change a family, and layers of some shapes as transformers 5.24 has."""


@pytest.mark.parametrize("name", CHANGED)
def test_keys_that_change_a_family(name: str) -> None:
    config, shapes = CHANGED[name]
    found = Counter(counts_of(network(config), rank=8).shapes)
    assert found.items() >= shapes.items()


@NEEDS_HF
@pytest.mark.parametrize("name", CHANGED)
def test_changed_families_are_those_of_transformers_and_peft(name: str) -> None:
    config, _ = CHANGED[name]
    assert counts_of(network(config), rank=8) == counts_of_modules(config, "config.json", rank=8)


def test_speech_that_is_shortened() -> None:
    """Gated convolutions of 3 tokens: 8 times as many tokens in the blocks as leave them."""
    net = network(SPEECH | {"add_adapter": True, "output_hidden_size": 48})
    behind = [op for op in net.matrices if op.name.startswith("adapter.layers.")]
    assert [(op.in_features, op.out_features) for op in behind] == [(3 * 48, 2 * 48)] * 3
    query = net.op("block0.attention.q_proj")
    assert [net.tokens(op, 4) for op in (query, *behind)] == [25, 13, 7, 4]
    assert simulate(net, load_machine("ahwa_lora_2026"), tokens=4).latency_ps > 0


@pytest.mark.parametrize("name", ["beit-base", "swin-base", "electra-base", "deberta-v2-xlarge"])
def test_an_activation_that_no_key_names_is_that_of_transformers(name: str) -> None:
    config = DATA[name]["config"]
    assert config["hidden_act"] == "gelu"
    without = {key: value for key, value in config.items() if key != "hidden_act"}
    assert network(without) == network(config)


@NEEDS_HF
def test_a_type_without_a_model_of_its_own_is_refused_in_words() -> None:
    refused = "transformers refuses 'siglip_text_model': it has no model of that type alone"
    with pytest.raises(InputError, match=refused):
        network({"model_type": "siglip_text_model"})


def test_no_pruned_heads_and_sizes_of_images_in_pairs_are_taken() -> None:
    assert network(DATA["bert-base"]["config"] | {"pruned_heads": {}})
    image = DATA["deit-base"]["config"] | {"image_size": [224, 224], "patch_size": [16, 16]}
    assert network(image).sequence_length == 14 * 14 + 2


@pytest.mark.parametrize(
    ("config", "counts"),
    [
        (  # before 2020: a GPT-2 and a RoBERTa
            {"n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024,
             "vocab_size": 21128, "pruned_heads": {}, "num_labels": 1},
            (48, 84_934_656, 1_179_648),
        ),
        (
            {"hidden_act": "gelu", "hidden_size": 768, "intermediate_size": 3072,
             "max_position_embeddings": 514, "num_attention_heads": 12, "num_hidden_layers": 12,
             "type_vocab_size": 1, "vocab_size": 50265},
            (72, 84_934_656, 1_327_104),
        ),
        (  # params.json of Llama-2-7B, whose inner size is 11,008
            {"dim": 4096, "multiple_of": 256, "n_heads": 32, "n_layers": 32, "norm_eps": 1e-5,
             "vocab_size": 32000},
            (224, 6_476_005_376, 19_988_480),
        ),
        (  # of Llama-3-8B, whose inner size is 14,336
            {"dim": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8, "vocab_size": 128256,
             "multiple_of": 1024, "ffn_dim_multiplier": 1.3, "norm_eps": 1e-5},
            (224, 6_979_321_856, 20_971_520),
        ),
    ],
)  # fmt: skip
def test_configs_without_a_model_type(config: dict[str, Any], counts: tuple[int, ...]) -> None:
    net = network(config)
    found = counts_of(net, rank=8)
    assert (found.static_linear_layers, found.weights, found.adapter_parameters) == counts
    assert "without model_type: read as" in net.source


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ("robertta", r"found 'robertta', which has no family here \(did you mean 'roberta'\?\); "),
        ("squeezebert", "found 'squeezebert': its layers are grouped convolutions"),
        ("zzz", "which has no family here; the nearest is '[a-z0-9_-]+'; "),
    ],
)
def test_an_unknown_family_is_named_with_its_nearest(
    found: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hybridsim.workload.families import module_tree

    monkeypatch.setattr(module_tree, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=message) as caught:
        network({"model_type": found, "hidden_size": 8})
    assert len(str(caught.value)) < 300
    if found != "squeezebert":
        assert "'.[hf]' in a clone) would read its linear layers" in str(caught.value)


@NEEDS_HF
def test_a_model_type_without_a_family_runs_from_its_modules() -> None:
    """The linear layers of XGLM, exact; the rest is named as not modelled."""
    config = {
        "model_type": "xglm", "vocab_size": 500, "d_model": 64, "ffn_dim": 256, "num_layers": 2,
        "attention_heads": 4, "max_position_embeddings": 128,
    }  # fmt: skip
    net = network(config).with_adapters(rank=8)
    assert (len(net.static_linear_layers), net.weights) == (12, 2 * (4 * 64 * 64 + 2 * 64 * 256))
    assert "linear layers alone" in net.not_modelled[0]
    assert simulate(net, load_machine("ahwa_lora_2026"), tokens=8).latency_ps > 0


MOE = TEXT | {"num_key_value_heads": 2, "num_experts_per_tok": 2}
EXPERTS = 3 * 4 * 3 * 64 * 128
"""Weights of four gated experts of 64 x 128 in each of three blocks."""


@NEEDS_HF
@pytest.mark.parametrize(
    ("config", "experts", "adapters"),
    [  # PEFT adapts the experts of OLMoE as all-linear, and of the others what it says in names
        (MOE | {"model_type": "olmoe", "num_experts": 4}, EXPERTS, 92_256),
        (MOE | {"model_type": "gpt_oss", "num_local_experts": 4, "head_dim": 16}, EXPERTS, 10_752),
        (MOE | {"model_type": "phimoe", "num_local_experts": 4}, EXPERTS, 12_384),
        (MOE | {"model_type": "granitemoe", "num_local_experts": 4}, EXPERTS, 10_752),
        (
            MOE | {"model_type": "llama4_text", "num_local_experts": 4, "num_experts_per_tok": 1,
                   "head_dim": 16, "intermediate_size_mlp": 192, "interleave_moe_layer_step": 2},
            EXPERTS // 3,
            28_192,
        ),
    ],
)  # fmt: skip
def test_experts_of_a_model_type_without_a_family(
    config: dict[str, Any], experts: int, adapters: int
) -> None:
    net = network(config)
    found = counts_of(net, rank=8)
    assert found == counts_of_modules(config, "config.json", rank=8)
    assert (found.expert_weights, found.adapter_parameters) == (experts, adapters)
    banks = {(op.in_features, op.out_features) for op in net.matrices if op.kind == "experts"}
    assert banks == {(64, 2 * 128), (128, 64)}  # whichever way their tensors lie
    strategy = make_strategy("network", {})
    machine = load_machine("ahwa_lora_2026")
    assert simulate(net.with_adapters(rank=8), machine, strategy, tokens=8).latency_ps > 0
