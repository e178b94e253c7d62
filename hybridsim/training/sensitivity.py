"""What the analog error of each layer does to the outputs of a model, from one pass.

In digital arithmetic, every layer also computes its product on a chip; the error e of its outputs
moves logit c of a sentence by the sum over its tokens of g_c e, with g_c the gradient of the logit
by those outputs. To second order the divergence of a sentence is

    KL = d^T (diag(p) - p p^T) d / 2

with d the moves of its logits and p its digital probabilities. All layers come out of one pass
forward and, with C classes, C - 1 back: only differences of logits count. Source of the second
order: the Fisher information of a categorical distribution (Amari, *Natural gradient works
efficiently in learning*, Neural Computation 10, 1998).
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch

from hybridsim.analog import AnalogSettings
from hybridsim.analog.converters import Converters
from hybridsim.training.classifier import Classifier
from hybridsim.training.crossbar import Disturbance, RowBlock, crossbar_product
from hybridsim.training.linear import Chip, StaticLinear, put_on_chip
from hybridsim.training.tokens import Batch, TokenizedText

Crossbars = Mapping[str, tuple[tuple[RowBlock, ...], Converters, torch.Tensor | None]]
"""Layer -> what it would compute on: crossbars, converters, and weights that are digital."""


def crossbars_of(
    model: Classifier, chip: Chip, seconds: float, settings: AnalogSettings, noise: Disturbance
) -> Crossbars:
    """Return the crossbars of all layers at a time; the model is left computing digitally."""
    put_on_chip(model, chip, seconds, settings, noise)
    found = {
        name: (layer.crossbars, layer.calibrated or settings.converters, layer.side)
        for name, layer in model.static_layers().items()
    }
    model.compute_digitally()
    return found


def put_some_on_chip(
    model: Classifier,
    chip: Chip,
    seconds: float,
    settings: AnalogSettings,
    noise: Disturbance,
    layers: Collection[str],
) -> None:
    """Let some layers compute on a chip as it is at a time, the others digitally."""
    put_on_chip(model, chip, seconds, settings, noise)
    for name, layer in model.static_layers().items():
        if name not in layers:
            layer.compute_digitally()


@contextmanager
def _probed(
    model: Classifier, crossbars: Crossbars, noise: Disturbance
) -> Iterator[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]]:
    """Yield errors on the chip and leaves of the outputs, filled in by a digital pass."""
    errors: dict[str, torch.Tensor] = {}
    leaves: dict[str, torch.Tensor] = {}

    def probe(
        name: str, layer: StaticLinear, given: tuple[Any, ...], y: torch.Tensor
    ) -> torch.Tensor:
        x = given[0].detach()
        with torch.no_grad():
            blocks, converters, side = crossbars[name]
            found = crossbar_product(x, layer.weight, blocks, converters, noise, side)
            errors[name] = found - x @ layer.weight.T
        leaves[name] = torch.zeros_like(y, requires_grad=True)
        return y + leaves[name]

    hooks = [
        layer.register_forward_hook(partial(probe, name))
        for name, layer in model.static_layers().items()
    ]
    try:
        yield errors, leaves
    finally:
        for hook in hooks:
            hook.remove()


def _moves(
    model: Classifier, crossbars: Crossbars, noise: Disturbance, batch: Batch
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return probabilities (sentences, classes), and by layer the moves of logits less the first.

    Moves have the shape (sentences, classes - 1).
    """
    with _probed(model, crossbars, noise) as (errors, leaves):
        logits = model(batch)
        names, classes = list(leaves), logits.shape[1]
        moves = {name: logits.new_zeros((len(logits), classes - 1)) for name in names}
        for c in range(1, classes):
            apart = (logits[:, c] - logits[:, 0]).sum()
            gradients = torch.autograd.grad(
                apart, [leaves[name] for name in names], retain_graph=c + 1 < classes
            )
            for name, gradient in zip(names, gradients, strict=True):
                each = (gradient * errors[name]).sum(dim=1)
                moves[name][:, c - 1].index_add_(0, batch.sentence, each)
    return torch.softmax(logits.detach(), dim=1), moves


def second_order(p: torch.Tensor, moves: torch.Tensor) -> torch.Tensor:
    """Return the divergence of each sentence [nats] whose logits less the first one move so."""
    rest = p[:, 1:]
    mean = (rest * moves).sum(dim=1)
    return ((rest * moves.square()).sum(dim=1) - mean.square()) / 2


def divergences(
    model: Classifier,
    text: TokenizedText,
    sentences: int,
    crossbars: Crossbars,
    noise: Disturbance,
    size: int = 32,
) -> dict[str, float]:
    """Return layer -> mean divergence [nats] of the first sentences, that layer alone on tiles.

    To second order in the errors, from one pass; the model computes digitally.
    """
    model.compute_digitally()
    model.eval()
    total = dict.fromkeys(model.static_layers(), 0.0)
    count = min(sentences, len(text.ids))
    first = TokenizedText(text.ids[:count], text.segments[:count])
    for indices in first.by_length(size):
        batch = first.batch(indices, str(model.head.weight.device))
        p, moves = _moves(model, crossbars, noise, batch)
        for name, each in moves.items():
            total[name] += float(second_order(p, each).sum())
    return {name: value / count for name, value in total.items()}


def drawn_placements(names: Collection[str], count: int, seed: int) -> list[tuple[str, ...]]:
    """Return placements: each a random set of layers that lie on tiles, of a random size."""
    rng, every = np.random.default_rng([seed, 17]), list(names)
    found = []
    for _ in range(count):
        size = int(rng.integers(1, len(every) + 1)) if len(every) > 1 else 1
        chosen = set(rng.permutation(len(every))[:size].tolist())
        found.append(tuple(name for i, name in enumerate(every) if i in chosen))
    return found
