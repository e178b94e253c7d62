"""DistilBERT (``model_type: distilbert``), as a Hugging Face config.json describes it."""

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict

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
from hybridsim.workload.ops import Features, Rows, Tokens


class DistilBertConfig(Spec):
    """The keys of a DistilBERT config.json that decide shapes; the others are left unread.

    ``sinusoidal_pos_embds`` is among those: it chooses the first values of the position table,
    not its size.
    """

    model_config = ConfigDict(extra="ignore")

    vocab_size: Rows
    """Rows of the word embedding."""
    max_position_embeddings: Tokens
    """Rows of the position embedding, which is the most tokens of a sequence."""
    dim: Features
    """Length of a token's vector between blocks [elements]."""
    hidden_dim: Features
    """Length of the vector inside a feed-forward network [elements]."""
    n_layers: Features
    """Transformer blocks."""
    n_heads: Features
    """Heads of every attention."""
    activation: ActivationName
    """Activation of the feed-forward networks."""


def build_distilbert(config: Mapping[str, Any], head: Head, file: str) -> Body:
    """Return the ops of a DistilBERT; names follow the modules of transformers' model.

    The block is that of BERT: attention, residual, norm, feed-forward network, residual, norm.
    There are no segments and no pooler. Source: transformers, ``modeling_distilbert.py``, after
    DistilBERT (Sanh et al., 2019, arXiv 1910.01108).

    Raises:
        SpecError: A key is missing or has a value of no use, the head is not one of the family,
            or the size is no multiple of the number of heads.
    """
    spec = validate(DistilBertConfig, dict(config), file)
    check_head(head, ("none", "question_answering"), "distilbert", file)
    dim = head_dim(spec.dim, spec.n_heads, file, "n_heads")
    ops = OpList(file)
    hidden = _embeddings(ops, spec)
    for ops.block in range(spec.n_layers):
        hidden = _feed_forward(ops, spec, _attention(ops, spec, hidden, dim))
    ops.block = None
    add_head(ops, head, hidden, spec.dim, dense_pooler=False)
    return Body(ops.ops, spec.max_position_embeddings)


def _embeddings(ops: OpList, spec: DistilBertConfig) -> str:
    tables = [
        ops.embedding("embeddings.word_embeddings", spec.vocab_size, spec.dim),
        ops.embedding("embeddings.position_embeddings", spec.max_position_embeddings, spec.dim),
    ]
    total = ops.add("embeddings.add", tables, spec.dim)
    return ops.norm("embeddings.norm", total, "layer_norm", spec.dim)


def _attention(ops: OpList, spec: DistilBertConfig, hidden: str, dim: int) -> str:
    size = spec.dim
    qkv = [ops.linear(f"attention.{name}_lin", hidden, size, size) for name in "qkv"]
    context = ops.attention("attention", qkv, spec.n_heads, dim)
    output = ops.linear("attention.out_lin", context, size, size)
    total = ops.add("attention.add", [output, hidden], size)
    return ops.norm("sa_layer_norm", total, "layer_norm", size)


def _feed_forward(ops: OpList, spec: DistilBertConfig, attended: str) -> str:
    size, inner = spec.dim, spec.hidden_dim
    wide = ops.linear("ffn.lin1", attended, size, inner)
    active = ops.activation("ffn.activation", wide, activation_function(spec.activation), inner)
    output = ops.linear("ffn.lin2", active, inner, size)
    total = ops.add("ffn.add", [output, attended], size)
    return ops.norm("output_layer_norm", total, "layer_norm", size)
