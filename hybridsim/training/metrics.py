"""Metrics that GLUE takes in place of accuracy, where a task has two classes.

An answer to one of two classes is known from whether it was right, so that journals of right
answers suffice. Source of which task takes which: Wang et al., GLUE, ICLR 2019, Table 1.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridsim.analog.times import format_time
from hybridsim.training.answers import cube_of
from hybridsim.training.files import DIGITAL, Key
from hybridsim.training.intervals import Cube, drawn_shares, percentiles

Metric = Literal["f1", "matthews"]
METRICS: dict[str, Metric] = {"cola": "matthews", "mrpc": "f1", "qqp": "f1"}
"""Task of GLUE -> its metric beside accuracy."""
Shares = NDArray[np.float64]
_LEAST = 1e-7
"""Below this a denominator is zero but for rounding: one of 10,000,000 sentences is more."""


def metric_of(metric: Metric, hits: Shares, rejected: Shares, positive: Shares) -> Shares:
    """Return F1 of the second class, or Matthews' correlation, from shares of all sentences.

    Sources: van Rijsbergen, *Information Retrieval*, 1979; Matthews, BBA 405 (1975). Where a
    denominator is zero the metric is 0, as scikit-learn has it.

    Args:
        metric: Which one.
        hits: Sentences of the second class that were answered rightly.
        rejected: Sentences of the first class that were answered rightly.
        positive: Sentences of the second class.
    """
    missed, false = positive - hits, 1 - positive - rejected
    if metric == "f1":
        whole = 2 * hits + missed + false
        return np.divide(2 * hits, whole, out=np.zeros_like(whole), where=whole > 0)
    top = hits * rejected - false * missed
    sides = (hits + false) * (hits + missed) * (rejected + false) * (rejected + missed)
    root = np.sqrt(np.maximum(sides, 0.0))
    return np.divide(top, root, out=np.zeros_like(root), where=root > _LEAST)


def of_cube(metric: Metric, cube: Cube, labels: NDArray[np.int64]) -> tuple[float, float, float]:
    """Return a metric of right answers (seeds, chips, sentences) in percent, and its interval.

    The mean over seeds and chips of each one's own, with the bootstrap's 95 % over all three:
    neither metric is a mean over sentences, so that the t-interval has nothing to go by.

    Args:
        metric: Which one.
        cube: Right or not.
        labels: Class of each sentence, 0 or 1.
    """
    seeds, chips, sentences = drawn_shares(cube.shape)

    def found(weights: Shares) -> Shares:
        """Return (seeds, chips, draws) for weights of sentences (draws, sentences)."""
        second = labels.astype(np.float64)
        hits, rejected = (cube * second) @ weights.T, (cube * (1 - second)) @ weights.T
        return metric_of(metric, hits, rejected, np.broadcast_to(weights @ second, hits.shape))

    whole = np.full((1, cube.shape[2]), 1 / cube.shape[2])
    middle = float(found(whole).mean())
    redrawn = np.einsum("scd,ds,dc->d", found(sentences), seeds, chips)
    low, high = percentiles(100 * redrawn)
    return 100 * middle, low, high


def metric_table(
    task: str,
    correct: Mapping[Key, NDArray[np.bool_]],
    arms: Sequence[str],
    labels: NDArray[np.int64],
) -> pd.DataFrame:
    """Return one row per arm and time with the metric of a task; none for other tasks."""
    rows: list[dict[str, Any]] = []
    if task not in METRICS:
        return pd.DataFrame(rows)
    times = [None, *sorted({key[3] for key in correct if key[2] != DIGITAL})]
    for arm in arms:
        for where in times:
            cube = cube_of(correct, arm, where)
            if cube is not None:
                ends = of_cube(METRICS[task], cube, labels)
                names = ("percent", "boot95_low", "boot95_high")
                time = "digital" if where is None else format_time(where)
                row = {"arm": arm, "time": time, "metric": METRICS[task]}
                rows.append(row | {n: round(e, 3) for n, e in zip(names, ends, strict=True)})
    return pd.DataFrame(rows)
