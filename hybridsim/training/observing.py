"""What layers of a model receive in digital arithmetic: the vectors that calibrations look at."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from hybridsim.analog import AnalogSettings, calibrated_converters
from hybridsim.analog.correction import F64, gram_of, whitening_of
from hybridsim.training.classifier import Classifier
from hybridsim.training.linear import OnTiles, StaticLinear
from hybridsim.training.tokens import TokenizedText

Inputs = dict[str, torch.Tensor]
"""Layer -> the vectors that it received, shape (tokens, in)."""


@contextmanager
def heard(model: OnTiles) -> Iterator[dict[str, list[torch.Tensor]]]:
    """Yield what every static layer receives while the context lasts, call by call."""
    found: dict[str, list[torch.Tensor]] = {name: [] for name in model.static_layers()}

    def hear(name: str, _: StaticLinear, given: tuple[Any, ...]) -> None:
        found[name].append(given[0].detach())

    hooks = [
        layer.register_forward_pre_hook(partial(hear, name))
        for name, layer in model.static_layers().items()
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def layer_inputs(model: Classifier, text: TokenizedText, sentences: Sequence[int]) -> Inputs:
    """Return what the layers receive for some sentences, in digital arithmetic.

    The model is left computing digitally.
    """
    model.compute_digitally()
    training, device = model.training, str(model.head.weight.device)
    model.eval()
    with torch.no_grad(), heard(model) as found:
        model(text.batch(sentences, device))
    model.train(training)
    # layers that receive the same vectors share one tensor
    return {name: parts[0] for name, parts in found.items()}


def weighings_of(inputs: Inputs, ridge: float) -> dict[str, tuple[F64, F64]]:
    """Return, by layer, X^T X of its vectors X and what whitens them: how much errors weigh.

    Once for layers that receive the same vectors, as query, key and value do.
    """
    known: dict[int, tuple[F64, F64]] = {}
    for x in inputs.values():
        if x.data_ptr() not in known:
            gram = gram_of(x.cpu().numpy())
            known[x.data_ptr()] = gram, whitening_of(gram, ridge)
    return {name: known[x.data_ptr()] for name, x in inputs.items()}


def inputs_for_ranges(model: Classifier, text: TokenizedText, settings: AnalogSettings) -> Inputs:
    """Return what layers receive for the sentences that ranges are calibrated on.

    None where ranges are given.
    """
    if settings.ranges.kind == "given":
        return {}
    return layer_inputs(model, text, range(min(settings.ranges.sentences, len(text.ids))))


def spread_out(x: torch.Tensor, most: int) -> torch.Tensor:
    """Return at most so many of the vectors, evenly from first to last."""
    if len(x) <= most:
        return x
    return x[torch.linspace(0, len(x) - 1, most, device=x.device).round().long()]


def set_ranges(
    model: OnTiles, inputs: Inputs, settings: AnalogSettings, on_chip: bool = False
) -> None:
    """Calibrate the ranges of all layers on vectors that they receive.

    ``on_chip`` measures on the crossbars that the layers compute on, else on the weights as they
    should be. Where ranges are given, layers keep those of the settings; an input range that is
    learned begins at the calibrated one, and is then kept.
    """
    how = settings.ranges
    for name, layer in model.static_layers().items():
        layer.calibrated = None
        if how.kind == "given":
            continue
        x = spread_out(inputs[name], how.vectors)
        blocks = layer.crossbars if on_chip else layer.blocks_of_weights(settings)
        outputs = []
        for block in blocks:
            part = x[:, block.rows]
            if settings.converters.input_scaling == "per_vector":
                part = part / part.abs().amax(dim=1, keepdim=True).clamp_min(1e-30)
            outputs.append(part @ block.relative.float())
        known = layer.known_range
        layer.calibrated = calibrated_converters(
            x.cpu().numpy(), torch.cat(outputs).cpu().numpy(), settings.converters, how, known
        )
        begins = layer.calibrated.input_range
        if layer.learned_range is not None and known is None and begins is not None:
            with torch.no_grad():
                layer.learned_range.fill_(begins)
