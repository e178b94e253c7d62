"""What is known of a point before it is run: enough to leave out those that cannot be better.

Two things are exact: the area of a machine with a network on it, and accuracy, which evidence
tells. A third is a bound. Along some axes a column moves one way: a longer integration takes no
less time and no less energy, a faster clock no more time. So a point that was run bounds all those
that differ from it along such axes alone, and the shortest integration at the fastest clock bounds
a whole branch. That is what the models should do, not a theorem of the execution rule (priorities
can make more haste less speed), so a search runs some of the points that it left out and says
whether a bound was wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from hybridsim.designs.seen import Floats, Seen, coordinates
from hybridsim.errors import InputError
from hybridsim.mapping import place
from hybridsim.sweeps import machines
from hybridsim.sweeps.answers import accuracies
from hybridsim.sweeps.axes import Axis
from hybridsim.sweeps.columns import ACCURACY
from hybridsim.sweeps.inputs import Inputs, Resolver
from hybridsim.sweeps.whole_runs import of_placement
from hybridsim.units import Ints

AREA = "area_mm2"
DIRECTIONS: Mapping[str, Mapping[str, int]] = {
    "latency_ps": {
        "tile.integration_time": 1, "cluster.clock.frequency": -1, "link.clock.frequency": -1,
        "link.width": -1, "link.latency": 1, "memory.dram.bandwidth": -1, "area": 0, "energy": 0,
    },
    "energy_pj": {"tile.integration_time": 1, "area": 0},
}  # fmt: skip
"""Column -> path -> whether the column never falls (1), never rises (-1) or stays (0) with it; a
group of paths by its first word."""
SLACK = {"energy_pj": 0.02}
"""Column -> by how much of a value it may be lower all the same: a longer integration can make a
strategy take another batch or fewer clusters (0.3 % seen on a layer of 512 x 128)."""
NO_AREA = ("strategy", "adapters", "tokens", "energy", *machines.PATHS)
"""Paths, or their first words, that change no area."""


def order_of(axis: Axis, directions: Mapping[str, int]) -> Ints | None:
    """Return ranks of the values of an axis along which a column never falls; None for none."""
    ranks: Ints | None = None
    for path in axis.paths:
        direction = directions.get(path, directions.get(path.partition(".")[0]))
        if direction is None:
            return None
        if direction == 0:
            continue
        numbers = machines.values_of(axis, path)
        if numbers is None:
            return None
        own = np.unique(direction * numbers, return_inverse=True)[1]
        if ranks is not None and (own != ranks).any():
            return None
        ranks = own
    return ranks


@dataclass
class _Column:
    """Bounds of one column: what was run, by the values of all axes that it may move along."""

    ranks: dict[int, Ints]
    """Axis -> rank of each of its values."""
    others: list[int]
    known: dict[bytes, list[tuple[Ints, float]]] = field(default_factory=dict)

    def split(self, places: Ints) -> tuple[bytes, Ints]:
        """Return what bounds of a point are kept under, and how far it is along each axis."""
        own = np.array([ranks[places[axis]] for axis, ranks in self.ranks.items()], np.int64)
        return places[self.others].tobytes(), own

    def take(self, places: Ints, value: float) -> None:
        """Take in a point that was run."""
        key, own = self.split(places)
        self.known.setdefault(key, []).append((own, value))

    def at_least(self, places: Ints) -> float:
        """Return what the column is not below at a point."""
        key, own = self.split(places)
        found = [value for ranks, value in self.known.get(key, ()) if (ranks <= own).all()]
        return max(found, default=-np.inf)


class Bounds:
    """What is known of points before they are run, given those that were."""

    def __init__(self, seen: Seen) -> None:
        self._seen, self._inputs = seen, seen.inputs
        self._taken = 0
        self._columns = {
            name: _Column(ranks, [k for k in range(len(self._inputs.axes)) if k not in ranks])
            for name in DIRECTIONS
            if name in seen.columns and (ranks := self._ranks(DIRECTIONS[name]))
        }
        self._areas = _Areas(self._inputs) if AREA in seen.columns else None

    def _ranks(self, directions: Mapping[str, int]) -> dict[int, Ints]:
        orders = {k: order_of(axis, directions) for k, axis in enumerate(self._inputs.axes)}
        return {k: ranks for k, ranks in orders.items() if ranks is not None}

    def at_least(self, indices: Sequence[int]) -> tuple[Floats, Floats]:
        """Return least and most of each column that is read at some points.

        Shape (points, columns) each; infinite where nothing is known.
        """
        self._take_up()
        names, points = self._seen.columns, len(indices)
        low = np.full((points, len(names)), -np.inf)
        high = np.full((points, len(names)), np.inf)
        places = coordinates(self._inputs, indices)
        for k, name in enumerate(names):
            if name == AREA and self._areas is not None:
                low[:, k] = high[:, k] = self._areas.of(places)
            elif name == ACCURACY:
                low[:, k] = high[:, k] = _accuracies(self._inputs, indices)
            elif name in self._columns:
                column, share = self._columns[name], 1 - SLACK.get(name, 0)
                low[:, k] = [column.at_least(own) * share for own in places]
        return low, high

    def _take_up(self) -> None:
        new = slice(self._taken, len(self._seen))
        self._taken = len(self._seen)
        if not self._seen.index[new]:
            return
        places = coordinates(self._inputs, self._seen.index[new])
        for name, column in self._columns.items():
            values = self._seen.column(name)[new]
            for own, value in zip(places, values.tolist(), strict=True):
                if np.isfinite(value):
                    column.take(own, value)


def _accuracies(inputs: Inputs, indices: Sequence[int]) -> Floats:
    found = accuracies(inputs, np.asarray(indices, np.int64))
    return np.where(np.isnan(found), -np.inf, found)


@dataclass
class _Areas:
    """Areas of machines with the network on them, each placed once and none run."""

    inputs: Inputs
    _known: dict[bytes, float] = field(default_factory=dict)

    @cached_property
    def _resolver(self) -> Resolver:
        return Resolver(self.inputs)

    @cached_property
    def _axes(self) -> list[int]:
        """The axes that an area may depend on."""

        def matters(path: str) -> bool:
            return path not in NO_AREA and path.partition(".")[0] not in NO_AREA

        axes = enumerate(self.inputs.axes)
        return [k for k, axis in axes if any(matters(path) for path in axis.paths)]

    def of(self, places: Ints) -> Floats:
        """Return the area at each point [mm2]; no number where nothing can be placed."""
        own = np.ascontiguousarray(places[:, self._axes])
        found = np.empty(len(places))
        for row, key in enumerate(map(bytes, own)):
            if key not in self._known:
                index = int(np.ravel_multi_index(tuple(places[row]), self.inputs.shape))
                self._known[key] = self._area(index)
            found[row] = self._known[key]
        return found

    def _area(self, index: int) -> float:
        try:
            point = self._resolver.point(index)
            return of_placement(place(point.network, point.machine))[AREA]
        except InputError:
            return np.nan
