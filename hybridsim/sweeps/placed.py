"""A placed network under a strategy, at many points that differ in numbers alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hybridsim.mapping import Mapping as PlacedNetwork
from hybridsim.mapping.copies import depend_on_times
from hybridsim.plan import Bools
from hybridsim.strategies import LAYER_BY_LAYER, NetworkStrategy, Strategy, analog_yardstick
from hybridsim.sweeps import kinds, layer_points, machines
from hybridsim.sweeps.columns import MEASURED
from hybridsim.sweeps.energies import Energies
from hybridsim.sweeps.inputs import Resolver
from hybridsim.sweeps.layer_points import Found, LayerPointsOf
from hybridsim.sweeps.machines import Columns
from hybridsim.sweeps.plan_points import PlanPoints
from hybridsim.sweeps.whole_runs import DOES_NOT_FIT, measured, not_known, of_placement
from hybridsim.units import Ints

Numbers = Ints | NDArray[np.float64] | float
"""A column of numbers, or one for all points."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Results of points, as columns."""

    numbers: Mapping[str, Numbers]
    """All columns but energies by name; without meaning where there is a problem. One number
    stands for a column of equal ones."""
    problem: NDArray[np.object_]
    ask: Bools
    """Points that only a run as a whole tells."""
    decided: Ints
    """Points whose columns here agree, and those of the study that are none of the machine, were
    decided alike; shape (some, points)."""


