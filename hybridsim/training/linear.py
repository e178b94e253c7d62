"""A static linear layer that computes digitally or on crossbars, and may carry an adapter."""

import math

import torch
from torch import nn
from torch.nn import functional

from hybridsim.analog import AnalogSettings
from hybridsim.training.crossbar import Disturbance, RowBlock, crossbar_product
from hybridsim.training.study import Lora


class LowRank(nn.Module):
    """The adapter of one layer: scale (x A^T) B^T, in digital arithmetic."""

    def __init__(self, in_features: int, out_features: int, lora: Lora, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        bound = 1 / math.sqrt(in_features)  # what PEFT draws: Kaiming uniform, a = sqrt(5)
        a = torch.rand((lora.rank, in_features), generator=generator) * 2 * bound - bound
        self.lora_A = nn.Parameter(a)
        self.lora_B = nn.Parameter(torch.zeros((out_features, lora.rank)))
        self.scale, self.dropout = lora.alpha / lora.rank, lora.dropout

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return ``y`` (tokens, out) and what the adapter adds to it for ``x`` (tokens, in)."""
        if self.dropout and self.training:
            x = functional.dropout(x, self.dropout)
        return torch.addmm(y, x @ self.lora_A.T, self.lora_B.T, alpha=self.scale)


class StaticLinear(nn.Module):
    """y = W x + b, with W on crossbars where it was put there; the bias is digital."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty((out_features, in_features)))
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.adapter: LowRank | None = None
        self._settings: AnalogSettings | None = None
        self._blocks: tuple[RowBlock, ...] = ()
        self._noise: Disturbance | None = None
        self._spread = 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return W x + b and what the adapter adds, (tokens, in) to (tokens, out)."""
        if self._noise is None or self._settings is None:
            y = functional.linear(x, self.weight, self.bias)
        else:
            blocks = self._blocks or self.blocks_of_weights(self._settings)
            converters = self._settings.converters
            y = crossbar_product(x, self.weight, blocks, converters, self._noise) + self.bias
        return y if self.adapter is None else self.adapter(x, y)

    def compute_digitally(self) -> None:
        """Take the weights as they are, in exact arithmetic."""
        self._noise, self._blocks = None, ()

    def compute_on(
        self,
        settings: AnalogSettings,
        noise: Disturbance,
        blocks: tuple[RowBlock, ...] | None = None,
    ) -> None:
        """Compute on crossbars that hold ``blocks``, or the weights as they are in every step.

        Weights that are trained must not be given as blocks.
        """
        self._settings, self._noise = settings, noise
        frozen = not self.weight.requires_grad
        self._blocks = blocks or (self.blocks_of_weights(settings) if frozen else ())

    def blocks_of_weights(self, settings: AnalogSettings) -> tuple[RowBlock, ...]:
        """Return the weights as they would be without any noise: clipped and scaled."""
        with torch.no_grad():
            clipped = self.clipped(settings).T
            blocks = []
            for first in range(0, clipped.shape[0], settings.rows):
                rows = slice(first, min(first + settings.rows, clipped.shape[0]))
                part = clipped[rows]
                largest = part.abs().amax(dim=0)
                if settings.scaling == "tile":
                    largest = torch.cat(
                        [s.max().expand_as(s) for s in largest.split(settings.columns)]
                    )
                scales = largest.clamp_min(1e-7)
                blocks.append(RowBlock(rows, (part / scales).contiguous(), scales))
            return tuple(blocks)

    def remember_spread(self) -> None:
        """Take the deviation of the weights as they are now as the one that clipping counts in."""
        self._spread = float(self.weight.detach().std(correction=0))

    def clipped(self, settings: AnalogSettings) -> torch.Tensor:
        """Return the weights cut at so many deviations of the pretrained ones."""
        weights = self.weight.detach()
        if settings.clip_sigmas is None:
            return weights
        limit = settings.clip_sigmas * self._spread
        return weights.clamp(-limit, limit)
