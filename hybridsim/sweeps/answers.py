"""What a sweep says: its table, the Pareto front and the best points."""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridsim.sweeps.accuracy import SEPARATOR
from hybridsim.sweeps.columns import ACCURACY, DERIVED, MEASURED, REAL, RESULTS, derive
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.pareto import Bools, pareto
from hybridsim.sweeps.study import asked_columns, study_constraints
from hybridsim.units import Ints


def build_table(inputs: Inputs, found: Iterable[tuple[Ints, Mapping[str, Any]]]) -> pd.DataFrame:
    """Return one row per point in the order of the grid, units in the column names.

    Columns: the axes; the results kept, sought or compared; ``problem``, why a point has none;
    ``feasible``, whether it ran and meets every constraint; ``pareto``, whether it is feasible and
    no feasible point of its case is at least as good in all objectives and better in one.
    """
    blocks = [(indices, dict(columns)) for indices, columns in found]
    indices = np.concatenate([i for i, _ in blocks] or [np.empty(0, np.int64)])
    order = np.argsort(indices, kind="stable")
    table = axes_frame(inputs, indices[order])
    stored = {  # a column of a block goes when it is joined, so that no two copies of all are held
        name: _joined(name, [block.pop(name) for _, block in blocks], order)
        for name in (*inputs.columns, "problem")
    }
    for name in shown_columns(inputs):
        if name == ACCURACY:
            table[name] = _accuracy(inputs, indices[order])
        else:
            table[name] = derive(name, stored) if name in DERIVED else stored[name]
    table["problem"] = stored["problem"]
    del blocks, stored
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
    own = {axis.column for axis in inputs.axes}
    asked = asked_columns(inputs.study, inputs.axes) - own
    return [name for name in RESULTS if name in asked]


def _accuracy(inputs: Inputs, indices: Ints) -> "pd.Series[Any]":
    numbers = accuracies(inputs, indices)
    return pd.Series(pd.arrays.FloatingArray(numbers, np.isnan(numbers)))


def accuracies(inputs: Inputs, indices: Ints) -> NDArray[np.float64]:
    """Return the accuracy of the adapters of some points [%]; NaN where none is known."""
    names = [axis.name for axis in inputs.axes]
    places = [names.index(name) for name in inputs.study.accuracy_axes]
    labels = product(*(inputs.axes[place].labels for place in places))
    known = [inputs.accuracy.get(SEPARATOR.join(each), np.nan) for each in labels]
    shape = [len(inputs.axes[place]) for place in places]
    coordinates = inputs.coordinates(indices)
    return np.array(known).reshape(shape)[tuple(coordinates[place] for place in places)]


def objective_values(inputs: Inputs, table: pd.DataFrame) -> NDArray[np.float64]:
    """Return the objectives of each row, smaller being better; NaN where there is no result."""
    columns = [
        table[name].astype("Float64").to_numpy(np.float64, na_value=np.nan)
        * (1 if direction == "minimise" else -1)
        for name, direction in inputs.study.objectives.items()
    ]
    return np.stack(columns, axis=1)


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


def _joined(name: str, blocks: list[Any], order: Ints) -> "pd.Series[Any]":
    if name in REAL:
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
