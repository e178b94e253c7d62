"""What models missed on RTL, by regime: the table, its quantiles, and draws from it.

Split conformal prediction, as a tolerance limit. Of n scores |measured - simulated| / unit of
rows that calibrate, the ceil((n + 1) level)-th smallest bounds the score of a further row with a
probability of at least ``level``, if rows come in no particular order. That is a mean over what
may have been measured: the share that one such bound covers is Beta distributed about it, and
with 30 rows it is less than ``level`` in four of ten tables. So the rank taken is the smallest
that covers ``level`` with a confidence of 3 in 4: with k of n scores within, the chance that
fewer than ``level`` of all further rows are within is that of n - k or fewer of n beyond. Source:
Vovk, Gammerman and Shafer, *Algorithmic Learning in a Random World*, 2005; Lei et al., JASA 2018,
Theorem 2.2; Wilks, Annals of Mathematical Statistics 12, 1941; Vovk, *Conditional validity of
inductive conformal predictors*, ACML 2012. A regime with fewer than 14 rows cannot be that sure:
it takes all rows of its part, where they have the same unit; else the largest score of its own.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridsim.boundary.reading import read_json
from hybridsim.errors import SpecError
from hybridsim.library import MACHINES
from hybridsim.records import record

Floats = NDArray[np.float64]

LEVEL = 0.9
"""Share of rows that an interval is to cover."""
CONFIDENCE = 0.75
"""How sure that is: the least in usual tables of tolerance limits (Natrella, NBS Handbook 91,
1963). With the next, 0.90, a regime of up to 37 rows is bound by its largest score."""
FILE = MACHINES / "ahwa_lora_2026" / "residuals.json"
"""The bundled table, beside the rows that it was made from."""
POOLED = ("dma", "engine")
"""Parts whose regimes have the same unit, so that few rows of one may be joined by the others."""
_DIGITS = 4
"""Decimals of a score in the table."""


@record(frozen=True, eq=False)
class Residuals:
    """Scores of measured rows by regime."""

    scores: Mapping[str, Floats]
    """Regime -> |measured - simulated| / unit, from small to large."""

    @classmethod
    def of(cls, found: Mapping[str, Sequence[float]]) -> "Residuals":
        """Return the table of some scores, in any order."""
        return cls({name: np.sort(np.abs(np.round(found[name], _DIGITS))) for name in found})

    def rows(self, regime: str) -> Floats:
        """Return the scores that stand for a regime: its own, or those of its part if few."""
        own = self.scores.get(regime, np.empty(0))
        if rank(len(own), LEVEL) <= len(own):
            return own
        part = regime.partition(".")[0]
        if part not in POOLED:
            return own
        alike = [s for name, s in self.scores.items() if name.partition(".")[0] == part]
        pooled: Floats = np.sort(np.concatenate(alike)) if alike else np.empty(0)
        return pooled

    def bound(self, regime: str, level: float = LEVEL) -> float:
        """Return the score that such a share of further rows of a regime stays within."""
        rows = self.rows(regime)
        return float(rows[min(rank(len(rows), level), len(rows)) - 1]) if len(rows) else 0.0

    def drawn(self, regime: str, share: Floats) -> Floats:
        """Return signed scores for shares drawn evenly from 0 to 1.

        The size is the order statistic at its conformal rank, as many ranks further out as the
        confidence takes at the level: :data:`LEVEL` of the draws lie within :meth:`bound`. The
        sign is even, so that an interval holds the estimate.
        Source: conformal predictive distributions, Vovk et al., Machine Learning 108, 2019.
        """
        rows = self.rows(regime)
        if not len(rows) or not rows[-1]:
            return np.zeros_like(share)
        further = rank(len(rows), LEVEL) - _mean_rank(len(rows), LEVEL)
        folded = np.abs(2 * share - 1)
        place = (folded * (len(rows) + 1)).astype(np.int64) + further
        place = np.minimum(place, len(rows) - 1)
        found: Floats = np.where(share < 0.5, -1.0, 1.0) * rows[place]
        return found

    def scaled(self, factor: float) -> "Residuals":
        """Return the same with all scores so many times as large."""
        return Residuals({name: factor * scores for name, scores in self.scores.items()})

    def to_json(self) -> str:
        """Return the table as text, a line per regime: rows that are exact are counted."""
        lines = []
        for name, scores in sorted(self.scores.items()):
            entry = {"exact": int((scores == 0).sum()), "scores": scores[scores > 0].tolist()}
            lines.append(f"    {json.dumps(name)}: {json.dumps(entry)}")
        about = "written by docs/generate_trust.py from the fitted half of cycles/*.csv"
        return f'{{\n  "about": {json.dumps(about)},\n  "regimes": {{\n' + (
            ",\n".join(lines) + "\n  }\n}\n"
        )


@lru_cache(maxsize=256)
def rank(rows: int, level: float) -> int:
    """Return which of so many scores bounds ``level`` of further ones, from 1.

    It is rows + 1 where no score is sure to.
    """
    least = _mean_rank(rows, level)
    chance = below = level**rows  # that exactly, and at most, rows - found of these are beyond
    found = rows
    while found >= least and below <= 1 - CONFIDENCE:
        beyond = rows - found + 1
        chance *= found / beyond * (1 - level) / level
        below += chance
        found -= 1
    return max(least, found + 1)


def _mean_rank(rows: int, level: float) -> int:
    """Return which of so many scores bounds a further one in the mean: ceil((n + 1) level)."""
    return ceil(round((rows + 1) * level, 9))


def read_residuals(path: Path) -> Residuals:
    """Return the table in a file.

    Raises:
        SpecError: There is none, or the file is no JSON.
    """
    document: Any = read_json(path)
    try:
        regimes = document["regimes"].items()
        return Residuals.of({n: [0.0] * e["exact"] + list(e["scores"]) for n, e in regimes})
    except (KeyError, TypeError, ValueError, AttributeError):
        problem = "is no table of residuals; docs/generate_trust.py writes one"
        raise SpecError(str(path), "", problem) from None


@lru_cache(maxsize=1)
def bundled_residuals() -> Residuals:
    """Return the table that comes with hybridsim."""
    return read_residuals(FILE)
