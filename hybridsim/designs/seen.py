"""What a search knows of the points that it has run: numbers by column, for any set of limits."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hybridsim.designs.limits import Direction
from hybridsim.sweeps.answers import build_table
from hybridsim.sweeps.columns import Constraint
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.known import Known
from hybridsim.sweeps.pareto import Bools, pareto
from hybridsim.units import Ints

Floats = NDArray[np.float64]


@dataclass
class Seen:
    """Points that were run, in the order in which they were, and their numbers."""

    known: Known
    objectives: dict[str, Direction]
    columns: tuple[str, ...]
    """Columns that objectives and limits read."""
    index: list[int] = field(default_factory=list)
    """Each point's place in the grid."""
    _numbers: list[Floats] = field(default_factory=list)
    _joined: Floats | None = None

    @property
    def inputs(self) -> Inputs:
        """The study that the points are of."""
        return self.known.inputs

    def __contains__(self, index: int) -> bool:
        return index in self._places

    def __len__(self) -> int:
        return len(self.index)

    def __post_init__(self) -> None:
        self._places: dict[int, int] = {}

    def know(self, indices: Iterable[int]) -> list[int]:
        """Run what is not known of some points, together; return which of them are new here."""
        new = [own for own in dict.fromkeys(int(i) for i in indices) if own not in self._places]
        if not new:
            return new
        self.known.know(new)
        table = build_table(self.inputs, self.known.found(new))
        ordered = sorted(new)
        numbers = np.stack(
            [
                table[name].astype("Float64").to_numpy(np.float64, na_value=np.nan)
                for name in self.columns
            ],
            axis=1,
        )
        numbers[(table["problem"] != "").to_numpy()] = np.nan
        for own in ordered:
            self._places[own] = len(self.index)
            self.index.append(own)
        self._numbers.append(np.asarray(numbers, np.float64))
        self._joined = None
        return ordered

    @property
    def numbers(self) -> Floats:
        """All numbers, shape (points, columns); NaN where there is none."""
        if self._joined is None:
            width = len(self.columns)
            self._joined = np.concatenate(self._numbers or [np.empty((0, width))])
            self._numbers = [self._joined]
        return self._joined

    def place(self, index: int) -> int:
        """Return where a point stands here."""
        return self._places[index]

    def column(self, name: str) -> Floats:
        """Return the numbers of one column."""
        found: Floats = self.numbers[:, self.columns.index(name)]
        return found

    def values(self) -> Floats:
        """Return the objectives, shape (points, objectives), smaller being better."""
        signs = [1 if d == "minimise" else -1 for d in self.objectives.values()]
        each = [self.column(name) * s for name, s in zip(self.objectives, signs, strict=True)]
        return np.stack(each, axis=1)

    def excess(self, constraints: Sequence[Constraint]) -> Floats:
        """Return how far points are from each limit, over its bound; 0 where it is met."""
        return excess_of([self.column(own.column) for own in constraints], constraints, len(self))

    def best(self, constraints: Sequence[Constraint]) -> tuple[list[int], Floats, bool]:
        """Return the places of the best points, what is weighed, and whether they are feasible.

        Of points that meet all limits the front of the objectives is best; where none does, the
        front of how far they are from each limit. Of equal points the first one is told.
        """
        far, values = self.excess(constraints), self.values()
        ran = np.isfinite(values).all(axis=1)
        feasible = np.asarray(ran & (far == 0).all(axis=1), np.bool_)
        weighed = values if feasible.any() else far
        counted: Bools = feasible if feasible.any() else np.asarray(ran, np.bool_)
        front = np.flatnonzero(pareto(weighed, counted))
        _, first = np.unique(weighed[front], axis=0, return_index=True)
        return sorted(front[first].tolist()), weighed, bool(feasible.any())


def excess_of(columns: Sequence[Floats], constraints: Sequence[Constraint], points: int) -> Floats:
    """Return how far values are from limits, over the bound (over 1 for a bound of 0)."""
    found = np.zeros((points, len(constraints)))
    for i, (values, own) in enumerate(zip(columns, constraints, strict=True)):
        met = holds(values, own)
        away = np.maximum(np.abs(values - own.bound), 1e-12) / (abs(own.bound) or 1)
        found[:, i] = np.where(met, 0, np.where(np.isnan(values), np.inf, away))
    return found


def holds(values: Floats, constraint: Constraint) -> Bools:
    """Return which values meet a limit; no value meets none."""
    with np.errstate(invalid="ignore"):
        met: Bools = np.asarray(constraint.compare(values), np.bool_) & ~np.isnan(values)
    return met


def coordinates(inputs: Inputs, indices: Sequence[int]) -> Ints:
    """Return which value of each axis points have, shape (points, axes)."""
    return np.stack(inputs.coordinates(np.asarray(indices, np.int64)), axis=1)
