"""Static linear layers that compute digitally or on crossbars, and the chips that models go onto.

A layer may carry an adapter. :mod:`hybridsim.analog` programs chips, torch computes on them.
"""

import math
import re
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from hybridsim.analog import (
    AnalogLayer,
    AnalogSettings,
    Converters,
    LayerState,
    ProgrammedLayer,
)
from hybridsim.analog.correction import Correction
from hybridsim.errors import UnknownNameError
from hybridsim.kernels.lora import lora as cluster_lora
from hybridsim.training.crossbar import Disturbance, RowBlock, crossbar_product, limited, stream
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
        self.as_on_cluster = False
        """Whether to compute in the cluster's fp16; no gradient passes there."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return ``y`` (tokens, out) and what the adapter adds to it for ``x`` (tokens, in)."""
        if self.as_on_cluster:
            given = (x, self.lora_A.T, self.lora_B.T, y)
            inputs, a, b, outputs = (each.detach().cpu().numpy() for each in given)
            return torch.from_numpy(cluster_lora(inputs, a, b, outputs, self.scale)).to(y)
        if self.dropout and self.training:
            x = functional.dropout(x, self.dropout)
        return torch.addmm(y, x @ self.lora_A.T, self.lora_B.T, alpha=self.scale)

    def added(self) -> Correction:
        """Return what is added to the outputs of the layer, the scale within."""
        a, b = (each.detach().cpu().numpy() for each in (self.lora_A, self.lora_B))
        return Correction(a, b * np.float32(self.scale))

    def take(self, added: Correction) -> None:
        """Take the values that add this; a smaller rank leaves the rest at zero."""
        rank = len(added.down)
        with torch.no_grad():
            for own, values in (self.lora_A, added.down), (self.lora_B.T, added.up.T / self.scale):
                own.zero_()[:rank] = torch.from_numpy(values)


class StaticLinear(nn.Module):
    """y = W x + b, with W on crossbars where it was put there; the bias is digital."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty((out_features, in_features)))
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.adapter: LowRank | None = None
        self._settings: AnalogSettings | None = None
        self.calibrated: Converters | None = None
        """Converters with ranges of its own; None for those of the settings."""
        self.learned_range: nn.Parameter | None = None
        """The input range, where it is learned; not a number until it is calibrated."""
        self._blocks: tuple[RowBlock, ...] = ()
        self.side: torch.Tensor | None = None
        """The sparse weights (out, in) that are digital on tiles; None for none."""
        self._noise: Disturbance | None = None
        self._spread = 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return W x + b and what the adapter adds, (tokens, in) to (tokens, out)."""
        if self._noise is None or self._settings is None:
            y = functional.linear(x, self.weight, self.bias)
        else:
            y = self.on_crossbars(x) + self.bias
        return y if self.adapter is None else self.adapter(x, y)

    def on_crossbars(self, x: torch.Tensor) -> torch.Tensor:
        """Return W x as crossbars and side path compute it: without bias and adapter."""
        assert self._noise is not None
        assert self._settings is not None
        blocks = self._blocks or self.blocks_of_weights(self._settings)
        converters = self.calibrated or self._settings.converters
        if self.learned_range is not None and converters.input_scaling == "fixed":
            x = limited(x, self.learned_range)
            converters = converters.model_copy(update={"input_range": self.known_range})
        return crossbar_product(x, self.weight, blocks, converters, self._noise, self.side)

    @property
    def known_range(self) -> float | None:
        """The input range that was learned so far; None where it has not begun or is not."""
        found = math.nan if self.learned_range is None else self.learned_range.detach().item()
        return None if math.isnan(found) else found

    def compute_digitally(self) -> None:
        """Take the weights as they are, in exact arithmetic; calibrated ranges stay known."""
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
        self.side = self.kept_digital(settings)

    def hold(self, blocks: tuple[RowBlock, ...]) -> None:
        """Compute on crossbars that hold other values; settings, noise and side path stay."""
        self._blocks = blocks

    @property
    def crossbars(self) -> tuple[RowBlock, ...]:
        """The crossbars that it computes on; none where each step takes the weights anew."""
        return self._blocks

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
        """Return the weights for crossbars, cut at so many deviations of the pretrained ones."""
        weights = self.weight.detach()
        if settings.side_path_sigmas is not None:
            weights = weights.masked_fill(self._far(settings.side_path_sigmas), 0.0)
        if settings.clip_sigmas is None:
            return weights
        limit = settings.clip_sigmas * self._spread
        return weights.clamp(-limit, limit)

    def kept_digital(self, settings: AnalogSettings) -> torch.Tensor | None:
        """Return the sparse matrix (out, in) of weights that lie too far out for crossbars."""
        if settings.side_path_sigmas is None:
            return None
        weights = self.weight.detach()
        near = ~self._far(settings.side_path_sigmas)
        return weights.masked_fill(near, 0.0).to_sparse().coalesce()

    def held(self, settings: AnalogSettings) -> torch.Tensor:
        """Return the weights that crossbars and side path are to hold, shape (out, in)."""
        side = self.kept_digital(settings)
        held = self.clipped(settings)
        return held if side is None else held + side.to_dense()

    def _far(self, sigmas: float) -> torch.Tensor:
        return self.weight.detach().abs() > sigmas * self._spread


