"""A static linear layer on crossbars: ``AnalogLayer(w).program(seed).at(seconds).mvm(x)``."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hybridsim.analog.device import F32, as_weights, clip
from hybridsim.analog.side_path import SidePath, taken_out
from hybridsim.analog.tile import AnalogSettings, ProgrammedTile, TileState
from hybridsim.errors import UnsupportedError

_MVM = 3  # the stream of the output noise


@dataclass(frozen=True, slots=True)
class Part:
    """Which inputs and outputs of a layer a crossbar holds."""

    rows: slice
    columns: slice


def parts_of(in_features: int, out_features: int, settings: AnalogSettings) -> Iterator[Part]:
    """Yield the parts of a layer, row block by row block: wide layers take several crossbars."""
    for row in range(0, in_features, settings.rows):
        for column in range(0, out_features, settings.columns):
            yield Part(
                slice(row, min(row + settings.rows, in_features)),
                slice(column, min(column + settings.columns, out_features)),
            )


class AnalogLayer:
    """The weights of a linear layer, ready to be programmed.

    Raises:
        UnsupportedError: ``weights`` are no finite matrix of shape (out, in), or ``input_range``
            is not above zero.
    """

    def __init__(
        self,
        weights: ArrayLike,
        settings: AnalogSettings | None = None,
        input_range: float | None = None,
    ) -> None:
        self.settings = settings or AnalogSettings()
        self.weights = as_weights(weights)
        rest, self.side = taken_out(self.weights, self.settings.side_path_sigmas)
        spread = float(self.weights.std())
        self.clipped = clip(rest, self.settings.clip_sigmas, spread)
        """What the crossbars are to hold, shape (out, in)."""
        self._lost = rest - self.clipped
        if input_range is not None and not input_range > 0:
            raise UnsupportedError(f"input_range: found {input_range}; above 0 would do")
        self.input_range = input_range

    @property
    def clipping_error(self) -> float:
        """What clipping takes away: ||W - clipped|| / ||W||, 0 to 1."""
        whole = float(np.linalg.norm(self.weights))
        return float(np.linalg.norm(self._lost)) / whole if whole else 0.0

    def program(self, seed: int | Sequence[int]) -> "ProgrammedLayer":
        """Write the weights to crossbars once; the same seed gives the same chip."""
        named = (seed,) if isinstance(seed, int) else tuple(seed)
        out_features, in_features = self.weights.shape
        parts = tuple(parts_of(in_features, out_features, self.settings))
        tiles = tuple(
            ProgrammedTile.from_weights(
                np.ascontiguousarray(self.clipped[part.columns, part.rows].T),
                self.settings,
                (*named, index),
            )
            for index, part in enumerate(parts)
        )
        shape = (out_features, in_features)
        return ProgrammedLayer(parts, tiles, shape, named, self.input_range, self.side)


@dataclass(frozen=True, slots=True)
class ProgrammedLayer:
    """A layer on crossbars after programming."""

    parts: tuple[Part, ...]
    tiles: tuple[ProgrammedTile, ...]
    shape: tuple[int, int]
    """(out, in) features."""
    seed: tuple[int, ...]
    input_range: float | None
    side: SidePath

    def at(self, seconds: float, reading: int = 0) -> "LayerState":
        """Return the layer ``seconds`` after programming, with one draw of its read noise."""
        if not seconds >= 0:
            raise UnsupportedError(f"seconds: found {seconds}; 0 or more would do")
        states = tuple(tile.at(seconds, reading) for tile in self.tiles)
        noise = (*self.seed, _MVM, round(seconds * 1e6), reading)
        return LayerState(self.parts, states, self.shape, noise, self.input_range, self.side)


@dataclass(frozen=True, slots=True)
class LayerState:
    """A layer on crossbars at one time."""

    parts: tuple[Part, ...]
    tiles: tuple[TileState, ...]
    shape: tuple[int, int]
    seed: tuple[int, ...]
    input_range: float | None
    side: SidePath
    """Weights that are digital."""

    def mvm(self, x: ArrayLike, rng: np.random.Generator | None = None) -> F32:
        """Return x W^T as crossbars and side path compute it, (tokens, in) to (tokens, out).

        Output noise comes from ``rng``, or from the layer's own stream, the same at every call.
        Partial sums of several row blocks are added digitally.

        Raises:
            UnsupportedError: ``x`` has another width than the layer.
        """
        vectors = np.asarray(x, np.float32)
        out_features, in_features = self.shape
        if vectors.ndim != 2 or vectors.shape[1] != in_features:
            raise UnsupportedError(
                f"x: found the shape {vectors.shape}; (tokens, {in_features}) would do"
            )
        rng = rng or np.random.default_rng(self.seed)
        y = self.side.product(vectors, out_features)
        for part, tile in zip(self.parts, self.tiles, strict=True):
            y[:, part.columns] += tile.mvm(vectors[:, part.rows], rng, self.input_range)
        return y

    @property
    def alpha(self) -> float:
        """Mean factor of the drift compensation over the crossbars."""
        return float(np.mean([tile.alpha for tile in self.tiles]))

    @property
    def effective_weights(self) -> F32:
        """The weights that crossbars, compensated, and side path stand for, shape (out, in)."""
        weights = np.empty(self.shape, np.float32)
        for part, tile in zip(self.parts, self.tiles, strict=True):
            weights[part.columns, part.rows] = tile.effective_weights.T
        weights[self.side.outputs, self.side.inputs] += self.side.values
        return weights
