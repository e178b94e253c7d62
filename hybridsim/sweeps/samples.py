"""A sample of a study that nobody evaluates as a whole: which axis matters, with a stated error.

Two independent samples A and B of so many rows, and for each axis the points of A with the values
that this axis has in B: rows x (axes + 2) points, whatever the size of the grid.
"""

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridsim.errors import InputError
from hybridsim.sweeps.answer_files import write_answers
from hybridsim.sweeps.answers import build_table, objective_values
from hybridsim.sweeps.cases import Cases
from hybridsim.sweeps.chunks import evaluate_all
from hybridsim.sweeps.evaluate import Done, work_on
from hybridsim.sweeps.executors import open_executor
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.journal import Journal
from hybridsim.sweeps.left import Listed
from hybridsim.sweeps.pareto import Bools
from hybridsim.sweeps.recorded import Rows, taken
from hybridsim.sweeps.run import (
    Progress,
    SampledShares,
    SweepInterrupted,
    SweepResult,
    until_ctrl_c,
)
from hybridsim.sweeps.study import MOST_POINTS
from hybridsim.units import Ints

Reals = NDArray[np.float64]
LEAST_ROWS = 8
"""Rows from which on an error can be told."""
RESAMPLES = 200
"""How often rows are drawn again to tell the error of shares."""
WIDTH = 1.6449
"""Half of a 90 % interval of a normal distribution, in standard deviations."""


@dataclass(frozen=True)
class Design:
    """The points of a sample, as indices of the grid."""

    a: Ints
    b: Ints
    mixed: Ints
    """Those of A with one axis of B, shape (axes, rows)."""

    @classmethod
    def of(cls, inputs: Inputs, rows: int, seed: int) -> "Design":
        """Draw rows, each value of an axis being as likely as any other."""
        chance = np.random.default_rng([seed, rows])
        a, b = (
            np.stack([chance.integers(len(axis), size=rows) for axis in inputs.axes])
            for _ in range(2)
        )
        mixed = []
        for axis in range(len(inputs.axes)):
            places = a.copy()
            places[axis] = b[axis]
            mixed.append(_index(places, inputs))
        return cls(_index(a, inputs), _index(b, inputs), np.stack(mixed))

    @property
    def points(self) -> Ints:
        """All its points, each once."""
        return np.unique(np.concatenate((self.a, self.b, self.mixed.ravel())))


def _index(places: Ints, inputs: Inputs) -> Ints:
    return np.asarray(np.ravel_multi_index([*places], inputs.shape), np.int64)


def shares_of(a: Reals, b: Reals, mixed: Reals, seed: int = 0) -> tuple[Reals, Reals]:
    """Return the shares of main and total effects, and half the width of their 90 % intervals.

    ``a`` and ``b`` are the values at A and B, shape (rows, values), ``mixed`` those at A with one
    axis of B, shape (axes, rows, values); both results have the shape (2, axes, values).

    Main effect: 1 - mean((f(B) - f(A with x_i of B))^2) / 2 V; total effect:
    mean((f(A) - f(A with x_i of B))^2) / 2 V, V being the variance over A and B. Source: Jansen,
    Computer Physics Communications 117, 1999; Saltelli et al., ibid. 181, 2010, Table 2 (c), (f).
    Errors: the bootstrap over rows of Archer, Saltelli and Sobol', J. Statist. Comput. Simul. 58,
    1997, with as many rows drawn :data:`RESAMPLES` times.
    """
    centre = np.concatenate((a, b)).mean(axis=0)
    a, b, mixed = a - centre, b - centre, mixed - centre
    # for each row what is averaged: both squares of all axes, and two moments of the values
    terms = np.concatenate(
        [(b - mixed) ** 2, (a - mixed) ** 2, ((a + b) / 2)[None], ((a**2 + b**2) / 2)[None]]
    )
    axes = len(mixed)

    def of(means: Reals) -> Reals:
        variance = means[-1] - means[-2] ** 2
        varies = variance > 1e-12 * np.maximum(means[-1], np.finfo(float).tiny)
        half = np.where(varies, 2 * variance, 1)
        main, total = means[:axes] / half, means[axes : 2 * axes] / half
        shares: Reals = np.stack((1 - main, total)) * varies
        return shares

    rows, chance = len(a), np.random.default_rng(seed)
    again = []
    for _ in range(RESAMPLES):
        count = np.bincount(chance.integers(rows, size=rows), minlength=rows)
        again.append(of(np.tensordot(terms, count, axes=(1, 0)) / rows))
    return of(terms.mean(axis=1)), WIDTH * np.std(again, axis=0, ddof=1)


