"""Llama and its kin, with experts and latent attention or without, as data."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hybridsim.workload.families.builder import Head
from hybridsim.workload.families.config import Config
from hybridsim.workload.families.description import (
    Attend,
    Embed,
    Family,
    Feed,
    Latent,
    Routed,
    Stack,
    Sub,
    Value,
)

_HEADS: tuple[Head, ...] = ("none", "lm_head", "question_answering")
SELF = Attend("self_attn", causal=True, rotary=True)
_GATED = Feed(
    "mlp.up_proj", "mlp.down_proj", "mlp.act", gate="mlp.gate_proj", gated="two", bias=False
)


def most(config: Config) -> int | None:
    """Return the most tokens that a model was trained for."""
    return config.size("max_position_embeddings", "rows")


def in_front(
    attention: Attend = SELF,
    feed: Feed | Routed = _GATED,
    norms: tuple[str, str] = ("input_layernorm", "post_attention_layernorm"),
    adds: tuple[str, str] = ("self_attn.add", "mlp.add"),
) -> tuple[Sub, ...]:
    """Return a block with a norm in front of each part."""
    return (
        Sub(attention, adds[0], before=norms[0]),
        Sub(feed, adds[1], before=norms[1]),
    )


_LLAMA = Stack(
    Embed("embed_tokens"),
    in_front(replace(SELF, bias="attention_bias", o_bias="attention_bias"),
         replace(_GATED, bias="mlp_bias")),
    kv_heads="num_key_value_heads",
    head_dim="head_dim",
    norm="rms_norm",
    final="norm",
    most=most,
)  # fmt: skip


def _kin(
    block: tuple[Sub, ...] | Callable[[Config], tuple[Sub, ...]] | None = None,
    defaults: dict[str, Any] | None = None,
    *,
    tied: bool = False,
    **changes: Any,
) -> Family:
    """Return a family that differs from Llama in its block and some more."""
    stack = replace(_LLAMA, block=block or _LLAMA.block, **changes)
    known = {"hidden_act": "silu", "tie_word_embeddings": tied} | (defaults or {})
    return Family((stack,), known, _HEADS, tied="tie_word_embeddings")


# --- windows, of some blocks or all -------------------------------------------------------------


def _kinds(pattern: Callable[[Config, int], bool]) -> Callable[[Config, int], int | None]:
    """Return the window of a block: from ``layer_types``, or else as a pattern says."""

    def window(config: Config, index: int) -> int | None:
        kinds = config.each("layer_types", index + 1)
        slides = "slid" in str(kinds[index]) if kinds else pattern(config, index)
        return config.size("sliding_window") if slides and config.get("sliding_window") else None

    return window


_QWEN_WINDOW = _kinds(
    lambda config, index: (
        config.flag("use_sliding_window") and index >= config.size_or("max_window_layers", 0)
    )
)
_EVERY_OTHER = _kinds(lambda config, index: index % 2 == 0)
_FIVE_OF_SIX = _kinds(
    lambda config, index: (
        (index + 1)
        % config.size_or("sliding_window_pattern|_sliding_window_pattern", 6) != 0
    )
)  # fmt: skip


def _rotates(config: Config, index: int) -> bool:
    """Return whether a block of SmolLM3 turns its queries and keys: three of four do."""
    listed = config.each("no_rope_layers", index + 1)
    every = config.size_or("no_rope_layer_interval", 4)
    return bool(listed[index]) if listed else (index + 1) % every != 0


# --- Llama's kin --------------------------------------------------------------------------------

_QWEN2 = replace(SELF, bias=True, window=_QWEN_WINDOW)
_QWEN3 = replace(
    SELF, bias="attention_bias", o_bias="attention_bias", qk_norm="head", window=_QWEN_WINDOW
)
_BIASED = replace(SELF, bias="attention_bias", o_bias="attention_bias")
_SLIDING = replace(SELF, window="sliding_window")


def _sandwich(attention: Attend) -> tuple[Sub, ...]:
    """Return a block with norms in front of its parts and behind them (Gemma 2)."""
    return (
        Sub(attention, "self_attn.add", before="input_layernorm",
            after="post_attention_layernorm"),
        Sub(_GATED, "mlp.add", before="pre_feedforward_layernorm",
            after="post_feedforward_layernorm"),
    )  # fmt: skip


def _behind(attention: Attend) -> tuple[Sub, ...]:
    """Return a block with norms behind its parts alone (OLMo 2)."""
    return (
        Sub(attention, "self_attn.add", after="post_attention_layernorm"),
        Sub(_GATED, "mlp.add", after="post_feedforward_layernorm"),
    )


def _normed_heads(config: Config) -> str:
    return "head" if config.flag("qk_layernorm") else ""


_PHI = (
    Sub(
        replace(SELF, o=".dense", bias=True, o_bias=True,
                qk_names=(".q_layernorm", ".k_layernorm"),
                qk_norm=_normed_heads),
        "self_attn.add",
        before="input_layernorm",
    ),
    Sub(Feed("mlp.fc1", "mlp.fc2", "mlp.act"), "mlp.add"),
)  # fmt: skip
_PHI3 = in_front(
    replace(SELF, fused=".qkv_proj", q=".query", k=".key", v=".value",
            window="sliding_window"),
    Feed("mlp.gate_up_proj", "mlp.down_proj", "mlp.act", gated="fused", bias=False),
)  # fmt: skip


def _stablelm(config: Config) -> tuple[Sub, ...]:
    together = config.flag("use_parallel_residual")
    attention = replace(
        SELF,
        bias="use_qkv_bias",
        qk_norm=_normed_heads,
        qk_names=(".q_layernorm", ".k_layernorm"),
    )
    return in_front(attention, norms=("input_layernorm", "" if together else _SECOND))


_SECOND = "post_attention_layernorm"
_STARCODER2 = in_front(
    replace(SELF, bias="use_bias", o_bias="use_bias", window="sliding_window"),
    Feed("mlp.c_fc", "mlp.c_proj", "mlp.act", bias="use_bias"),
)
_COHERE = (
    Sub(replace(_BIASED, qk_norm=lambda config: "head" if config.flag("use_qk_norm") else ""),
        "self_attn.add", before="input_layernorm"),
    Sub(_GATED, "mlp.add"),
)  # fmt: skip

# --- experts and latent attention ---------------------------------------------------------------

_BANK = Routed(
    "mlp.gate",
    "mlp.experts.gate_up_proj",
    "mlp.experts.down_proj",
    count="num_experts|num_local_experts",
    active="num_experts_per_tok",
    inner="moe_intermediate_size",
    dense=_GATED,
)
_MIXTRAL = replace(_BANK, count="num_local_experts", inner="intermediate_size", adapted=True)


def _sparse_step(config: Config, index: int) -> bool:
    """Return whether a block of Qwen's is routed: one of so many, but for some by their index."""
    step = config.size_or("decoder_sparse_step", 1)
    return index not in (config.get("mlp_only_layers") or ()) and (index + 1) % step == 0


