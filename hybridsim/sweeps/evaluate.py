"""Evaluating points: the part of a sweep that other paths than the event engines can take over."""

import hashlib
import pickle
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from hybridsim.sweeps.events import Columns, EventEvaluator
from hybridsim.sweeps.inputs import Inputs
from hybridsim.units import Ints

LEAST_VECTORISED = 1000
"""Points from which on the vectorised path is worth its preparation."""


class Evaluator(Protocol):
    """A way to find the results of points; all ways find the same."""

    def evaluate(self, indices: Ints) -> Columns:
        """Return the columns that the study asks for, and ``problem``, of some of its points."""


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


def work_on(inputs: Inputs, engine: str = "compiled") -> Work:
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
    if engine != "compiled" or len(inputs) < LEAST_VECTORISED:
        return EventEvaluator(inputs, engine)
    # only here, as Numba takes a quarter of a second to import
    from hybridsim.sweeps.columnwise import vectorised_evaluator

    return vectorised_evaluator(inputs) or EventEvaluator(inputs, engine)
