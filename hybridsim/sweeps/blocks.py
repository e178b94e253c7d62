"""Points of a study in blocks: cases by what cannot be a column, columns by what can."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from hybridsim.errors import CapacityError, InputError
from hybridsim.mapping import Mapping as PlacedNetwork
from hybridsim.mapping import place
from hybridsim.plan import Bools
from hybridsim.strategies import NetworkStrategy
from hybridsim.sweeps import layer_points, machines
from hybridsim.sweeps.inputs import Inputs, Point, Resolver
from hybridsim.sweeps.layer_points import LayerPointsOf
from hybridsim.sweeps.plan_points import Planned, PlanPoints
from hybridsim.sweeps.whole_runs import (
    DETAILS,
    DOES_NOT_FIT,
    Columns,
    WholeRuns,
    in_words,
    measured,
    tokens_of,
)
from hybridsim.units import Ints

_MOST_CASES = 64
"""Cases that are remembered: the points of a chunk mostly are of few."""
_AT_ONCE = 1 << 15
"""Points of one layer that are evaluated together: their columns stay in the cache."""


class Blocks:
    """All points of a case at once, where a case is what numbers cannot tell apart."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs, self._resolver, self._whole = inputs, Resolver(inputs), WholeRuns(inputs)
        self._cases: dict[int, _Case] = {}
        self._columns = [
            place
            for place, axis in enumerate(inputs.axes)
            if axis.numbers is not None and axis.name in layer_points.PATHS
        ]
        self._shape = tuple(
            1 if place in self._columns else length for place, length in enumerate(inputs.shape)
        )

    def evaluate(self, indices: Ints) -> Columns:
        """Return the columns that the study asks for, and ``problem``, of some of its points."""
        places = self._inputs.coordinates(indices)
        of_case = [own % length for own, length in zip(places, self._shape, strict=True)]
        case = np.ravel_multi_index(of_case, self._shape) if of_case else np.zeros_like(indices)
        names = (*self._inputs.columns, "problem")
        found: Columns = {name: np.empty(len(indices), dtype=object) for name in names}
        asked = np.zeros(len(indices), np.bool_)
        for number in np.unique(case).tolist():
            rows = np.flatnonzero(case == number)
            values = {}
            for i in self._columns:
                numbers = self._inputs.axes[i].numbers
                assert numbers is not None
                values[self._inputs.axes[i].name] = numbers[places[i][rows]]
            own = self._case(number).rows(values, len(rows), indices[rows])
            for name in names:
                found[name][rows] = own[name]
            asked[rows] = own["ask"]
        left = np.flatnonzero(asked)
        if len(left):
            for name, column in self._whole.evaluate(indices[left]).items():
                found[name][left] = column
        return found

    def _case(self, number: int) -> "_Case":
        if number not in self._cases:
            while len(self._cases) >= _MOST_CASES:
                del self._cases[next(iter(self._cases))]
            self._cases[number] = _Case(self._resolver, self._inputs.columns)
        return self._cases[number]


@dataclass
class _Case:
    """Points that differ in columns alone."""

    resolver: Resolver
    names: Sequence[str]
    _placed: dict[tuple[int, ...], "_Placed | str | None"] = field(default_factory=dict)

    def rows(self, columns: Mapping[str, Ints], points: int, indices: Ints) -> dict[str, Any]:
        """Return the result columns of points, ``problem``, and ``ask``: those to run as a whole.

        What of the columns makes another network or strategy is a part of a case of its own.
        """
        found: dict[str, Any] = {
            name: np.empty(points, dtype=object) for name in (*self.names, "problem")
        }
        found["ask"] = np.zeros(points, np.bool_)
        placed = self._place((), int(indices[0]))
        if isinstance(placed, _Placed) and layer_points.covers(placed.point.strategy):
            self._fill(found, np.arange(points), placed, columns)
            return found
        own = [path for path in columns if path not in machines.PATHS]
        settings, which = machines.different([columns[path] for path in own], points)
        machine = {path: c for path, c in columns.items() if path in machines.PATHS}
        for number, setting in enumerate(settings):
            at = np.flatnonzero(which == number)
            placed = self._place(setting, int(indices[at[0]]))
            self._fill(found, at, placed, {path: c[at] for path, c in machine.items()})
        return found

    def _fill(
        self, found: dict[str, Any], at: Ints, placed: "_Placed | str | None", columns: Any
    ) -> None:
        if isinstance(placed, str):
            found["problem"][at] = placed
            return
        own_paths = [path for path in columns if path in machines.PATHS]
        if placed is None or not all(machines.has(placed.point.machine, p) for p in own_paths):
            found["ask"][at] = True
            return
        sound = placed.sound(columns, len(at))
        if not sound.all():
            found["ask"][at[~sound]] = True
            at, columns = at[sound], {path: c[sound] for path, c in columns.items()}
        if not len(at):
            return
        try:
            own = placed.rows(columns, len(at), self.names)
        except CapacityError:
            found["problem"][at] = DOES_NOT_FIT
            return
        except (InputError, OverflowError):
            found["ask"][at] = True  # a run of each by itself says what is wrong
            return
        for name, column in own.items():
            found[name][at] = column

    def _place(self, setting: tuple[int, ...], index: int) -> "_Placed | str | None":
        """Return what is placed, why nothing is, or None where each point is to say that."""
        if setting not in self._placed:
            self._placed[setting] = self._placed_at(index)
        return self._placed[setting]

    def _placed_at(self, index: int) -> "_Placed | str | None":
        try:
            point = self.resolver.point(index)
            tokens = tokens_of(point)
        except InputError:
            return None
        try:
            return _Placed(point, place(point.network, point.machine), tokens)
        except InputError as error:
            return in_words(error)  # where weights lie depends on no column