def sample_study(
    inputs: Inputs,
    rows: int,
    out: Path | None = None,
    executor: str = "in-process",
    seed: int = 0,
    progress: Progress | None = None,
) -> SweepResult:
    """Return a sample of a study of any size, with the shares of its axes and their errors.

    With ``out`` points are kept, and the same call goes on where it ended.

    Raises:
        InputError: There are too few rows or too many, or folder or executor cannot be used.
        SweepInterrupted: Ctrl-C was pressed.
    """
    most = MOST_POINTS // (len(inputs.axes) + 2)
    if not LEAST_ROWS <= rows <= most:
        raise InputError(f"--sample: found {rows} rows; {LEAST_ROWS} to {most:,} would do")
    start = time.perf_counter()
    design = Design.of(inputs, rows, seed)
    points = design.points
    names = (*inputs.columns, "problem")
    with Journal(out) if out is not None else nullcontext() as journal, until_ctrl_c() as stopped:
        found = [] if journal is None else [*_recorded(inputs, points, journal, names)]
        known = np.concatenate([own for own, _ in found] or [np.empty(0, np.int64)])
        left, before = np.setdiff1d(points, known), len(known)
        report = progress or (lambda done, recorded, points: None)
        report(before, before, len(points))

        def record(indices: Ints, done: Done) -> None:
            if journal is not None:
                journal.append(inputs, indices, done.columns)
            found.append((indices, done.columns))
            report(sum(len(own) for own, _ in found), before, len(points))

        if len(left):
            by_case = Listed(left[np.argsort(Cases(inputs).places(left))])
            with open_executor(executor) as (pool, workers):
                if not evaluate_all(work_on(inputs), by_case, pool, workers, record, stopped):
                    raise SweepInterrupted(sum(len(own) for own, _ in found), len(points))
        table = build_table(inputs, found)
        shares = _shares(inputs, design, table, seed)
        seconds = time.perf_counter() - start
        result = SweepResult(inputs, table, None, before, seconds, shares)
        if journal is not None:
            journal.finish()
            write_answers(journal.folder, inputs, table, result.summary(), "sample")
    return result


def _recorded(
    inputs: Inputs, points: Ints, journal: Journal, names: tuple[str, ...]
) -> Iterator[Rows]:
    """Yield what was recorded of some points, by whatever study, each once.

    Raises:
        SpecError: A part is damaged.
    """
    keys, left = inputs.keys(points), np.ones(len(points), np.bool_)
    order = np.argsort(keys[:, 0], kind="stable")
    for recorded in journal.recorded(names):
        if not set(names) <= set(recorded.columns):
            continue
        place = np.searchsorted(keys[:, 0], recorded.keys[:, 0], sorter=order)
        at = order[np.minimum(place, len(order) - 1)]
        rows = np.flatnonzero((keys[at] == recorded.keys).all(axis=1) & left[at])
        left[at[rows]] = False
        if len(rows):
            yield points[at[rows]], taken(recorded, rows)


def _shares(inputs: Inputs, design: Design, table: pd.DataFrame, seed: int) -> SampledShares:
    """Return the shares of a sample from its rows that have all their results.

    Raises:
        InputError: These are too few.
    """
    values, points = objective_values(inputs, table), design.points
    a, b = (values[np.searchsorted(points, own)] for own in (design.a, design.b))
    mixed = values[np.searchsorted(points, design.mixed)]
    every = np.isfinite(np.concatenate((a[None], b[None], mixed)))
    ran: Bools = np.asarray(every.all(axis=(0, 2)))
    if ran.sum() < LEAST_ROWS:
        raise InputError(
            f"--sample: {ran.sum()} of {len(ran)} rows have all their results; "
            f"{LEAST_ROWS} would do: a larger sample, or axes whose values run"
        )
    found, error = shares_of(a[ran], b[ran], mixed[:, ran], seed)

    def named(numbers: Reals) -> pd.DataFrame:
        index = pd.Index([axis.name for axis in inputs.axes], name="axis")
        return pd.DataFrame(numbers, index=index, columns=list(inputs.study.objectives))

    return SampledShares(len(ran), int(ran.sum()), *map(named, (*found, *error)))
