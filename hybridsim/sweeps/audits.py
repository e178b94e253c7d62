"""Audits: a share of the points computed again on SimPy, and compared in every column."""

import math
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybridsim.sweeps.chunks import evaluate_all
from hybridsim.sweeps.evaluate import Done, work_on
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.left import Listed
from hybridsim.sweeps.recorded import AT_ONCE, Rows
from hybridsim.units import Ints


@dataclass(frozen=True)
class Audit:
    """Points that were computed again on the reference engine."""

    points: int
    differences: tuple[str, ...]
    """One sentence per column of a point that is not the same."""


def audited(
    inputs: Inputs,
    found: Iterable[Rows],
    share: float,
    pool: Executor,
    workers: int,
    stopped: Callable[[], bool],
) -> Audit | None:
    """Compute a share of the points again, always the same ones; None where it was stopped."""
    chosen = _chosen(inputs, math.ceil(share * len(inputs)))
    again: list[Rows] = []

    def record(indices: Ints, done: Done) -> None:
        again.append((indices, done.columns))

    work = work_on(inputs, "reference")
    if not evaluate_all(work, Listed(chosen), pool, workers, record, stopped):
        return None
    swept = _by_index(found, chosen)
    differences = []
    for indices, columns in again:
        for i, index in enumerate(indices.tolist()):
            for name, column in columns.items():
                if not _same(column[i], swept[index][name]):
                    differences.append(
                        f"{inputs.labels(index)}: {name} is {column[i]} on SimPy, "
                        f"{swept[index][name]} in the sweep"
                    )
    return Audit(len(chosen), tuple(differences))


def _same(one: Any, other: Any) -> bool:
    """Return whether two results are one; so are two that are no number."""
    return bool(one == other or (one != one and other != other))


def _chosen(inputs: Inputs, count: int) -> Ints:
    """Return the points with the smallest keys, which are as good as drawn."""
    chosen, lanes = np.empty(0, np.int64), np.empty(0, np.uint64)
    for first in range(0, len(inputs), AT_ONCE):
        more = np.arange(first, min(first + AT_ONCE, len(inputs)))
        chosen = np.concatenate((chosen, more))
        lanes = np.concatenate((lanes, inputs.keys(more)[:, 0]))
        kept = np.argsort(lanes, kind="stable")[:count]
        chosen, lanes = chosen[kept], lanes[kept]
    return np.sort(chosen)


def _by_index(found: Iterable[Rows], chosen: Ints) -> dict[int, dict[str, Any]]:
    """Return the rows of some points."""
    rows = {}
    for indices, columns in found:
        for i in np.flatnonzero(np.isin(indices, chosen)).tolist():
            rows[int(indices[i])] = {name: column[i] for name, column in columns.items()}
    return rows
