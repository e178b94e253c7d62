"""What blocks of encoders are made of, whatever the family."""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

from hybridsim.training.linear import StaticLinear
from hybridsim.training.tokens import Batch

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": functional.gelu,
    "relu": functional.relu,
}
"""``hidden_act`` -> function."""


class AfterLinear(nn.Module):
    """A linear layer, the residual, and a norm: how each half of a block ends."""

    def __init__(self, in_features: int, width: int, norm: nn.Module) -> None:
        super().__init__()
        self.dense = StaticLinear(in_features, width)
        self.LayerNorm = norm

    def forward(self, x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """Return (tokens, width) from (tokens, in) and (tokens, width)."""
        return self.LayerNorm(self.dense(x) + residual)


def attended(
    projected: Sequence[torch.Tensor], batch: Batch, mask: torch.Tensor, heads: int
) -> torch.Tensor:
    """Return what attention makes of queries, keys and values, (all tokens, width) each.

    Args:
        projected: Queries, keys and values.
        batch: Which token belongs to which sentence.
        mask: True where a sentence has tokens, (sentences, 1, 1, tokens of the longest).
        heads: How many.
    """

    def table(x: torch.Tensor) -> torch.Tensor:
        """Return (sentences, heads, tokens, head) with zeros where a sentence has ended."""
        padded = x.new_zeros((mask.shape[0], mask.shape[3], x.shape[1]))
        padded[batch.sentence, batch.position] = x
        return padded.unflatten(2, (heads, -1)).transpose(1, 2)

    q, k, v = map(table, projected)
    mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return mixed.transpose(1, 2).flatten(2)[batch.sentence, batch.position]
