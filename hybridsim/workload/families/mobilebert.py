"""MobileBERT (``model_type: mobilebert``), as a Hugging Face config.json describes it."""

from collections.abc import Mapping
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


class MobileBertConfig(FamilyConfig):
    """The keys of a MobileBERT config.json that decide shapes; the others are left unread.

    Defaults are those of transformers' ``MobileBertConfig``.
    """

    vocab_size: Rows
    """Rows of the word embedding."""
    type_vocab_size: Rows
    """Rows of the segment embedding."""
    max_position_embeddings: Tokens
    """Rows of the position embedding, which is the most tokens of a sequence."""
    embedding_size: Features
    """Length of a row of the word embedding [elements]."""
    hidden_size: Features
    """Length of a token's vector between blocks [elements]."""
    intra_bottleneck_size: Features
    """Length of a token's vector inside a block with a bottleneck [elements]."""
    intermediate_size: Features
    """Length of the vector inside a feed-forward network [elements]."""
    num_hidden_layers: Features
    """Transformer blocks."""
    num_attention_heads: Features
    """Heads of every attention."""
    num_feedforward_networks: Features
    """Feed-forward networks per block, the last one included."""
    hidden_act: ActivationName
    """Activation of the feed-forward networks."""
    normalization_type: Literal["no_norm", "layer_norm"] = "no_norm"
    """Formula of every norm."""
    trigram_input: Flag = True
    """Whether each token sees the embeddings of its two neighbours."""
    use_bottleneck: Flag = True
    """Whether blocks work on shorter vectors than those between blocks."""
    key_query_shared_bottleneck: Flag = True
    """Whether queries and keys read a bottleneck of their own."""
    use_bottleneck_attention: Flag = False
    """Whether queries, keys and values all read the bottleneck of the block's input."""
    classifier_activation: Flag = True
    """Whether the pooler has a linear layer and an activation."""

    @property
    def inner_size(self) -> int:
        """Length of a token's vector inside a block [elements]."""
        return self.intra_bottleneck_size if self.use_bottleneck else self.hidden_size


def build_mobilebert(config: Mapping[str, Any], head: Head, file: str) -> Body:
    """Return the ops of a MobileBERT; names follow the modules of transformers' model.

    Order of a block: bottlenecks of its input and of queries and keys, attention, residual with
    the input bottleneck, the small feed-forward networks, the last one, and the way back to the
    full size with a residual over the whole block. Source: transformers,
    ``modeling_mobilebert.py``, after MobileBERT (Sun et al., ACL 2020).

    Raises:
        SpecError: A key is missing or has a value of no use, or sizes do not fit together.
    """
    spec = validate(MobileBertConfig, dict(config), file)
    check_head(head, ("none", "question_answering", "pooler"), "mobilebert", file)
    if spec.use_bottleneck and not (
        spec.key_query_shared_bottleneck or spec.use_bottleneck_attention
    ):
        problem = "found false, without use_bottleneck_attention; true for one of them would do"
        raise SpecError(file, "key_query_shared_bottleneck", problem)
    dim = head_dim(spec.inner_size, spec.num_attention_heads, file)
    ops = OpList(file)
    hidden = _embeddings(ops, spec)
    for ops.block in range(spec.num_hidden_layers):
        hidden = _block(ops, spec, hidden, dim)
    ops.block = None
    add_head(ops, head, hidden, spec.hidden_size, dense_pooler=spec.classifier_activation)
    return Body(ops.ops, spec.max_position_embeddings)


def _embeddings(ops: OpList, spec: MobileBertConfig) -> str:
    narrow, size = spec.embedding_size, spec.hidden_size
    words = ops.embedding("embeddings.word_embeddings", spec.vocab_size, narrow)
    if spec.trigram_input:
        words, narrow = ops.trigram("embeddings.trigram", words, narrow), 3 * narrow
    if spec.trigram_input or narrow != size:
        words = ops.linear("embedding_transformation", words, narrow, size)
    tables = [
        words,
        ops.embedding("embeddings.position_embeddings", spec.max_position_embeddings, size),
        ops.embedding("embeddings.token_type_embeddings", spec.type_vocab_size, size),
    ]
    total = ops.add("embeddings.add", tables, size)
    return ops.norm("embeddings.norm", total, spec.normalization_type, size)


def _block(ops: OpList, spec: MobileBertConfig, hidden: str, dim: int) -> str:
    state = _attention(ops, spec, hidden, dim)
    for i in range(spec.num_feedforward_networks - 1):
        state = _feed_forward(ops, spec, f"ffn.{i}.", state)
    state = _feed_forward(ops, spec, "", state)
    if not spec.use_bottleneck:
        return state
    wide = ops.linear("output.bottleneck", state, spec.inner_size, spec.hidden_size)
    total = ops.add("output.bottleneck.add", [wide, hidden], spec.hidden_size)
    return ops.norm("output.bottleneck.norm", total, spec.normalization_type, spec.hidden_size)


def _bottleneck(ops: OpList, spec: MobileBertConfig, name: str, hidden: str) -> str:
    size = spec.intra_bottleneck_size
    narrow = ops.linear(f"bottleneck.{name}", hidden, spec.hidden_size, size)
    return ops.norm(f"bottleneck.{name}.norm", narrow, spec.normalization_type, size)


def _attention(ops: OpList, spec: MobileBertConfig, hidden: str, dim: int) -> str:
    size, value_size = spec.inner_size, spec.hidden_size
    residual = query_key = value = hidden
    if spec.use_bottleneck:
        residual = query_key = _bottleneck(ops, spec, "input", hidden)
        if spec.use_bottleneck_attention:
            value, value_size = residual, size
        else:
            query_key = _bottleneck(ops, spec, "attention", hidden)
    qkv = [
        ops.linear("attention.self.query", query_key, size, size),
        ops.linear("attention.self.key", query_key, size, size),
        ops.linear("attention.self.value", value, value_size, size),
    ]
    context = ops.attention("attention.self", qkv, spec.num_attention_heads, dim)
    output = ops.linear("attention.output", context, size, size)
    total = ops.add("attention.output.add", [output, residual], size)
    return ops.norm("attention.output.norm", total, spec.normalization_type, size)


def _feed_forward(ops: OpList, spec: MobileBertConfig, prefix: str, state: str) -> str:
    size, inner = spec.inner_size, spec.intermediate_size
    names = ("intermediate", "intermediate.activation", "output", "output.add")
    places = [f"{prefix}{name}" for name in names]
    function = activation_function(spec.hidden_act)
    total = ops.feed_forward(places, state, state, size, inner, function)
    return ops.norm(f"{prefix}output.norm", total, spec.normalization_type, size)
