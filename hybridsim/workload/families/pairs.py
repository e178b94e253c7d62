"""Encoders with a decoder behind them, each pair one network, as data."""

from dataclasses import replace
from typing import Any, Literal

from hybridsim.workload.families.config import Config
from hybridsim.workload.families.description import (
    Attend,
    Embed,
    Family,
    Feed,
    Sound,
    Stack,
    Sub,
    Value,
)

_GATES = {"gated-gelu": "gelu", "gated-silu": "silu"}
_FORMS = Literal["relu", "gelu", "silu", "gated-gelu", "gated-silu"]


# --- T5 -----------------------------------------------------------------------------------------


def _form(config: Config) -> str:
    """Return the form of the feed-forward networks: an activation, maybe with a gate."""
    return str(config.read("feed_forward_proj", _FORMS))


def _attend(layer: str, name: str, **more: Any) -> Sub:
    core = Attend(f"{layer}.{name}", ".q", ".k", ".v", ".o", **more)
    return Sub(core, f"{layer}.add", before=f"{layer}.layer_norm")


def _t5_feed(layer: str) -> Sub:
    part = f"{layer}.DenseReluDense"
    feed = Feed(
        f"{part}.wi", f"{part}.wo", f"{part}.act", gate=f"{part}.wi_0", beside=f"{part}.wi_1",
        gated=lambda config: "two" if _form(config) in _GATES else "", bias=False,
    )  # fmt: skip
    return Sub(feed, f"{layer}.add", before=f"{layer}.layer_norm")


def _t5_self(**more: Any) -> Sub:
    relative = "layer.0.SelfAttention.relative_attention_bias"
    return _attend("layer.0", "SelfAttention", relative=relative, **more)


_T5_ENCODER = Stack(
    Embed("embed_tokens"),
    (_t5_self(), _t5_feed("layer.1")),
    size="d_model|hidden_size",
    inner="d_ff",
    layers="num_layers|num_hidden_layers",
    heads="num_heads|num_attention_heads",
    head_dim=lambda config: config.size("d_kv|head_dim", "head_dim"),
    act=lambda config: _GATES.get(_form(config), _form(config)),
    norm="rms_norm",
    final="final_layer_norm",
)


def _decoder_layers(config: Config) -> int:
    return config.size_or(
        "num_decoder_layers", config.size("num_layers|num_hidden_layers", "layers")
    )


_T5_DECODER = replace(
    _T5_ENCODER,
    block=(
        _t5_self(causal=True),
        _attend("layer.1", "EncDecAttention", cross=True),
        _t5_feed("layer.2"),
    ),
    layers=_decoder_layers,
)
_T5_DEFAULTS = {
    "feed_forward_proj": "relu",
    "relative_attention_num_buckets": 32,
    "tie_word_embeddings": True,
    "n_positions": 512,
}
_T5 = Family(
    (
        replace(_T5_ENCODER, prefix="encoder.", source=True),
        replace(_T5_DECODER, prefix="decoder.", embed=Embed("embed_tokens", tied=True)),
    ),
    _T5_DEFAULTS,
    ("none", "lm_head"),
    last_only=False,
    tied="tie_word_embeddings",
    same=(("is_gated_act", lambda config: _form(config) in _GATES),),
)


def one_stack(family: Family, which: Literal["encoder", "decoder"]) -> Family:
    """Return one stack of a pair by itself; a decoder's encoder then lies outside, and its
    output enters."""
    encoder, decoder = family.stacks
    if which == "encoder":
        return replace(
            family, stacks=(replace(encoder, prefix="", source=False),), heads=("none",)
        )
    assert isinstance(decoder.embed, Embed)
    embed = replace(decoder.embed, tied=False)
    enters = "n_positions|max_source_positions|max_position_embeddings"
    return replace(family, stacks=(replace(decoder, prefix="", embed=embed, enters=enters),))


# --- BART ---------------------------------------------------------------------------------------