Chip = dict[str, ProgrammedLayer]
"""Layer -> its crossbars after programming."""


class OnTiles(nn.Module):
    """A model with layers that go onto tiles, and may carry adapters."""

    def static_layers(self) -> dict[str, StaticLinear]:
        """Return these layers by name, in the order in which they are programmed."""
        return {n: layer for n, layer in self.named_modules() if isinstance(layer, StaticLinear)}

    def new_adapter(self, name: str, layer: StaticLinear, lora: Lora, seed: int) -> None:
        """Put a new adapter on a layer; its weights depend on the seed and the layer's name."""
        out_features, in_features = layer.weight.shape
        own = stream(seed, zlib.crc32(name.encode()))
        layer.adapter = LowRank(in_features, out_features, lora, own)

    def adapters(self) -> Iterator[tuple[str, LowRank]]:
        """Yield (layer, adapter) in order."""
        for name, layer in self.static_layers().items():
            if layer.adapter is not None:
                yield name, layer.adapter

    def learn_ranges(self) -> None:
        """Let the input range of every layer be learned, from where it is calibrated to."""
        for layer in self.static_layers().values():
            layer.learned_range = nn.Parameter(torch.tensor(math.nan))

    def compute_adapters(self, as_on_cluster: bool) -> None:
        """Compute adapters in fp16, rounding as the cluster's matrix engine does, or in fp32."""
        for _, adapter in self.adapters():
            adapter.as_on_cluster = as_on_cluster

    def compute_digitally(self) -> None:
        """Take all layers off the tiles."""
        for layer in self.static_layers().values():
            layer.compute_digitally()

    def compute_on_tiles(self, settings: AnalogSettings, noise: Disturbance) -> None:
        """Put all layers on tiles that hold the weights as they are."""
        for layer in self.static_layers().values():
            layer.compute_on(settings, noise)


class DecoderOnTiles(OnTiles):
    """A decoder: its layers are named by block, and all that is trained are adapters."""

    def add_adapters(self, lora: Lora, seed: int) -> None:
        """Put a new adapter on every layer whose name ends with one of the targets; freeze the
        rest.

        Raises:
            UnknownNameError: A target is the end of no layer's name.
        """
        layers = self.static_layers()
        for target in lora.targets:
            if not any(name.endswith(f".{target}") for name in layers):
                ends = {_IN_BLOCK.sub("", name) for name in layers}
                raise UnknownNameError("lora.targets: layer", target, ends)
        self.requires_grad_(False)
        for name, layer in layers.items():
            layer.remember_spread()
            if any(name.endswith(f".{target}") for target in lora.targets):
                self.new_adapter(name, layer, lora, seed)

    def trained(self) -> list[nn.Parameter]:
        """Return the parameters that training changes."""
        return [p for p in self.parameters() if p.requires_grad]


_IN_BLOCK = re.compile(r"^.*\.\d+\.")
"""What stands before a layer's name within its block."""


def program_chip(model: OnTiles, settings: AnalogSettings, seed: Sequence[int]) -> Chip:
    """Write the static layers of a model to tiles; the same seed and weights, the same chip."""
    chip = {}
    unclipped = settings.model_copy(update={"clip_sigmas": None, "side_path_sigmas": None})
    for index, (name, layer) in enumerate(model.static_layers().items()):
        weights = layer.clipped(settings).cpu().numpy()
        chip[name] = AnalogLayer(weights, unclipped).program((*seed, index))
    return chip


def put_on_chip(
    model: OnTiles,
    chip: Chip,
    seconds: float,
    settings: AnalogSettings,
    noise: Disturbance,
    reading: int = 0,
) -> float:
    """Let a model compute on a chip as it is at a time; return the mean drift compensation.

    Another ``reading`` is another draw of the read noise.
    """
    alphas = []
    for name, layer in model.static_layers().items():
        state = chip[name].at(seconds, reading)
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