_QWEN2_MOE = replace(
    _BANK,
    shared=Feed(
        "mlp.shared_expert.up_proj", "mlp.shared_expert.down_proj", "mlp.shared_expert.act",
        gate="mlp.shared_expert.gate_proj", gated="two", bias=False,
        inner="shared_expert_intermediate_size",
    ),
    shared_gate="mlp.shared_expert_gate",
    routed=_sparse_step,
)  # fmt: skip
_DEEPSEEK = replace(
    _BANK,
    count="n_routed_experts|num_experts|num_local_experts",
    shared=Feed(
        "mlp.shared_experts.up_proj", "mlp.shared_experts.down_proj", "mlp.shared_experts.act",
        gate="mlp.shared_experts.gate_proj", gated="two", bias=False,
        inner=lambda config: (
            config.size("moe_intermediate_size") * config.size_or("n_shared_experts", 1)
        ),
    ),
    routed=lambda config, index: index >= (config.get("first_k_dense_replace") or 0),
    adapted=True,
)  # fmt: skip
_LATENT = replace(SELF, bias="attention_bias", o_bias="attention_bias")
_LATENT_KEYS = {
    "attention_bias": False,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
}


def _latent(feed: Feed | Routed, values: Value = "v_head_dim", **defaults: Any) -> Family:
    """Return a family with latent attention."""
    found = _kin(
        in_front(replace(_LATENT, latent=Latent(values=values)), feed), _LATENT_KEYS | defaults,
        kv_heads=None, head_dim=lambda config: 1,
    )  # fmt: skip
    sizes = lambda config: (  # noqa: E731 - a value of a description
        config.size("qk_nope_head_dim") + config.size("qk_rope_head_dim")
    )
    return replace(
        found,
        same=(("qk_head_dim", sizes),),
        not_modelled=("latent vectors are not kept: keys and values are, as transformers keeps "
                      "them",),
    )  # fmt: skip


