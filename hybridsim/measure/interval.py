"""How sure a result is: the ends of its 90 % intervals, and how people read them."""

from collections.abc import Callable
from math import floor, log10
from typing import Literal

from hybridsim.measure.answer import Answer
from hybridsim.units import format_energy, format_ps


class LayerInterval(Answer):
    """How sure the figures of one layer are."""

    name: str
    """The layer's name."""
    latency_low_ps: int
    """The lower end of its latency, by what was measured on RTL [ps]."""
    latency_high_ps: int
    """The upper end of its latency [ps]."""
    overhead_low_percent: float
    """The lower end of its overhead [%]."""
    overhead_high_percent: float
    """The ends of its overhead [%]."""


class SpanInterval(Answer):
    """How sure a time and its yardstick are, by what the models of its kernels missed on RTL."""

    level: float
    """How likely a row of RTL lies in such an interval, 0 to 1."""
    samples: int
    """How often the plan was carried out with other draws."""
    latency_low_ps: int
    """The lower end of the latency [ps]."""
    latency_high_ps: int
    """The upper end of the latency [ps]."""
    yardstick_low_ps: int
    """The lower end of the yardstick [ps]."""
    yardstick_high_ps: int
    """The upper end of the yardstick [ps]."""
    overhead_low_percent: float
    """The lower end of the overhead [%]."""
    overhead_high_percent: float
    """The upper end of the overhead, latency and yardstick drawn together [%]."""
    not_in_interval: tuple[str, ...]
    """What no row of RTL says anything about: assumed or published, and not in the interval."""

    @property
    def latency(self) -> str:
        """The latency's interval for people."""
        return self._said(between(self.latency_low_ps, self.latency_high_ps, format_ps))

    @property
    def overhead(self) -> str:
        """The overhead's interval for people."""
        low, high = self.overhead_low_percent, self.overhead_high_percent
        return self._said(f"{low:.2f} .. {high:.2f} %" if high > low else f"{low:.2f} %")

    @property
    def assumed(self) -> str:
        """What is not in the interval, for people; empty if nothing is."""
        names = ", ".join(self.not_in_interval)
        return f"{names}: not measured on RTL, so not in the {self._level}" if names else ""

    @property
    def _level(self) -> str:
        return f"{100 * self.level:.0f} %"

    def _said(self, ends: str) -> str:
        return f"{self._level}: {ends}"


class IntervalResult(SpanInterval):
    """How sure a run is, and each of its layers."""

    seed: int
    """Of the draws."""
    energy_low_pj: float | None
    """The lower end of the energy [pJ]; None where it is unknown."""
    energy_high_pj: float | None
    """The ends of the energy, as far as it depends on cycles [pJ]; None where it is unknown."""
    layers: tuple[LayerInterval, ...]
    """The same of the static linear layers, in the order of the result."""

    @property
    def energy(self) -> str:
        """The energy's interval for people; empty where it is unknown."""
        if self.energy_low_pj is None or self.energy_high_pj is None:
            return ""
        low, high = (round(pj * 10**6) for pj in (self.energy_low_pj, self.energy_high_pj))
        return self._said(between(low, high, format_energy))


def between(low: int, high: int, shown: Callable[[int], str]) -> str:
    """Return both ends in the unit of the upper one, with as many digits as tell them apart.

    ``shown`` writes one of them for people, as a number and a unit.
    """
    text = shown(high)
    if low == high or not high:
        return text
    number, unit = text.rsplit(" ", 1)
    scale = float(number) / high
    apart = (high - low) * scale
    decimals = len(number.partition(".")[2])
    digits = min(6, max(decimals, 1 - floor(log10(apart)))) if apart else decimals
    size = 10.0 ** round(log10(1 / scale))
    return f"{low / size:.{digits}f} .. {high / size:.{digits}f} {unit}"


def sure(
    interval: SpanInterval | None,
    what: Literal["latency", "overhead", "energy"],
) -> str:
    """Return the interval of a figure in brackets, to stand behind it; nothing without one."""
    text = "" if interval is None else getattr(interval, what)
    return f" ({text})" if text else ""
