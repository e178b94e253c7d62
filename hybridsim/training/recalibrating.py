"""Correcting a chip without labels or training: measure each layer, and fit what it lacks.

A layer receives the vectors that it has in digital arithmetic, on the chip; what its outputs lack
is fitted by a correction of low rank (:mod:`hybridsim.analog.correction`), which adapters carry.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from hybridsim.analog import AnalogSettings, Correction, Residuals, fit
from hybridsim.analog.correction import F64, Fit, combined
from hybridsim.training.classifier import Classifier
from hybridsim.training.crossbar import Disturbance
from hybridsim.training.linear import Chip, LowRank, OnTiles, put_on_chip
from hybridsim.training.observing import Inputs, layer_inputs, weighings_of
from hybridsim.training.study import Lora
from hybridsim.training.tokens import TokenizedText

Corrections = dict[str, Correction]
"""Layer -> its correction."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What a model computes digitally for the calibration sentences, once for all chips."""

    inputs: Inputs
    outputs: Inputs
    """W x of every layer: without bias and adapter."""
    grams: Mapping[str, F64]
    whitenings: Mapping[str, F64]


def reference_of(
    model: Classifier, text: TokenizedText, sentences: int, ridge: float
) -> Reference:
    """Return what layers receive and give digitally for the first sentences."""
    inputs = layer_inputs(model, text, range(min(sentences, len(text.ids))))
    return reference_from(model, inputs, ridge)


def reference_from(model: OnTiles, inputs: Inputs, ridge: float) -> Reference:
    """Return what layers give digitally for the vectors that they receive."""
    layers = model.static_layers()
    with torch.no_grad():
        outputs = {name: x @ layers[name].weight.T for name, x in inputs.items()}
    weighed = weighings_of(inputs, ridge)
    grams, whitenings = ({name: own[k] for name, own in weighed.items()} for k in (0, 1))
    return Reference(inputs, outputs, grams, whitenings)


def measure(
    model: OnTiles,
    chip: Chip,
    seconds: float,
    settings: AnalogSettings,
    noise: Disturbance,
    reference: Reference,
    reads: int = 1,
) -> dict[str, Fit]:
    """Return the best corrections of every layer of a chip at a time.

    Reads are 1, 2, ...: reading 0 is left for tests, so that no correction has seen the noise that
    it is tested under. The model is left on the chip.
    """
    lacking: dict[str, torch.Tensor] = {}
    for reading in range(1, reads + 1):
        put_on_chip(model, chip, seconds, settings, noise, reading)
        for name, layer in model.static_layers().items():
            with torch.no_grad():
                lack = reference.outputs[name] - layer.on_crossbars(reference.inputs[name])
            lacking[name] = lack if reading == 1 else lacking[name] + lack
    found = {}
    for name, lack in lacking.items():
        residuals = Residuals(reference.inputs[name].shape[1], lack.shape[1])
        x = reference.inputs[name].cpu().numpy()
        residuals.add(x, lack.cpu().numpy() / np.float32(reads), reference.grams[name])
        found[name] = fit(residuals, whitening=reference.whitenings[name])
    return found


def adapter_of(model: OnTiles, name: str) -> Correction | None:
    """Return the adapter of a layer as what it adds, None where it has none."""
    adapter = model.static_layers()[name].adapter
    return None if adapter is None else adapter.added()


def carried(
    own: Mapping[str, Correction | None],
    corrections: Corrections,
    reference: Reference,
    folded: bool,
) -> Corrections:
    """Return adapters that also correct: beside what a layer had, or folded into the same rank.

    Layers without a correction keep what they had.
    """
    found = {}
    for name, mine in own.items():
        parts = [part for part in (mine, corrections.get(name)) if part is not None]
        if not parts:
            continue
        if len(parts) == 1:
            found[name] = parts[0]
        elif folded:
            found[name] = combined(parts, reference.whitenings[name], len(parts[0].down))
        else:
            down = np.concatenate([part.down for part in parts])
            found[name] = Correction(down, np.concatenate([part.up for part in parts], axis=1))
    return found


def put_adapters(model: OnTiles, adapters: Corrections) -> Lora:
    """Give layers these adapters, all of the largest rank, and others none; return what they
    are."""
    rank = max((len(adapter.down) for adapter in adapters.values()), default=1)
    lora = Lora(rank=rank, alpha=float(rank))
    for layer in model.static_layers().values():
        layer.adapter = None
    for name, adapter in adapters.items():
        layer = model.static_layers()[name]
        made = LowRank(adapter.down.shape[1], adapter.up.shape[0], lora, 0)
        made.take(adapter)
        layer.adapter = made.to(layer.weight.device).requires_grad_(False)
    return lora
