"""Guessing points that were not run from those that were: which to run next.

Each column that is sought or limited is guessed by a Gaussian process over the axes of the space
(Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, ch. 2): points with the
same value of an axis are alike in it, and how much an axis matters is what makes the runs most
likely. The next points are those whose optimistic values, one deviation better than the guess,
are furthest in front of the front: the largest improvement of a point over its hardest rival there
(Svenson and Santner, Comput. Stat. Data Anal. 94, 2016, of the expected value of it).

Nothing here decides what is told: what is guessed is run, and only runs count.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hybridsim.designs.seen import Floats, Seen, coordinates
from hybridsim.sweeps.columns import Constraint
from hybridsim.sweeps.pareto import Bools
from hybridsim.units import Ints

MATTERS = (0.01, 0.05, 0.2, 0.5, 0.9)
"""How much an axis may matter: what two points that differ in it alone are unlike, of 1."""
STEP = 0.5
"""What one step along an ordered axis makes of a likeness, of any step."""
NUGGET = 1e-4
"""Variance that no axis explains, over all: it keeps matrices from being singular."""
MOST_FITTED, MOST_TAKEN = 96, 384
"""Points of which it is found out how much axes matter, and from which others are guessed."""
MORE = 1.25
"""How many times as many points there are when that is found out anew."""
RAN = "ran"
"""Name of the column that says whether a point could be run."""
OPTIMISM = 1.0
"""Deviations by which a point may be better than it is guessed to be."""


def likeness(others: Ints, count: int, ordered: bool) -> Floats:
    """Return how alike each of ``count`` values of an axis is to those of some points.

    Shape (count, points): 1 for the same value, down to 0.
    """
    away = np.abs(np.arange(count)[:, None] - others[None, :])
    found: Floats = STEP**away if ordered else np.asarray(away == 0, np.float64)
    return found


def covariance(places: Ints, alike: Sequence[Floats], matters: Floats) -> Floats:
    """Return how alike points are in all, shape (places, points).

    ``alike`` has for each axis how alike its values are to those of the points.
    """
    found = np.ones((len(places), alike[0].shape[1]))
    for axis, own in enumerate(alike):
        found *= (1 - matters[axis] * (1 - own))[places[:, axis]]
    return found


def unlikely(alike: Floats, values: Floats) -> float:
    """Return half the negative log likelihood of values, their scale being what fits best.

    One Cholesky factor has both of its terms: that of the matrix with the values as a further row
    ends with what is left of a corner that is larger than z' K^-1 z.
    """
    size, corner = len(values), 2 * float(values @ values) / NUGGET + 1
    whole = np.empty((size + 1, size + 1))
    whole[:size, :size] = alike + NUGGET * np.eye(size)
    whole[size, :size] = whole[:size, size] = values
    whole[size, size] = corner
    ends = np.diag(np.linalg.cholesky(whole))
    square = max((corner - float(ends[size]) ** 2) / size, 1e-12)
    return float(size * np.log(square) / 2 + np.log(ends[:size]).sum())


def fitted(places: Ints, alike: Sequence[Floats], values: Floats, start: Floats) -> Floats:
    """Return how much each axis matters, found axis by axis from a start.

    ``alike`` has for each axis how alike its values are to those of the points at ``places``.
    """
    best = start.copy()
    whole = covariance(places, alike, start)
    least = unlikely(whole, values)
    for axis, table in enumerate(alike):
        own = table[places[:, axis]]
        others = whole / (1 - best[axis] * (1 - own))
        for much in MATTERS:
            trial = others * (1 - much * (1 - own))
            if (found := unlikely(trial, values)) < least - 1e-9:
                least, best[axis], whole = found, much, trial
    return best


def guess(
    places: Ints, known: Ints, alike: Sequence[Floats], values: Floats, matters: Floats
) -> tuple[Floats, Floats]:
    """Return a column at places, and the deviations of what is returned.

    ``values`` are those at the points that were run, at ``known``; ``alike`` has for each axis how
    alike its values are to those of these points.
    """
    own = covariance(known, alike, matters) + NUGGET * np.eye(len(known))
    inverse, mean = np.linalg.inv(own), float(values.mean())
    weights = inverse @ (values - mean)
    square = max(float((values - mean) @ weights) / len(values), 1e-12)
    near = covariance(places, alike, matters)
    left = 1 - ((near @ inverse) * near).sum(axis=1)
    return mean + near @ weights, np.sqrt(square * np.maximum(left, 0))


@dataclass(frozen=True)
class _Loss:
    """A column in units of its spread, as logarithm where it is above 0; less is better."""

    column: str
    sign: float
    """-1 where more is better."""
    log: bool
    middle: float
    spread: float

    def of(self, values: Floats) -> Floats:
        """Return values in these units."""
        plain = np.log(values) if self.log else values
        return np.asarray((self.sign * plain - self.middle) / self.spread, np.float64)


def _loss(column: str, sign: float, values: Floats, least: float = np.inf) -> _Loss:
    log = bool(values.min() > 0 and least > 0)
    plain = sign * (np.log(values) if log else values)
    return _Loss(column, sign, log, float(plain.mean()), float(plain.std()) or 1.0)


class Guesses:
    """What is guessed of points, given all that were run; limits may be others from time to time.

    The same points in the same order lead to the same guesses.
    """

    def __init__(self, seen: Seen, ordered: Sequence[bool]) -> None:
        self._seen, self._ordered, self._counts = seen, ordered, seen.inputs.shape
        self._matters: dict[str, Floats] = {}
        self._fitted: dict[str, int] = {}
        """Column -> points that there were when it was found out how much axes matter to it."""

    def next(
        self,
        candidates: Sequence[int],
        count: int,
        constraints: Sequence[Constraint],
        worth: Callable[[Sequence[int]], Sequence[int]],
    ) -> list[int]:
        """Return up to ``count`` points that may be better than the front, the most so first.

        ``worth`` returns those of some points that are worth a run by what is known without one.
        A point that was taken counts as run, with what is guessed of it, for those after it.
        """
        ran: Bools = np.asarray(np.isfinite(self._seen.numbers).all(axis=1))
        if not ran.any() or not candidates:
            return []
        places = coordinates(self._seen.inputs, candidates)
        objectives, limits = self._losses(constraints, ran)
        losses = [own for own, _ in (*objectives, *limits)]
        known = coordinates(self._seen.inputs, self._seen.index)
        told = [own.of(self._seen.column(own.column)[ran]) for own in losses]
        guessed, away = self._at(places, [own.column for own in losses], told, known[ran])
        least, n = guessed - OPTIMISM * away, len(objectives)
        bounds = np.array([bound for _, bound in limits])
        missed = np.maximum(least[:, n:] - bounds, 0).sum(axis=1)
        best, _, feasible = self._seen.best(constraints)
        if feasible:
            front = np.stack(
                [own.of(self._seen.column(own.column)[best]) for own, _ in objectives], axis=1
            )
            gain = np.where(missed > 0, -np.inf, _ahead(least[:, :n], front))
        else:
            over = np.maximum(np.stack(told[n:], axis=1) - bounds, 0).sum(axis=1)
            gain = over.min() - missed
        if not ran.all():
            runs, _ = self._at(places, [RAN], [ran.astype(np.float64)], known)
            gain[runs[:, 0] < 0.5] = -np.inf
        found: list[int] = []
        while len(found) < count and gain[first := int(np.argmax(gain))] > 0:
            gain[first] = -np.inf
            if worth([candidates[first]]):
                found.append(candidates[first])
                if feasible:
                    gain = np.minimum(gain, _ahead(least[:, :n], guessed[first : first + 1, :n]))
        return found

    def _losses(
        self, constraints: Sequence[Constraint], ran: Bools
    ) -> tuple[list[tuple[_Loss, float]], list[tuple[_Loss, float]]]:
        """Return what is sought, and what is limited with its bound, in units of its spread."""
        objectives = [
            (_loss(name, 1 if d == "minimise" else -1, self._seen.column(name)[ran]), np.inf)
            for name, d in self._seen.objectives.items()
        ]
        limits = []
        for own in constraints:
            sign = 1 if own.sign in ("<", "<=") else -1
            loss = _loss(own.column, sign, self._seen.column(own.column)[ran], own.bound)
            limits.append((loss, float(loss.of(np.array(own.bound)))))
        return objectives, limits

    def _at(
        self, places: Ints, columns: Sequence[str], values: Sequence[Floats], known: Ints
    ) -> tuple[Floats, Floats]:
        """Return columns at places, guessed from their values at known ones, and deviations.

        Shape (places, columns) each.
        """
        if len(known) > MOST_TAKEN:
            some = np.random.default_rng(len(known)).permutation(len(known))[:MOST_TAKEN]
            known, values = known[some], [own[some] for own in values]
        alike = [
            likeness(known[:, k], count, ordered)
            for k, (count, ordered) in enumerate(zip(self._counts, self._ordered, strict=True))
        ]
        each = [
            guess(places, known, alike, own, self._mattering(name, own, known, alike))
            for name, own in zip(columns, values, strict=True)
        ]
        return np.stack([own for own, _ in each], axis=1), np.stack([a for _, a in each], axis=1)

    def _mattering(
        self, column: str, values: Floats, known: Ints, alike: Sequence[Floats]
    ) -> Floats:
        """Return how much each axis matters to a column, found out as points become more."""
        start = self._matters.get(column, np.full(len(self._ordered), MATTERS[2]))
        if len(values) >= MORE * self._fitted.get(column, 0):
            few = slice(-MOST_FITTED, None)
            some = values[few] - values[few].mean()
            start = fitted(known[few], [own[:, few] for own in alike], some, start)
            self._matters[column], self._fitted[column] = start, len(values)
        return start


def _ahead(points: Floats, front: Floats) -> Floats:
    """Return how far each point is ahead of its hardest rival in a front, below 0 if beaten."""
    found: Floats = (front[None, :, :] - points[:, None, :]).max(axis=2).min(axis=1)
    return found
