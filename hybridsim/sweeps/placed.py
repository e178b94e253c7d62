"""A placed network under a strategy, at many points that differ in numbers alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hybridsim.mapping import Mapping as PlacedNetwork
from hybridsim.plan import Bools
from hybridsim.strategies import NetworkStrategy, Strategy, analog_yardstick
from hybridsim.sweeps import layer_points, machines
from hybridsim.sweeps.columns import MEASURED
from hybridsim.sweeps.layer_points import LayerPointsOf
from hybridsim.sweeps.machines import Columns
from hybridsim.sweeps.plan_points import PlanPoints
from hybridsim.sweeps.whole_runs import DOES_NOT_FIT, measured
from hybridsim.units import Ints


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Results of points, as columns."""

    numbers: Mapping[str, Ints | int]
    """All measured columns by name; without meaning where there is a problem. One number stands
    for a column of equal ones."""
    problem: NDArray[np.object_]
    ask: Bools
    """Points that only a run as a whole tells."""


@dataclass
class Placed:
    """A network on a machine under a strategy; what points have as columns may be any."""

    mapping: PlacedNetwork
    strategy: Strategy
    tokens: int
    yardstick: bool
    """Whether it is asked for how long the network takes without adapters."""

    @property
    def layer_by_layer(self) -> bool:
        """Whether layers run one by one, so that more can be columns than the machine."""
        return layer_points.covers(self.strategy)

    def has(self, columns: Columns) -> bool:
        """Return whether the machine has all parts that columns describe."""
        own = [path for path in columns if path in machines.PATHS]
        return all(machines.has(self.mapping.machine, path) for path in own)

    def sound(self, columns: Columns, points: int) -> Bools:
        """Return the points whose values make machines, layers and strategies."""
        own = {path: c for path, c in columns.items() if path in machines.PATHS}
        sound = machines.valid(self.mapping.machine, own, points)
        return sound & self._layers.sound(columns, points) if self.layer_by_layer else sound

    def rows(self, columns: Columns, points: int) -> Rows:
        """Return the results of points whose values are sound.

        Raises:
            InputError: The strategy cannot be decided.
            OverflowError: A time does not fit 64 bits.
        """
        if self.layer_by_layer:
            return self._of_layers(columns, points)
        return self._of_plans(columns, points)

    def _of_layers(self, columns: Columns, points: int) -> Rows:
        found = self._layers.evaluate(columns, points)
        problem = np.full(points, "", dtype=object)
        problem[found.unfit] = DOES_NOT_FIT
        numbers: dict[str, Ints | int] = {
            "latency_ps": found.latency_ps, "yardstick_ps": found.yardstick_ps,
            "tcdm_bytes": found.tcdm_bytes, "batch": found.batch, "buffers": found.buffers,
            "tasks": found.tasks, "tiles": self.mapping.tiles,
            "crossbars": self.mapping.crossbars,
        }  # fmt: skip
        return Rows(numbers, problem, found.ask)

    def _of_plans(self, columns: Columns, points: int) -> Rows:
        found = self._plans.evaluate(columns, points)
        shown = [
            measured(planned.layers, self.mapping, self.tokens)
            | {"tcdm_bytes": planned.tcdm_bytes, "tasks": planned.tasks}
            for planned in found.plans
        ] or [dict.fromkeys(MEASURED, 0)]
        numbers: dict[str, Ints | int] = {
            name: np.array([own[name] for own in shown], np.int64)[found.plan] for name in shown[0]
        }
        numbers["latency_ps"] = found.latency_ps
        numbers["yardstick_ps"] = self._yardstick(columns, points, found.latency_ps)
        return Rows(numbers, found.problem, np.zeros(points, np.bool_))

    def _yardstick(self, columns: Columns, points: int, latency: Ints) -> Ints:
        """Return the latency without adapters of each point [ps]; 0 where there is none."""
        if not self.yardstick:
            return np.zeros(points, np.int64)
        if not isinstance(self.strategy, NetworkStrategy):
            if not analog_yardstick(self.strategy).stream:
                return self._layers.yardstick_ps(columns, points)
        elif not self.mapping.network.adapted_layers:
            return latency
        return self._yardstick_plans.evaluate(columns, points).latency_ps

    @cached_property
    def _layers(self) -> LayerPointsOf:
        return LayerPointsOf(self.mapping, self.strategy, self.tokens)

    @cached_property
    def _plans(self) -> PlanPoints:
        return PlanPoints(self.mapping, self.strategy, self.tokens)

    @cached_property
    def _yardstick_plans(self) -> PlanPoints:
        if isinstance(self.strategy, NetworkStrategy):
            return self._plans.without_adapters()
        return PlanPoints(self.mapping, analog_yardstick(self.strategy), self.tokens)
