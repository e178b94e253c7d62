"""BERT and its kin (``model_type: bert``), as a Hugging Face config.json describes them."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict

from hybridsim.errors import SpecError
from hybridsim.specs import validate
from hybridsim.units import Spec
from hybridsim.workload.huggingface_parts import (
    ActivationName,
    Body,
    Head,
    activation_function,
    add_head,
    check_head,
    head_dim,
)
from hybridsim.workload.op_list import OpList
from hybridsim.workload.ops import Features, Flag, Rows, Tokens


class BertConfig(Spec):
    """The keys of a BERT config.json that decide shapes; the others are left unread.

    Defaults are those of transformers' ``BertConfig``.
    """

    model_config = ConfigDict(extra="ignore")

    vocab_size: Rows
    """Rows of the word embedding."""
    type_vocab_size: Rows
    """Rows of the segment embedding."""
    max_position_embeddings: Tokens
    """Rows of the position embedding, which is the most tokens of a sequence."""
    hidden_size: Features
    """Length of a token's vector between blocks [elements]."""
    intermediate_size: Features
    """Length of the vector inside a feed-forward network [elements]."""
    num_hidden_layers: Features
    """Transformer blocks."""
    num_attention_heads: Features
    """Heads of every attention."""
    hidden_act: ActivationName
    """Activation of the feed-forward networks."""
    position_embedding_type: Literal["absolute"] = "absolute"
    """How positions enter; relative positions would change the attention and are not modelled."""
    is_decoder: Flag = False
    """Whether attention is causal; cross-attention is not modelled."""
    add_cross_attention: Literal[False] = False
    """Whether blocks attend to another sequence as well; not modelled."""


def build_bert(config: Mapping[str, Any], head: Head, file: str) -> Body:
    """Return the ops of a BERT; names follow the modules of transformers' ``BertModel``.

    Order of a block: query, key, value, attention, its output, residual, norm; then the
    feed-forward network, residual, norm.

    Raises:
        SpecError: A key is missing or has a value of no use, or the hidden size is no multiple
            of the number of heads.
    """
    spec = validate(BertConfig, dict(config), file)
    check_head(head, ("none", "question_answering", "pooler"), "bert", file)
    if spec.is_decoder:
        raise SpecError(file, "is_decoder", "found true; an encoder (false) would do")
    ops = OpList(file)
    hidden = _embeddings(ops, spec)
    dim = head_dim(spec.hidden_size, spec.num_attention_heads, file)
    for ops.block in range(spec.num_hidden_layers):
        attended = _attention(ops, spec, hidden, dim)
        hidden = _feed_forward(ops, spec, attended)
    ops.block = None
    add_head(ops, head, hidden, spec.hidden_size, dense_pooler=True)
    return Body(ops.ops, spec.max_position_embeddings)


def _embeddings(ops: OpList, spec: BertConfig) -> str:
    size = spec.hidden_size
    tables = [
        ops.embedding("embeddings.word_embeddings", spec.vocab_size, size),
        ops.embedding("embeddings.position_embeddings", spec.max_position_embeddings, size),
        ops.embedding("embeddings.token_type_embeddings", spec.type_vocab_size, size),
    ]
    total = ops.add("embeddings.add", tables, size)
    return ops.norm("embeddings.norm", total, "layer_norm", size)


def _attention(ops: OpList, spec: BertConfig, hidden: str, dim: int) -> str:
    size = spec.hidden_size
    qkv = [
        ops.linear(f"attention.self.{name}", hidden, size, size)
        for name in ("query", "key", "value")
    ]
    context = ops.attention("attention.self", qkv, spec.num_attention_heads, dim)
    output = ops.linear("attention.output", context, size, size)
    total = ops.add("attention.output.add", [output, hidden], size)
    return ops.norm("attention.output.norm", total, "layer_norm", size)


def _feed_forward(ops: OpList, spec: BertConfig, attended: str) -> str:
    size, inner = spec.hidden_size, spec.intermediate_size
    wide = ops.linear("intermediate", attended, size, inner)
    active = ops.activation(
        "intermediate.activation", wide, activation_function(spec.hidden_act), inner
    )
    output = ops.linear("output", active, inner, size)
    total = ops.add("output.add", [output, attended], size)
    return ops.norm("output.norm", total, "layer_norm", size)
