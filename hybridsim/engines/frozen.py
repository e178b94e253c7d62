"""The frozen engine for many prices of one plan: same plan, same rule, same integers.

It keeps the orders in which :mod:`.compiled` started the tasks of a plan. In a known order the
times are a recurrence that needs no events, so a block of points goes through it side by side
(:mod:`._frozen_times`). Each point is proven: the rule would have found the same order. A point
that is not goes on to the next order, and in the end to :mod:`.compiled`, whose order is kept too.

A plan that falls apart into pieces that run one after the other (:mod:`._frozen_pieces`) costs
what its different pieces cost.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from hybridsim.engines import compiled
from hybridsim.engines._frozen_order import Order, freeze
from hybridsim.engines._frozen_pieces import Piece, pieces, whole
from hybridsim.engines._frozen_times import WIDTH, times
from hybridsim.plan import Bools, Plan, Timeline
from hybridsim.units import Ints

_MOST_ORDERS = 32
"""Orders that a piece keeps; each costs about as much memory as the piece itself."""
_PATIENCE = 4
"""New orders in a row that served no other point, after which points are just executed."""


@dataclass(eq=False)
class Frozen:
    """A plan whose tasks take the times of their works, and the orders that were found for it."""

    plan: Plan
    work: Ints
    """The work of each task, an index into the rows of the times, shape (tasks,)."""

    def makespans(self, time_ps: Ints) -> Ints:
        """Return the last end of each point [ps], shape (points,).

        ``time_ps`` has the time of each work at each point [ps], shape (works, points).

        Raises:
            PlanError: As :class:`~hybridsim.plan.Plan`.
        """
        total = np.zeros(time_ps.shape[1], np.int64)
        apart = np.ones(time_ps.shape[1], np.bool_)
        for piece in self._pieces:
            latest, ends = piece.makespans(time_ps)
            total += piece.piece.times * latest
            apart &= ends
        if not apart.all():
            together = np.flatnonzero(~apart)
            total[together], _ = self._whole.makespans(time_ps[:, together])
        return total

    def timeline(self, time_ps: Ints) -> Timeline:
        """Return all times of one point; ``time_ps`` has the shape (works,)."""
        return compiled.run(replace(self.plan, duration=time_ps[self.work]))

    @property
    def proven(self) -> int:
        """How often a point of a piece was served by an order that was known."""
        return sum(piece.proven for piece in self._all)

    @property
    def executed(self) -> int:
        """How often a point of a piece was executed."""
        return sum(piece.executed for piece in self._all)

    @property
    def _all(self) -> "list[_Retimed]":
        return [*{id(piece): piece for piece in (*self._pieces, self._whole)}.values()]

    @cached_property
    def _pieces(self) -> "list[_Retimed]":
        return [_Retimed(piece) for piece in pieces(self.plan, self.work)]

    @cached_property
    def _whole(self) -> "_Retimed":
        if len(self._pieces) == 1 and self._pieces[0].piece.times == 1:
            return self._pieces[0]
        return _Retimed(whole(self.plan, self.work))


@dataclass(eq=False)
class _Retimed:
    """A piece of a plan, and the orders that were found for it."""

    piece: Piece
    proven: int = 0
    executed: int = 0
    _orders: list[Order] = field(default_factory=list)

    def makespans(self, time_ps: Ints) -> tuple[Ints, Bools]:
        """Return the last end of each point, and whether what the next piece waits for is that."""
        points = time_ps.shape[1]
        latest, apart = np.zeros(points, np.int64), np.ones(points, np.bool_)
        left = np.arange(points)
        for order in list(self._orders):
            left = self._retime(order, time_ps, left, latest, apart)
        idle = 0
        while len(left):
            point, left = int(left[0]), left[1:]
            timeline = self._execute(time_ps[self.piece.works, point])
            latest[point] = timeline.makespan
            apart[point] = self._ends_together(timeline.end, latest[point])
            if idle < _PATIENCE and len(left):
                before = len(left)
                left = self._retime(self._keep(timeline), time_ps, left, latest, apart)
                idle = 0 if len(left) < before else idle + 1
        return latest, apart

    def _execute(self, time_ps: Ints) -> Timeline:
        self.executed += 1
        return compiled.run(replace(self.piece.plan, duration=time_ps[self.piece.work]))

    def _ends_together(self, end: Ints, latest: Ints) -> Bools:
        """Return whether each exit ends last; ``end`` has the shape (tasks,) or (tasks, points)."""
        holds = np.ones(end.shape[1:], np.bool_)
        for tasks in self.piece.exits:
            holds &= end[tasks].max(axis=0, initial=0) == latest
        return holds

    def _keep(self, timeline: Timeline) -> Order:
        """Keep the order of a timeline in place of the one that served longest ago."""
        order = freeze(self.piece.plan, timeline)
        self._orders = [order, *self._orders[: _MOST_ORDERS - 1]]
        return order

    def _retime(
        self, order: Order, time_ps: Ints, points: Ints, latest: Ints, apart: Bools
    ) -> Ints:
        """Fill in what ``order`` proves for some points, and return the points left."""
        piece = self.piece
        end = np.empty((len(piece.plan), WIDTH), np.int64)
        left = [points[:0]]
        for first in range(0, len(points), WIDTH):
            own = points[first : first + WIDTH]
            block = time_ps[piece.works[:, None], _padded(own)]
            found, holds = times(order, piece.work, block, end)
            good = holds[: len(own)] != 0
            latest[own[good]] = found[: len(own)][good]
            if piece.exits:
                apart[own[good]] = self._ends_together(end, found)[: len(own)][good]
            left.append(own[~good])
        rest = np.concatenate(left)
        self.proven += len(points) - len(rest)
        if len(rest) < len(points) and order is not self._orders[0]:
            self._orders.remove(order)
            self._orders.insert(0, order)
        return rest


def _padded(points: Ints) -> Ints:
    """Return the points of a block, the last one repeated until it is full."""
    return np.concatenate((points, np.repeat(points[-1:], WIDTH - len(points))))
