"""From the divergence of a placement to what it does to answers: flips and accuracy.

Analog error moves the margin m of a sentence (its best logit less its second) by a normal amount
of deviation sigma, and turns its answer over with probability Phi(-m / sigma). The divergence goes
with sigma^2, and those of layers add up, so a placement of divergence K has sigma = s K^(1/2). The
one number s is taken from runs with all layers on tiles: those flips are met exactly. Logits that
shrink under noise do no harm and are in s as well.
"""

from dataclasses import dataclass
from math import pi, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ENTRIES = 20
"""Points of a curve above zero."""
BEYOND = 1.25
"""How far a curve goes, in divergences of all layers on tiles."""
_ERF = np.frompyfunc(lambda z: NormalDist().cdf(z), 1, 1)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model says digitally."""

    margins: Floats
    """Best logit less the second, 0 or more, of every sentence."""
    right: NDArray[np.bool_]
    """Whether the best is the label."""
    second_right: NDArray[np.bool_]
    """Whether the second is the label."""


@dataclass(frozen=True, slots=True)
class Predictor:
    """Flips and lost accuracy over the divergence of a placement."""

    answers: Answers
    scale: float
    """s: sigma of the margins over the root of the divergence."""

    def turned(self, kl: float) -> Floats:
        """Return the probability of each sentence that its answer is another one."""
        if kl <= 0 or not self.scale:
            return np.zeros(len(self.answers.margins))
        return normal_cdf(-self.answers.margins / (self.scale * sqrt(kl)))

    def flips(self, kl: float) -> float:
        """Return the share of answers that differ [%]."""
        return 100 * float(self.turned(kl).mean())

    def drop(self, kl: float) -> float:
        """Return the accuracy that is lost [points]: right answers turned, less wrong ones."""
        turned = self.turned(kl)
        lost = np.where(self.answers.right, turned, 0.0)
        won = np.where(self.answers.second_right, turned, 0.0)
        return 100 * float((lost - won).mean())


def normal_cdf(z: Floats) -> Floats:
    """Return Phi of every value."""
    found: Floats = _ERF(z).astype(np.float64)
    return found


def anchored(answers: Answers, kl: float, flips_percent: float) -> Predictor:
    """Return the predictor that meets the flips of one divergence, by halving.

    Flips of 0 give a scale of 0, and more than half of the answers the largest that is tried.
    """
    low, high = 1e-6, 1e6
    if flips_percent <= 0 or kl <= 0:
        return Predictor(answers, 0.0)
    for _ in range(100):
        middle = sqrt(low * high)
        if Predictor(answers, middle).flips(kl) < flips_percent:
            low = middle
        else:
            high = middle
    return Predictor(answers, low)


def curve(predictor: Predictor, most_kl: float, error_points: float) -> list[dict[str, float]]:
    """Return the predictions from no divergence to ``most_kl``, with their 95 % intervals.

    An interval joins the predictor's own error, normal with the mean magnitude ``error_points``
    that was measured, and the sampling of sentences.
    """
    entries = []
    for kl in np.linspace(0, 1, ENTRIES + 1) ** 2 * most_kl:  # evenly in sigma
        flips, drop = predictor.flips(float(kl)), predictor.drop(float(kl))
        own = error_points * sqrt(pi / 2)
        sampling = sqrt(max(100 * flips - drop**2, 0.0) / len(predictor.answers.margins))
        reach = NormalDist().inv_cdf(0.975) * sqrt(own**2 + sampling**2)
        entries.append(
            {
                "kl": round(float(kl), 8),
                "flips_percent": round(flips, 4),
                "drop_points": round(drop, 4),
                "low_points": round(drop - reach, 4),
                "high_points": round(drop + reach, 4),
            }
        )
    return entries
