"""When the parts of each kind were at work, in bins of time."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridsim.plan import Plan, Timeline
from hybridsim.simulation import Run
from hybridsim.units import Ints

Floats = NDArray[np.float64]

BINS = 200
"""Bins that a run is cut into; a bin is a few pixels wide."""


def activity(plan: Plan, timeline: Timeline, until_ps: int, bins: int = BINS) -> pd.DataFrame:
    """Return part, start_ps, end_ps and busy: the share of a stretch of time, 0 to 1.

    A kind of part is busy while at least one part of that kind is. Bins that follow each other
    with the same share are one row; those without any work are left out.
    """
    edges = np.linspace(0, max(until_ps, 1), bins + 1)
    holder = np.repeat(np.arange(len(plan)), np.diff(plan.use_first))
    kinds = np.array([resource.kind for resource in plan.resources], dtype=object)
    tables = []
    for kind in dict.fromkeys(kinds):
        tasks = holder[np.isin(plan.use, np.flatnonzero(kinds == kind))]
        starts, ends = merged(timeline.start[tasks], timeline.end[tasks])
        share = np.diff(_worked(starts, ends, edges)) / np.diff(edges)
        tables.append(_runs(str(kind), edges, np.round(share, 3)))
    return pd.concat(tables, ignore_index=True)


def merged(start: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Return stretches without overlap that cover the same time, first to last."""
    if not len(start):
        return start, end
    order = np.argsort(start, kind="stable")
    start, reach = start[order], np.maximum.accumulate(end[order])
    first = np.append(True, start[1:] > reach[:-1])
    return start[first], reach[np.append(first[1:], True)]


def _worked(start: Ints, end: Ints, until: Floats) -> Floats:
    """Return how much of the time before each instant the stretches cover [ps]."""
    if not len(start):
        return np.zeros(len(until))
    corners = np.stack((start, end), axis=1).reshape(-1)
    covered = np.cumsum(np.stack((np.zeros(len(start), np.int64), end - start), axis=1))
    worked: Floats = np.interp(until, corners, covered)
    return worked


def _runs(kind: str, edges: Floats, share: Floats) -> pd.DataFrame:
    first = np.flatnonzero(np.append(True, share[1:] != share[:-1]))
    last = np.append(first[1:], len(share))
    some = share[first] > 0
    return pd.DataFrame(
        {
            "part": kind,
            "start_ps": edges[first].astype(np.int64),
            "end_ps": edges[last].astype(np.int64),
            "busy": share[first],
        }
    )[some]


class Activities:
    """When the parts worked in several runs, on one time axis."""

    def __init__(self) -> None:
        self._tables: list[pd.DataFrame] = []

    def add(self, strategy: str, run: Run) -> None:
        """Take up a run; its plan is not kept."""
        found = activity(run.schedule.plan, run.timeline, run.timeline.makespan)
        found.insert(0, "strategy", strategy)
        self._tables.append(found)

    def to_frame(self) -> pd.DataFrame:
        """Return strategy, part, start_ps, end_ps and busy; see :func:`activity`."""
        empty = pd.DataFrame(columns=["strategy", "part", "start_ps", "end_ps", "busy"])
        return pd.concat(self._tables, ignore_index=True) if self._tables else empty
