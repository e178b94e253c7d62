"""Evaluating points in whatever process: in blocks, or each as a whole run."""

import hashlib
import pickle
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.whole_runs import Columns, WholeRuns
from hybridsim.units import Ints


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
    """What it took of a core, whatever else the machine does."""


def work_on(inputs: Inputs, engine: str = "compiled") -> Work:
    """Return a study in the form in which it is sent to workers."""
    blob = pickle.dumps(replace(inputs))  # a copy, without what was found out for keys
    return Work(blob, hashlib.blake2b(blob, digest_size=16).hexdigest() + engine, engine)


_known: dict[str, Evaluator] = {}
"""The last study that this process worked on: workers build it once, not per chunk."""


def evaluate_chunk(work: Work, indices: Ints) -> Done:
    """Evaluate some points, in whatever process this is called."""
    start = time.thread_time()
    if work.digest not in _known:
        _known.clear()
        _known[work.digest] = make_evaluator(pickle.loads(work.inputs), work.engine)
    columns = _known[work.digest].evaluate(indices)
    return Done(columns, time.thread_time() - start)


def make_evaluator(inputs: Inputs, engine: str) -> Evaluator:
    """Return a way to evaluate points: in blocks, or as whole runs on another engine."""
    if engine != "compiled":
        return WholeRuns(inputs, engine)
    # only here, as Numba takes a quarter of a second to import
    from hybridsim.sweeps.blocks import Blocks

    return Blocks(inputs)
