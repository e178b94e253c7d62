"""The frozen engine for many prices of one plan: same plan, same rule, same integers.

It keeps the orders in which :mod:`.compiled` started the tasks of a plan. In a known order the
times are a recurrence that needs no events, so a block of points goes through it side by side
(:mod:`._frozen_times`). Each point is proven: the rule would have found the same order. A point
that is not goes on to the next order, and in the end to :mod:`.compiled`, whose order is kept too.

A plan that falls apart into pieces that run one after the other (:mod:`._frozen_pieces`) costs
what its different pieces cost.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hybridsim.engines import compiled
from hybridsim.engines._frozen_order import Order, freeze
from hybridsim.engines._frozen_pieces import Piece, pieces, whole
from hybridsim.engines._frozen_times import WIDTH, times
from hybridsim.plan import Bools, Plan, Timeline, check_total
from hybridsim.units import Ints

Run: TypeAlias = Callable[[Plan, Ints], tuple[Timeline, Callable[[], Order]]]
"""What decides when the tasks of a plan start: returns the timeline, and how to get its order."""

_MOST_ORDERS = 32
"""Orders that a piece keeps; all of them take about as long as executing a large one."""
_SAMPLE = 64
"""Points on which an order is tried first."""
_PATIENCE = 4
"""New orders in a row that served no other point, after which points are just executed."""


def execution(plan: Plan, time_ps: Ints) -> tuple[Timeline, Callable[[], Order]]:
    """Execute a plan by the execution rule; ``time_ps`` gives the time of each work [ps]."""
    timeline = compiled.run(plan, time_ps)
    return timeline, lambda: freeze(plan, timeline)


@dataclass(eq=False)
class Frozen:
    """A plan, and the orders that were found for it."""

    plan: Plan
    run: Run = execution
    """How a point is executed that no known order is proven for."""
    most_orders: int = _MOST_ORDERS
    least_share: float = 0.0
    """The share of points an order must serve, or no more orders are sought. Where executing a
    point costs little more than trying an order on it, an order has to serve many."""

    def makespans(self, time_ps: Ints) -> Ints:
        """Return the last end of each point [ps], shape (points,).

        ``time_ps`` has the time of each work at each point [ps], shape (works, points).

        Raises:
            PlanError: The tasks of a point together last 2^62 ps or more.
        """
        # an order would be proven for ends that have wrapped around
        check_total((self._tasks @ time_ps).max(initial=0.0))
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
        return self.run(self.plan, time_ps)[0]

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
    def _tasks(self) -> NDArray[np.float64]:
        """How many tasks do each work."""
        return np.bincount(self.plan.work, minlength=len(self.plan.works)).astype(np.float64)

    def _retimed(self, piece: Piece) -> "_Retimed":
        return _Retimed(piece, self.run, self.most_orders, self.least_share)

    @cached_property
    def _pieces(self) -> "list[_Retimed]":
        return [self._retimed(piece) for piece in pieces(self.plan)]

    @cached_property
    def _whole(self) -> "_Retimed":
        if len(self._pieces) == 1 and self._pieces[0].piece.times == 1:
            return self._pieces[0]
        return self._retimed(whole(self.plan))


@dataclass(eq=False)
class _Retimed:
    """A piece of a plan, and the orders that were found for it."""

    piece: Piece
    run: Run
    most_orders: int
    least_share: float
    proven: int = 0
    executed: int = 0
    _orders: list[Order] = field(default_factory=list)
    _idle: int = 0
    """New orders in a row that served no other point."""
    _hopeless: bool = False
    """Whether an order served too few points for another one to be sought."""

    def makespans(self, time_ps: Ints) -> tuple[Ints, Bools]:
        """Return the last end of each point, and whether what the next piece waits for is that."""
        points = time_ps.shape[1]
        latest, apart = np.zeros(points, np.int64), np.ones(points, np.bool_)
        left = np.arange(points)
        for order in list(self._orders):
            left = self._tried(order, time_ps, left, latest, apart)
        if len(left):
            self._idle = min(self._idle, _PATIENCE - 1)  # one new order per call is worth a try
        while len(left):
            point, left = int(left[0]), left[1:]
            self.executed += 1
            own = np.ascontiguousarray(time_ps[self.piece.works, point])
            timeline, order_of = self.run(self.piece.plan, own)
            latest[point] = timeline.makespan
            apart[point] = self._ends_together(timeline.end, latest[point])
            if self._idle < _PATIENCE and len(left) and not self._hopeless:
                before, new = len(left), order_of()
                self._orders = [new, *self._orders[: self.most_orders - 1]]
                left = self._tried(new, time_ps, left, latest, apart)
                self._idle = 0 if len(left) < before else self._idle + 1
        return latest, apart

    def _tried(
        self, order: Order, time_ps: Ints, points: Ints, latest: Ints, apart: Bools
    ) -> Ints:
        """Retime points by an order as long as it serves enough; return those that are left."""
        few, rest = points[:_SAMPLE], points[_SAMPLE:]
        left = self._retime(order, time_ps, few, latest, apart)
        if len(few) - len(left) < self.least_share * len(few):
            self._hopeless = True
            self._orders.remove(order)
            return np.concatenate((left, rest))
        if len(rest):
            rest = self._retime(order, time_ps, rest, latest, apart)
        return np.concatenate((left, rest))

    def _ends_together(self, end: Ints, latest: Ints) -> Bools:
        """Return whether each exit ends last; ``end`` has the shape (tasks, ...)."""
        holds = np.ones(end.shape[1:], np.bool_)
        for tasks in self.piece.exits:
            holds &= end[tasks].max(axis=0, initial=0) == latest
        return holds

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
            found, holds = times(order, piece.plan.work, block, end)
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
