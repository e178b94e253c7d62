"""Metrics that a task takes in place of accuracy: those of GLUE and of SQuAD.

An answer to one of two classes is known from whether it was right, so that journals of right
answers suffice there; of ratings, and of the words of spans, journals keep a number each.
Sources of which task takes which: Wang et al., GLUE, ICLR 2019, Table 1; Rajpurkar et al., SQuAD,
EMNLP 2016.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridsim.analog.times import format_time
from hybridsim.training.answers import cube_of
from hybridsim.training.files import DIGITAL, Journal, Key
from hybridsim.training.intervals import Cube, drawn_shares, percentiles
from hybridsim.training.sources import Data, GlueData

Metric = Literal["f1", "matthews", "pearson", "spearman", "word_f1"]
METRICS: dict[str, tuple[Metric, ...]] = {"cola": ("matthews",), "mrpc": ("f1",), "qqp": ("f1",)}
"""Task of GLUE -> its metric beside accuracy."""
OF_RATINGS: tuple[Metric, ...] = ("pearson", "spearman")
Shares = NDArray[np.float64]
_LEAST = 1e-7
"""Below this a denominator is zero but for rounding: one of 10,000,000 sentences is more."""


def metrics_of(data: Data) -> tuple[Metric, ...]:
    """Return the metrics that a task takes beside accuracy."""
    if data.answers == "ratings":
        return OF_RATINGS
    if data.answers == "spans":
        return ("word_f1",)
    return METRICS.get(data.source.task, ()) if isinstance(data.source, GlueData) else ()


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


def correlations(
    values: NDArray[np.float64], labels: NDArray[np.float64], draws: Shares
) -> Shares:
    """Return Pearson's correlation of answers with labels, for each weighting of sentences.

    Where either does not vary it is 0.

    Args:
        values: Answers, (..., sentences).
        labels: What people say, (..., sentences).
        draws: Weights that sum to one, (draws, sentences).

    Returns:
        Shape (..., draws).
    """
    x, y = (z - z.mean(axis=-1, keepdims=True) for z in (values, labels))
    mean_x, mean_y = x @ draws.T, y @ draws.T
    both = (x * y) @ draws.T - mean_x * mean_y
    spread = ((x * x) @ draws.T - mean_x**2) * ((y * y) @ draws.T - mean_y**2)
    root = np.sqrt(np.maximum(spread, 0.0))
    return np.divide(both, root, out=np.zeros_like(root), where=root > _LEAST)


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank of each number along the last axis; equal ones share the mean of theirs."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(values, axis=-1), np.float64)


def of_cube(metric: Metric, cube: Cube, labels: NDArray[Any]) -> tuple[float, float, float]:
    """Return a metric of answers (seeds, chips, sentences) in percent, and its interval.

    The mean over seeds and chips of each one's own, with the bootstrap's 95 % over all three:
    correlations and F1 of classes are no means over sentences, so that the t-interval has nothing
    to go by. Spearman's correlation is that of ranks among all sentences, in each draw.

    Args:
        metric: Which one.
        cube: Right or not; for correlations the ratings, for ``word_f1`` that of each answer.
        labels: Class of each sentence, 0 or 1, or its rating; not looked at for ``word_f1``.
    """
    seeds, chips, sentences = drawn_shares(cube.shape)
    found = _ways(cube, labels)[metric]
    whole = np.full((1, cube.shape[2]), 1 / cube.shape[2])
    middle = float(found(whole).mean())
    redrawn = np.einsum("scd,ds,dc->d", found(sentences), seeds, chips)
    low, high = percentiles(100 * redrawn)
    return 100 * middle, low, high


def _ways(cube: Cube, labels: NDArray[Any]) -> dict[Metric, Callable[[Shares], Shares]]:
    """Return metric -> from weights of sentences (draws, sentences) to (seeds, chips, draws)."""
    known = labels.astype(np.float64)

    def of_classes(metric: Metric, weights: Shares) -> Shares:
        hits, rejected = (cube * known) @ weights.T, (cube * (1 - known)) @ weights.T
        positive = np.broadcast_to(weights @ known, hits.shape)
        return metric_of(metric, hits, rejected, positive)

    return {
        "f1": partial(of_classes, "f1"),
        "matthews": partial(of_classes, "matthews"),
        "pearson": lambda weights: correlations(cube, known, weights),
        "spearman": lambda weights: correlations(ranks(cube), ranks(known), weights),
        "word_f1": lambda weights: cube @ weights.T,
    }


def metric_table(
    metrics: Sequence[Metric], journal: Journal, arms: Sequence[str], labels: NDArray[Any]
) -> pd.DataFrame:
    """Return one row per metric, arm and time; none where there is accuracy alone."""
    rows: list[dict[str, Any]] = []
    times = [None, *sorted({key[3] for key in journal.correct if key[2] != DIGITAL})]
    for metric, arm, where in product(metrics, arms, times):
        kept: Mapping[Key, NDArray[Any]] = journal.numbers
        if metric in ("f1", "matthews"):
            kept = journal.correct
        cube = cube_of(kept, arm, where)
        if cube is not None:
            names = ("percent", "boot95_low", "boot95_high")
            ends = zip(names, of_cube(metric, cube, labels), strict=True)
            time = "digital" if where is None else format_time(where)
            row = {"arm": arm, "time": time, "metric": metric}
            rows.append(row | {name: round(end, 3) for name, end in ends})
    return pd.DataFrame(rows)
