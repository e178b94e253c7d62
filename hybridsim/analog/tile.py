"""One crossbar: programmed once, read at any time afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridsim.analog.compensation import LEAST_READOUT, readout
from hybridsim.analog.conductance import column_maxima, split
from hybridsim.analog.converters import multiply
from hybridsim.analog.drift import decay, draw_exponents
from hybridsim.analog.noise import program, read
from hybridsim.analog.settings import AnalogSettings

F32 = NDArray[np.float32]
Seed = Sequence[int]
"""Integers that together name a stream of random numbers."""

_PROGRAM, _READ = 1, 2  # the streams of a tile


@dataclass(frozen=True, slots=True)
class TileState:
    """A crossbar as it is at one time after programming."""

    weights: F32
    """Relative to the full conductance, shape (rows, columns)."""
    scales: F32
    """What a relative weight of 1 stands for, shape (columns,)."""
    alpha: float
    """The factor of the drift compensation; 1 without."""
    settings: AnalogSettings

    def mvm(self, x: F32, rng: np.random.Generator, input_range: float | None = None) -> F32:
        """Return x W through converters, compensation and scales, shape (tokens, columns)."""
        y = multiply(x, self.weights, self.settings.converters, rng, input_range)
        return y * (self.scales * np.float32(self.alpha))

    @property
    def effective_weights(self) -> F32:
        """The weights that this state stands for, compensated, shape (rows, columns)."""
        return self.weights * (self.scales * np.float32(self.alpha))


@dataclass(frozen=True, slots=True)
class _Devices:
    """Devices that count with the sign of ``net``: programmed conductance and its exponent."""

    net: F32
    """Signed conductance [uS]: positive where it adds to the output."""
    exponents: F32

    def at(self, seconds: float, settings: AnalogSettings, rng: np.random.Generator) -> F32:
        """Return the signed conductance [uS] that a read at ``seconds`` finds."""
        programmed = np.abs(self.net)
        drifted = programmed * decay(self.exponents, seconds, settings.device)
        found = read(drifted, programmed, seconds, settings.device, rng)
        return np.copysign(found, self.net)


@dataclass(frozen=True, slots=True)
class ProgrammedTile:
    """A crossbar after programming: what each device holds and how fast it drifts."""

    devices: tuple[_Devices, ...]
    full_scale: float
    """Conductance [uS] that stands for a relative weight of 1."""
    scales: F32
    baseline: float
    """Mean magnitude of the readout after programming."""
    settings: AnalogSettings
    seed: tuple[int, ...]

    @classmethod
    def from_weights(cls, block: F32, settings: AnalogSettings, seed: Seed) -> "ProgrammedTile":
        """Program a (rows, columns) block of weights; ``seed`` decides every draw."""
        rng = np.random.default_rng([*seed, _PROGRAM])
        scales = column_maxima(block, settings.scaling == "column")
        relative = block / scales
        targets = split(relative, settings.device.g_max)
        plus, minus = (program(g, settings.device, rng) for g in targets)
        exponents = [draw_exponents(g, settings.device, rng) for g in targets]
        full_scale, net = settings.device.g_max, plus - minus
        devices: tuple[_Devices, ...] = (
            _Devices(plus, exponents[0]),
            _Devices(-minus, exponents[1]),
        )
        if settings.pair == "net":
            # the net weight is put on one device anew, its largest at g_max
            stretch = np.float32(settings.device.g_max / max(float(np.abs(net).max()), 1e-7))
            exponent = np.where(net > 0, *exponents)
            devices = (_Devices(net * stretch, exponent),)
            full_scale = float(settings.device.g_max * stretch)
        after = net / np.float32(settings.device.g_max)
        how = settings.compensation
        if how.reference == "target":
            baseline = max(float(np.abs(relative).mean(dtype=np.float64)), LEAST_READOUT)
        else:
            baseline = readout(after, settings.converters, how, rng)
        return cls(devices, full_scale, scales, baseline, settings, tuple(seed))

    def at(self, seconds: float, reading: int = 0) -> TileState:
        """Return the crossbar ``seconds`` after programming.

        Read noise is drawn anew for every time and ``reading``, the same for the same two.
        """
        rng = np.random.default_rng([*self.seed, _READ, round(seconds * 1e6), reading])
        found = [part.at(seconds, self.settings, rng) for part in self.devices]
        weights: F32 = sum(found[1:], start=found[0]) / np.float32(self.full_scale)
        alpha = 1.0
        if self.settings.compensation.kind == "global":
            now = readout(weights, self.settings.converters, self.settings.compensation, rng)
            alpha = self.baseline / now
        return TileState(weights, self.scales, alpha, self.settings)
