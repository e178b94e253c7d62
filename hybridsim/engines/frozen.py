"""The frozen engine for many prices of one plan: same plan, same rule, same integers.

A plan that falls apart into pieces that run one after the other (:mod:`._frozen_pieces`) costs
what its different pieces cost.

Of each piece the engine keeps the orders in which :mod:`.compiled` started its tasks. In a known
order the times are a recurrence that needs no events, so a block of points goes through it side by
side (:mod:`._frozen_times`). Each point is proven: the rule would have found the same order. A
point that is not goes on to the next order, and in the end to :mod:`.compiled`, whose order is
kept too. Pieces that are reserved ahead of time have a way of their own (:mod:`.reservation`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hybridsim.engines import compiled
from hybridsim.engines._frozen_order import Order, freeze
from hybridsim.engines._frozen_pieces import Piece, pieces, whole
from hybridsim.engines._frozen_times import WIDTH, times
from hybridsim.plan import Bools, Plan, check_total
from hybridsim.units import Ints

_MOST_ORDERS = 32
"""Orders that a piece keeps; all of them take about as long as executing a large one."""
_PATIENCE = 4
"""New orders in a row that served no other point, after which points are just executed."""


class PiecePoints(Protocol):
    """A way to find the points of a piece."""

    piece: Piece
    proven: int
    """How many points were served by an order that was known."""
    executed: int

    def makespans(self, time_ps: Ints) -> tuple[Ints, Bools]:
        """Return the last end of each point, and whether what the next piece waits for is that.

        ``time_ps`` has the time of each work of the whole plan at each point [ps].
        """


@dataclass(eq=False)
class RetimedPiece:
    """A piece under the execution rule, and the orders that were found for it."""

    piece: Piece
    proven: int = 0
    executed: int = 0
    _orders: list[Order] = field(default_factory=list)
    _idle: int = 0
    """New orders in a row that served no other point."""

    def makespans(self, time_ps: Ints) -> tuple[Ints, Bools]:
        """Return the last end of each point, and whether what the next piece waits for is that."""
        points = time_ps.shape[1]
        latest, apart = np.zeros(points, np.int64), np.ones(points, np.bool_)
        left = np.arange(points)
        for order in list(self._orders):
            left = self._retime(order, time_ps, left, latest, apart)
        if len(left):
            self._idle = min(self._idle, _PATIENCE - 1)  # one new order per call is worth a try
        while len(left):
            point, left = int(left[0]), left[1:]
            self.executed += 1
            plan = self.piece.plan
            timeline = compiled.run(plan, np.ascontiguousarray(time_ps[self.piece.works, point]))
            latest[point] = timeline.makespan
            apart[point] = self.piece.ends_together(timeline.end, timeline.makespan)
            if self._idle < _PATIENCE and len(left):
                before, new = len(left), freeze(plan, timeline)
                self._orders = [new, *self._orders[: _MOST_ORDERS - 1]]
                left = self._retime(new, time_ps, left, latest, apart)
                self._idle = 0 if len(left) < before else self._idle + 1
        return latest, apart

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
                apart[own[good]] = self.piece.ends_together(end, found)[: len(own)][good]
            left.append(own[~good])
        rest = np.concatenate(left)
        self.proven += len(points) - len(rest)
        if len(rest) < len(points) and order is not self._orders[0]:
            self._orders.remove(order)
            self._orders.insert(0, order)
        return rest


@dataclass(eq=False)
class Frozen:
    """A plan, and what is known of its pieces."""

    plan: Plan
    way: Callable[[Piece], PiecePoints] = RetimedPiece
    """How the points of its pieces are found."""
    most_different: float = 1.0
    """Share of the tasks that the different pieces may have; with more the plan is left whole."""

    def makespans(self, time_ps: Ints) -> Ints:
        """Return the last end of each point [ps], shape (points,).

        ``time_ps`` has the time of each work at each point [ps], shape (works, points).

        Raises:
            PlanError: The tasks of a point together last 2^62 ps or more.
        """
        self._check(time_ps)
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

    def at_least(self, time_ps: Ints) -> Ints:
        """Return what no point takes less than: how long its busiest resource is held [ps].

        Raises:
            PlanError: The tasks of a point together last 2^62 ps or more.
        """
        self._check(time_ps)
        units, held = self._held
        least: Ints = (-(-(held @ time_ps) // units[:, None])).max(axis=0, initial=0)
        return least

    def _check(self, time_ps: Ints) -> None:
        # an order would be proven for ends that have wrapped around
        check_total((self._tasks @ time_ps).max(initial=0.0))

    @property
    def proven(self) -> int:
        """How often a point of a piece was served by an order that was known."""
        return sum(piece.proven for piece in self._all)

    @property
    def executed(self) -> int:
        """How often a point of a piece was executed."""
        return sum(piece.executed for piece in self._all)

    @property
    def _all(self) -> list[PiecePoints]:
        return [*{id(piece): piece for piece in (*self._pieces, self._whole)}.values()]

    @cached_property
    def _tasks(self) -> NDArray[np.float64]:
        """How many tasks do each work."""
        return np.bincount(self.plan.work, minlength=len(self.plan.works)).astype(np.float64)

    @cached_property
    def _held(self) -> tuple[Ints, Ints]:
        """Units, and how many tasks of each work use them, of each different resource."""
        plan, works = self.plan, len(self.plan.works)
        user = np.repeat(plan.work, np.diff(plan.use_first))
        held = np.bincount(plan.use * works + user, minlength=len(plan.resources) * works)
        units = np.array([resource.units for resource in plan.resources], np.int64)
        rows = np.unique(np.column_stack((units, held.reshape(len(units), works))), axis=0)
        return rows[:, 0], rows[:, 1:]

    @cached_property
    def _pieces(self) -> list[PiecePoints]:
        found = pieces(self.plan)
        if sum(len(piece.plan) for piece in found) > self.most_different * len(self.plan):
            found = [whole(self.plan)]
        return [self.way(piece) for piece in found]

    @cached_property
    def _whole(self) -> PiecePoints:
        if len(self._pieces) == 1 and self._pieces[0].piece.times == 1:
            return self._pieces[0]
        return self.way(whole(self.plan))


def _padded(points: Ints) -> Ints:
    """Return the points of a block, the last one repeated until it is full."""
    return np.concatenate((points, np.repeat(points[-1:], WIDTH - len(points))))
