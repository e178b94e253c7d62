"""BERT (``model_type: bert``) and DistilBERT (``distilbert``), as their config.json has them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

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


class BertConfig(FamilyConfig):
    """The keys of a BERT config.json that decide shapes; the others are left unread.

    Defaults are those of transformers' ``BertConfig``.
    """

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
    block = _Block(
        size=spec.hidden_size,
        inner=spec.intermediate_size,
        heads=spec.num_attention_heads,
        head_dim=head_dim(spec.hidden_size, spec.num_attention_heads, file),
        function=activation_function(spec.hidden_act),
        projections=("attention.self.query", "attention.self.key", "attention.self.value"),
        attention=(
            "attention.self", "attention.output", "attention.output.add", "attention.output.norm",
        ),
        feed_forward=("intermediate", "intermediate.activation", "output", "output.add"),
        norm="output.norm",
    )  # fmt: skip
    for ops.block in range(spec.num_hidden_layers):
        hidden = block.add(ops, hidden)
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


class DistilBertConfig(FamilyConfig):
    """The keys of a DistilBERT config.json that decide shapes; the others are left unread.

    ``sinusoidal_pos_embds`` is among those: it chooses the first values of the position table,
    not its size.
    """

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
    block = _Block(
        size=spec.dim,
        inner=spec.hidden_dim,
        heads=spec.n_heads,
        head_dim=head_dim(spec.dim, spec.n_heads, file, "n_heads"),
        function=activation_function(spec.activation),
        projections=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
        attention=("attention", "attention.out_lin", "attention.add", "sa_layer_norm"),
        feed_forward=("ffn.lin1", "ffn.activation", "ffn.lin2", "ffn.add"),
        norm="output_layer_norm",
    )
    ops = OpList(file)
    hidden = _distil_embeddings(ops, spec)
    for ops.block in range(spec.n_layers):
        hidden = block.add(ops, hidden)
    ops.block = None
    add_head(ops, head, hidden, spec.dim, dense_pooler=False)
    return Body(ops.ops, spec.max_position_embeddings)


def _distil_embeddings(ops: OpList, spec: DistilBertConfig) -> str:
    tables = [
        ops.embedding("embeddings.word_embeddings", spec.vocab_size, spec.dim),
        ops.embedding("embeddings.position_embeddings", spec.max_position_embeddings, spec.dim),
    ]
    total = ops.add("embeddings.add", tables, spec.dim)
    return ops.norm("embeddings.norm", total, "layer_norm", spec.dim)


@dataclass(frozen=True, slots=True)
class _Block:
    """The sizes of a block and the names of its ops, in their order."""

    size: int
    inner: int
    heads: int
    head_dim: int
    function: str
    projections: tuple[str, str, str]
    attention: tuple[str, str, str, str]
    feed_forward: tuple[str, str, str, str]
    norm: str

    def add(self, ops: OpList, hidden: str) -> str:
        """Append attention, residual, norm; then the feed-forward network, residual, norm."""
        size = self.size
        qkv = [ops.linear(name, hidden, size, size) for name in self.projections]
        attention, output, add, norm = self.attention
        context = ops.attention(attention, qkv, self.heads, self.head_dim)
        total = ops.add(add, [ops.linear(output, context, size, size), hidden], size)
        attended = ops.norm(norm, total, "layer_norm", size)
        total = ops.feed_forward(
            self.feed_forward, attended, attended, size, self.inner, self.function
        )
        return ops.norm(self.norm, total, "layer_norm", size)
