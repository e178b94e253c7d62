"""Evaluating points: the part of a sweep that other paths than the event engines can take over."""

import hashlib
import pickle
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from math import prod
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hybridsim.engines import engine as engine_by_name
from hybridsim.errors import CapacityError, HybridsimError, InputError
from hybridsim.mapping import Mapping as PlacedNetwork
from hybridsim.mapping import place
from hybridsim.schedulers import AllAnalog, Job, LayerSchedule, NetworkStrategy, Scheduler
from hybridsim.simulate import MOST_TOKENS, simulate
from hybridsim.sweep.columns import DETAILED
from hybridsim.sweep.inputs import Inputs, Point, Resolver
from hybridsim.sweep.steady import can_outline, run_outlined
from hybridsim.units import Ints

LEAST_VECTORISED = 1000
"""Points from which on the vectorised path is worth its preparation."""
MOST_CASES = 200
"""Cases, one call each, up to which the vectorised path is looked at."""
ASK = 2
"""Status of a point that the vectorised path leaves to the engine; 1 is one that does not fit."""
VECTORISED = {"latency_ps", "all_analog_ps", "tcdm_bytes", "batch", "buffers"}
"""Columns that the vectorised path finds."""

Columns = dict[str, Any]
"""Result columns, one entry per point, and ``problem``: why a point has none, or empty."""

DOES_NOT_FIT = "does not fit the TCDM of a cluster"
"""The problem of such a point, whoever finds it; running the point alone says what would fit."""

Statuses = NDArray[np.int8]


class Evaluator(Protocol):
    """A way to find the results of points; all ways find the same."""

    def evaluate(self, indices: Ints) -> Columns:
        """Return the columns that the study asks for, and ``problem``, of some of its points."""


class EventEvaluator:
    """Every point on an event engine: any plan."""

    def __init__(self, inputs: Inputs, engine: str = "fast") -> None:
        self._resolver, self._engine = Resolver(inputs), engine
        self._columns = inputs.columns
        self._placed: tuple[Point, PlacedNetwork] | None = None
        self._analog: dict[tuple[int, int], tuple[PlacedNetwork, int]] = {}

    def evaluate(self, indices: Ints) -> Columns:
        """Return the columns that the study asks for, and ``problem``, of some of its points."""
        found: Columns = {name: [] for name in (*self._columns, "problem")}
        for index in indices.tolist():
            try:
                row = self._row(self._resolver.point(index))
            except InputError as error:
                row = {"problem": " ".join(str(error).split())}
            except Exception as error:
                where = self._resolver.inputs.labels(index)
                raise HybridsimError(f"point {index} ({where}): {error!r}") from error
            for name, column in found.items():
                column.append(row.get(name, "" if name == "problem" else None))
        return found

    def _row(self, point: Point) -> dict[str, Any]:
        if isinstance(point.scheduler, NetworkStrategy):
            raise InputError(
                f"strategy {point.scheduler.kind} covers whole networks, whose yardstick is "
                "another; sweeps take strategies for linear layers and their adapters"
            )
        tokens = point.network.sequence_length if point.tokens is None else point.tokens
        if tokens is None or not 1 <= tokens <= MOST_TOKENS:
            raise InputError(f"tokens: found {tokens}; 1 to {MOST_TOKENS} would do")
        mapping = self._place(point)
        compiled = engine_by_name("fast")  # for strategies that try what they decide
        job = Job(mapping, tokens, lambda plan: compiled(plan).makespan)
        try:
            latency, tasks, layers = self._run(point.scheduler, job)
        except CapacityError:
            raise CapacityError(DOES_NOT_FIT) from None
        adapted = [layer for layer in layers if layer.choice is not None]
        row: dict[str, Any] = {
            "latency_ps": latency,
            "all_analog_ps": self._all_analog_ps(mapping, tokens),
            "tcdm_bytes": max((layer.tcdm_bytes for layer in adapted), default=0),
            "batch": min((layer.batch for layer in adapted), default=tokens),
            "buffers": min((layer.buffers for layer in adapted), default=0),
            "tiles": mapping.tiles,
            "crossbars": mapping.crossbars,
            "tasks": tasks,
        }
        if set(self._columns) & set(DETAILED):
            whole = simulate(point.network, point.machine, point.scheduler, tokens, self._engine)
            row["bound"] = whole.bound
        return row

    def _run(self, scheduler: Scheduler, job: Job) -> tuple[int, int, tuple[LayerSchedule, ...]]:
        """Return latency [ps], number of tasks, and what was decided for each layer."""
        if self._engine == "fast" and can_outline(scheduler):
            return run_outlined(scheduler, job)
        schedule = scheduler.schedule(job)
        makespan = engine_by_name(self._engine)(schedule.plan).makespan
        return makespan, len(schedule.plan), schedule.layers

    def _place(self, point: Point) -> PlacedNetwork:
        """Return the mapping, that of the point before where machine and network are the same."""
        if self._placed is not None:
            before, mapping = self._placed
            if before.machine is point.machine and before.network is point.network:
                return mapping
        mapping = place(point.network, point.machine)
        self._placed = point, mapping
        return mapping

    def _all_analog_ps(self, mapping: PlacedNetwork, tokens: int) -> int:
        """Return the latency without adapter work, once for points that only differ in others."""
        key = (id(mapping), tokens)
        if key not in self._analog:
            if len(self._analog) >= 64:
                self._analog.clear()
            latency, _, _ = self._run(AllAnalog(), Job(mapping, tokens))
            # the mapping is kept so that no other one can get its identity
            self._analog[key] = mapping, latency
        return self._analog[key][1]


@dataclass(frozen=True)
class Work:
    """What a worker needs to evaluate points of one study, ready to be sent."""

    inputs: bytes
    digest: str
    engine: str


@dataclass(frozen=True)
class Done:
    """What a worker gives back."""

    columns: Mapping[str, Any]
    seconds: float


def work_on(inputs: Inputs, engine: str = "fast") -> Work:
    """Return a study in the form in which it is sent to workers."""
    blob = pickle.dumps(inputs)
    return Work(blob, hashlib.blake2b(blob, digest_size=16).hexdigest() + engine, engine)


_known: dict[str, Evaluator] = {}
"""The last study that this process worked on: workers build it once, not per chunk."""


def evaluate_chunk(work: Work, indices: Ints) -> Done:
    """Evaluate some points, in whatever process this is called."""
    start = time.perf_counter()
    if work.digest not in _known:
        _known.clear()
        _known[work.digest] = make_evaluator(pickle.loads(work.inputs), work.engine)
    columns = _known[work.digest].evaluate(indices)
    return Done(columns, time.perf_counter() - start)


def make_evaluator(inputs: Inputs, engine: str) -> Evaluator:
    """Return the fastest way that can answer all that the study asks for.

    Few points are faster one by one: the vectorised path has to prepare first.
    """
    if engine != "fast" or len(inputs) < LEAST_VECTORISED:
        return EventEvaluator(inputs, engine)
    return vectorised_evaluator(inputs) or EventEvaluator(inputs, engine)


def _vectorised() -> ModuleType:
    """Return the vectorised path; Numba takes a quarter of a second to import."""
    return import_module("hybridsim.sweep.vectorised")


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
            if axis.numbers is not None and axis.name in _vectorised().PATHS
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
                _vectorised().can_vectorise(_told(self._resolver.point(self._first(case))))
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
            points = _vectorised().evaluate(columns, network, machine, scheduler, tokens)
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