@dataclass
class Placed:
    """A network on a machine under a strategy; what points have as columns may be any."""

    mapping: PlacedNetwork
    strategy: Strategy
    tokens: int
    resolver: Resolver
    """Of the study that the points are of."""

    @property
    def layer_by_layer(self) -> bool:
        """Whether layers run one by one, so that more can be columns than the machine."""
        return layer_points.covers(self.strategy)

    def has(self, columns: Columns) -> bool:
        """Return whether the machine has all parts that columns describe, and is placed alike."""
        if self.layer_by_layer and self.mapping.shares_in_time:
            return False  # tiles are written between layers
        if self.layer_by_layer and not all(layer.tiles for layer in self.mapping.layers):
            return False  # clusters compute layers, which only a run refuses in words
        if depend_on_times(self.mapping.machine) and any(p.startswith("tile.") for p in columns):
            return False
        own = [path for path in columns if path in machines.PATHS]
        return all(machines.has(self.mapping.machine, path) for path in own)

    def sound(self, columns: Columns, points: int) -> Bools:
        """Return the points whose values make machines, layers and strategies."""
        own = {path: c for path, c in columns.items() if path in machines.PATHS}
        sound = machines.valid(self.mapping.machine, own, points)
        return sound & self.layers.sound(columns, points) if self.layer_by_layer else sound

    def with_energies(self, found: Rows, columns: Columns, indices: Ints) -> Rows:
        """Return results of points with their energies, where the study asks for them."""
        if "energy_pj" not in self._asked:
            return found
        ran = np.flatnonzero((found.problem == "") & ~found.ask)
        energy, ask = np.full(len(indices), np.nan), found.ask.copy()
        if len(ran):
            own = {path: column[ran] for path, column in columns.items()}
            latency = np.asarray(found.numbers["latency_ps"])[ran]
            energy[ran], ask[ran] = self._energies.of(
                found.decided[:, ran], own, indices[ran], latency
            )
        return replace(found, numbers={**found.numbers, "energy_pj": energy}, ask=ask)

    def of_layers(self, found: Found, columns: Columns, points: int) -> Rows:
        """Return the results of points whose layers run one by one."""
        problem = np.full(points, self._not_known, dtype=object)
        problem[found.unfit] = DOES_NOT_FIT
        numbers: dict[str, Numbers] = {
            "latency_ps": found.latency_ps, "yardstick_ps": found.yardstick_ps,
            "tcdm_bytes": found.tcdm_bytes, "batch": found.batch, "buffers": found.buffers,
            "tasks": found.tasks, "tiles": self.mapping.tiles,
            "crossbars": self.mapping.crossbars, "layer_by_layer_ps": found.yardstick_ps,
        }  # fmt: skip
        tokens = columns.get(layer_points.TOKENS, self.tokens)
        numbers |= self._of_all(found.latency_ps, found.tasks, tokens)
        return Rows(numbers, problem, found.ask, found.decided)

    def of_plans(self, columns: Columns, points: int) -> Rows:
        """Return the results of points of any other strategy.

        Raises:
            InputError: The strategy cannot be decided.
            OverflowError: A time does not fit 64 bits.
        """
        found = self._plans.evaluate(columns, points)
        shown = [
            measured(planned.layers, self.mapping, self.tokens)
            | {"tcdm_bytes": planned.tcdm_bytes, "tasks": planned.tasks, "plan": planned.number}
            for planned in found.plans
        ] or [dict.fromkeys((*MEASURED, "plan"), 0)]
        numbers: dict[str, Numbers] = {
            name: np.array([own[name] for own in shown], np.int64)[found.plan] for name in shown[0]
        }
        decided = np.asarray(numbers.pop("plan"))[None]
        numbers["latency_ps"] = found.latency_ps
        numbers["yardstick_ps"] = self._yardstick(columns, points, found.latency_ps)
        numbers["layer_by_layer_ps"] = self._layer_by_layer(columns, points)
        numbers |= self._of_all(found.latency_ps, np.asarray(numbers["tasks"]), self.tokens)
        problem = np.where(found.problem == "", self._not_known, found.problem)
        return Rows(numbers, problem, np.zeros(points, np.bool_), decided)

    def _of_all(self, latency: Ints, tasks: Ints, tokens: Ints | int) -> dict[str, Numbers]:
        """Return the columns of any strategy that latency and placement show."""
        with np.errstate(divide="ignore"):
            rate = np.where(tasks > 0, tokens * 1e12 / latency, 0.0)
        return {"throughput_tokens_per_s": rate, **of_placement(self.mapping)}

    @cached_property
    def _not_known(self) -> str:
        return not_known(self._asked, self.mapping)

    @cached_property
    def _asked(self) -> tuple[str, ...]:
        return self.resolver.inputs.columns

    @cached_property
    def _energies(self) -> Energies:
        return Energies(self.resolver)

    def _yardstick(self, columns: Columns, points: int, latency: Ints) -> Ints:
        """Return the latency without adapters of each point [ps]; 0 where there is none."""
        if "yardstick_ps" not in self._asked:
            return np.zeros(points, np.int64)
        if not isinstance(self.strategy, NetworkStrategy):
            if not analog_yardstick(self.strategy).stream:
                return kinds.yardstick_ps(self.layers, columns, points)
        elif not self.mapping.network.adapted_layers:
            return latency
        return self._yardstick_plans.evaluate(columns, points).latency_ps

    def _layer_by_layer(self, columns: Columns, points: int) -> Numbers:
        """Return the latency of all-analog layers in turn [ps]; no number for whole networks."""
        if "layer_by_layer_ps" not in self._asked or isinstance(self.strategy, NetworkStrategy):
            return np.nan
        return self._in_turn.evaluate(columns, points).latency_ps

    @cached_property
    def layers(self) -> LayerPointsOf:
        """The points where layers run one by one."""
        return LayerPointsOf(self.mapping, self.strategy, self.tokens)

    @cached_property
    def _plans(self) -> PlanPoints:
        return PlanPoints(self.mapping, self.strategy, self.tokens)

    @cached_property
    def _in_turn(self) -> PlanPoints:
        return PlanPoints(self.mapping, LAYER_BY_LAYER, self.tokens)

    @cached_property
    def _yardstick_plans(self) -> PlanPoints:
        if isinstance(self.strategy, NetworkStrategy):
            return self._plans.without_adapters()
        return PlanPoints(self.mapping, analog_yardstick(self.strategy), self.tokens)


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Points of one placed network, whose values are sound."""

    placed: Placed
    at: Ints
    """Places of the points among those that are asked for."""
    columns: Columns
    indices: Ints

    @property
    def shares(self) -> tuple[object, ...]:
        """What pieces agree in that are evaluated together."""
        placed = self.placed
        if not placed.layer_by_layer:
            return (id(self),)
        return id(placed.mapping.machine), repr(placed.strategy), *self.columns


def rows_of(pieces: Sequence[Piece]) -> list[Rows]:
    """Return the results of pieces that are evaluated together.

    Raises:
        InputError: The strategy cannot be decided.
        OverflowError: A time does not fit 64 bits.
    """
    first = pieces[0].placed
    counts = [len(piece.indices) for piece in pieces]
    if first.layer_by_layer:
        each = kinds.evaluate(
            [piece.placed.layers for piece in pieces], [piece.columns for piece in pieces], counts
        )
        rows = [
            piece.placed.of_layers(own, piece.columns, count)
            for piece, own, count in zip(pieces, each, counts, strict=True)
        ]
    else:
        rows = [piece.placed.of_plans(piece.columns, len(piece.indices)) for piece in pieces]
    return [
        piece.placed.with_energies(own, piece.columns, piece.indices)
        for piece, own in zip(pieces, rows, strict=True)
    ]
