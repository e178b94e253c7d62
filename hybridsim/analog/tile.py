"""One crossbar: all that it depends on, programmed once, read at any time afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from hybridsim.analog.converters import (
    LEAST_READOUT,
    Converters,
    DriftCompensation,
    adc_gains,
    multiply,
    readout,
)
from hybridsim.analog.device import (
    F32,
    PcmDevice,
    check_shares,
    column_maxima,
    decay,
    draw_exponents,
    program,
    read,
    split,
    warmed,
)
from hybridsim.analog.ranges import Ranges
from hybridsim.analog.wires import with_wires
from hybridsim.units import Count, Spec


class AnalogSettings(Spec):
    """Device, mapping, converters and compensation of analog layers.

    Stuck devices, the resistance of bit lines, temperature and unequal ADCs are off unless a
    share, a resistance, an activation energy or a spread says otherwise; word lines, and asymmetry
    between the two devices of a pair, are left out.
    """

    rows: Count = 512
    """Word lines of a crossbar [inputs]. Source: 512x512 tiles in the paper."""
    columns: Count = 512
    """Bit lines of a crossbar [outputs]. Source: as rows."""
    clip_sigmas: Annotated[float, Field(gt=0)] | None = 3.0
    """Where weights are cut, in standard deviations of their layer; null for nowhere. Source:
    3 sigma, layer gaussian, in the paper."""
    side_path_sigmas: Annotated[float, Field(gt=0)] | None = None
    """Beyond how many standard deviations of their layer weights stay digital, in a sparse matrix
    beside the crossbars (:mod:`.side_path`); null for none. Assumed where it is given."""
    scaling: Literal["column", "tile"] = "column"
    """Whether each column or each tile is scaled to the full conductance range. Source: the paper
    scales per column."""
    pair: Literal["net", "devices"] = "net"
    """What drifts: the net conductance of a pair as programmed, put on one device anew, as
    aihwkit computes it; or each of both devices for itself, which adds the drift and read noise
    of the device that should be at zero."""
    device: PcmDevice = PcmDevice()
    """The phase-change device."""
    converters: Converters = Converters()
    """DAC, ADC and output noise."""
    wire_resistance: Annotated[float, Field(ge=0)] = 0.0
    """Resistance of a bit line from one row to the next [ohm]; 0 for none. aihwkit takes 0.35
    (``ir_drop_g_ratio``, at 5 uS). See :func:`~.wires.with_wires` for how far it holds."""
    adc_gain_spread: Annotated[float, Field(ge=0)] = 0.0
    """Standard deviation of the gains of ADCs, which stay as they were made; 0 for equal ones.
    Output noise is not scaled with them. Assumed where it is not 0."""
    columns_per_adc: Count = 1
    """Bit lines side by side that share an ADC, and with it its gain. What sharing does to time
    is in the machine's integration time."""
    compensation: DriftCompensation = DriftCompensation()
    """The calibration read against drift; it reads at the bound that the converters are given."""
    ranges: Ranges = Ranges()
    """Whether the ADC's bound is calibrated for each layer of a network."""


Seed = Sequence[int]
"""Integers that together name a stream of random numbers."""

_PROGRAM, _READ, _ADCS = 1, 2, 4  # the streams of a tile; 3 is that of the output noise


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
        warm = warmed(programmed, settings.device)
        drifted = drifted if warm is None else drifted * warm
        found = read(drifted, programmed, seconds, settings.device, rng)
        return np.copysign(found, self.net)


def _drop(settings: AnalogSettings, full_scale: float | None = None) -> float:
    """Return what one segment of a bit line drops at a full conductance, in inputs."""
    return settings.wire_resistance * (full_scale or settings.device.g_max) * 1e-6


@dataclass(frozen=True, slots=True)
class ProgrammedTile:
    """A crossbar after programming: what each device holds and how fast it drifts."""

    devices: tuple[_Devices, ...]
    full_scale: float
    """Conductance [uS] that stands for a relative weight of 1."""
    scales: F32
    baseline: float
    """Mean magnitude of the readout after programming."""
    gains: F32
    """Of the ADCs, shape (columns,)."""
    settings: AnalogSettings
    seed: tuple[int, ...]

    @classmethod
    def from_weights(cls, block: F32, settings: AnalogSettings, seed: Seed) -> "ProgrammedTile":
        """Program a (rows, columns) block of weights; ``seed`` decides every draw."""
        check_shares(settings.device)
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
        spread, shared = settings.adc_gain_spread, settings.columns_per_adc
        gains = adc_gains(len(scales), shared, spread, np.random.default_rng([*seed, _ADCS]))
        after = with_wires(net / np.float32(settings.device.g_max), _drop(settings)) * gains
        how = settings.compensation
        if how.reference == "target":
            baseline = max(float(np.abs(relative).mean(dtype=np.float64)), LEAST_READOUT)
        else:
            baseline = readout(after, settings.converters, how, rng)
        return cls(devices, full_scale, scales, baseline, gains, settings, tuple(seed))

    def at(self, seconds: float, reading: int = 0) -> TileState:
        """Return the crossbar ``seconds`` after programming.

        Read noise is drawn anew for every time and ``reading``, the same for the same two.
        """
        rng = np.random.default_rng([*self.seed, _READ, round(seconds * 1e6), reading])
        found = [part.at(seconds, self.settings, rng) for part in self.devices]
        weights: F32 = sum(found[1:], start=found[0]) / np.float32(self.full_scale)
        weights = with_wires(weights, _drop(self.settings, self.full_scale)) * self.gains
        alpha = 1.0
        if self.settings.compensation.kind == "global":
            now = readout(weights, self.settings.converters, self.settings.compensation, rng)
            alpha = self.baseline / now
        return TileState(weights, self.scales, alpha, self.settings)
