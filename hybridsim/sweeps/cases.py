"""Cases of a study: what numbers cannot tell apart. The points of a case go through columns."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from hybridsim.sweeps import layer_points, machines
from hybridsim.sweeps.axes import Axis
from hybridsim.sweeps.inputs import Inputs
from hybridsim.units import Ints


@dataclass
class Cases:
    """Which case each point of a study is of."""

    inputs: Inputs

    @cached_property
    def columns(self) -> list[dict[str, Ints]]:
        """For each axis its values by path, in base units; nothing if some cannot be columns."""
        known = layer_points.PATHS - ({layer_points.RANK} if self._own_ranks else frozenset())
        return [_columns_of(axis, known) for axis in self.inputs.axes]

    @cached_property
    def _own_ranks(self) -> bool:
        """Whether layers may have ranks of their own, so that one rank is not that of all."""
        paths = {*self.inputs.fixed, *(path for axis in self.inputs.axes for path in axis.paths)}
        if any(path.startswith("adapters.ranks.") for path in paths):
            return True
        networks = self.inputs.networks.values()
        return any(network.adapters and network.adapters.own for network in networks)

    def of(self, places: Sequence[Ints]) -> Ints:
        """Return the number of the case of points, by which of its values each axis has there.

        Cases that differ in their networks alone follow each other: what machine and strategy
        lead to is mostly the same for all.
        """
        number = np.zeros_like(places[0]) if places else np.zeros(1, np.int64)
        for k in self._telling:
            number = number * len(self.inputs.axes[k]) + places[k]
        return number

    @cached_property
    def _telling(self) -> list[int]:
        """The axes that tell cases apart, networks last."""
        axes = [k for k, columns in enumerate(self.columns) if not columns]
        return sorted(axes, key=lambda k: "network" in self.inputs.axes[k].paths)

    @cached_property
    def size(self) -> int:
        """How many points each case has."""
        lengths = zip(self.columns, self.inputs.axes, strict=True)
        return prod(len(axis) for columns, axis in lengths if columns)

    @cached_property
    def sizes(self) -> tuple[int, int]:
        """How many points cases that differ in their networks alone have, and each case."""
        axes = self.inputs.axes
        networks = prod(len(axes[k]) for k in self._telling if "network" in axes[k].paths)
        return self.size * networks, self.size

    @cached_property
    def _axes(self) -> list[int]:
        """The axes from the one that varies slowest when points of a case follow each other."""
        axes = range(len(self.columns))
        return [*self._telling, *(k for k in axes if self.columns[k])]

    def at(self, places: Ints) -> Ints:
        """Return the points at some places of an order in which those of a case are together."""
        return self._renumbered(places, self._axes, [*range(len(self._axes))])

    def places(self, indices: Ints) -> Ints:
        """Return where points stand in that order."""
        return self._renumbered(indices, [*range(len(self._axes))], self._axes)

    def _renumbered(self, numbers: Ints, given: list[int], wanted: list[int]) -> Ints:
        """Return the numbers of points in another order of axes."""
        shape = self.inputs.shape
        values = np.unravel_index(numbers, [shape[k] for k in given])
        by_axis = dict(zip(given, values, strict=True))
        found = np.ravel_multi_index([by_axis[k] for k in wanted], [shape[k] for k in wanted])
        return np.asarray(found, np.int64)


def _columns_of(axis: Axis, known: AbstractSet[str]) -> dict[str, Ints]:
    found: dict[str, Ints] = {}
    for path in axis.paths if set(axis.paths) <= known else ():
        values = machines.values_of(axis, path)
        if values is None:
            return {}
        found[path] = values
    return found
