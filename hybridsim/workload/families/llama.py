"""Llama (``model_type: llama``), as a Hugging Face config.json describes it."""

from collections.abc import Mapping
from typing import Any

from hybridsim.errors import SpecError
from hybridsim.specs import validate
from hybridsim.workload.families.builder import (
    ActivationName,
    Body,
    FamilyConfig,
    Head,
    OpList,
    activation_function,
    add_head,
    check_head,
    head_dim,
)
from hybridsim.workload.ops import Features, Flag, Rows, Tokens

_GATES = {"silu": "swiglu", "gelu": "geglu"}


class LlamaConfig(FamilyConfig):
    """The keys of a Llama config.json that decide shapes; the others are left unread.

    Among those are ``rope_theta`` and ``rope_scaling``: they choose the angles of the rotary
    embedding, which no shape depends on. Defaults are those of transformers' ``LlamaConfig``.
    """

    vocab_size: Rows
    """Rows of the word embedding."""
    hidden_size: Features
    """Length of a token's vector between blocks [elements]."""
    intermediate_size: Features
    """Length of the vector inside a feed-forward network [elements]."""
    num_hidden_layers: Features
    """Transformer blocks."""
    num_attention_heads: Features
    """Heads of the queries."""
    num_key_value_heads: Features | None = None
    """Heads of the keys and of the values; as many as of the queries unless given."""
    head_dim: Features | None = None
    """Elements of one head; hidden_size over num_attention_heads unless given."""
    hidden_act: ActivationName = "silu"
    """Activation of the gate in the feed-forward networks."""
    max_position_embeddings: Tokens
    """The most tokens of a sequence that the model was trained for; there is no table."""
    attention_bias: Flag = False
    """Whether the four linear layers of an attention have biases."""
    mlp_bias: Flag = False
    """Whether the three linear layers of a feed-forward network have biases."""
    tie_word_embeddings: Flag = False
    """Whether the language model head has the weights of the word embedding."""


def build_llama(config: Mapping[str, Any], head: Head, file: str) -> Body:
    """Return the ops of a Llama; names follow the modules of transformers' ``LlamaModel``.

    Order of a block: RMS norm, queries, keys and values, rotary embedding of queries and keys,
    causal attention with grouped queries, its output, residual; then RMS norm, gate and up
    projection, gated activation, down projection, residual. A norm follows the last block. The
    language model head scores the last token alone, as generation needs no other score.
    Source: transformers, ``modeling_llama.py``, after Grattafiori et al., The Llama 3 Herd of
    Models, arXiv 2407.21783.

    Raises:
        SpecError: A key is missing or has a value of no use, the head is not one of the family,
            or the heads do not divide what they share.
    """
    spec = validate(LlamaConfig, dict(config), file)
    check_head(head, ("none", "lm_head", "question_answering"), "llama", file)
    if activation_function(spec.hidden_act) not in _GATES:
        problem = f"found {spec.hidden_act!r}; silu or gelu would do"
        raise SpecError(file, "hidden_act", problem)
    size = spec.hidden_size
    dim = spec.head_dim or head_dim(size, spec.num_attention_heads, file)
    ops = OpList(file)
    hidden = ops.embedding("embed_tokens", spec.vocab_size, size)
    for ops.block in range(spec.num_hidden_layers):
        hidden = _feed_forward(ops, spec, _attention(ops, spec, hidden, dim))
    ops.block = None
    hidden = ops.norm("norm", hidden, "rms_norm", size)
    if head == "lm_head":
        last = ops.last_token("lm_head.last_token", hidden, size)
        tied = spec.tie_word_embeddings
        ops.linear("lm_head", last, size, spec.vocab_size, bias=False, tied=tied)
    else:
        add_head(ops, head, hidden, size, dense_pooler=False)
    return Body(ops.ops, spec.max_position_embeddings)


def _attention(ops: OpList, spec: LlamaConfig, hidden: str, dim: int) -> str:
    size, bias = spec.hidden_size, spec.attention_bias
    heads = spec.num_attention_heads
    kv_heads = spec.num_key_value_heads or heads
    normed = ops.norm("input_layernorm", hidden, "rms_norm", size)
    query, key, value = (
        ops.linear(f"self_attn.{name}_proj", normed, size, count * dim, bias=bias)
        for name, count in (("q", heads), ("k", kv_heads), ("v", kv_heads))
    )
    turned = [
        ops.rotary("self_attn.q_rotary", query, heads, dim),
        ops.rotary("self_attn.k_rotary", key, kv_heads, dim),
    ]
    context = ops.attention(
        "self_attn", [*turned, value], heads, dim, causal=True, kv_heads=kv_heads
    )
    output = ops.linear("self_attn.o_proj", context, heads * dim, size, bias=bias)
    return ops.add("self_attn.add", [output, hidden], size)


def _feed_forward(ops: OpList, spec: LlamaConfig, attended: str) -> str:
    size, inner, bias = spec.hidden_size, spec.intermediate_size, spec.mlp_bias
    normed = ops.norm("post_attention_layernorm", attended, "rms_norm", size)
    wide = [
        ops.linear(f"mlp.{name}_proj", normed, size, inner, bias=bias) for name in ("gate", "up")
    ]
    gate = _GATES[activation_function(spec.hidden_act)]
    active = ops.gate("mlp.act", wide, gate, inner)
    output = ops.linear("mlp.down_proj", active, inner, size, bias=bias)
    return ops.add("mlp.add", [output, attended], size)
