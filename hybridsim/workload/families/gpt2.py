"""GPT-2 (``model_type: gpt2``), as a Hugging Face config.json describes it."""

from collections.abc import Mapping
from typing import Any, Literal

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


class Gpt2Config(FamilyConfig):
    """The keys of a GPT-2 config.json that decide shapes; the others are left unread.

    Among those are ``scale_attn_weights``, ``scale_attn_by_inverse_layer_idx`` and
    ``reorder_and_upcast_attn``: they choose the factor of the scores and the precision of the
    attention, which no shape depends on. Defaults are those of transformers' ``GPT2Config``.
    """

    vocab_size: Rows
    """Rows of the word embedding."""
    n_positions: Tokens
    """Rows of the position embedding, which is the most tokens of a sequence."""
    n_embd: Features
    """Length of a token's vector between blocks [elements]."""
    n_inner: Features | None = None
    """Length of the vector inside a feed-forward network [elements]; 4 x n_embd unless given."""
    n_layer: Features
    """Transformer blocks."""
    n_head: Features
    """Heads of every attention."""
    activation_function: ActivationName = "gelu_new"
    """Activation of the feed-forward networks."""
    tie_word_embeddings: Flag = True
    """Whether the language model head has the weights of the word embedding."""
    add_cross_attention: Literal[False] = False
    """Whether blocks attend to another sequence as well; not modelled."""

    @property
    def inner_size(self) -> int:
        """Length of the vector inside a feed-forward network [elements]."""
        return self.n_inner or 4 * self.n_embd


def build_gpt2(config: Mapping[str, Any], head: Head, file: str) -> Body:
    """Return the ops of a GPT-2; names follow the modules of transformers' ``GPT2Model``.

    Order of a block: norm, one linear layer for queries, keys and values, causal attention, its
    output, residual; then norm, feed-forward network, residual. A norm follows the last block.
    Source: transformers, ``modeling_gpt2.py``, after Radford et al., Language Models are
    Unsupervised Multitask Learners, 2019.

    Raises:
        SpecError: A key is missing or has a value of no use, the head is not one of the family,
            or the size is no multiple of the number of heads.
    """
    spec = validate(Gpt2Config, dict(config), file)
    check_head(head, ("none", "lm_head", "question_answering"), "gpt2", file)
    size, dim = spec.n_embd, head_dim(spec.n_embd, spec.n_head, file, "n_head")
    ops = OpList(file)
    tables = [
        ops.embedding("wte", spec.vocab_size, size),
        ops.embedding("wpe", spec.n_positions, size),
    ]
    hidden = ops.add("embeddings.add", tables, size)
    for ops.block in range(spec.n_layer):
        hidden = _feed_forward(ops, spec, _attention(ops, spec, hidden, dim))
    ops.block = None
    hidden = ops.norm("ln_f", hidden, "layer_norm", size)
    if head == "lm_head":
        tied = spec.tie_word_embeddings
        ops.linear("lm_head", hidden, size, spec.vocab_size, bias=False, tied=tied)
    else:
        add_head(ops, head, hidden, size, dense_pooler=False)
    return Body(ops.ops, spec.n_positions)


def _attention(ops: OpList, spec: Gpt2Config, hidden: str, dim: int) -> str:
    size = spec.n_embd
    fused = ops.linear("attn.c_attn", ops.norm("ln_1", hidden, "layer_norm", size), size, 3 * size)
    qkv = [
        ops.slice(f"attn.{name}", fused, 3 * size, i * size, size)
        for i, name in enumerate(("query", "key", "value"))
    ]
    context = ops.attention("attn", qkv, spec.n_head, dim, causal=True)
    output = ops.linear("attn.c_proj", context, size, size)
    return ops.add("attn.add", [output, hidden], size)


def _feed_forward(ops: OpList, spec: Gpt2Config, attended: str) -> str:
    size, inner = spec.n_embd, spec.inner_size
    normed = ops.norm("ln_2", attended, "layer_norm", size)
    names = ("mlp.c_fc", "mlp.act", "mlp.c_proj", "mlp.add")
    function = activation_function(spec.activation_function)
    return ops.feed_forward(names, normed, attended, size, inner, function)
