"""Points of one outline in the way that costs least: by tables of states, or laid out.

A table of states (:mod:`.looped`) serves a point in a few steps, but each state costs as much as
tens to hundreds of tasks of a plan on :mod:`.compiled`. So it pays where many points share an
outline, or where loops are long. No more is spent on states than a share of what laying out all
points so far would have cost: what that leaves open is laid out.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from hybridsim.engines import compiled
from hybridsim.engines.lines import Lines
from hybridsim.engines.looped import Looped
from hybridsim.errors import PlanError
from hybridsim.plan import Outline, Plan
from hybridsim.units import Ints

LEAST = 40_000
"""Tasks of laid-out plans from which on states may pay."""
_SHARE = 0.5
"""What may be spent on states, of what laying out all points would cost."""
_MOST_TASKS = 2**20
"""Tasks of all laid-out plans that are remembered: about 100 MB."""


@dataclass(eq=False)
class Outlined:
    """An outline, and what its points took so far."""

    outline: Outline
    looped: Looped = field(init=False)
    _tasks: int = 0
    """Tasks of all points so far: what laying them out would have cost."""

    def __post_init__(self) -> None:
        self.looped = Looped(self.outline)

    def met(self, tasks: int) -> None:
        """Count tasks of points that were laid out elsewhere."""
        self._tasks += tasks

    def makespans(self, time_ps: Ints, counts: Ints | None = None) -> Ints:
        """Return the last end of each point [ps], as :meth:`.Looped.makespans` does.

        Raises:
            PlanError: As there.
        """
        if counts is None:
            counts = self.looped.as_drawn(time_ps.shape[1])
        found = self.by_states(time_ps, counts)
        left = np.flatnonzero(found < 0)
        for at, point in enumerate(left.tolist()):
            try:
                plan, rows = self._plan(tuple(counts[:, point].tolist()))
            except PlanError:  # its loops cannot be laid out with these counts
                own = left[at:]
                found[own] = self.looped.makespans(time_ps[:, own], counts[:, own])
                break
            found[point] = compiled.run(plan, time_ps[rows, point]).makespan
        return found

    def by_states(self, time_ps: Ints, counts: Ints, lines: Lines | None = None) -> Ints:
        """Return the last end of each point [ps]; -1 where that is to be laid out.

        With ``lines``, times and counts are those of kinds of points.

        Raises:
            PlanError: As :meth:`makespans`.
        """
        lines = lines or Lines.apart(time_ps)
        self._tasks += int(self.looped.tasks(counts)[lines.kind].sum())
        if self._tasks <= LEAST:
            return np.full(len(lines.kind), -1, np.int64)
        most = _SHARE * self._tasks - self.looped.spent
        return self.looped.by_states(time_ps, counts, most, lines)

    def _plan(self, counts: tuple[int, ...]) -> tuple[Plan, Ints]:
        """Return the plan with some counts, and the row of each of its works."""
        key = (id(self), counts)
        if key in _plans:
            _plans.move_to_end(key)
            return _plans[key][:2]
        plan = self.looped.laid_out(counts)
        rows = self.looped.rows(plan.works)
        _plans[key] = plan, rows, self
        while len(_plans) > 1 and sum(len(known) for known, _, _ in _plans.values()) > _MOST_TASKS:
            _plans.popitem(last=False)
        return plan, rows


_plans: "OrderedDict[tuple[int, tuple[int, ...]], tuple[Plan, Ints, Outlined]]" = OrderedDict()
"""Plans that were laid out, the ones used last at the end; each keeps its outline."""