def _side(name: str, pre: Value | bool, *, positions: int, **more: Any) -> Stack:
    """Return the encoder or the decoder of a kin of BART."""
    attention = Attend("self_attn", o=".out_proj", bias=True, o_bias=True,
                       causal=name == "decoder", k_bias=more.pop("k_bias", "as_q"))  # fmt: skip
    where = "before" if pre else "behind"
    subs = [Sub(attention, "self_attn.add", **{where: "self_attn_layer_norm"})]
    if name == "decoder":
        cross = replace(attention, name="encoder_attn", cross=True, causal=False)
        subs.append(Sub(cross, "encoder_attn.add", **{where: "encoder_attn_layer_norm"}))
    feed = Feed("fc1", "fc2", "activation")
    subs.append(Sub(feed, "fc2.add", **{where: "final_layer_norm"}))
    also = "|num_hidden_layers" if name == "encoder" else ""  # that other name is the encoder's
    embed = Embed(
        "embed_tokens", positions="embed_positions", offset=positions,
        norm="" if pre else "layernorm_embedding", tied=name == "decoder",
    )  # fmt: skip
    found = Stack(
        embed, tuple(subs), prefix=f"{name}.", size="d_model|hidden_size",
        inner=f"{name}_ffn_dim", layers=f"{name}_layers{also}", heads=f"{name}_attention_heads",
        act="activation_function", source=name == "encoder",
        final="layer_norm" if pre else "",
        most=lambda config: config.size("max_position_embeddings", "rows"),
    )  # fmt: skip
    return replace(found, **more)


def _bart(pre: bool = False, positions: int = 2, **defaults: Any) -> Family:
    sides = tuple(_side(name, pre, positions=positions) for name in ("encoder", "decoder"))
    known = {"activation_function": "gelu", "tie_word_embeddings": True} | defaults
    return Family(
        sides, known, ("none", "lm_head"), tied="tie_word_embeddings",
        only={"is_encoder_decoder": (True, "true")},
    )  # fmt: skip


_MARIAN = _bart(positions=0)

# --- Whisper ------------------------------------------------------------------------------------

_WHISPER_STEM = Sound(
    lambda config: [
        ("conv1", config.size("d_model", "size"), 3, 1, 2, True),
        ("conv2", config.size("d_model", "size"), 3, 2, 2, True),
    ],
    channels="num_mel_bins",
    frames=lambda config: 2 * config.size("max_source_positions", "rows"),
    positions="embed_positions",
)
_WHISPER = Family(
    (
        replace(
            _side("encoder", pre=True, positions=0, k_bias=False),
            embed=_WHISPER_STEM, source=False,
        ),
        replace(
            _side("decoder", pre=True, positions=0, k_bias=False),
            embed=Embed("embed_tokens", positions="embed_positions",
                        position_rows="max_target_positions"),
            most=lambda config: config.size("max_target_positions", "rows"),
        ),
    ),
    {"activation_function": "gelu", "num_mel_bins": 80, "max_source_positions": 1500,
     "max_target_positions": 448, "tie_word_embeddings": True},
    ("none", "lm_head"),
    tied="tie_word_embeddings",
)  # fmt: skip

PAIRS = {
    "t5": _T5,
    "mt5": replace(_T5, defaults=_T5_DEFAULTS | {"feed_forward_proj": "gated-gelu"}),
    "bart": _bart(),
    "mbart": replace(
        _bart(),
        stacks=tuple(
            replace(
                _side(name, pre=True, positions=2),
                embed=Embed("embed_tokens", positions="embed_positions", offset=2,
                            norm="layernorm_embedding", tied=name == "decoder"),
            )
            for name in ("encoder", "decoder")
        ),
    ),
    "pegasus": _bart(pre=True, positions=0, activation_function="relu"),
    "marian": replace(
        _MARIAN,
        stacks=tuple(
            replace(stack, embed=replace(stack.embed, norm=""))
            for stack in _MARIAN.stacks
        ),
    ),
    "whisper": _WHISPER,
}  # fmt: skip
"""Encoders with their decoders by ``model_type``."""
