"""How long a sweep would take, from a few of its points."""

import sys
import time
from dataclasses import dataclass

import numpy as np

from hybridsim.sweeps.chunks import spread
from hybridsim.sweeps.evaluate import make_evaluator
from hybridsim.sweeps.inputs import Inputs

SAMPLE, SAMPLE_SECONDS = 32, 2.0
"""Points that are tried, and when no further one is begun."""
BYTES_PER_TEXT = 16
"""A pointer, and a share of the text itself: most points have none."""


@dataclass(frozen=True)
class Forecast:
    """What a sweep is expected to take, on one worker."""

    points: int
    sampled: int
    """Points that were evaluated to find out."""
    seconds: float
    """Time to evaluate all points, on one worker."""
    result_bytes: int
    """Memory for the results of all points, while the table is put together."""
    worker_bytes: int
    """Memory of a process that evaluates points: the most that this one has taken; 0 where the
    system does not say."""


def forecast(inputs: Inputs) -> Forecast:
    """Return what a sweep is expected to take, from points spread over the grid.

    The first one is evaluated twice: what happens once per process is no part of the rate.
    """
    evaluator = make_evaluator(inputs, "compiled")
    chosen = spread(len(inputs), SAMPLE)
    evaluator.evaluate(chosen[:1])
    start = time.perf_counter()
    sampled = 0
    for index in chosen:
        evaluator.evaluate(np.array([index]))
        sampled += 1
        if time.perf_counter() - start > SAMPLE_SECONDS:
            break
    seconds = (time.perf_counter() - start) / sampled * len(inputs)
    # results as they come in and as they stand in the table: number and flag each time
    per_point = 2 * (9 * len(inputs.columns) + BYTES_PER_TEXT) + 8 * len(inputs.axes) + 24
    return Forecast(len(inputs), sampled, seconds, per_point * len(inputs), _most_taken())


def _most_taken() -> int:
    """Return the most memory that this process has held [bytes]; 0 where nobody counts it."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    counted: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return counted if sys.platform == "darwin" else counted * 1024
