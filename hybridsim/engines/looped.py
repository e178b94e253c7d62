"""The engine for many points of one outline: prices and lengths differ, the structure does not.

An outline is a plan before its iterations are laid out. Here it stays one: its pieces become
tables of states (:mod:`._frozen_states`) that are worked out by the execution rule where a point
needs them, and shared by all points. So a point costs a few steps of a table for each instant
until its loops repeat themselves, whatever their lengths.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hybridsim.engines import compiled
from hybridsim.engines._frozen_loops import Drawn, Works, draw
from hybridsim.engines._frozen_states import States
from hybridsim.engines.lines import Lines
from hybridsim.errors import PlanError
from hybridsim.plan import (
    Loop,
    Mostly,
    Need,
    Outline,
    Plan,
    Step,
    Template,
    Within,
    check_total,
)
from hybridsim.units import Ints
from hybridsim.work import MOST_PS, Work

Floats: TypeAlias = NDArray[np.float64]

_WINDOW = 8


@dataclass(eq=False)
class Looped:
    """An outline and its states so far."""

    outline: Outline
    _cut: int = 0
    """Points that were executed piece by piece."""
    _apart: int = 0
    """Those of them whose pieces were done one after the other."""

    @cached_property
    def works(self) -> tuple[Work, ...]:
        """The works of the steps, one for each row of the times."""
        return self.outline.works

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """The different counts above 1 of its loops, one for each row of the counts."""
        return tuple(sorted({t.loop.count for t in self.outline.templates if t.loop.count > 1}))

    @cached_property
    def why_not(self) -> str:
        """Why the outline has no table of states; empty if it has."""
        return "" if isinstance(self._tables, list) else self._tables

    @property
    def pieces(self) -> "list[States]":
        """Its different pieces with their states so far; none if it has no table of states."""
        return self._tables if isinstance(self._tables, list) else []

    def makespans(self, time_ps: Ints, counts: Ints | None = None) -> Ints:
        """Return the last end of each point [ps], shape (points,).

        Args:
            time_ps: Time of each of :attr:`works` at each point [ps], shape (works, points).
            counts: Iterations at each point of the loops of each of :attr:`lengths`, shape
                (lengths, points); those of the outline if None. As many as the first and the
                last iterations with works of their own, at least.

        Raises:
            PlanError: The tasks of a point together last 2^62 ps or more; or its counts cannot
                be laid out, where there is no table of states.
        """
        if counts is None:
            counts = self.as_drawn(time_ps.shape[1])
        found = self.by_states(time_ps, counts)
        for point in np.flatnonzero(found < 0).tolist():
            plan = self.laid_out(tuple(counts[:, point].tolist()))
            found[point] = compiled.run(plan, time_ps[self.rows(plan.works), point]).makespan
        return found

    def by_states(
        self, time_ps: Ints, counts: Ints, most: float = np.inf, lines: Lines | None = None
    ) -> Ints:
        """Return the last end of each point as :meth:`makespans` does; -1 where it is not known.

        Where there is no table of states, or the window of its states is too small, nothing is;
        and where no more states may be worked out than ``most`` allows, in tasks of a plan that
        is laid out. With ``lines``, times and counts are those of kinds of points.

        Raises:
            PlanError: The tasks of a point together last 2^62 ps or more.
        """
        lines = lines or Lines.apart(time_ps)
        self._check_totals(time_ps, counts, lines)
        points = len(lines.kind)
        if isinstance(self._tables, str):
            return np.full(points, -1, np.int64)
        counts = np.concatenate((np.ones((1, time_ps.shape[1]), np.int64), counts))
        total, apart = np.zeros(points, np.int64), np.ones(points, np.bool_)
        known = np.ones(points, np.bool_)
        if 2 * self._apart < self._cut:
            apart[:] = known[:] = False  # as most were not so far
        for piece in self._tables if known.any() else ():
            before = piece.spent
            latest, ends = piece.makespans(time_ps, counts, most, lines)
            most -= piece.spent - before
            total += piece.drawn.times * latest
            apart &= ends
            known &= latest >= 0
        self._cut, self._apart = self._cut + int(known.sum()), self._apart + int(apart.sum())
        left = np.flatnonzero(~apart)
        total[left] = -1
        if len(left) and most > 0 and isinstance(self._whole, States):
            # pieces that do not run one after the other, or need a wider window
            latest, known = self._whole.makespans(time_ps, counts, most, lines.taken(left))
            total[left[known]] = latest[known]
        return total

    def laid_out(self, counts: Sequence[int]) -> Plan:
        """Return the plan with some counts, one for each of :attr:`lengths`.

        Raises:
            PlanError: Its loops cannot have these counts.
        """
        lengths = dict(zip(self.lengths, counts, strict=True))
        same = all(own == length for own, length in lengths.items())
        return (self.outline if same else changed(self.outline, lengths)).expand()

    def as_drawn(self, points: int) -> Ints:
        """Return the counts of the outline itself, shape (lengths, points)."""
        return np.repeat(np.array(self.lengths, np.int64)[:, None], points, axis=1)

    def tasks(self, counts: Ints) -> Ints:
        """Return how many tasks each point has."""
        fixed, each = self._tasks
        tasks: Ints = (fixed.sum() + each.sum(axis=0) @ counts).astype(np.int64)
        return tasks

    @property
    def spent(self) -> float:
        """What all states so far took to work out, in tasks of a plan that is laid out."""
        # only of those that were asked for
        drawn = [*self.__dict__.get("_tables", ""), self.__dict__.get("_whole", "")]
        return sum(one.spent for one in drawn if isinstance(one, States))

    def _check_totals(self, time_ps: Ints, counts: Ints, lines: Lines) -> None:
        """Refuse points whose ends may not fit 64 bits."""
        place = float(lines.place.max(initial=0))
        longest = float(time_ps.max(initial=0)) + place * float(lines.growth.max(initial=0))
        if float(self.tasks(counts).max(initial=0)) * longest < MOST_PS:
            return  # mostly far from that
        fixed, each = self._tasks
        tasks = (fixed + each @ counts)[:, lines.kind]
        check_total((tasks * lines.times(time_ps)).sum(axis=0).max(initial=0.0))

    def rows(self, works: Sequence[Work]) -> Ints:
        """Return which of the rows of the times each of some works has."""
        return np.array([self._row[work] for work in works], np.int64)

    @cached_property
    def _row(self) -> dict[Work, int]:
        return {work: number for number, work in enumerate(self.works)}

    @cached_property
    def _tasks(self) -> tuple[Floats, Floats]:
        """How many tasks do each work: some in any case, and some per iteration of each length."""
        fixed = np.zeros((len(self.works), 1))
        each = np.zeros((len(self.works), len(self.lengths)))
        length = {count: number for number, count in enumerate(self.lengths)}
        for template in self.outline.templates:
            count = template.loop.count
            for step in template.steps if count else ():
                usual, first, last = self._works_of(step)
                # what the first and the last iterations do is done instead of the usual work
                fixed[usual] += (count == 1) - len(first) - len(last)
                np.add.at(fixed, [*first, *last], 1)
                if count > 1:
                    each[usual, length[count]] += 1
        return fixed, each

    @cached_property
    def _tables(self) -> "list[States] | str":
        drawn = draw(self.outline, self._works_of, _WINDOW)
        if isinstance(drawn, str):
            return drawn
        return [States(one, self._lengths_of(one)) for one in drawn]

    @cached_property
    def _whole(self) -> "States | str":
        drawn = draw(self.outline, self._works_of, 4 * _WINDOW, cut=False)
        return drawn if isinstance(drawn, str) else States(drawn[0], self._lengths_of(drawn[0]))

    def _works_of(self, step: Step) -> Works:
        usual, first, last = _works(step)
        row = self._row
        return row[usual], tuple(row[w] for w in first), tuple(row[w] for w in last)

    def _lengths_of(self, drawn: Drawn) -> Ints:
        """Return for each loop the row of its counts; row 0 is that of loops of one iteration."""
        return np.searchsorted(np.array([1, *self.lengths]), drawn.counts)


def changed(outline: Outline, counts: Mapping[int, int]) -> Outline:
    """Return an outline with other counts of its loops.

    A need of a single task in the later half of a loop counts from the end of that loop.

    Raises:
        PlanError: Counts change, and there are links, which name single tasks.
    """
    old = [t.loop for t in outline.templates]
    if outline.links and any(counts.get(loop.count, loop.count) != loop.count for loop in old):
        raise PlanError("the plan has links between single tasks, so its loops keep their counts")
    length = [counts.get(loop.count, loop.count) for loop in old]
    size = [loop.size * count for loop, count in zip(old, length, strict=True)]
    new = [
        Loop(first, loop.size, count)
        for first, loop, count in zip(accumulate([0, *size]), old, length, strict=False)
    ]

    def moved(need: Need | Within, template: Template) -> Need | Within:
        if isinstance(need, Within):
            return need
        task = need.base + template.shift
        source = bisect_right(old, task, key=lambda loop: loop.first) - 1
        iteration, step = divmod(task - old[source].first, old[source].size)
        alone = not need.stride or template.loop.count == 1
        if alone and old[source].count > 1 and 2 * iteration >= old[source].count:
            iteration -= old[source].count
        elif not alone:
            last = task + need.stride * (template.loop.count - 1)
            ratio, odd = divmod(need.stride, old[source].size)
            end = iteration + ratio * (counts.get(template.loop.count, template.loop.count) - 1)
            inside = last < old[source].first + old[source].size * old[source].count
            if (odd or not inside or end >= new[source].count) and [*old] != new:
                raise PlanError("a loop runs beside another one that is not long enough for that")
        return replace(need, base=new[source].task(step, iteration))

    templates = []
    for template, loop in zip(outline.templates, new, strict=True):
        steps = tuple(
            replace(step, needs=tuple(moved(need, template) for need in step.needs))
            for step in template.steps
        )
        templates.append(replace(template, loop=loop, steps=steps, shift=0))
    return replace(outline, templates=tuple(templates))


def _works(step: Step) -> tuple[Work, tuple[Work, ...], tuple[Work, ...]]:
    """Return the usual work of a step, and those of its first and of its last iterations."""
    each = step.work
    if isinstance(each, Mostly):
        return each.usual, each.first, each.last
    return (each[0], each, ()) if isinstance(each, tuple) else (each, (), ())
