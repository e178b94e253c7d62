"""The best value of each objective over every pair of axes of a study."""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from hybridsim.sweeps.answers import cases
from hybridsim.sweeps.axes import Axis
from hybridsim.sweeps.inputs import Inputs
from hybridsim.units import Ints

MOST_VALUES = 60
"""Values of an axis that a heat map shows; longer axes are left out of it."""
MOST_CELLS = 60_000
"""Cells of all heat maps of a page; cases beyond that are shown together only."""


def axis_codes(axis: Axis, table: pd.DataFrame) -> Ints:
    """Return which value of an axis each row has, as an index into its labels."""
    column = table[axis.column]
    if axis.numbers is not None:
        order = np.argsort(axis.numbers, kind="stable")
        place = np.searchsorted(axis.numbers, column.to_numpy(np.int64), sorter=order)
        return order[place].astype(np.int64)
    known = pd.Categorical(column, categories=list(axis.labels))
    return known.codes.astype(np.int64)


def case_labels(inputs: Inputs, table: pd.DataFrame) -> tuple[list[str], Ints]:
    """Return a name for each case of a study, and which case each row belongs to."""
    number = np.zeros(len(table), np.int64)
    axes = [axis for axis in inputs.axes if axis.name in inputs.study.per]
    if not axes:
        return ["all points"], number
    codes = [axis_codes(axis, table) for axis in axes]
    names = []
    for case, rows in enumerate(cases(inputs, table)):
        number[rows] = case
        labels = [axis.labels[code[rows[0]]] for axis, code in zip(axes, codes, strict=True)]
        names.append(", ".join(labels))
    return names, number


def heat_maps(inputs: Inputs, table: pd.DataFrame) -> dict[str, Any]:
    """Return the axes that can be chosen, and for each pair of them its cells.

    A cell is [case, place on the first axis, place on the second, best value of each objective]:
    the best of the feasible points that have both values, over all values of the other axes. Case
    -1 is all cases together. There are no cells for what no feasible point has.
    """
    axes = [axis for axis in inputs.axes if 2 <= len(axis) <= MOST_VALUES]
    names, number = case_labels(inputs, table)
    feasible = table["feasible"].to_numpy(bool)
    rows = table[feasible]
    codes = [axis_codes(axis, rows) for axis in axes]
    frame = pd.DataFrame({f"a{i}": code for i, code in enumerate(codes)})
    frame["case"] = number[feasible]
    how = {}
    for i, (column, direction) in enumerate(inputs.study.objectives.items()):
        frame[f"v{i}"] = rows[column].astype("Float64").to_numpy(float, na_value=np.nan)
        how[f"v{i}"] = "min" if direction == "minimise" else "max"
    pairs = list(combinations(range(len(axes)), 2))
    cells = sum(len(axes[i]) * len(axes[j]) for i, j in pairs)
    by_case = len(names) > 1 and cells * len(names) <= MOST_CELLS
    return {
        "axes": [{"name": axis.name, "labels": list(axis.labels)} for axis in axes],
        "cases": names if by_case else [],
        "cells": {f"{i},{j}": _cells(frame, i, j, how, by_case) for i, j in pairs},
    }


def _cells(
    frame: pd.DataFrame, i: int, j: int, how: dict[str, str], by_case: bool
) -> list[list[Any]]:
    keys = [f"a{i}", f"a{j}"]
    together = frame.groupby(keys, sort=True).agg(how).reset_index()
    together.insert(0, "case", -1)
    tables = [together]
    if by_case:
        tables.append(frame.groupby(["case", *keys], sort=True).agg(how).reset_index())
    return [
        [int(case), int(x), int(y), *(None if pd.isna(v) else float(f"{v:.6g}") for v in values)]
        for found in tables
        for case, x, y, *values in found.itertuples(index=False)
    ]
