"""Decoders of text other than Llama's kin, as data. Names follow the modules of transformers."""

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
    Mixer,
    Stack,
    Sub,
)
from hybridsim.workload.families.llamas import LLAMAS, SELF, in_front, most

_HEADS: tuple[Head, ...] = ("none", "lm_head", "question_answering")
_ONE_SEQUENCE = {"add_cross_attention": (False, "false")}


def _local_of_neo(config: Config, index: int) -> int | None:
    """Return the window of a block of GPT-Neo."""
    kinds = config.each("attention_layers", index + 1)
    if kinds is None:
        kinds = [
            kind for cycle, count in config.get("attention_types") or () for kind in cycle * count
        ]
    return config.size("window_size") if kinds and kinds[index] == "local" else None


# --- GPT ----------------------------------------------------------------------------------------


def _four_times(key: str, size: str) -> Callable[[Config], int]:
    """Return the inner size: what a key says, or four times the size."""
    return lambda config: config.size_or(key, 4 * config.size(size, "size"), "inner")


_GPT_KEYS: dict[str, Any] = {
    "size": "n_embd|hidden_size",
    "layers": "n_layer|num_hidden_layers",
    "heads": "n_head|num_attention_heads",
    "inner": _four_times("n_inner", "n_embd|hidden_size"),
    "act": "activation_function",
    "most": lambda config: config.size("n_positions", "rows"),
}
_GPT2 = Stack(
    Embed("wte", positions="wpe", position_rows="n_positions"),
    in_front(
        Attend("attn", ".query", ".key", ".value", ".c_proj", ".c_attn",
               bias=True, o_bias=True, causal=True),
        Feed("mlp.c_fc", "mlp.c_proj", "mlp.act"), ("ln_1", "ln_2"), ("attn.add", "mlp.add"),
    ),
    final="ln_f",
    **_GPT_KEYS,
)  # fmt: skip
_GPT_DEFAULTS = {"activation_function": "gelu_new", "tie_word_embeddings": True}
_NEO = replace(
    _GPT2,
    embed=Embed("wte", positions="wpe"),
    block=in_front(
        Attend("attn.attention", o=".out_proj", o_bias=True, causal=True, window=_local_of_neo),
        Feed("mlp.c_fc", "mlp.c_proj", "mlp.act"), ("ln_1", "ln_2"), ("attn.add", "mlp.add"),
    ),
    size="hidden_size",
    layers="num_layers|num_hidden_layers",
    heads="num_heads|num_attention_heads",
    inner=_four_times("intermediate_size", "hidden_size"),
    most=most,
)  # fmt: skip
_GPTJ = replace(
    _GPT2,
    embed=Embed("wte"),
    block=(
        Sub(replace(SELF, name="attn", o=".out_proj"), "attn.add", before="ln_1"),
        Sub(Feed("mlp.fc_in", "mlp.fc_out", "mlp.act"), "mlp.add"),
    ),
    parallel=True,
)
_CODEGEN = replace(
    _GPTJ,
    block=(
        Sub(Attend("attn", ".query", ".key", ".value", ".out_proj", ".qkv_proj", causal=True,
                   rotary=True), "attn.add", before="ln_1"),
        Sub(Feed("mlp.fc_in", "mlp.fc_out", "mlp.act"), "mlp.add"),
    ),
)  # fmt: skip
_BIGCODE = replace(
    _GPT2,
    kv_heads=lambda config: 1 if config.flag("multi_query", True) else config.size("n_head"),
)


# --- NeoX, BLOOM, Falcon, OPT -------------------------------------------------------------------

_FUSED = Attend("attention", ".query", ".key", ".value", ".dense", ".query_key_value", causal=True)
_WIDE = Feed("mlp.dense_h_to_4h", "mlp.dense_4h_to_h", "mlp.act")
_NEOX = Stack(
    Embed("embed_in"),
    in_front(replace(_FUSED, bias="attention_bias", o_bias="attention_bias", rotary=True), _WIDE,
         adds=("attention.add", "mlp.add")),
    parallel="use_parallel_residual",
    final="final_layer_norm",
    most=most,
)  # fmt: skip
_BLOOM = Stack(
    Embed("word_embeddings", norm="word_embeddings_layernorm"),
    in_front(replace(_FUSED, name="self_attention", bias=True, o_bias=True), _WIDE,
         adds=("self_attention.add", "mlp.add")),
    size="hidden_size|n_embed",
    layers="n_layer|num_hidden_layers",
    heads="n_head|num_attention_heads",
    inner=lambda config: 4 * config.size("hidden_size|n_embed", "size"),
    act=lambda config: "gelu",
    final="ln_f",
)  # fmt: skip


def _falcon(config: Config) -> tuple[Sub, ...]:
    """Return a block of Falcon, whose generations have one norm in front of both parts, one of
    each, or one part behind the other."""
    new = config.flag("new_decoder_architecture")
    rotary = not config.flag("alibi")
    attention = replace(_FUSED, name="self_attention", bias="bias", o_bias="bias", rotary=rotary)
    feed = replace(_WIDE, bias="bias")
    norms = ("input_layernorm", "")
    if new and config.size_or("num_ln_in_parallel_attn", 2) == 2:
        norms = ("ln_attn", "ln_mlp")
    elif not new and not config.flag("parallel_attn"):
        norms = ("input_layernorm", "post_attention_layernorm")
    return (
        Sub(attention, "self_attention.add", before=norms[0]),
        Sub(feed, "mlp.add", before=norms[1]),
    )


