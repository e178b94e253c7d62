"""The frozen engine for many prices of one plan: same plan, same rule, same integers.

It keeps the orders in which :mod:`.compiled` started the tasks of a plan. In a known order the
times are a recurrence that needs no events, so a block of points goes through it side by side
(:mod:`._frozen_times`). Each point is proven: the rule would have found the same order. A point
that is not goes on to the next order, and in the end to :mod:`.compiled`, whose order is kept too.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from hybridsim.engines import compiled
from hybridsim.engines._frozen_order import Order, freeze
from hybridsim.engines._frozen_times import WIDTH, times
from hybridsim.plan import Plan, Timeline
from hybridsim.units import Ints

_MOST_ORDERS = 16
"""Orders that a plan keeps; each costs about as much memory as the plan itself."""
_PATIENCE = 4
"""New orders in a row that served no other point, after which points are just executed."""


@dataclass(eq=False)
class Frozen:
    """A plan whose tasks take the times of their works, and the orders that were found for it."""

    plan: Plan
    work: Ints
    """The work of each task, an index into the rows of the times, shape (tasks,)."""
    proven: int = 0
    """Points served by an order that was known."""
    executed: int = 0
    """Points that were executed."""
    _orders: list[Order] = field(default_factory=list)

    def makespans(self, time_ps: Ints) -> Ints:
        """Return the last end of each point [ps], shape (points,).

        ``time_ps`` has the time of each work at each point [ps], shape (works, points).

        Raises:
            PlanError: As :class:`~hybridsim.plan.Plan`.
        """
        found = np.zeros(time_ps.shape[1], np.int64)
        left = np.arange(time_ps.shape[1])
        for order in list(self._orders):
            left = self._retime(order, time_ps, left, found)
        idle = 0
        while len(left):
            point, left = int(left[0]), left[1:]
            timeline = self._execute(time_ps[:, point])
            found[point] = timeline.makespan
            if idle < _PATIENCE and len(left):
                before = len(left)
                left = self._retime(self._keep(timeline), time_ps, left, found)
                idle = 0 if len(left) < before else idle + 1
        return found

    def timeline(self, time_ps: Ints) -> Timeline:
        """Return all times of one point; ``time_ps`` has the shape (works,)."""
        return self._execute(time_ps)

    def _execute(self, time_ps: Ints) -> Timeline:
        self.executed += 1
        return compiled.run(replace(self.plan, duration=time_ps[self.work]))

    def _keep(self, timeline: Timeline) -> Order:
        """Keep the order of a timeline in place of the one that served longest ago."""
        order = freeze(self.plan, timeline)
        self._orders = [order, *self._orders[: _MOST_ORDERS - 1]]
        return order

    def _retime(self, order: Order, time_ps: Ints, points: Ints, found: Ints) -> Ints:
        """Fill in what ``order`` proves for some points, and return the points left."""
        end = np.empty((len(self.plan), WIDTH), np.int64)
        left = []
        for first in range(0, len(points), WIDTH):
            own = points[first : first + WIDTH]
            block = np.ascontiguousarray(np.take(time_ps, _padded(own), axis=1))
            latest, holds = times(order, self.work, block, end)
            good = holds[: len(own)] != 0
            found[own[good]] = latest[: len(own)][good]
            left.append(own[~good])
        served = len(points) - sum(map(len, left))
        self.proven += served
        if served and order is not self._orders[0]:
            self._orders.remove(order)
            self._orders.insert(0, order)
        return np.concatenate(left) if left else points


def _padded(points: Ints) -> Ints:
    """Return the points of a block, the last one repeated until it is full."""
    return np.concatenate((points, np.repeat(points[-1:], WIDTH - len(points))))
