"""Cases of a study: what numbers cannot tell apart. The points of a case go through columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

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
        return [_columns_of(axis) for axis in self.inputs.axes]

    def of(self, places: Sequence[Ints]) -> Ints:
        """Return the number of the case of points, by which of its values each axis has there.

        Cases that differ in their networks alone follow each other: what machine and strategy
        lead to is mostly the same for all.
        """
        axes = [k for k, columns in enumerate(self.columns) if not columns]
        axes.sort(key=lambda k: "network" in self.inputs.axes[k].paths)
        number = np.zeros_like(places[0]) if places else np.zeros(1, np.int64)
        for k in axes:
            number = number * len(self.inputs.axes[k]) + places[k]
        return number

    def in_order(self, indices: Ints) -> tuple[Ints, Ints]:
        """Return points with those of a case next to each other, and where the cases begin."""
        number = self.of(self.inputs.coordinates(indices))
        number = np.broadcast_to(number, indices.shape)
        order = np.argsort(number, kind="stable")
        return indices[order], np.flatnonzero(np.diff(number[order], prepend=-1))


def _columns_of(axis: Axis) -> dict[str, Ints]:
    found: dict[str, Ints] = {}
    for path in axis.paths if set(axis.paths) <= layer_points.PATHS else ():
        values = machines.values_of(axis, path)
        if values is None:
            return {}
        found[path] = values
    return found
