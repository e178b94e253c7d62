"""Models of images and of sound, and of images beside text, as data."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hybridsim.workload.families.builder import Head
from hybridsim.workload.families.config import Config
from hybridsim.workload.families.decoders import DECODERS
from hybridsim.workload.families.description import (
    Attend,
    Embed,
    Family,
    Feed,
    Pixels,
    Shortened,
    Sound,
    Stack,
    Sub,
)
from hybridsim.workload.families.stems import patches_of

# --- images -------------------------------------------------------------------------------------

_SEE = Attend("attention.attention", ".query", ".key", ".value", "attention.output",
              bias="qkv_bias", o_bias=True)  # fmt: skip
_FEED = Feed("intermediate", "output", "intermediate.activation")
_PATCHES = Pixels(
    "embeddings.patch_embeddings.projection",
    in_front=("embeddings.cls_token",),
    positions="embeddings.position_embeddings",
)


def _seen(
    attention: Attend = _SEE,
    feed: Feed = _FEED,
    norms: tuple[str, str] = ("layernorm_before", "layernorm_after"),
    scales: tuple[str, str] = ("", ""),
) -> tuple[Sub, ...]:
    return (
        Sub(attention, "attention.output.add", before=norms[0], scale=scales[0]),
        Sub(feed, "output.add", before=norms[1], scale=scales[1]),
    )


_VIT = Stack(_PATCHES, _seen(), head_dim="head_dim", final="layernorm")
_DEFAULTS = {"qkv_bias": True, "num_channels": 3, "hidden_act": "gelu"}
_HEADS: tuple[Head, ...] = ("none", "classifier", "pooler")


def _of_ratio(config: Config) -> int:
    """Return the inner size where a config has a ratio instead."""
    return config.size("hidden_size", "size") * config.size("mlp_ratio")


def _dinov2(config: Config) -> tuple[Sub, ...]:
    scales = ("layer_scale1", "layer_scale2")
    feed = Feed("mlp.fc1", "mlp.fc2", "mlp.activation")
    if config.flag("use_swiglu_ffn"):
        feed = Feed("mlp.up_proj", "mlp.down_proj", "mlp.activation", gate="mlp.gate_proj",
                    gated="two")  # fmt: skip
    return _seen(feed=feed, norms=("norm1", "norm2"), scales=scales)


def _dinov2_inner(config: Config) -> int:
    """Return the inner size; two thirds, rounded up to eights, where it has a gate (DINOv2)."""
    inner = _of_ratio(config)
    return (int(inner * 2 / 3) + 7) // 8 * 8 if config.flag("use_swiglu_ffn") else inner


def _beit(config: Config) -> tuple[Sub, ...]:
    scaled = (config.get("layer_scale_init_value") or 0) > 0
    attention = replace(_SEE, bias=True, k_bias=False)
    return _seen(attention, scales=("lambda_1", "lambda_2") if scaled else ("", ""))


def _beit_notes(config: Config) -> tuple[str, ...]:
    keys = ("use_relative_position_bias", "use_shared_relative_position_bias")
    found = any(config.flag(key) for key in keys)
    return ("tables of biases by distance",) if found else ()


def _swin_tokens(config: Config) -> int:
    """Return the tokens that leave the last stage."""
    patches, _ = patches_of(config)
    merged: int = 4 ** (len(config.numbers("depths")) - 1)
    return max(1, patches // merged)


_SWIN = Stack(
    Pixels("embeddings.patch_embeddings.projection", positions="embeddings.position_embeddings",
           positioned="use_absolute_embeddings", norm="embeddings.norm"),
    _seen(replace(_SEE, window=lambda config, index: config.size("window_size") ** 2)),
    size="embed_dim",
    final="layernorm",
    stages=True,
    most=_swin_tokens,
)  # fmt: skip


# --- images beside text -------------------------------------------------------------------------


def _tower(section: str, **more: Any) -> Stack:
    """Return one of the two stacks of CLIP and its kin."""
    attention = Attend("self_attn", o=".out_proj", bias=True, o_bias=True)
    feed = Feed("mlp.fc1", "mlp.fc2", "mlp.activation")
    block = (
        Sub(attention, "self_attn.add", before="layer_norm1"),
        Sub(feed, "mlp.add", before="layer_norm2"),
    )
    text = Embed("embeddings.token_embedding", positions="embeddings.position_embedding")
    most: Callable[[Config], int | None] = lambda config: config.size_or(  # noqa: E731
        "max_position_embeddings", 77
    )
    found = Stack(text, block, section=section, final="final_layer_norm", most=most)
    return replace(found, **more)


def _sizes(section: str, size: int, heads: int, act: str, **more: Any) -> dict[str, Any]:
    """Return what transformers takes where the config of a tower says nothing."""
    own = {
        "hidden_size": size, "intermediate_size": 4 * size, "num_hidden_layers": 12,
        "num_attention_heads": heads, "hidden_act": act, "num_channels": 3, "image_size": 224,
    } | more  # fmt: skip
    return {f"{section}.{key}": value for key, value in own.items()}


_CLIP = Family(
    (
        _tower(
            "vision_config", prefix="vision_model.", final="post_layernorm",
            embed=Pixels(
                "embeddings.patch_embedding", bias=False, given=True,
                in_front=("embeddings.class_embedding",),
                positions="embeddings.position_embedding", norm="pre_layrnorm",
            ),
            pooled=("visual_projection",),
            pooled_size=lambda config: config.root.size_or("projection_dim", 512),
            pooled_bias=False,
        ),
        _tower(
            "text_config", prefix="text_model.", pooled=("text_projection",),
            pooled_size=lambda config: config.root.size_or("projection_dim", 512),
            pooled_bias=False,
        ),
    ),
    _sizes("vision_config", 768, 12, "quick_gelu", patch_size=32)
    | _sizes("text_config", 512, 8, "quick_gelu", vocab_size=49408, max_position_embeddings=77),
)  # fmt: skip
_SIGLIP_VISION = _tower(
    "vision_config",
    prefix="vision_model.",
    final="post_layernorm",
    embed=Pixels(
        "embeddings.patch_embedding", given=True, positions="embeddings.position_embedding"
    ),
    probe=lambda config: "head" if config.flag("vision_use_head", True) else "",
)
_SIGLIP = Family(
    (
        _SIGLIP_VISION,
        _tower(
            "text_config", prefix="text_model.", pooled=("head",), pooled_size="projection_size"
        ),
    ),
    _sizes("vision_config", 768, 12, "gelu_pytorch_tanh", patch_size=16)
    | _sizes("text_config", 768, 12, "gelu_pytorch_tanh", vocab_size=32000,
             max_position_embeddings=64),
)  # fmt: skip


# Gemma 3 with images: the tower of SigLIP, whose head goes nowhere, and the decoder
_GEMMA3_TEXT = DECODERS["gemma3_text"]
_GEMMA3 = Family(
    (
        replace(_SIGLIP_VISION, prefix="vision_tower."),
        *(
            replace(stack, section="text_config", prefix="language_model.")
            for stack in _GEMMA3_TEXT.stacks
        ),
    ),
    _sizes("vision_config", 768, 12, "gelu_pytorch_tanh", patch_size=16)
    | {
        f"text_config.{key}": value
        for key, value in {
            **_GEMMA3_TEXT.defaults,
            "vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216,
            "num_hidden_layers": 26, "num_attention_heads": 8, "num_key_value_heads": 4,
            "max_position_embeddings": 131072, "sliding_window": 4096,
        }.items()
    }
    | {"tie_word_embeddings": True},
    ("none", "lm_head"),
    tied="tie_word_embeddings",
    not_modelled=("the way of an image's tokens into the text: their mean and one projection",),
)  # fmt: skip


# --- sound --------------------------------------------------------------------------------------


def _frames(config: Config) -> list[tuple[str, int, int, int, int, bool]]:
    """Return the convolutions in front of wav2vec2."""
    sizes = config.numbers("conv_dim")
    strides, kernels = (config.numbers(key, len(sizes)) for key in ("conv_stride", "conv_kernel"))
    bias = config.flag("conv_bias")
    return [
        (f"feature_extractor.conv_layers.{i}.conv", size, kernel, stride, 0, bias)
        for i, (size, kernel, stride) in enumerate(zip(sizes, kernels, strides, strict=True))
    ]


def _frame_norms(config: Config) -> dict[int, str]:
    """Return the norms behind those: one behind the first, or one behind each."""
    count = len(config.numbers("conv_dim"))
    own = range(count) if config.get("feat_extract_norm") == "layer" else range(1)
    return {i: f"feature_extractor.conv_layers.{i}.layer_norm" for i in own}


def _heard(config: Config) -> tuple[Sub, ...]:
    attention = Attend("attention", o=".out_proj", bias=True, o_bias=True)
    feed = Feed("feed_forward.intermediate_dense", "feed_forward.output_dense",
                "feed_forward.activation")  # fmt: skip
    stable = config.flag("do_stable_layer_norm")
    where = "before" if stable else "behind"
    found = (
        Sub(attention, "attention.add", **{where: "layer_norm"}),
        Sub(feed, "feed_forward.add", **{where: "final_layer_norm"}),
    )
    if not stable or not config.has("adapter_attn_dim"):  # read by that kind of block alone
        return found
    adapter = Feed("adapter_layer.linear_1", "adapter_layer.linear_2", "adapter_layer.act_fn",
                   inner="adapter_attn_dim", function="relu")  # fmt: skip
    return (*found, Sub(adapter, "adapter_layer.add", before="adapter_layer.norm"))


def _heard_norm(stable: bool) -> Callable[[Config], str]:
    return lambda config: (
        "encoder.layer_norm" if config.flag("do_stable_layer_norm") == stable else ""
    )


_HUBERT = Stack(
    Sound(
        _frames,
        norms=_frame_norms,
        projection=("feature_projection.layer_norm", "feature_projection.projection"),
        convolved=("encoder.pos_conv_embed.conv", "num_conv_pos_embeddings",
                   "num_conv_pos_embedding_groups"),
        norm=_heard_norm(stable=False),
    ),
    _heard,
    final=_heard_norm(stable=True),
)  # fmt: skip
_WAV2VEC2 = replace(
    _HUBERT,
    shortened=Shortened(
        "adapter", "add_adapter", "output_hidden_size", "num_adapter_layers",
        "adapter_kernel_size", "adapter_stride",
    ),
)  # fmt: skip
_SOUND = {
    "conv_dim": (512,) * 7,
    "conv_stride": (5, 2, 2, 2, 2, 2, 2),
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
    "hidden_act": "gelu",
}

SENSES = {
    "vit": Family((_VIT,), _DEFAULTS, _HEADS),
    "deit": Family(
        (
            replace(
                _VIT,
                embed=replace(
                    _PATCHES,
                    in_front=("embeddings.distillation_token", "embeddings.cls_token"),
                ),
            ),
        ),
        _DEFAULTS,
        _HEADS,
    ),
    "beit": Family(
        (
            replace(
                _VIT,
                embed=replace(_PATCHES, positioned="use_absolute_position_embeddings"),
                block=_beit,
                final=lambda config: "" if config.flag("use_mean_pooling", True) else "layernorm",
            ),
        ),
        _DEFAULTS | {"use_absolute_position_embeddings": False, "layer_scale_init_value": 0.1},
        _HEADS,
        not_modelled=_beit_notes,
    ),
    "dinov2": Family(
        (
            replace(
                _VIT,
                block=_dinov2,
                inner=_dinov2_inner,
                act=lambda config: (
                    "silu" if config.flag("use_swiglu_ffn") else config.get("hidden_act")
                ),
            ),
        ),
        _DEFAULTS | {"mlp_ratio": 4, "image_size": 224, "patch_size": 14},
        ("none", "classifier"),
    ),
    "swin": Family(
        (_SWIN,),
        _DEFAULTS | {"mlp_ratio": 4.0, "use_absolute_embeddings": False, "window_size": 7},
        ("none", "classifier"),
        same=(
            ("num_layers", lambda config: len(config.numbers("depths"))),
            (
                "hidden_size",
                lambda config: config.size("embed_dim") * 2 ** (len(config.numbers("depths")) - 1),
            ),
        ),
        not_modelled=("tables of biases by distance",),
    ),
    "clip": _CLIP,
    "gemma3": _GEMMA3,
    "siglip": _SIGLIP,
    "wav2vec2": Family(
        (_WAV2VEC2,),
        _SOUND | {"num_adapter_layers": 3, "adapter_kernel_size": 3, "adapter_stride": 2},
    ),
    "hubert": Family((_HUBERT,), _SOUND),
}
"""Models of images and sound by ``model_type``."""
