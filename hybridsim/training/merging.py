"""Adapters made of earlier ones, in closed form: nothing is trained.

An adapter does what its product does; of two that started apart, the mean of the factors says
nothing. So products are averaged, and their mean is taken to a rank. What counts there is
what it does to the vectors that layers receive, so errors are weighed by them
(:func:`hybridsim.analog.correction.fit_to`).

An adapter that was trained without tiles counts on whole weights, and tiles cut the largest. What
they cut is added to its product before the mean, so that its layers give on tiles what they gave
without. An adapter that was trained on tiles has learned what these cut; what others cut beyond
that, or less, is added to its product too.
"""

from collections.abc import Sequence

import numpy as np
import torch

from hybridsim.analog import AnalogSettings
from hybridsim.analog.correction import F64, fit_to
from hybridsim.training.classifier import Classifier
from hybridsim.training.clipping import RIDGE
from hybridsim.training.linear import StaticLinear
from hybridsim.training.observing import Inputs, weighings_of

WEIGHED_ON = 512
"""Training sentences, the first, whose vectors weigh errors; assumed."""
Parent = tuple[float, Classifier, AnalogSettings | None]
"""(share, a trained model, the tiles that it was trained on)."""


def mean_into(model: Classifier, parents: Sequence[Parent]) -> None:
    """Give a model the mean of others, value by value: of those that started from the same one.

    Source: Wortsman et al., *Model soups*, ICML 2022.
    """
    with torch.no_grad():
        for name, parameter in model.trained().items():
            given = [share * parent.trained()[name] for share, parent, _ in parents]
            parameter.copy_(torch.stack(given).sum(dim=0))


def merge_into(
    model: Classifier, parents: Sequence[Parent], inputs: Inputs, settings: AnalogSettings
) -> None:
    """Give a model the adapters nearest to the mean of others, and the mean of what lies beside.

    Args:
        model: With adapters of the rank that is wanted, on the layers where the others have some.
        parents: With shares that come to one.
        inputs: Layer -> vectors that it receives, shape (tokens, in).
        settings: Of the tiles that the model is for.
    """
    weighed = weighings_of(inputs, RIDGE)
    with torch.no_grad():
        for name, value in model.head.named_parameters():
            given = [share * parent.head.get_parameter(name) for share, parent, _ in parents]
            value.copy_(torch.stack(given).sum(dim=0))
        for name, adapter in model.adapters():
            mean = sum(
                share * _product(parent.static_layers()[name], tiles, settings)
                for share, parent, tiles in parents
            )
            best = fit_to(np.asarray(mean), *weighed[name])
            adapter.take(best.of_rank(len(adapter.lora_A)))


def _product(layer: StaticLinear, before: AnalogSettings | None, after: AnalogSettings) -> F64:
    """Return what makes up on some tiles for an adapter and the weights that it was trained with,
    shape (out, in)."""
    assert layer.adapter is not None
    adds = layer.adapter.added()
    weights = layer.weight if before is None else layer.held(before)
    lost: F64 = (weights - layer.held(after)).cpu().numpy()
    return adds.up.astype(np.float64) @ adds.down + lost
