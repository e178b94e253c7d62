"""Where to cut weights: what clipping takes from layers, what an adapter gives back, and what the
noise of tiles costs then.

A column is scaled to the conductances by its largest weight, so that weights which are cut further
in use more of the range, and the noise of tiles weighs less. What is cut is lost in part only: for
the vectors that a layer receives it is of low rank, and an adapter adds it again. So both errors
are looked at together, in closed form (:mod:`hybridsim.analog.correction`) and without labels,
before anything is trained.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from hybridsim.analog import AnalogSettings
from hybridsim.analog.correction import F64, fit_to, gram_of
from hybridsim.training.crossbar import Disturbance
from hybridsim.training.linear import OnTiles, StaticLinear, program_chip, put_on_chip
from hybridsim.training.observing import Inputs, weighings_of

SIGMAS = (1.5, 1.75, 2.0, 2.25, 2.5, 3.0, 4.0, None)
"""Where weights may be cut, in standard deviations of their layer; None for nowhere."""
RIDGE = 1e-3
"""Of the fit, in mean squared inputs: vectors that were not fitted are what counts; assumed."""


def errors_of_clipping(
    model: OnTiles,
    fitted: Inputs,
    seen: Inputs,
    settings: AnalogSettings,
    noise: Disturbance,
    seconds: float,
    rank: int,
    sigmas: Sequence[float | None] = SIGMAS,
    chip: int = 1,
) -> pd.DataFrame:
    """Return the errors of layers for each place to cut, as means over the layers.

    An error is |e|^2 / |y - its mean over tokens|^2 of the products y that a layer should give.

    Args:
        model: In digital arithmetic; it is left on the last chip.
        fitted: What layers receive, which adapters are fitted to; shapes (tokens, in).
        seen: What they receive for other sentences, which errors are of.
        settings: Of the tiles, but for where they cut.
        noise: Of the outputs.
        seconds: The age of the chip [s].
        rank: Of the adapters.
        sigmas: Where to cut.
        chip: The seed of the programming.

    Returns:
        A row for each of ``sigmas``: ``clip_sigmas`` (NaN for nowhere), ``clipped`` (what cutting
        costs alone), ``left`` (with the best adapter of the rank), ``tiles`` (programming, drift,
        reads and converters), ``together`` (the last two).
    """
    weighed = weighings_of(fitted, RIDGE)
    of_seen = {name: gram_of(x.cpu().numpy()) for name, x in seen.items()}
    rows = []
    for cut in sigmas:
        how = settings.model_copy(update={"clip_sigmas": cut})
        put_on_chip(model, program_chip(model, how, (chip,)), seconds, how, noise)
        errors = []
        for name, layer in model.static_layers().items():
            grams = *weighed[name], of_seen[name]
            errors.append(_errors(layer, *grams, seen[name], how, rank))
        clipped, left, tiles = np.mean(errors, axis=0).tolist()
        rows.append((cut, clipped, left, tiles, left + tiles))
    return pd.DataFrame(rows, columns=["clip_sigmas", "clipped", "left", "tiles", "together"])


def _errors(
    layer: StaticLinear,
    fitted: F64,
    whitening: F64,
    of_seen: F64,
    seen: torch.Tensor,
    settings: AnalogSettings,
    rank: int,
) -> tuple[float, float, float]:
    """Return the errors of one layer that computes on a chip: clipped, left, of the tiles.

    What a matrix D of lost weights takes from vectors with X^T X = G is |X D^T|^2 = tr(D G D^T),
    so that ``fitted`` and ``of_seen`` stand for vectors.
    """
    with torch.no_grad():
        held = layer.held(settings)
        lost = (layer.weight - held).cpu().numpy().astype(np.float64)
        wanted = seen @ layer.weight.T
        of_tiles = (layer.on_crossbars(seen) - seen @ held.T).square().sum()
        apart = float((wanted - wanted.mean(dim=0)).square().sum())
    remains = lost - fit_to(lost, fitted, whitening).of_rank(rank).matrix
    clipped, left = (float(np.sum((d @ of_seen) * d)) for d in (lost, remains))
    return clipped / apart, left / apart, float(of_tiles) / apart
