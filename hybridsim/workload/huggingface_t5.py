"""The encoder of T5 (``model_type: t5``), as a Hugging Face config.json describes it."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict

from hybridsim.spec_files import validate
from hybridsim.units import Spec
from hybridsim.workload.huggingface_parts import Body, Head, check_head
from hybridsim.workload.op_list import OpList
from hybridsim.workload.ops import Features, Rows

_GATES = {"gated-gelu": "geglu", "gated-silu": "swiglu"}


class T5Config(Spec):
    """The keys of a T5 config.json that decide the shapes of the encoder.

    The others are left unread, those of the decoder among them. Defaults are those of
    transformers' ``T5Config``.
    """

    model_config = ConfigDict(extra="ignore")

    vocab_size: Rows
    """Rows of the word embedding."""
    d_model: Features
    """Length of a token's vector between blocks [elements]."""
    d_kv: Features
    """Elements of one head; all heads together may be longer or shorter than d_model."""
    d_ff: Features
    """Length of the vector inside a feed-forward network [elements]."""
    num_layers: Features
    """Transformer blocks of the encoder."""
    num_heads: Features
    """Heads of every attention."""
    relative_attention_num_buckets: Rows = 32
    """Rows of the table of biases that the scores get by the distance of two tokens."""
    feed_forward_proj: Literal["relu", "gelu", "silu", "gated-gelu", "gated-silu"] = "relu"
    """Activation of the feed-forward networks; the gated ones have two linear layers before."""


def build_t5(config: Mapping[str, Any], head: Head, file: str) -> Body:
    """Return the ops of a T5 encoder; names follow the modules of transformers' model.

    Order of a block: norm, query, key, value, attention, its output, residual; then norm,
    feed-forward network, residual. A norm follows the last block; no layer has a bias. The
    table of position biases is the first block's, and all blocks add it to their scores, which
    is part of their attention. Source: transformers, ``modeling_t5.py``, after Raffel et al.,
    JMLR 21, 2020.

    Raises:
        SpecError: A key is missing or has a value of no use, or a head is asked for: those of
            the family follow the decoder.
    """
    spec = validate(T5Config, dict(config), file)
    check_head(head, ("none",), "t5", file)
    ops = OpList(file)
    hidden = ops.embedding("embed_tokens", spec.vocab_size, spec.d_model)
    for ops.block in range(spec.num_layers):
        hidden = _feed_forward(ops, spec, _attention(ops, spec, hidden))
    ops.block = None
    ops.norm("final_layer_norm", hidden, "rms_norm", spec.d_model)
    return Body(ops.ops, None)


def _attention(ops: OpList, spec: T5Config, hidden: str) -> str:
    part, size, heads = "layer.0.SelfAttention", spec.d_model, spec.num_heads
    inner = heads * spec.d_kv
    normed = ops.norm("layer.0.layer_norm", hidden, "rms_norm", size)
    qkv = [ops.linear(f"{part}.{name}", normed, size, inner, bias=False) for name in "qkv"]
    if ops.block == 0:
        buckets = spec.relative_attention_num_buckets
        ops.embedding(f"{part}.relative_attention_bias", buckets, heads)
    context = ops.attention(part, qkv, heads, spec.d_kv)
    output = ops.linear(f"{part}.o", context, inner, size, bias=False)
    return ops.add("layer.0.add", [output, hidden], size)


def _feed_forward(ops: OpList, spec: T5Config, attended: str) -> str:
    part, size, inner = "layer.1.DenseReluDense", spec.d_model, spec.d_ff
    normed = ops.norm("layer.1.layer_norm", attended, "rms_norm", size)
    if (gate := _GATES.get(spec.feed_forward_proj)) is not None:
        wide = [
            ops.linear(f"{part}.{name}", normed, size, inner, bias=False)
            for name in ("wi_0", "wi_1")
        ]
        active = ops.gate(f"{part}.act", wide, gate, inner)
    else:
        narrow = ops.linear(f"{part}.wi", normed, size, inner, bias=False)
        active = ops.activation(f"{part}.act", narrow, spec.feed_forward_proj, inner)
    output = ops.linear(f"{part}.wo", active, inner, size, bias=False)
    return ops.add("layer.1.add", [output, attended], size)
