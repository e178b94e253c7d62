"""What a sweep says: its table, the Pareto front, the best points, and which axis matters."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridsim.sweeps.columns import DETAILED, MEASURED, RESULTS
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.study import study_constraints
from hybridsim.units import Ints

Bools = NDArray[np.bool_]


def build_table(inputs: Inputs, found: Iterable[tuple[Ints, Mapping[str, Any]]]) -> pd.DataFrame:
    """Return one row per point in the order of the grid, units in the column names.

    Columns: the axes; the results kept, sought or compared; ``problem``, why a point has none;
    ``feasible``, whether it ran and meets every constraint; ``pareto``, whether it is feasible and
    no feasible point of its case is at least as good in all objectives and better in one.
    """
    blocks = list(found)
    indices = np.concatenate([i for i, _ in blocks] or [np.empty(0, np.int64)])
    order = np.argsort(indices, kind="stable")
    table = axes_frame(inputs, indices[order])
    stored = {
        name: _joined(name, [block[name] for _, block in blocks], order)
        for name in (*inputs.columns, "problem")
    }
    latency, analog = stored.get("latency_ps"), stored.get("yardstick_ps")
    for name in shown_columns(inputs):
        if name == "overhead_percent":
            assert latency is not None
            assert analog is not None
            table[name] = (latency - analog) * 100 / analog.where(analog != 0)
        else:
            table[name] = stored[name]
    table["problem"] = stored["problem"]
    feasible = table["problem"] == ""
    for constraint in study_constraints(inputs.study, inputs.axes):
        feasible &= constraint.holds(table)
    table["feasible"] = feasible.to_numpy(bool)
    values, mask = objective_values(inputs, table), np.zeros(len(table), bool)
    for rows in cases(inputs, table):
        mask[rows] = pareto(values[rows], table["feasible"].to_numpy()[rows])
    table["pareto"] = mask
    return table


def cases(inputs: Inputs, table: pd.DataFrame) -> list[Ints]:
    """Return the rows of each combination of the axes that are given, not chosen."""
    names = [axis.column for axis in inputs.axes if axis.name in inputs.study.per]
    if not names:
        return [np.arange(len(table))]
    number = table.groupby(names, sort=False, observed=True).ngroup().to_numpy()
    by_case = np.argsort(number, kind="stable")
    return np.split(by_case, np.flatnonzero(np.diff(number[by_case])) + 1)


def axes_frame(inputs: Inputs, indices: Ints) -> pd.DataFrame:
    """Return the axes of some points: numbers in base units, or the names of values."""
    columns: dict[str, Any] = {}
    for axis, places in zip(inputs.axes, inputs.coordinates(indices), strict=True):
        if axis.numbers is not None:
            columns[axis.column] = axis.numbers[places]
        else:
            columns[axis.column] = pd.Categorical.from_codes(places, pd.Index(axis.labels))
    return pd.DataFrame(columns)


def shown_columns(inputs: Inputs) -> list[str]:
    """Return the result columns of the table: those kept, sought or compared."""
    constraints = study_constraints(inputs.study, inputs.axes)
    asked = {*inputs.study.keep, *inputs.study.objectives, *(c.column for c in constraints)}
    own = {axis.column for axis in inputs.axes}
    return [name for name in RESULTS if name in asked - own]


def objective_values(inputs: Inputs, table: pd.DataFrame) -> NDArray[np.float64]:
    """Return the objectives of each row, smaller being better; NaN where there is no result."""
    columns = [
        table[name].astype("Float64").to_numpy(np.float64, na_value=np.nan)
        * (1 if direction == "minimise" else -1)
        for name, direction in inputs.study.objectives.items()
    ]
    return np.stack(columns, axis=1)


def pareto(values: NDArray[np.float64], feasible: Bools) -> Bools:
    """Return which feasible rows no other feasible row dominates; equal rows all stay.

    A row dominates another if it is nowhere larger and somewhere smaller.
    """
    rows = np.flatnonzero(feasible & np.isfinite(values).all(axis=1))
    unique, place = np.unique(values[rows], axis=0, return_inverse=True)
    left = np.arange(len(unique))
    front = np.zeros(len(unique), bool)
    while len(left):
        # rows are sorted, so the first one left is dominated by none that is left
        best, rest = left[0], left[1:]
        front[best] = True
        left = rest[(unique[rest] < unique[best]).any(axis=1)]
    mask = np.zeros(len(values), bool)
    mask[rows] = front[place.reshape(-1)]
    return mask


def best_rows(inputs: Inputs, table: pd.DataFrame) -> dict[str, list[int]]:
    """Return, per objective, the first of the feasible rows with the best value, of each case."""
    values = objective_values(inputs, table)
    values[~table["feasible"].to_numpy()] = np.inf
    found: dict[str, list[int]] = {name: [] for name in inputs.study.objectives}
    for i, name in enumerate(found):
        for rows in cases(inputs, table):
            own = values[rows, i]
            if np.isfinite(own).any():
                found[name].append(int(rows[np.nanargmin(own)]))
    return found


def variance_shares(inputs: Inputs, table: pd.DataFrame) -> pd.DataFrame:
    """Return how much of each objective's variance each axis explains alone, 0 to 1.

    One row per axis, one column per objective. The share is that of the main effect: the
    variance of the mean over each value of the axis, weighted by its points, over the variance of
    all points. Over a full grid the shares add up to at most 1, and what is missing is due to
    axes acting together. Points without a result are left out; constraints do not matter.
    """
    values = objective_values(inputs, table)
    ran = np.isfinite(values).all(axis=1)
    shares = {}
    for i, name in enumerate(inputs.study.objectives):
        own = values[ran, i]
        spread = own - own.mean() if len(own) else own
        total = float((spread**2).sum())
        column = []
        for axis in inputs.axes:
            codes = pd.factorize(table[axis.column])[0][ran]
            count = np.maximum(np.bincount(codes), 1)
            sums = np.bincount(codes, weights=spread)
            column.append(float((sums**2 / count).sum()) / total if total else 0.0)
        shares[name] = column
    return pd.DataFrame(shares, index=pd.Index([a.name for a in inputs.axes], name="axis"))


def _joined(name: str, blocks: list[Any], order: Ints) -> "pd.Series[Any]":
    if DETAILED.get(name) == "number":
        real = [np.array(block, np.float64) for block in blocks] or [np.empty(0, np.float64)]
        numbers = np.concatenate(real)[order]
        return pd.Series(pd.arrays.FloatingArray(numbers, np.isnan(numbers)))
    if name not in MEASURED:
        text = [np.asarray(block, dtype=object) for block in blocks]
        joined = np.concatenate(text or [np.empty(0, object)])[order]
        return pd.Series(joined, dtype="str")
    parts = [_masked(block) for block in blocks] or [_masked([])]
    values = np.concatenate([part[0] for part in parts])[order]
    missing = np.concatenate([part[1] for part in parts])[order]
    return pd.Series(pd.arrays.IntegerArray(values, missing))


def _masked(block: Any) -> tuple[Ints, Bools]:
    """Return whole numbers, and where there are none."""
    if isinstance(block, np.ndarray) and block.dtype.kind in "iu":
        return block.astype(np.int64), np.zeros(len(block), bool)
    missing = np.array([value is None for value in block], bool)
    filled = [0 if value is None else int(value) for value in block]
    return np.array(filled, np.int64), missing
