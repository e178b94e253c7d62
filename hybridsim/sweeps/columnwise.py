"""Points of a study as columns: what the vectorised path takes and gives back."""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridsim.errors import InputError
from hybridsim.sweeps import vectorised
from hybridsim.sweeps.events import DOES_NOT_FIT, Columns, EventEvaluator
from hybridsim.sweeps.inputs import Inputs, Point, Resolver
from hybridsim.units import Ints

MOST_CASES = 200
"""Cases, one call each, up to which the vectorised path is looked at."""
ASK = 2
"""Status of a point that the vectorised path leaves to the engine; 1 is one that does not fit."""
VECTORISED = {"latency_ps", "all_analog_ps", "tcdm_bytes", "batch", "buffers"}
"""Columns that the vectorised path finds."""

Statuses = NDArray[np.int8]


def vectorised_evaluator(inputs: Inputs) -> "VectorisedEvaluator | None":
    """Return the vectorised path, or None where a case of the study needs an engine."""
    if not set(inputs.columns) <= VECTORISED:
        return None
    evaluator = VectorisedEvaluator(inputs)
    return evaluator if evaluator.can_evaluate() else None


class VectorisedEvaluator:
    """All points of a case at once, where a case is what numbers cannot tell apart."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs, self._resolver = inputs, Resolver(inputs)
        self._events = EventEvaluator(inputs)
        self._varied = [
            place
            for place, axis in enumerate(inputs.axes)
            if axis.numbers is not None and axis.name in vectorised.PATHS
        ]
        self._shape = tuple(
            1 if place in self._varied else length for place, length in enumerate(inputs.shape)
        )

    def can_evaluate(self) -> bool:
        """Return whether the vectorised path takes every case."""
        if prod(self._shape) > MOST_CASES:
            return False
        try:
            return not any(
                vectorised.can_vectorise(_told(self._resolver.point(self._first(case))))
                for case in range(prod(self._shape))
            )
        except InputError:
            return False

    def evaluate(self, indices: Ints) -> Columns:
        """Return the columns that the study asks for, and ``problem``, of some of its points."""
        places = self._inputs.coordinates(indices)
        of_case = [own % length for own, length in zip(places, self._shape, strict=True)]
        case = np.ravel_multi_index(of_case, self._shape)
        found: Columns = {name: np.zeros(len(indices), np.int64) for name in self._inputs.columns}
        status = np.zeros(len(indices), np.int8)
        for number in np.unique(case).tolist():
            rows = np.flatnonzero(case == number)
            columns = {}
            for i in self._varied:
                axis = self._inputs.axes[i]
                assert axis.numbers is not None
                columns[axis.name] = axis.numbers[places[i][rows]]
            network, machine, scheduler, tokens = _told(self._resolver.point(self._first(number)))
            points = vectorised.evaluate(columns, network, machine, scheduler, tokens)
            status[rows] = points["status"]
            for name in self._inputs.columns:
                found[name][rows] = points[name]
        return self._with_problems(indices, found, status)

    def _with_problems(self, indices: Ints, found: Columns, status: Statuses) -> Columns:
        """Put in what the engine says of the points that have no result, or not one from here."""
        problem = np.full(len(indices), "", dtype=object)
        missing = np.flatnonzero(status)
        if len(missing):
            for name in self._inputs.columns:
                found[name] = found[name].astype(object)
                found[name][missing] = None
            problem[missing] = DOES_NOT_FIT
            left = np.flatnonzero(status == ASK)
            asked = self._events.evaluate(indices[left])
            for name in self._inputs.columns:
                found[name][left] = asked[name]
            problem[left] = asked["problem"]
        return found | {"problem": problem}

    def _first(self, case: int) -> int:
        """Return the first point of a case."""
        places = np.unravel_index(case, self._shape)
        return int(np.ravel_multi_index(places, self._inputs.shape))


def _told(point: Point) -> tuple[Any, ...]:
    """Return a point as the vectorised path takes it."""
    tokens = point.network.sequence_length if point.tokens is None else point.tokens
    return point.network, point.machine, point.scheduler, tokens or 0
