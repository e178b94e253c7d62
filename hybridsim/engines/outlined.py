"""Points of one outline in the way that costs least: by tables of states, or laid out.

A table of states (:mod:`.looped`) serves a point in a few steps, but each state costs as much as
tens to hundreds of tasks of a plan on :mod:`.compiled`. So it pays where many points share an
outline, or where loops are long. Before that is known, points are laid out; and where points
share too few states, no more is spent on them than on laying out.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from hybridsim.engines import compiled
from hybridsim.engines.looped import Looped, changed
from hybridsim.errors import PlanError
from hybridsim.plan import Outline, Plan
from hybridsim.units import Ints

_CREDIT = 40_000
"""Tasks of laid-out plans, and their worth in states, before it matters which way costs less."""
_FIRST, _GROWTH = 16, 4
"""Points that are served by states before that is weighed again, and how that number grows."""
_MOST_TASKS = 2**20
"""Tasks of all laid-out plans that are remembered: about 100 MB."""


@dataclass(eq=False)
class Outlined:
    """An outline, and what its points took so far."""

    outline: Outline
    looped: Looped = field(init=False)
    _laid_out: int = 0
    """Tasks of all points that were laid out."""
    _served: int = 0
    """Tasks of all points that states served: what laying them out would have cost."""

    def __post_init__(self) -> None:
        self.looped = Looped(self.outline)

    def makespans(self, time_ps: Ints, counts: Ints | None = None) -> Ints:
        """Return the last end of each point [ps], as :meth:`.Looped.makespans` does.

        Raises:
            PlanError: As there.
        """
        points = time_ps.shape[1]
        if counts is None:
            counts = self.looped.as_drawn(points)
        total = np.concatenate(([0], np.cumsum(self.looped.tasks(counts))))
        found, first, size = np.zeros(points, np.int64), 0, _FIRST
        while first < points:
            if self._worth_states(int(total[-1] - total[first])):
                last, size = min(points, first + size), size * _GROWTH
                self._served += int(total[last] - total[first])
                found[first:last] = self._by_states(time_ps, counts, first, last)
            else:
                # as many as bring the two ways level, or all that is left of few
                enough = self.looped.spent - self._served + _CREDIT
                last = int(np.searchsorted(total, total[first] + max(1, enough)))
                last = min(points, max(first + 1, last))
                self._laid_out += int(total[last] - total[first])
                found[first:last] = self._by_plans(time_ps, counts, first, last)
            first = last
        return found

    def _worth_states(self, left: int) -> bool:
        """Return whether points with so many tasks are served by states next."""
        looped = self.looped
        if not self._served and self._laid_out + left <= _CREDIT:
            return False
        return not looped.why_not and looped.spent <= self._served + self._laid_out + _CREDIT

    def _by_states(self, time_ps: Ints, counts: Ints, first: int, last: int) -> Ints:
        if (first, last) == (0, time_ps.shape[1]):
            return self.looped.makespans(time_ps, counts)
        own = np.ascontiguousarray(time_ps[:, first:last])
        return self.looped.makespans(own, np.ascontiguousarray(counts[:, first:last]))

    def _by_plans(self, time_ps: Ints, counts: Ints, first: int, last: int) -> Ints:
        found = np.empty(last - first, np.int64)
        for point in range(first, last):
            try:
                plan, rows = self._plan(tuple(counts[:, point].tolist()))
            except PlanError:  # its loops cannot be laid out with these counts
                found[point - first :] = self._by_states(time_ps, counts, point, last)
                break
            found[point - first] = compiled.run(plan, time_ps[rows, point]).makespan
        return found

    def _plan(self, counts: tuple[int, ...]) -> tuple[Plan, Ints]:
        """Return the plan with some counts, and the row of each of its works."""
        key = (id(self), counts)
        if key in _plans:
            _plans.move_to_end(key)
            return _plans[key][:2]
        lengths = dict(zip(self.looped.lengths, counts, strict=True))
        plan = changed(self.outline, lengths).expand()
        rows = self.looped.rows(plan.works)
        _plans[key] = plan, rows, self
        while len(_plans) > 1 and sum(len(known) for known, _, _ in _plans.values()) > _MOST_TASKS:
            _plans.popitem(last=False)
        return plan, rows


_plans: "OrderedDict[tuple[int, tuple[int, ...]], tuple[Plan, Ints, Outlined]]" = OrderedDict()
"""Plans that were laid out, the ones used last at the end; each keeps its outline."""