def _falcon_keys(config: Config) -> int:
    heads = config.size("num_attention_heads|n_head", "heads")
    if config.flag("new_decoder_architecture"):
        return config.size_or("num_kv_heads|n_head_kv", heads)
    return 1 if config.flag("multi_query") else heads


_FALCON = Stack(
    Embed("word_embeddings"),
    _falcon,
    size="hidden_size",
    layers="num_hidden_layers|n_layer",
    heads="num_attention_heads|n_head",
    kv_heads=_falcon_keys,
    inner=_four_times("ffn_hidden_size", "hidden_size"),
    act="activation",
    parallel=lambda config: (
        config.flag("new_decoder_architecture") or config.flag("parallel_attn")
    ),
    final="ln_f",
    most=lambda config: config.size_or("max_position_embeddings", 2048),
)
_OPT_BLOCK = (
    Attend("self_attn", o=".out_proj", bias="enable_bias", o_bias="enable_bias", causal=True),
    Feed("fc1", "fc2", "activation", bias="enable_bias"),
)


def _opt(config: Config) -> tuple[Sub, ...]:
    first = config.flag("do_layer_norm_before")
    norms = ("self_attn_layer_norm", "final_layer_norm")
    where = "before" if first else "behind"
    return tuple(
        Sub(core, f"{name}.add", **{where: norm})  # type: ignore[arg-type]
        for core, name, norm in zip(_OPT_BLOCK, ("self_attn", "fc2"), norms, strict=True)
    )


def _opt_end(config: Config) -> str:
    removed = config.get("_remove_final_layer_norm")
    return "final_layer_norm" if config.flag("do_layer_norm_before") and not removed else ""


_OPT = Stack(
    Embed(
        "embed_tokens", positions="embed_positions", offset=2,
        size=lambda config: config.size_or(
            "word_embed_proj_dim", config.size("hidden_size", "size")
        ),
        project="project_in", project_bias=False, project_first=True,
    ),
    _opt,
    inner="ffn_dim",
    act="activation_function",
    final=_opt_end,
    project="project_out",
    most=most,
)  # fmt: skip


def _expanded(config: Config) -> int:
    """Return the inner size of Mamba."""
    return config.size_or("expand", 2) * config.size("hidden_size", "size")


_MAMBA = Stack(
    Embed("embeddings"),
    (Sub(Mixer(), "mixer.add", before="norm"),),
    inner=_expanded,
    heads=lambda config: 1,
    norm="rms_norm",
    final="norm_f",
)

DECODERS = {
    "gpt2": Family((_GPT2,), _GPT_DEFAULTS, _HEADS, last_only=False, tied="tie_word_embeddings",
                   only=_ONE_SEQUENCE),
    "gpt_neo": Family((_NEO,), _GPT_DEFAULTS | {"window_size": 256}, _HEADS,
                      tied="tie_word_embeddings"),
    "gptj": Family((_GPTJ,), _GPT_DEFAULTS | {"tie_word_embeddings": False}, _HEADS,
                   tied="tie_word_embeddings", head_bias=True),
    "codegen": Family((_CODEGEN,), _GPT_DEFAULTS | {"tie_word_embeddings": False}, _HEADS,
                      tied="tie_word_embeddings", head_bias=True),
    "gpt_bigcode": Family(
        (_BIGCODE,), {"activation_function": "gelu_pytorch_tanh", "tie_word_embeddings": True},
        _HEADS, tied="tie_word_embeddings", only=_ONE_SEQUENCE,
    ),
    "gpt_neox": Family(
        (_NEOX,), {"attention_bias": True, "use_parallel_residual": True, "hidden_act": "gelu"},
        _HEADS, tied="tie_word_embeddings",
    ),
    "bloom": Family((_BLOOM,), {"tie_word_embeddings": True}, _HEADS, tied="tie_word_embeddings"),
    "falcon": Family(
        (_FALCON,),
        {"activation": "gelu", "multi_query": True, "parallel_attn": True, "bias": False,
         "tie_word_embeddings": True},
        _HEADS, tied="tie_word_embeddings",
    ),
    "opt": Family(
        (_OPT,),
        {"activation_function": "relu", "do_layer_norm_before": True, "enable_bias": True,
         "tie_word_embeddings": True},
        _HEADS, tied="tie_word_embeddings",
    ),
    "mamba": Family((_MAMBA,), {"state_size": 16, "conv_kernel": 4, "hidden_act": "silu",
                                "tie_word_embeddings": True,
                                "use_bias": False}, ("none", "lm_head"),
                    tied="tie_word_embeddings", same=(("intermediate_size", _expanded),)),
    **LLAMAS,
}  # fmt: skip
"""The decoders of text by ``model_type``."""
