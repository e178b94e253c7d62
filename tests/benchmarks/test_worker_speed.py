"""What a second worker adds to a study of about a minute: ``pytest -m benchmark``.

As the machine may be shared, efficiency is a ratio of CPU times, that of one worker over that of
two with all that they start; and how long one of two has nothing left to do is told beside it.
"""

import os
import resource
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from hybridsim.sweeps.axes import expand_axes
from hybridsim.sweeps.chunks import evaluate_all
from hybridsim.sweeps.evaluate import work_on
from hybridsim.sweeps.executors import open_executor
from hybridsim.sweeps.inputs import Inputs, read_inputs
from hybridsim.sweeps.recorded import Span
from hybridsim.sweeps.study import read_study

TIMES = 24
"""Integration times of the study: with 24 one worker takes about a minute."""


def study() -> Inputs:
    """Return ``reports/one_percent`` with more integration times."""
    inputs = read_inputs(read_study(Path("reports/one_percent")), "one_percent")
    span = {"from": "64 ns", "to": "524 ns", "step": f"{460 // (TIMES - 1)} ns"}
    (more,) = expand_axes({"tile.integration_time": span}, "one_percent")
    axes = [more if axis.name == more.name else axis for axis in inputs.axes]
    return replace(inputs, axes=tuple(axes))


@dataclass(frozen=True)
class Took:
    """What a sweep took."""

    cpu: float
    """Of this process and all that it started [s]."""
    alone: float
    """Share of the time from first to last point in which only one worker had work."""


def cpu() -> float:
    """Return what this process, and those of its children that have ended, have computed [s]."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(own.ru_utime + own.ru_stime for own in both)


def sweep(inputs: Inputs, workers: int) -> Took:
    """Evaluate all points on so many fresh processes."""
    before, begin = cpu(), time.perf_counter()
    ends: list[float] = []
    with open_executor(f"processes:{workers}") as (pool, count):
        span = Span.of(inputs)
        assert evaluate_all(
            work_on(inputs), span.left(span.nothing_done()), pool, count,
            lambda *_: ends.append(time.perf_counter()), lambda: False,
        )  # fmt: skip
    return Took(cpu() - before, (ends[-1] - ends[-2]) / (ends[-1] - begin))


@pytest.mark.benchmark(group="one_percent with more integration times, two workers")
def test_two_workers(benchmark: Any) -> None:
    """The aim is 90 %: CPU of one over CPU of two, less what one of two waits for the other."""
    inputs = study()
    one = sweep(inputs, 1)
    two = benchmark.pedantic(sweep, (inputs, 2), rounds=1)
    benchmark.extra_info["points"] = len(inputs)
    benchmark.extra_info["cores"] = os.cpu_count()
    benchmark.extra_info["cpu_of_one"] = round(one.cpu, 1)
    benchmark.extra_info["cpu_of_two"] = round(two.cpu, 1)
    benchmark.extra_info["one_alone_percent"] = round(100 * two.alone, 1)
    share = one.cpu / two.cpu * (1 - two.alone / 2)
    benchmark.extra_info["efficiency_percent"] = round(100 * share, 1)
    assert share > 0.5
