"""What stands between points and all constraints: how many meet each, and which is nearest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hybridsim.sweeps.columns import Constraint
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.study import study_constraints


@dataclass(frozen=True)
class Miss:
    """A constraint that a point does not meet."""

    constraint: str
    column: str
    value: float | None
    """What the point has, in the unit of the column; None for nothing."""
    bound: float
    by: float | None
    """How far the value is from the bound."""


@dataclass(frozen=True)
class Nearest:
    """A point that comes near to meeting all constraints."""

    row: int
    """Its row of the table."""
    misses: tuple[Miss, ...]


def met_by(inputs: Inputs, table: pd.DataFrame) -> dict[str, int]:
    """Return constraint -> how many points with a result meet it, whatever the others."""
    ran = table["problem"] == ""
    constraints = study_constraints(inputs.study, inputs.axes)
    return {
        text: int((own.holds(table) & ran).sum())
        for text, own in zip(inputs.study.constraints, constraints, strict=True)
    }


def nearest(inputs: Inputs, table: pd.DataFrame) -> Nearest | None:
    """Return the point that comes nearest where none is feasible; None else, or without results.

    See :func:`nearest_points`.
    """
    found = nearest_points(inputs, table, 1)
    return found[0] if found else None


def nearest_points(inputs: Inputs, table: pd.DataFrame, most: int) -> list[Nearest]:
    """Return up to ``most`` points that come nearest where none is feasible; none else.

    Near is what misses its constraints by little in all: of each the distance of the value from
    its bound, over the bound (over 1 for a bound of 0), added up. Of equal ones the first come
    first; those that miss the same by the same count once.
    """
    ran = np.flatnonzero((table["problem"] == "").to_numpy())
    if table["feasible"].any() or not len(ran):
        return []
    constraints = study_constraints(inputs.study, inputs.axes)
    each = np.zeros((len(ran), len(constraints)))
    for column, own in enumerate(constraints):
        values = table[own.column].iloc[ran].astype("Float64").to_numpy(float, na_value=np.inf)
        away = np.maximum(np.abs(values - own.bound), 1e-12) / (abs(own.bound) or 1)
        each[:, column] = np.where(own.holds(table).to_numpy()[ran], 0, away)
    order = np.argsort(each.sum(axis=1), kind="stable")
    alike = pd.DataFrame(each[order]).duplicated().to_numpy()
    rows = ran[order][~alike][:most]
    return [Nearest(int(row), _misses(inputs, constraints, table.iloc[[row]])) for row in rows]


def _misses(
    inputs: Inputs, constraints: Sequence[Constraint], point: pd.DataFrame
) -> tuple[Miss, ...]:
    """Return what one row of a table does not meet."""
    found = []
    for text, own in zip(inputs.study.constraints, constraints, strict=True):
        if not own.holds(point).iloc[0]:
            given = point[own.column].iloc[0]
            value = None if pd.isna(given) else float(given)
            by = None if value is None else abs(value - own.bound)
            found.append(Miss(text, own.column, value, own.bound, by))
    return tuple(found)