_GELU = {"hidden_act": "gelu_pytorch_tanh"}
_GEMMA = {"head_dim": 256, "hidden_activation": "gelu_pytorch_tanh"} | _GELU
_QWEN3_MOE = _kin(
    in_front(_QWEN3, replace(_BANK, routed=_sparse_step, adapted=True)),
    {"decoder_sparse_step": 1},
)

LLAMAS = {
    "llama": _kin(),
    "mistral": _kin(in_front(_SLIDING), {"num_key_value_heads": 8}),
    "ministral": _kin(in_front(replace(SELF, window=_kinds(lambda config, index: True)))),
    "mixtral": _kin(in_front(_SLIDING, _MIXTRAL), {"num_key_value_heads": 8}),
    "qwen2": _kin(in_front(_QWEN2), {"num_key_value_heads": 32}),
    "qwen2_moe": _kin(
        in_front(replace(_QWEN2, bias="qkv_bias"), _QWEN2_MOE),
        {"qkv_bias": True, "shared_expert_intermediate_size": 5632},
    ),
    "qwen3": _kin(in_front(_QWEN3), {"head_dim": 128}),
    "qwen3_moe": _QWEN3_MOE,
    "gemma": _kin(in_front(_BIASED), _GEMMA, tied=True, act="hidden_activation|hidden_act"),
    "gemma2": _kin(
        _sandwich(replace(_BIASED, window=_EVERY_OTHER)),
        _GEMMA, tied=True, act="hidden_activation|hidden_act",
    ),
    "gemma3_text": _kin(
        _sandwich(replace(_BIASED, qk_norm="head", window=_FIVE_OF_SIX)),
        _GEMMA, tied=True, act="hidden_activation|hidden_act",
    ),
    "phi": replace(_kin(_PHI, {"hidden_act": "gelu_new"}, norm="layer_norm", parallel=True,
                final="final_layernorm"), head_bias=True),
    "phi3": _kin(_PHI3),
    "stablelm": _kin(_stablelm, head_dim=None, norm="layer_norm",
                     parallel="use_parallel_residual"),
    "olmo": _kin(in_front(_BIASED), norm="layer_norm"),
    "olmo2": _kin(_behind(replace(_BIASED, qk_norm="all"))),
    "olmo3": _kin(_behind(replace(_BIASED, qk_norm="all", window=_kinds(
        lambda config, index: (index + 1) % 4 != 0)))),
    "granite": _kin(),
    "smollm3": _kin(
        in_front(replace(_BIASED, rotary=_rotates, window=_QWEN_WINDOW),
             replace(_GATED, bias="mlp_bias")),
        {"num_key_value_heads": 4}, tied=True,
    ),
    "starcoder2": _kin(
        _STARCODER2, _GELU | {"use_bias": True, "num_key_value_heads": 2}, tied=True,
        norm="layer_norm",
    ),
    "cohere": _kin(_COHERE, tied=True, norm="layer_norm", parallel=True),
    "deepseek_v2": _latent(_DEEPSEEK),
    "deepseek_v3": _latent(_DEEPSEEK, n_shared_experts=1),
    "minicpm3": _latent(
        replace(_GATED, bias="mlp_bias"),
        lambda config: config.size_or(
            "v_head_dim", config.size("hidden_size") // config.size("num_attention_heads")
        ),
        kv_lora_rank=256, q_lora_rank=768, qk_nope_head_dim=64, qk_rope_head_dim=32,
        v_head_dim=None,
    ),
}  # fmt: skip
"""Llama's kin by ``model_type``."""
