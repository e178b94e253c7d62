"""The encoder or the decoder of T5 (``model_type: t5``), as a Hugging Face config.json has it."""

from collections.abc import Mapping
from typing import Any, Literal

from hybridsim.specs import validate
from hybridsim.workload.families.builder import Body, FamilyConfig, Head, OpList, check_head
from hybridsim.workload.ops import Features, Flag, Rows, Tokens

_GATES = {"gated-gelu": "geglu", "gated-silu": "swiglu"}


class T5Config(FamilyConfig):
    """The keys of a T5 config.json that decide shapes; the others are left unread.

    Defaults are those of transformers' ``T5Config``.
    """

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
    num_decoder_layers: Features | None = None
    """Transformer blocks of the decoder; as many as the encoder has unless given."""
    is_decoder: Flag = False
    """Whether the stack of the decoder is meant: transformers sets it for that stack."""
    n_positions: Tokens = 512
    """Tokens of the encoder's sequence, to whose output the decoder attends."""
    tie_word_embeddings: Flag = True
    """Whether the language model head has the weights of the word embedding."""
    num_heads: Features
    """Heads of every attention."""
    relative_attention_num_buckets: Rows = 32
    """Rows of the table of biases that the scores get by the distance of two tokens."""
    feed_forward_proj: Literal["relu", "gelu", "silu", "gated-gelu", "gated-silu"] = "relu"
    """Activation of the feed-forward networks; the gated ones have two linear layers before."""


def build_t5(config: Mapping[str, Any], head: Head, file: str) -> Body:
    """Return the ops of a T5 stack; names follow the modules of transformers' model.

    Order of a block: norm, query, key, value, attention, its output, residual; in the decoder the
    same once more over the output of the encoder; then norm, feed-forward network, residual. A
    norm follows the last block; no layer has a bias. The table of position biases is the first
    block's, and all blocks add it to their scores, which is part of their attention. Source:
    transformers, ``modeling_t5.py``, after Raffel et al., JMLR 21, 2020.

    Raises:
        SpecError: A key is missing or has a value of no use, or the head is not one of the
            stack: the language model head follows the decoder.
    """
    spec = validate(T5Config, dict(config), file)
    size, decodes = spec.d_model, spec.is_decoder
    check_head(head, ("none", "lm_head") if decodes else ("none",), "t5", file)
    ops = OpList(file)
    hidden = ops.embedding("embed_tokens", spec.vocab_size, size)
    encoded = ops.input("encoder_output", size, spec.n_positions) if decodes else None
    layers = spec.num_decoder_layers if decodes else None
    for ops.block in range(layers or spec.num_layers):
        hidden = _attention(ops, spec, hidden)
        if encoded is not None:
            hidden = _cross_attention(ops, spec, hidden, encoded)
        hidden = _feed_forward(ops, spec, hidden, 2 if decodes else 1)
    ops.block = None
    hidden = ops.norm("final_layer_norm", hidden, "rms_norm", size)
    if head == "lm_head":
        tied = spec.tie_word_embeddings
        ops.linear("lm_head", hidden, size, spec.vocab_size, bias=False, tied=tied)
    return Body(ops.ops, None)


def _cross_attention(ops: OpList, spec: T5Config, hidden: str, encoded: str) -> str:
    """Append the attention of a decoder to the output of its encoder."""
    part, size, inner = "layer.1.EncDecAttention", spec.d_model, spec.num_heads * spec.d_kv
    normed = ops.norm("layer.1.layer_norm", hidden, "rms_norm", size)
    sources = (normed, encoded, encoded)
    qkv = [
        ops.linear(f"{part}.{name}", source, size, inner, bias=False)
        for name, source in zip("qkv", sources, strict=True)
    ]
    context = ops.attention(part, qkv, spec.num_heads, spec.d_kv)
    output = ops.linear(f"{part}.o", context, inner, size, bias=False)
    return ops.add("layer.1.add", [output, hidden], size)


def _attention(ops: OpList, spec: T5Config, hidden: str) -> str:
    part, size, heads = "layer.0.SelfAttention", spec.d_model, spec.num_heads
    inner = heads * spec.d_kv
    normed = ops.norm("layer.0.layer_norm", hidden, "rms_norm", size)
    qkv = [ops.linear(f"{part}.{name}", normed, size, inner, bias=False) for name in "qkv"]
    if ops.block == 0:
        buckets = spec.relative_attention_num_buckets
        ops.embedding(f"{part}.relative_attention_bias", buckets, heads)
    context = ops.attention(part, qkv, heads, spec.d_kv, causal=spec.is_decoder)
    output = ops.linear(f"{part}.o", context, inner, size, bias=False)
    return ops.add("layer.0.add", [output, hidden], size)


def _feed_forward(ops: OpList, spec: T5Config, attended: str, number: int) -> str:
    layer, size, inner = f"layer.{number}", spec.d_model, spec.d_ff
    part = f"{layer}.DenseReluDense"
    normed = ops.norm(f"{layer}.layer_norm", attended, "rms_norm", size)
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
    return ops.add(f"{layer}.add", [output, attended], size)
