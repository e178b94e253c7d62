"""Chips for a whole encoder: :mod:`hybridsim.analog` programs them, torch computes on them."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from hybridsim.analog import AnalogLayer, AnalogSettings, LayerState, ProgrammedLayer
from hybridsim.training.crossbar import Disturbance, RowBlock
from hybridsim.training.linear import StaticLinear

Chip = dict[str, ProgrammedLayer]
"""Layer -> its crossbars after programming."""


class OnTiles(Protocol):
    """A model with layers that go onto tiles."""

    def static_layers(self) -> dict[str, StaticLinear]:
        """Return these layers by name, in the order in which they are programmed."""


def program_chip(model: OnTiles, settings: AnalogSettings, seed: Sequence[int]) -> Chip:
    """Write the static layers of a model to tiles; the same seed and weights, the same chip."""
    chip = {}
    unclipped = settings.model_copy(update={"clip_sigmas": None})
    for index, (name, layer) in enumerate(model.static_layers().items()):
        weights = layer.clipped(settings).cpu().numpy()
        chip[name] = AnalogLayer(weights, unclipped).program((*seed, index))
    return chip


def put_on_chip(
    model: OnTiles, chip: Chip, seconds: float, settings: AnalogSettings, noise: Disturbance
) -> float:
    """Let a model compute on a chip as it is at a time; return the mean drift compensation."""
    alphas = []
    for name, layer in model.static_layers().items():
        state = chip[name].at(seconds)
        blocks = row_blocks(state, noise, str(layer.weight.device))
        layer.compute_on(settings, noise, blocks)
        alphas.append(state.alpha)
    return float(np.mean(alphas))


def row_blocks(state: LayerState, noise: Disturbance, device: str = "cpu") -> tuple[RowBlock, ...]:
    """Return the crossbars of a layer, those that share inputs joined into one product."""
    blocks: list[RowBlock] = []
    by_rows: dict[tuple[int, int], list[int]] = {}
    for i, part in enumerate(state.parts):
        by_rows.setdefault((part.rows.start, part.rows.stop), []).append(i)
    for (start, stop), indices in by_rows.items():
        tiles = [state.tiles[i] for i in indices]
        weights = np.concatenate([tile.weights for tile in tiles], axis=1)
        scales = np.concatenate([tile.scales * np.float32(tile.alpha) for tile in tiles])
        blocks.append(
            RowBlock(
                slice(start, stop),
                noise.for_products(torch.from_numpy(weights).to(device)),
                torch.from_numpy(scales).to(device),
            )
        )
    return tuple(blocks)
