"""What a folder of parts holds of a study: each point once, whichever study recorded it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybridsim.sweeps.cases import Cases
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.journal import Journal
from hybridsim.sweeps.left import Left
from hybridsim.sweeps.pareto import Bools
from hybridsim.sweeps.parts import Recorded
from hybridsim.units import Ints

AT_ONCE = 2**18
"""Points whose keys are held at the same time while they are looked for."""

Rows = tuple[Ints, Mapping[str, Any]]
"""Points of a study, by index, and columns of them."""


@dataclass
class Span:
    """The points of a study from one place to another, in the order of evaluation."""

    inputs: Inputs
    cases: Cases
    first: int
    end: int

    @classmethod
    def of(cls, inputs: Inputs, shard: tuple[int, int] = (1, 1)) -> "Span":
        """Return shard ``i`` of ``n``; all of them make the whole grid."""
        number, shards = shard
        ends = (len(inputs) * (number - 1) // shards, len(inputs) * number // shards)
        return cls(inputs, Cases(inputs), *ends)

    def __len__(self) -> int:
        return self.end - self.first

    def left(self, done: Bools) -> Left:
        """Return the points that are not done."""
        return Left(self.first, done, self.cases.sizes, self.cases.at)

    def nothing_done(self) -> Bools:
        """Return for each place that it is not done."""
        return np.zeros(len(self), np.bool_)

    def rows(self, journal: Journal, names: Sequence[str], done: Bools) -> Iterator[Rows]:
        """Yield what is recorded of the points that are not ``done``, which they are then.

        Raises:
            SpecError: A part is damaged.
        """
        others: list[Recorded] = []
        for recorded in journal.recorded(names):
            if not set(names) <= set(recorded.columns):
                continue
            if recorded.study != self.inputs.study_key:
                others.append(recorded)
                continue
            rows = self.new(recorded.points, done)
            if len(rows):
                yield recorded.points[rows], taken(recorded, rows)
        if others:
            yield from self._by_key(others, names, done)

    def new(self, points: Ints, done: Bools) -> Ints:
        """Return the rows of points that are not done, and mark them."""
        places = self.cases.places(points) - self.first
        rows = np.flatnonzero((places >= 0) & (places < len(done)))
        rows = rows[~done[places[rows]]]
        done[places[rows]] = True
        return rows

    def _by_key(self, others: list[Recorded], names: Sequence[str], done: Bools) -> Iterator[Rows]:
        """Yield what other studies recorded of these points, which they number otherwise."""
        keys = np.concatenate([recorded.keys for recorded in others])
        columns = {
            name: np.concatenate([np.asarray(r.columns[name]) for r in others]) for name in names
        }
        order = np.argsort(keys[:, 0], kind="stable")
        for first in range(self.first, self.end, AT_ONCE):
            places = np.arange(first, min(first + AT_ONCE, self.end))
            points = self.cases.at(places[~done[places - self.first]])
            wanted = self.inputs.keys(points)
            place = np.searchsorted(keys[:, 0], wanted[:, 0], sorter=order)
            row = order[np.minimum(place, len(order) - 1)]
            known = (keys[row] == wanted).all(axis=1)
            done[self.cases.places(points[known]) - self.first] = True
            yield points[known], {name: columns[name][row[known]] for name in names}


def taken(recorded: Recorded, rows: Ints) -> Mapping[str, Any]:
    """Return the columns of some rows."""
    if len(rows) == len(recorded.points):
        return recorded.columns
    return {name: column[rows] for name, column in recorded.columns.items()}
