"""MobileBERT's embeddings and blocks: a narrow body between bottlenecks, with several feed-forward
networks and no means or deviations in its norms.

Source: Sun et al., MobileBERT, ACL 2020, section 3.1 and Table 1; names, and what each setting
means, as Hugging Face's MobileBertModel has them.
"""

from typing import Any

import torch
from torch import nn

from hybridsim.training.blocks import ACTIVATIONS, AfterLinear, attended
from hybridsim.training.linear import StaticLinear
from hybridsim.training.tokens import Batch

_EPS = 1e-5
"""Of two norms that are not told the network's own."""


def inner_width(config: dict[str, Any]) -> int:
    """Return the width between the bottlenecks."""
    return int(config["intra_bottleneck_size" if config["use_bottleneck"] else "hidden_size"])


class NoNorm(nn.Module):
    """Weights and biases of a norm, without the norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x, scaled and moved element by element, of the same shape."""
        return x * self.weight + self.bias


def _norm(config: dict[str, Any], width: int, eps: float | None = None) -> nn.Module:
    if config["normalization_type"] == "no_norm":
        return NoNorm(width)
    return nn.LayerNorm(width, eps=config["layer_norm_eps"] if eps is None else eps)


class MobileEmbeddings(nn.Module):
    """Word vectors with those of both neighbours, made wide; positions and segments added."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, narrow = config["hidden_size"], config["embedding_size"]
        self.trigram = bool(config["trigram_input"])
        self.word_embeddings = nn.Embedding(config["vocab_size"], narrow)
        self.position_embeddings = nn.Embedding(config["max_position_embeddings"], width)
        self.token_type_embeddings = nn.Embedding(config["type_vocab_size"], width)
        self.embedding_transformation = nn.Linear(narrow * (3 if self.trigram else 1), width)
        self.widened = self.trigram or narrow != width
        self.LayerNorm = _norm(config, width, _EPS)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Return the first vector of every token, shape (all tokens, width)."""
        words = self.word_embeddings(batch.ids)
        if self.trigram:
            words = torch.cat([*_neighbours(words, batch)], dim=1)
        if self.widened:
            words = self.embedding_transformation(words)
        total = words + self.position_embeddings(batch.position)
        return self.LayerNorm(total + self.token_type_embeddings(batch.segments))


def _neighbours(x: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, ...]:
    """Return the vector of the next token, of each itself, and of the one before; zeros where
    a sentence begins or ends, each of shape (all tokens, width)."""
    first = (batch.position == 0)[:, None]
    last = first.roll(-1, 0)
    return x.roll(-1, 0).masked_fill(last, 0.0), x, x.roll(1, 0).masked_fill(first, 0.0)


class _Narrowing(nn.Module):
    """A linear layer and a norm."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.dense = StaticLinear(config["hidden_size"], inner_width(config))
        self.LayerNorm = _norm(config, inner_width(config))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.LayerNorm(self.dense(x))


def _feed_forward(config: dict[str, Any], eps: float | None = None) -> nn.Module:
    """Return a feed-forward network under the names of Hugging Face."""
    width, between = inner_width(config), config["intermediate_size"]
    network = nn.Module()
    network.intermediate = nn.Module()
    network.intermediate.dense = StaticLinear(width, between)
    network.output = AfterLinear(between, width, _norm(config, width, eps))
    return network


class MobileBlock(nn.Module):
    """Bottlenecks, attention and feed-forward networks; all but their ends is narrow."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        wide, width = config["hidden_size"], inner_width(config)
        self.heads, self.act = config["num_attention_heads"], ACTIVATIONS[config["hidden_act"]]
        self.narrow = bool(config["use_bottleneck"])
        self.narrow_attention = bool(config["use_bottleneck_attention"])
        self.shared = bool(config["key_query_shared_bottleneck"])
        self.attention = nn.Module()
        self.attention.self = nn.Module()
        values = width if self.narrow_attention else wide
        for name, inputs in (("query", width), ("key", width), ("value", values)):
            setattr(self.attention.self, name, StaticLinear(inputs, width))
        self.attention.output = AfterLinear(width, width, _norm(config, width))
        last = _feed_forward(config, _EPS)
        self.intermediate, self.output = last.intermediate, last.output
        if self.narrow:
            self.output.bottleneck = AfterLinear(width, wide, _norm(config, wide))
            self.bottleneck = nn.Module()
            self.bottleneck.input = _Narrowing(config)
            if self.shared:
                self.bottleneck.attention = _Narrowing(config)
        count = config["num_feedforward_networks"] - 1
        self.ffn = nn.ModuleList(_feed_forward(config) for _ in range(count))

    def forward(self, x: torch.Tensor, batch: Batch, mask: torch.Tensor) -> torch.Tensor:
        """Return the next vector of every token; ``mask`` is true where a sentence has tokens."""
        inner, (for_keys, for_values, narrow) = self.attention.self, self._inputs(x)
        projected = inner.query(for_keys), inner.key(for_keys), inner.value(for_values)
        y = self.attention.output(attended(projected, batch, mask, self.heads), narrow)
        for network in (*self.ffn, self):
            y = network.output(self.act(network.intermediate.dense(y)), y)
        return self.output.bottleneck(y, x) if self.narrow else y

    def _inputs(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return what queries and keys, what values, and what the residual begin with."""
        if not self.narrow:
            return x, x, x
        narrow = self.bottleneck.input(x)
        if self.narrow_attention:
            return narrow, narrow, narrow
        return (self.bottleneck.attention(x) if self.shared else x), x, narrow
