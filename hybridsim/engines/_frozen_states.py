"""The execution rule as a table of states that grows while points are executed.

What the rule does next depends on which tasks are done, ready and running, and on which of the
running ones end first; durations decide nothing else. So a *state* is which tasks are what, and a
*move* leads from a state and the set of tasks that end first to the next one, and names the tasks
that start. Each move is worked out once, by the rule itself; from then on an instant costs a look
at the ends of what runs. There is no order to prove.

Tasks of a loop are kept relative to its first unfinished iteration, in a *window*, so loops of any
length share their states. A state also holds numbers of three kinds:

*   *begun*: how many iterations of a loop are complete, as far as the first ones are different.
*   *left*: how many are not complete, as far as the last ones are near, else :data:`FAR`.
*   *gap*: how far a loop is behind one that it reads beside it, unless that is done with what can
    be asked for, :data:`FAR`.

What is far in a state is counted for each point. When it comes near, the state is changed for one
that holds the number. Where a state comes back after some time with the same times left, what
happened in between happens again, until something comes near: those periods are added at once.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hybridsim.compiling import compiled
from hybridsim.engines._frozen_loops import Drawn
from hybridsim.engines._frozen_records import (
    CLOCK,
    FAR,
    MOVE,
    SIZES,
    START,
    STATE,
    WATCH,
    Records,
)
from hybridsim.engines._frozen_walk import enter, execute
from hybridsim.engines.lines import Lines
from hybridsim.plan import Bools
from hybridsim.units import Ints

_GROWTH = 4
_LARGEST = 2**22
"""Numbers in the states of a piece, beyond which they are forgotten and begun anew."""


@dataclass(eq=False)
class States:
    """The states of a piece."""

    drawn: Drawn
    lengths: Ints
    worked_out: int = 0
    """States that were ever worked out, those that were forgotten again as well."""
    _room: int = 64

    def __post_init__(self) -> None:
        self._clear()

    @property
    def states(self) -> int:
        """How many states are known."""
        return int(self._sizes[0]["states"])

    @property
    def cost(self) -> float:
        """What working out a state takes, in tasks of a plan that is laid out; as measured."""
        return 15 + self.drawn.length / 20

    @property
    def spent(self) -> float:
        """What all states took so far, in such tasks."""
        return self.worked_out * self.cost

    def _clear(self) -> None:
        """Make tables with the state in which nothing has begun; nothing that is once is far."""
        one = self.drawn
        self._sizes = np.zeros(1, SIZES)
        self._limits = np.zeros(len(one.loops) + len(one.gaps), np.int64)
        self._make_tables()
        marks = self._marks[0]
        marks[one.loops["left"]] = np.where(one.loops["window"] == 1, 1, FAR)
        marks[one.gaps["place"]] = one.gaps["ahead"]
        self._states[0]["move"] = -1
        far = np.flatnonzero(one.loops["window"] > 1)
        limits = one.loops["ahead"][far] + one.loops["late"][far] - 1
        self._watches["place"][: len(far)], self._watches["limit"][: len(far)] = far, limits
        self._limits[far] = limits
        self._states[0]["watch_last"] = len(far)
        self._sizes[0] = (1, 0, 0, len(far), 0)

    def _make_tables(self) -> None:
        one, room = self.drawn, self._room
        # a row more than states, for one under construction
        self._words = np.zeros((room + 1, -(-one.length // 4)), np.int64)
        self._marks = self._words.view(np.int16)
        self._table = np.zeros(1 << (2 * room).bit_length(), np.int64)
        self._states = np.zeros(room, STATE)
        self._moves = np.zeros(4 * room, MOVE)
        self._advanced = np.zeros((4 * room + 1, len(one.loops)), np.int16)
        self._starts = np.zeros(8 * room + one.slots, START)
        self._watches = np.zeros(len(self._limits) * (room + 1), WATCH)

    @cached_property
    def _rooms(self) -> tuple[Ints, Ints, Records, Ints, NDArray[np.int8]]:
        one = self.drawn
        ends, begun = np.empty((4, one.slots), np.int64), np.empty((2, len(one.loops)), np.int64)
        taken = np.empty(one.slots, np.int8)
        return ends, begun, np.zeros(1, CLOCK), np.empty_like(one.units), taken

    def _grow(self) -> None:
        """Make larger tables of the same contents."""
        filled = self._sizes[0]
        own = {"_words": "states", "_states": "states", "_moves": "moves", "_advanced": "moves",
               "_starts": "starts", "_watches": "watches"}  # fmt: skip
        before = {name: getattr(self, name)[: filled[table]] for name, table in own.items()}
        self._room *= _GROWTH
        self._make_tables()
        for name, rows in before.items():
            getattr(self, name)[: len(rows)] = rows
        compiled(enter)(self.states, self._words, self._table)

    def makespans(
        self, time_ps: Ints, counts: Ints, most: float, lines: Lines
    ) -> tuple[Ints, Bools]:
        """Return the last ends, and whether they are known and what is waited for ends last.

        ``time_ps`` and ``counts`` have a column for each kind of the points. Once new states have
        taken ``most``, in tasks of a plan that is laid out, points that need more of them stay
        unknown, and those behind them.
        """
        one = self.drawn
        points = len(lines.kind)
        latest, found = np.full(points, -1, np.int64), np.zeros(points, np.int64)
        own = np.ascontiguousarray(counts[self.lengths])
        enough = self.worked_out + max(0.0, most) / self.cost
        point = 0
        while True:
            before, begun = self.states, point
            self._sizes[0]["most"] = int(min(self._room, before + enough - self.worked_out))
            point = compiled(execute)(
                one.loops, one.steps, one.odds, one.uses, one.needs, one.gaps, one.exits,
                one.units, one.slots, self._marks, self._words, self._table, self._states,
                self._moves, self._starts, self._watches, self._advanced, self._sizes,
                self._limits, time_ps, lines.growth, lines.kind, lines.place, own, point, latest,
                found, *self._rooms,
            )  # fmt: skip
            self.worked_out += self.states - before
            if point == points or self.worked_out + 1 > enough:
                break
            if self._room * one.length <= _LARGEST:
                self._grow()
                continue
            if begun == point:
                point += 1  # a point with more states than there is room for stays unknown
            self._clear()
        return latest, (latest >= 0) & (found == (1 << one.sets) - 1)
