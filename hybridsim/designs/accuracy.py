"""One accuracy on tiles after years: tested on chips, or predicted for a placement never run.

A placement says for each layer how long its tiles integrate, and of layers on clusters that they
have none. What a layer costs alone at the output noise of its tiles adds up over the layers
(:mod:`hybridsim.designs.sensitivity`), so that any split into analog and digital layers, on tiles
of several kinds, has a prediction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hybridsim.codesign.points import TOLERANCE
from hybridsim.codesign.study import IntegrationNoise
from hybridsim.designs.sensitivity import Condition

Placement = Mapping[str, int | None]
"""Layer -> integration time of its tiles [ps]; None where a cluster computes it."""


@dataclass(frozen=True, slots=True)
class Known:
    """The accuracy of one adapter on tiles of one noise."""

    name: str
    """What the adapter is called."""
    rank: int
    alpha: int
    patterns: tuple[str, ...]
    """Patterns of the layers that it adapts."""
    adc_bits: int | None
    output_noise: float
    accuracy_percent: float
    low_percent: float
    """Lower end of its 95 % interval [%]."""
    high_percent: float
    digital_percent: float | None
    """The same adapter in digital arithmetic [%]."""
    tested: bool
    """Whether it was tested on chips; predicted from single layers otherwise."""
    source: str
    stands_in: bool = False
    """Whether it was tested at more noise than the point has: a lower bound."""

    @property
    def settings(self) -> dict[str, Any]:
        """What of a network it sets, as an axis of a study does."""
        return settings_of(self.rank, self.alpha, self.patterns)

    def to_text(self) -> dict[str, Any]:
        """Return it as plain values."""
        names = ("accuracy_percent", "low_percent", "high_percent", "digital_percent", "adc_bits",
                 "output_noise", "tested", "stands_in", "source")  # fmt: skip
        return {"adapter": self.name} | {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Predictor:
    """What single layers cost with one adapter, and what a placement loses therefore."""

    name: str
    """What the adapter is called."""
    rank: int
    alpha: int
    patterns: tuple[str, ...]
    conditions: tuple[Condition, ...]
    """Tiles that were measured at the time that counts."""
    digital_percent: float
    """Accuracy in digital arithmetic of the sentences that it was measured on [%]."""
    file: str
    base_percent: float | None = None
    """Digital accuracy that a loss counts from instead: that of adapters which were tested."""

    @property
    def settings(self) -> dict[str, Any]:
        """What of a network its adapter sets, as an axis of a study does."""
        return settings_of(self.rank, self.alpha, self.patterns)

    def costs(self, noise: float, bits: int | None) -> Condition | None:
        """Return the tiles that were measured at such a noise or the next higher one."""
        enough = [
            own
            for own in self.conditions
            if own.adc_bits == bits and own.output_noise >= noise * (1 - TOLERANCE)
        ]
        return min(enough, key=lambda own: own.output_noise, default=None)

    def of(self, placement: Placement, noise: IntegrationNoise, bits: int | None) -> Known | None:
        """Return what a placement is predicted to have; None where tiles are noisier than known.

        The curve is that of the noisiest tiles.

        Raises:
            SpecError: A layer was not measured, or together they cost more than the curve knows.
        """
        noises = {time: noise.at(time) for time in set(placement.values()) if time is not None}
        found = {time: self.costs(own, bits) for time, own in noises.items()}
        used: dict[int, Condition] = {t: own for t, own in found.items() if own is not None}
        if len(used) < len(found):
            return None
        total = sum(
            used[time].kl_of(layer, self.file)
            for layer, time in placement.items()
            if time is not None
        )
        worst = max(used.values() or self.conditions, key=lambda own: own.output_noise)
        drop = worst.drop(total, self.file)
        base = self.digital_percent if self.base_percent is None else self.base_percent
        told = "" if self.base_percent is None else f"; the loss, from {base:g} % as tested"
        most = min(100.0, max(0.0, base - drop.low_points))
        return Known(
            self.name, self.rank, self.alpha, self.patterns, bits, worst.output_noise,
            min(100.0, max(0.0, base - drop.drop_points)),
            min(100.0, max(0.0, base - drop.high_points)), most, base, False,
            f"{self.file}: predicted from single layers, mean error {worst.error_points:g} points "
            f"on {worst.checked_on} placements{told}",
            any(own.output_noise > noises[t] * (1 + TOLERANCE) for t, own in used.items()),
        )  # fmt: skip


def settings_of(rank: int, alpha: int, patterns: tuple[str, ...]) -> dict[str, Any]:
    """Return what of a network adapters set, as an axis of a study does."""
    return {"adapters.rank": rank, "adapters.alpha": alpha, "adapters.targets": list(patterns)}
