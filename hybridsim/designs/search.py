"""Finding the front of a study by running few of its points.

From points that are spread over the space, those are run next that are guessed to be ahead of the
front by what was run (:mod:`hybridsim.designs.guess`), in blocks, until there are none or a number
of runs has not changed the front. Then Pareto local search (Paquete, Chiarandini and Stützle,
2004) proves it as far as it can: the neighbours of every point of the front are run until no front
point has one that was not, a neighbour being one step along an ordered axis or any other value of
one without an order, and in the end those of neighbours. What is found there is news to the
guesses. What bounds leave out is not run. It ends when time or runs are used up, when every point
was run or left out, or when nothing two steps from the front changes it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hybridsim.designs.bounds import Bounds
from hybridsim.designs.seen import Floats, Seen, coordinates, excess_of
from hybridsim.errors import InputError, installing
from hybridsim.sweeps.columns import Constraint
from hybridsim.sweeps.inputs import Inputs
from hybridsim.units import Ints

if TYPE_CHECKING:
    from hybridsim.designs.guess import Guesses

AT_ONCE = 8
"""Front points whose neighbours are run together, and points that are guessed together."""
TOGETHER = 32
"""Points that are run as one block: between blocks a search can end."""
START = 16
"""Points that are run first, drawn so that each value of each axis is about equally frequent."""
PATIENCE = 64
"""Runs without anything new before points are no longer guessed."""
MOST_COUNTED = 200_000
"""Points of a grid of which it is found out whether all are run or left out."""
POOL, CROSSED = 2048, 256
"""Points of a larger grid among which the next ones are looked for, and such as are crossings."""


@dataclass
class Budget:
    """How long a search may take."""

    deadline: float | None = None
    """On the clock of :func:`time.monotonic` [s]."""
    runs: int | None = None
    stopped: Callable[[], bool] = lambda: False

    def over(self, runs: int) -> bool:
        """Return whether the time, or so many runs, are used up, or Ctrl-C was pressed."""
        late = self.deadline is not None and time.monotonic() >= self.deadline
        return late or self.stopped() or (self.runs is not None and runs >= self.runs)

    def left(self, runs: int, most: int) -> int:
        """Return how many more runs there may be, up to ``most``."""
        return most if self.runs is None else max(0, min(most, self.runs - runs))

    def some(self, runs: int, more: int) -> "Budget":
        """Return a budget for at most so many runs more, and no more than are left of this."""
        return replace(self, runs=runs + self.left(runs, more))


Watch = Callable[["Search"], None]
"""Called whenever points were run."""


@dataclass
class Search:
    """A search for the best points under some limits; what was run before is known to it."""

    seen: Seen
    constraints: Sequence[Constraint]
    budget: Budget
    seed: int = 0
    watch: Watch = lambda search: None
    until_feasible: bool = False
    """Whether it ends as soon as a point meets all limits."""
    bounds: Bounds | None = None
    left_out: set[int] = field(default_factory=set)
    """Points that bounds left out."""
    complete: bool = False
    """Whether every point of the grid was run or left out."""
    why: str = ""
    """Why it ended."""
    _expanded: set[int] = field(default_factory=set)

    @property
    def inputs(self) -> Inputs:
        """The study whose points are searched."""
        return self.seen.inputs

    def run(self, start: Sequence[int], widely: bool = True) -> None:
        """Search from some points; not ``widely``, among their neighbours alone.

        Raises:
            InputError: What guesses points is not installed.
        """
        guesses = _guesses(self.seen) if widely else None
        self.bounds = self.bounds or Bounds(self.seen)
        self._know(start)
        self._know(_spread(self.inputs, self.seed) if widely else ())
        changed, front = 0, None
        while not self.budget.over(len(self.seen)):
            found = self._front()
            if found != front:
                front, changed = found, len(self.seen)
            patient = len(self.seen) - changed < PATIENCE
            if guesses is not None and patient and self._guessed(guesses):
                continue
            self._local()
            if self._front() != front:
                continue
            if self._is_complete():
                self.complete, self.why = True, "every point was run or left out by a bound"
                return
            if not (widely and self._further()):
                self.why = f"nothing better in the last {len(self.seen) - changed} runs"
                return
        self.why = "stopped" if self.budget.stopped() else "time or runs were used up"

    def _guessed(self, guesses: "Guesses") -> bool:
        """Run points that are guessed to be better; return whether there were any."""
        count = self.budget.left(len(self.seen), AT_ONCE)
        pool = [n for n in self._pool() if n not in self.seen and n not in self.left_out]
        return self._know(guesses.next(pool, count, self.constraints, self.worth))

    def _pool(self) -> list[int]:
        """Return points among which the next ones are looked for.

        They are some of all, those next to the best, and crossings of two of the best.
        """
        size, shape = len(self.inputs), self.inputs.shape
        random = np.random.default_rng([self.seed, len(self.seen)])
        every = np.arange(size) if size <= POOL else random.integers(size, size=POOL)
        best = [self.seen.index[place] for place in self.seen.best(self.constraints)[0]]
        if not best:  # nothing could be run so far
            return [int(index) for index in every]
        near = [n for index in best for n in neighbours(self.inputs, index)]
        parents = coordinates(self.inputs, best)[random.integers(len(best), size=(2, CROSSED))]
        mixed = np.where(random.random((CROSSED, len(shape))) < 0.5, parents[0], parents[1])
        crossed = np.ravel_multi_index(tuple(mixed.T), shape)
        return list(dict.fromkeys([*near, *crossed.tolist(), *every.tolist()]))

    def _front(self) -> list[tuple[float, ...]]:
        best, weighed, _ = self.seen.best(self.constraints)
        return [tuple(weighed[place]) for place in best]

    def _local(self) -> None:
        """Run neighbours of the front until it has none that were not run."""
        while not self.budget.over(len(self.seen)):
            best, _, feasible = self.seen.best(self.constraints)
            if feasible and self.until_feasible:
                return
            new = [place for place in best if place not in self._expanded]
            if not new:
                return
            some = _ends_first(new)[:AT_ONCE]
            self._expanded.update(some)
            indices = [self.seen.index[place] for place in some]
            around = [n for index in indices for n in neighbours(self.inputs, index)]
            unknown = [n for n in dict.fromkeys(around) if n not in self.seen]
            self._know(self.worth(unknown) if feasible else unknown)

    def _further(self) -> bool:
        """Run what is two steps from the front; return whether that changed the front."""
        front = self._front()
        best, _, feasible = self.seen.best(self.constraints)
        for place in best:
            near = neighbours(self.inputs, self.seen.index[place])
            around = dict.fromkeys(n for own in near for n in neighbours(self.inputs, own))
            unknown = [n for n in around if n not in self.seen]
            self._know(self.worth(unknown) if feasible else unknown)
            if self.budget.over(len(self.seen)) or self._front() != front:
                break
        return self._front() != front

    def _know(self, indices: Sequence[int]) -> bool:
        """Run points, as many as there may be; return whether any was new."""
        before, wanted = len(self.seen), [n for n in indices if n not in self.seen]
        wanted = wanted[: self.budget.left(before, len(wanted))]
        for first in range(0, len(wanted), TOGETHER):
            if first and self.budget.over(len(self.seen)):
                break
            self.seen.know(wanted[first : first + TOGETHER])
            self.watch(self)
        return len(self.seen) > before

    def worth(self, indices: Sequence[int]) -> list[int]:
        """Return the points that may be better than the front; the others are left out."""
        if not indices:
            return []
        best, values, feasible = self.seen.best(self.constraints)
        if not feasible:
            return list(indices)
        assert self.bounds is not None
        kept = self._may_be_better(indices, values[best])
        self.left_out.update(own for own, k in zip(indices, kept, strict=True) if not k)
        return [own for own, k in zip(indices, kept, strict=True) if k]

    def _may_be_better(self, indices: Sequence[int], front: Floats) -> Any:
        assert self.bounds is not None
        low, high = self.bounds.at_least(indices)
        names = self.seen.columns
        # a limit is met for sure by none whose most favourable value misses it
        favourable = [
            (low if own.sign in ("<", "<=") else high)[:, names.index(own.column)]
            for own in self.constraints
        ]
        kept = (excess_of(favourable, self.constraints, len(indices)) == 0).all(axis=1)
        least = np.stack(
            [
                low[:, names.index(name)] if d == "minimise" else -high[:, names.index(name)]
                for name, d in self.seen.objectives.items()
            ],
            axis=1,
        )
        beaten = np.any(np.all(front[None, :, :] <= least[:, None, :], axis=2), axis=1)
        return kept & ~beaten

    def _is_complete(self) -> bool:
        """Return whether nothing is left to run."""
        size = len(self.inputs)
        if size > MOST_COUNTED:
            return False
        if len(self.seen) == size:
            return True
        _, _, feasible = self.seen.best(self.constraints)
        if not feasible:
            return False
        # what was left out stays so: bounds rise and the front falls
        rest = (n for n in range(size) if n not in self.seen and n not in self.left_out)
        while some := [n for _, n in zip(range(256), rest, strict=False)]:
            if self.worth(some):
                return False
        return True


def _guesses(seen: Seen) -> "Guesses":
    try:
        from hybridsim.designs.guess import Guesses  # reading a design guesses nothing
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("sklearn"):
            raise
        problem = f"design guesses with scikit-learn; {installing('search')}"
        raise InputError(problem) from None
    return Guesses(seen, [is_ordered(axis.numbers) for axis in seen.inputs.axes])


def neighbours(inputs: Inputs, index: int) -> list[int]:
    """Return the points that differ by a step along an ordered axis, or by a value of others."""
    places = coordinates(inputs, [index])[0]
    found = []
    for k, axis in enumerate(inputs.axes):
        if is_ordered(axis.numbers):
            values = [v for v in (places[k] - 1, places[k] + 1) if 0 <= v < len(axis)]
        else:
            values = [v for v in range(len(axis)) if v != places[k]]
        for value in values:
            other = places.copy()
            other[k] = value
            found.append(int(np.ravel_multi_index(tuple(other), inputs.shape)))
    return found


def is_ordered(numbers: Ints | None) -> bool:
    """Return whether an axis goes up or down all along."""
    if numbers is None or len(numbers) < 2:
        return False
    steps = np.diff(numbers)
    return bool((steps > 0).all() or (steps < 0).all())


def _spread(inputs: Inputs, seed: int) -> list[int]:
    """Return points in which each axis has each of its values about equally often."""
    random = np.random.default_rng(seed)
    count = min(START, len(inputs))
    columns = [random.permutation(np.arange(count) % len(axis)) for axis in inputs.axes]
    return [int(index) for index in np.ravel_multi_index(tuple(columns), inputs.shape)]


def _ends_first(places: list[int]) -> list[int]:
    """Return places so that those far apart in the front come first."""
    step = max(1, len(places) // AT_ONCE)
    return [*places[::step], *(p for i, p in enumerate(places) if i % step)]
