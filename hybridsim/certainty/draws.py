"""Draws of what models missed: the same kernel is wrong in the same way wherever it runs.

Each kernel has its own draws, by its name alone: not by the plan it stands in, so that a run and
its yardstick are drawn together, and not by the order of works. Shares are stratified, one in each
of equal strata, in a random order. Source: McKay, Beckman and Conover, Technometrics 21, 1979.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np

from hybridsim.certainty.doubts import Doubt, Doubts
from hybridsim.certainty.residuals import Floats, Residuals
from hybridsim.units import Ints


@dataclass(eq=False)
class Draws:
    """Scores of kernels in a number of samples."""

    residuals: Residuals
    samples: int
    seed: int = 0
    _known: dict[tuple[str, Hashable], Floats] = field(default_factory=dict)

    def of(self, doubt: Doubt) -> Floats:
        """Return the signed scores of a kernel, shape (samples,)."""
        place = (doubt.regime, doubt.key)
        if place not in self._known:
            random = np.random.default_rng([self.seed, crc32(repr(place).encode())])
            strata = random.permutation(self.samples)
            share = (strata + random.random(self.samples)) / self.samples
            self._known[place] = self.residuals.drawn(doubt.regime, share)
        return self._known[place]

    def cycles(self, doubts: Doubts) -> Floats:
        """Return how many cycles a work takes more in each sample, shape (samples,)."""
        total = np.zeros(self.samples)
        for doubt in doubts.found:
            total += doubt.cycles * self.of(doubt)
        return total

    def times(
        self, time_ps: Ints, doubts: Sequence[Doubts], period_ps: float | Sequence[float]
    ) -> Ints:
        """Return the times of works in each sample [ps], shape (works, samples); at least 1 ps.

        ``time_ps`` are their prices, ``period_ps`` is that of the cluster's clock, or one each.
        """
        found = np.repeat(time_ps[:, None], self.samples, axis=1)
        periods = np.broadcast_to(period_ps, len(doubts))
        for number, own in enumerate(doubts):
            if own.found:
                cycles = self.cycles(own) * float(periods[number])
                found[number] += np.rint(cycles).astype(np.int64)
        least: Ints = np.maximum(found, 1)
        return least
