"""Which axis matters: shares of the variance of what is sought, over a whole grid."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridsim.sweeps.answers import objective_values
from hybridsim.sweeps.inputs import Inputs


def sought_results(inputs: Inputs) -> list[str]:
    """Return the objectives that are results; all of them where the study seeks axes alone.

    What explains the variance of an axis is that axis, which nobody asks.
    """
    own = {axis.column for axis in inputs.axes}
    names = list(inputs.study.objectives)
    return [name for name in names if name not in own] or names


def variance_shares(inputs: Inputs, table: pd.DataFrame) -> pd.DataFrame:
    """Return how much of each objective's variance each axis explains alone, 0 to 1.

    One row per axis, one column per objective. The share is that of the main effect: the
    variance of the mean over each value of the axis, weighted by its points, over the variance of
    all points. Over a full grid the shares add up to at most 1, and what is missing is due to
    axes acting together. Points without a result are left out; constraints do not matter.
    """
    values, ran = _values(inputs, table)
    codes = [pd.factorize(table[axis.column])[0][ran] for axis in inputs.axes]
    return _shares(inputs, values, [_between(values, code) for code in codes])


def total_shares(inputs: Inputs, table: pd.DataFrame) -> pd.DataFrame:
    """Return how much of each objective's variance an axis takes part in, 0 to 1.

    Rows and columns as of :func:`variance_shares`. The share is that of the total effect: the
    variance over the values of the axis with all other axes held, on average over these, over the
    variance of all points. Over a full grid it is the main effect and all in which the axis acts
    together with others, so shares add up to at least 1. Source: Homma and Saltelli, Reliability
    Engineering and System Safety 52, 1996, Eq. 6; every point of the grid takes the place of the
    integrals.
    """
    values, ran = _values(inputs, table)
    codes = [pd.factorize(table[axis.column])[0] for axis in inputs.axes]
    all_of_it = _between(values, np.arange(len(values)))
    within = []
    for left_out in range(len(codes)):
        others = np.zeros(len(table), np.int64)
        for place, code in enumerate(codes):
            if place != left_out:
                others = others * (int(code.max(initial=0)) + 1) + code
        within.append(all_of_it - _between(values, pd.factorize(others[ran])[0]))
    return _shares(inputs, values, within)


def _values(inputs: Inputs, table: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the objectives of points with a result, about their means, and which points."""
    values = objective_values(inputs, table)
    ran: NDArray[np.bool_] = np.asarray(np.isfinite(values).all(axis=1))
    own = values[ran]
    return own - own.mean(axis=0) if len(own) else own, ran


def _between(values: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sum of squares of each objective between groups of points."""
    count = np.maximum(np.bincount(group), 1)
    sums = [np.bincount(group, weights=own) for own in values.T]
    return np.array([(own**2 / count).sum() for own in sums])


def _shares(
    inputs: Inputs, values: NDArray[np.float64], parts: Sequence[NDArray[np.float64]]
) -> pd.DataFrame:
    total = (values**2).sum(axis=0)
    varies = total > 0
    shares = np.array(parts) * varies / np.where(varies, total, 1)
    rows = pd.Index([axis.name for axis in inputs.axes], name="axis")
    return pd.DataFrame(np.clip(shares, 0, 1), index=rows, columns=list(inputs.study.objectives))
