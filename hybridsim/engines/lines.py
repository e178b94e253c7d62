"""Points whose times grow evenly with one number, such as what a vector takes on a tile.

A sweep over that number is a line: between two of its points where tasks end in the same order,
all ends grow evenly, too. So :mod:`._frozen_states` executes the first of them alone.
"""

from dataclasses import dataclass

import numpy as np

from hybridsim.units import Ints


@dataclass(frozen=True, slots=True, eq=False)
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


@dataclass(frozen=True, slots=True, eq=False)
class StepTimes:
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

    def slots(self, rows: Ints, kinds: Ints) -> tuple[Ints, Ints]:
        """Return times [ps] and tokens of some slots of kinds with as many different batches.

        Slots are the tasks before the first batch, then all entries of a step, step by step; the
        answers have the shape (slots, kinds).
        """
        entry = (
            self.begin[kinds]
            + np.arange(self.before[kinds[0]] + self.after[kinds[0]] + 1)[:, None]
        )
        steps = self.steps_ps[:, entry].reshape(-1, len(kinds))
        time_ps = np.concatenate((self.once_ps[:, kinds], steps))[rows]
        tokens = np.zeros((len(steps) + len(self.once_ps), len(kinds)), np.int64)
        tokens[: len(self.once_ps)] = self.once_tokens[:, kinds]
        tokens[len(self.once_ps) : len(self.once_ps) + len(entry)] = self.tokens[entry]
        return time_ps, tokens[rows]