@dataclass
class _Placed:
    """A network on a machine under a strategy."""

    point: Point
    mapping: PlacedNetwork
    tokens: int

    def sound(self, columns: machines.Columns, points: int) -> Bools:
        """Return the points whose values make machines, layers and strategies."""
        own = {path: c for path, c in columns.items() if path in machines.PATHS}
        sound = machines.valid(self.point.machine, own, points)
        if layer_points.covers(self.point.strategy):
            of_layers = LayerPointsOf(self.mapping, self.point.strategy, self.tokens)
            sound &= of_layers.sound(columns, points)
        return sound

    def rows(self, columns: machines.Columns, points: int, names: Sequence[str]) -> dict[str, Any]:
        """Return the result columns of points.

        Raises:
            InputError: The strategy cannot be decided.
            OverflowError: A time does not fit 64 bits.
        """
        strategy = self.point.strategy
        if any(name in DETAILS for name in names):
            return {"ask": np.ones(points, np.bool_), "problem": ""}
        if layer_points.covers(strategy):
            parts = [
                self._layers({path: c[first : first + _AT_ONCE] for path, c in columns.items()},
                             min(_AT_ONCE, points - first), names)
                for first in range(0, points, _AT_ONCE)
            ]  # fmt: skip
            return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return self._plans(columns, points, names)

    def _layers(
        self, columns: machines.Columns, points: int, names: Sequence[str]
    ) -> dict[str, Any]:
        own = LayerPointsOf(self.mapping, self.point.strategy, self.tokens)
        found = own.evaluate(columns, points)
        problem = np.full(points, "", dtype=object)
        problem[found.unfit] = DOES_NOT_FIT
        known = {
            "latency_ps": found.latency_ps, "yardstick_ps": found.yardstick_ps,
            "tcdm_bytes": found.tcdm_bytes, "batch": found.batch, "buffers": found.buffers,
            "tasks": found.tasks, "tiles": np.full(points, self.mapping.tiles),
            "crossbars": np.full(points, self.mapping.crossbars),
        }  # fmt: skip
        rows: dict[str, Any] = {}
        for name in names:
            rows[name] = known[name].astype(object)
            rows[name][found.unfit] = None
        # why nothing fits is the same for all, unless the units cannot do it at all
        return rows | {"problem": problem, "ask": found.ask}

    def _plans(
        self, columns: machines.Columns, points: int, names: Sequence[str]
    ) -> dict[str, Any]:
        strategy = self.point.strategy
        own = self._plan_points
        found = own.evaluate(columns, points)
        latency = found.latency_ps.tolist()
        yardstick = latency
        bare = isinstance(strategy, NetworkStrategy) and not self.mapping.network.adapted_layers
        if "yardstick_ps" in names and not bare:
            yardstick = self._yardstick(columns, points)
        shown: dict[int, dict[str, int]] = {}
        rows: dict[str, Any] = {name: [] for name in names}
        for at, planned in enumerate(found.plans):
            own_row = self._row(planned, shown)
            if planned is not None:
                own_row = own_row | {"latency_ps": latency[at], "yardstick_ps": yardstick[at]}
            for name in names:
                rows[name].append(own_row.get(name))
        return rows | {
            "problem": found.problems,
            "ask": np.zeros(points, np.bool_),
        }

    def _row(self, planned: Planned | None, shown: dict[int, dict[str, int]]) -> dict[str, int]:
        if planned is None:
            return {}
        if id(planned) not in shown:
            shown[id(planned)] = measured(planned.layers, self.mapping, self.tokens) | {
                "tcdm_bytes": planned.tcdm_bytes, "tasks": planned.tasks,
            }  # fmt: skip
        return shown[id(planned)]

    @cached_property
    def _plan_points(self) -> PlanPoints:
        return PlanPoints(self.mapping, self.point.strategy, self.tokens, DOES_NOT_FIT)

    @cached_property
    def _bare_points(self) -> PlanPoints:
        return self._plan_points.without_adapters()

    def _yardstick(self, columns: machines.Columns, points: int) -> list[int]:
        """Return the latency without adapters of each point [ps]; 0 where there is none."""
        if isinstance(self.point.strategy, NetworkStrategy):
            bare = self._bare_points.evaluate(columns, points)
            found: list[int] = bare.latency_ps.tolist()
            return found
        own = LayerPointsOf(self.mapping, self.point.strategy, self.tokens)
        alone: list[int] = own.without_adapters(columns, points).tolist()
        return alone
