"""Points whose times grow evenly with one number, such as what a vector takes on a tile.

A sweep over that number is a line: between two of its points where tasks end in the same order,
all ends grow evenly, too. So :mod:`._frozen_states` executes the first of them alone.
"""

from typing import NamedTuple

import numpy as np

from hybridsim.alike import alike
from hybridsim.records import record
from hybridsim.units import Ints


@record(frozen=True, slots=True, eq=False)
class Lines:
    """Points by their kind, and their places on its line.

    Points of a kind that follow each other, places ascending, are executed together.
    """

    growth: Ints
    """What a work takes longer from one place to the next [ps], shape (works, kinds)."""
    kind: Ints
    """The column of times, growths and counts of each point."""
    place: Ints

    @classmethod
    def apart(cls, time_ps: Ints) -> "Lines":
        """Return points that share nothing; ``time_ps`` has the shape (works, points)."""
        points = time_ps.shape[1]
        return cls(np.zeros_like(time_ps), np.arange(points), np.zeros(points, np.int64))

    def taken(self, points: Ints) -> "Lines":
        """Return some of the points."""
        return Lines(self.growth, self.kind[points], self.place[points])

    def times(self, time_ps: Ints) -> Ints:
        """Return the time of each work at each point [ps], shape (works, points)."""
        found: Ints = time_ps[:, self.kind] + self.growth[:, self.kind] * self.place
        return found


class StepTimes(NamedTuple):
    """What the tasks of kinds of points take: a time, and how much more a token adds to it.

    A step of a batch has entries for each different batch of each kind, kind after kind: for the
    last batches, for the first ones, and for all others.
    """

    once_ps: Ints
    """Of what is done before the first batch [ps], shape (tasks, kinds)."""
    once_tokens: Ints
    """Tokens of that."""
    steps_ps: Ints
    """Of the steps of batches [ps], shape (steps, entries)."""
    tokens: Ints
    """Tokens of the first of these steps; the others have none."""
    begin: Ints
    """The first entry of each kind."""
    before: Ints
    """First batches with times of their own, of each kind."""
    after: Ints
    """Last batches with times of their own."""

    def alike(self, kinds: Ints, more: Ints) -> Ints:
        """Return which of some kinds is the first that takes as long as each of them in all.

        And that agrees with it in ``more``, which has an entry for each.
        """
        different = self.before[kinds] + self.after[kinds]
        rows = [more, self.before[kinds], self.after[kinds], *self.once_ps[:, kinds]]
        for place in range(int(different.max(initial=0)) + 1):
            entry = self.begin[kinds] + np.minimum(place, different)
            rows += [self.tokens[entry], *self.steps_ps[:, entry]]
        same = alike([*rows, *self.once_tokens[:, kinds]], len(kinds))
        return same.first[same.which]
