"""A linear layer's product on crossbars in torch: the same steps as :mod:`hybridsim.analog`.

Gradients pass straight through the converters: they are those of the linear product with the
weights as they were noisy in the forward step.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from hybridsim.analog.converters import Converters
from hybridsim.errors import UnsupportedError


class Normals(Protocol):
    """A source of standard normal numbers."""

    def like(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Return numbers of that shape."""


@dataclass(frozen=True, slots=True)
class RowBlock:
    """Crossbars side by side that share inputs: the part of a layer that one vector drives."""

    rows: slice
    """Which inputs of the layer."""
    relative: torch.Tensor
    """Weights relative to the full conductance, shape (rows, out)."""
    scales: torch.Tensor
    """What a relative weight of 1 stands for, times the drift compensation, shape (out,)."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What a forward step adds: output noise always, weight noise in training."""

    normals: Normals
    weights: float = 0.0
    """Deviation of every relative weight."""
    bfloat16: bool = False
    """Whether products are taken in bfloat16: faster where the processor has it, and weights and
    sums keep 8 bits; inputs of up to 9 bits stay exact."""

    def for_products(self, weights: torch.Tensor) -> torch.Tensor:
        """Return weights in the arithmetic of products."""
        return weights.bfloat16() if self.bfloat16 else weights


def multiply(
    x: torch.Tensor, weights: torch.Tensor, how: Converters, noise: Disturbance
) -> torch.Tensor:
    """Return x W of one row block through its converters, (tokens, rows) to (tokens, out).

    Converters count in their own steps, so that whole numbers enter the product: those of up to
    nine bits are exact in bfloat16. With iterative bounds, vectors that exceed the ADC are halved
    and computed again, each for itself.
    """
    scales = _scales(x, how)
    y = _one_pass(x, scales, weights, how, noise)
    if how.bound_management == "iterative":
        most = _levels(how.adc_bits) if how.adc_bits is not None else how.output_bound
        for _ in range(how.bound_rounds - 1):
            again = (y.abs().amax(dim=1) > most).nonzero().squeeze(1)
            if not len(again):
                break
            scales[again] *= 2
            y[again] = _one_pass(x[again], scales[again], weights, how, noise)
    return _cut(y, scales, how)


def _scales(x: torch.Tensor, how: Converters) -> torch.Tensor:
    """Return what each vector is divided by, shape (tokens, 1)."""
    if how.input_scaling == "fixed":
        if how.input_range is None:
            raise UnsupportedError(
                "converters.input_scaling: found 'fixed' without an input range; input_range, or "
                "ranges of another kind than 'given', would do"
            )
        return x.new_full((len(x), 1), how.input_range)
    largest = torch.maximum(x.amax(dim=1, keepdim=True), -x.amin(dim=1, keepdim=True))
    return torch.where(largest > 0, largest, 1.0)


def _cut(y: torch.Tensor, scales: torch.Tensor, how: Converters) -> torch.Tensor:
    """Return outputs [steps of the ADC], cut at its bound and scaled back."""
    if how.adc_bits is None:
        return y.clamp_(-how.output_bound, how.output_bound).mul_(scales)
    most = _levels(how.adc_bits)
    return y.clamp_(-most, most).mul_(scales * (how.output_bound / most))


def _one_pass(
    x: torch.Tensor,
    scales: torch.Tensor,
    weights: torch.Tensor,
    how: Converters,
    noise: Disturbance,
) -> torch.Tensor:
    """Return rounded outputs in steps of the ADC, before they are cut."""
    most_in, most_out = _levels(how.dac_bits), _levels(how.adc_bits)
    codes = x * (most_in / scales)
    if how.dac_bits is not None:
        codes.round_()
    if how.input_scaling == "fixed" or how.bound_management == "iterative":
        codes.clamp_(-most_in, most_in)
    step = 1.0 if how.adc_bits is None else how.output_bound / most_out
    y = (codes.to(weights.dtype) @ weights).to(x.dtype).mul_(1 / (most_in * step))
    if how.output_noise:
        y.add_(noise.normals.like(tuple(y.shape)), alpha=how.output_noise / step)
    if how.adc_bits is not None:
        y.round_()
    return y


def _levels(bits: int | None) -> float:
    """Return the steps of a converter on either side of zero."""
    return 1.0 if bits is None else 2 ** (bits - 1) - 1.0


