"""Guessing points that were not run from those that were: which to run next.

Each column that is sought or limited is guessed by a Gaussian process over the axes of the space,
that of scikit-learn; how much an axis matters is what makes the runs most likely. The next points
are those whose optimistic values, one deviation better than the guess, are furthest in front of
the front: the largest improvement of a point over its hardest rival there (Svenson and Santner,
Comput. Stat. Data Anal. 94, 2016, of the expected value of it).

Nothing here decides what is told: what is guessed is run, and only runs count.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from hybridsim.designs.seen import Floats, Seen, coordinates
from hybridsim.sweeps.columns import Constraint
from hybridsim.sweeps.pareto import Bools
from hybridsim.units import Ints

SIZE, LEAST_AND_MOST_SIZE = 1.0, (1e-2, 1e2)
"""Variance of a column over all points, in units of that of the points that were run."""
REACH, LEAST_AND_MOST_REACH = 2.0, (0.3, 1e2)
"""Steps along an axis after which points are little alike; an axis with a reach of 100 does not
matter. To begin with, and what is tried."""
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


def coded(places: Ints, counts: Sequence[int], ordered: Sequence[bool]) -> Floats:
    """Return points as numbers: steps along ordered axes, one column for each value of others.

    ``places`` are values of axes, shape (points, axes).
    """
    columns = [
        places[:, k : k + 1].astype(np.float64) if steps else np.eye(count)[places[:, k]]
        for k, (count, steps) in enumerate(zip(counts, ordered, strict=True))
    ]
    return np.concatenate(columns, axis=1)


@dataclass
class Process:
    """What is guessed of one column; how much axes matter is found out as points become more."""

    _kernel: Any = None
    _fitted: int = 0

    def at(self, places: Floats, known: Floats, values: Floats) -> tuple[Floats, Floats]:
        """Return the column at some places, and the deviations of what is returned.

        Shape (places,) each; ``values`` are those of the points that were run, at ``known``.
        """
        if self._kernel is None:
            reaches = np.full(known.shape[1], REACH)
            size = ConstantKernel(SIZE, LEAST_AND_MOST_SIZE)
            self._kernel = size * RBF(reaches, LEAST_AND_MOST_REACH)
        if len(values) >= MORE * self._fitted:
            few = slice(-MOST_FITTED, None)
            fitted = GaussianProcessRegressor(self._kernel, alpha=NUGGET, normalize_y=True)
            with warnings.catch_warnings():
                # most axes matter to few columns, so that their reach is the largest there is
                warnings.simplefilter("ignore", ConvergenceWarning)
                self._kernel = fitted.fit(known[few], values[few]).kernel_
            self._fitted = len(values)
        process = GaussianProcessRegressor(
            self._kernel, alpha=NUGGET, optimizer=None, normalize_y=True
        )
        found, away = process.fit(known, values).predict(places, return_std=True)
        return np.asarray(found, np.float64), np.asarray(away, np.float64)


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
        self._processes: dict[str, Process] = {}

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
        asked, told = (coded(own, self._counts, self._ordered) for own in (places, known))
        each = [
            self._processes.setdefault(name, Process()).at(asked, told, own)
            for name, own in zip(columns, values, strict=True)
        ]
        return np.stack([own for own, _ in each], axis=1), np.stack([a for _, a in each], axis=1)


def _ahead(points: Floats, front: Floats) -> Floats:
    """Return how far each point is ahead of its hardest rival in a front, below 0 if beaten."""
    found: Floats = (front[None, :, :] - points[:, None, :]).max(axis=2).min(axis=1)
    return found
