"""What stands between points and all constraints: how many meet each, and which is nearest."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

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
    """The point that comes nearest to meeting all constraints."""

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

    Nearest is what misses its constraints by the least in all: of each the distance of the value
    from its bound, over the bound (over 1 for a bound of 0), added up. The first of equal ones.
    """
    ran = np.flatnonzero((table["problem"] == "").to_numpy())
    if table["feasible"].any() or not len(ran):
        return None
    constraints = study_constraints(inputs.study, inputs.axes)
    far = np.zeros(len(ran))
    for own in constraints:
        values = table[own.column].iloc[ran].astype("Float64").to_numpy(float, na_value=np.inf)
        away = np.maximum(np.abs(values - own.bound), 1e-12) / (abs(own.bound) or 1)
        far += np.where(own.holds(table).to_numpy()[ran], 0, away)
    row = int(ran[np.argmin(far)])
    misses = []
    for text, own in zip(inputs.study.constraints, constraints, strict=True):
        if not own.holds(table.iloc[[row]]).iloc[0]:
            given = table[own.column].iloc[row]
            value = None if pd.isna(given) else float(given)
            by = None if value is None else abs(value - own.bound)
            misses.append(Miss(text, own.column, value, own.bound, by))
    return Nearest(row, tuple(misses))