class _Product(torch.autograd.Function):
    """All row blocks of a layer; saves the noisy weights for the way back."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        blocks: tuple[RowBlock, ...],
        how: Converters,
        noise: Disturbance,
    ) -> torch.Tensor:
        ctx.blocks, noisy = blocks, []
        y = x.new_zeros(())
        for block in blocks:
            weights = _weights_of_step(block.relative, noise)
            part = multiply(x[:, block.rows], weights, how, noise)
            y = y.addcmul_(part, block.scales) if y.ndim else part.mul_(block.scales)
            noisy.append(weights)
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, *noisy)
        return y

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        x, *noisy = ctx.saved_tensors
        kind = noisy[0].dtype
        for_x = for_weight = None
        if ctx.needs_input_grad[0]:
            width = max(block.rows.stop for block in ctx.blocks)
            for_x = grad.new_empty((len(grad), width))
            for block, weights in zip(ctx.blocks, noisy, strict=True):
                for_x[:, block.rows] = (grad * block.scales).to(kind) @ weights.T
        if ctx.needs_input_grad[1]:
            for_weight = (grad.T.to(kind) @ x.to(kind)).to(grad.dtype)
        return for_x, for_weight, None, None, None


def _weights_of_step(relative: torch.Tensor, noise: Disturbance) -> torch.Tensor:
    """Return relative weights as they are in one step, in the arithmetic of products."""
    if not noise.weights:
        return noise.for_products(relative)
    drawn = noise.normals.like(tuple(relative.shape))
    return noise.for_products(torch.add(relative, drawn, alpha=noise.weights))


def crossbar_product(
    x: torch.Tensor,
    weight: torch.Tensor,
    blocks: tuple[RowBlock, ...],
    how: Converters,
    noise: Disturbance,
    side: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return x W^T as crossbars compute it, (tokens, in) to (tokens, out).

    ``weight`` (out, in) is what ``blocks`` and ``side`` hold; it only receives a gradient, where
    it wants one. ``side`` is the sparse matrix (out, in) of weights that are digital.
    """
    y: torch.Tensor = _Product.apply(x, weight, blocks, how, noise)
    return y if side is None else y + torch.sparse.mm(side, x.T).T


RANGE_DECAY, ENOUGH_WITHIN = 0.001, 0.95
"""How a learned range shrinks while at least that share of the inputs lies within it. Source:
aihwkit's ``InputRangeParameter``, decay and input_min_percentage."""


class _Limited(torch.autograd.Function):
    """Inputs within a range that is learned."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, limit: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, limit)
        return torch.maximum(torch.minimum(x, limit), -limit)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        x, limit = ctx.saved_tensors
        above, below = x >= limit, x <= -limit
        beyond = above | below
        of_limit = grad[above].sum() - grad[below].sum()
        if beyond.float().mean() < 1 - ENOUGH_WITHIN:
            of_limit = of_limit + RANGE_DECAY
        return grad.masked_fill(beyond, 0.0), limit * of_limit


def limited(x: torch.Tensor, limit: torch.Tensor) -> torch.Tensor:
    """Return inputs cut at +-``limit``, a number that learns; shapes of ``x`` and ().

    The gradient of the limit is r (sum of gradients of inputs above - of those below), relative
    to it as in aihwkit's ``InputRangeForward``, and a decay; inputs that are cut have none.
    """
    return _Limited.apply(x, limit)


def stream(*names: int) -> int:
    """Return a seed for torch from integers that together name a stream.

    torch's generator on the CPU looks at the lowest 32 bits of a seed only.
    """
    return int(np.random.SeedSequence(names).generate_state(1)[0])


class Pool:
    """Normal numbers taken from a pool at places that a seed decides.

    Draws repeat after a while, which noise of training and of outputs can bear: drawing 25,000
    numbers per token anew takes longer than the products. Chips are never programmed from it.
    """

    SIZE = 2**23
    """Numbers in the pool: 32 MiB."""

    def __init__(self, seed: int, device: str) -> None:
        generator = torch.Generator().manual_seed(stream(seed, 0))
        self._pool = torch.randn(self.SIZE, generator=generator).to(device)
        self._places = torch.Generator()
        self.at_step(seed, 0)

    def at_step(self, seed: int, step: int) -> None:
        """Go to where the draws of a step begin: the same, however it was reached."""
        self._places.manual_seed(stream(seed, 1, step))

    def like(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Return numbers of that shape."""
        size = 1
        for length in shape:
            size *= length
        if size > self.SIZE // 2:
            pieces = [
                self.like((min(self.SIZE // 2, size - at),))
                for at in range(0, size, self.SIZE // 2)
            ]
            return torch.cat(pieces).view(shape)
        first = int(torch.randint(self.SIZE - size, (1,), generator=self._places))
        return self._pool[first : first + size].view(shape)
