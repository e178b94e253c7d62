"""Two objectives of a sweep against each other, and the front."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hybridsim.errors import InputError
from hybridsim.report.figures.style import (
    COLUMN,
    LIGHT,
    MARKERS,
    SERIES,
    blank,
    legend_below,
    time_unit,
)
from hybridsim.sweeps.answers import cases
from hybridsim.sweeps.inputs import Inputs

MOST_CASES = 8
"""Cases whose fronts are lines of their own in one figure; of more, fronts are markers alone."""
_LOGARITHMIC = 20
"""A larger ratio of the largest to the smallest value is drawn on a logarithmic axis."""


def pareto_points(inputs: Inputs, table: pd.DataFrame) -> pd.DataFrame:
    """Return case, the first two objectives, and pareto, of the feasible points of a study.

    Raises:
        InputError: The study has one objective, or no feasible point.
    """
    objectives = list(inputs.study.objectives)
    if len(objectives) < 2:
        raise InputError(
            f"--figures: {inputs.study.name} has one objective; a front needs two, so add another"
        )
    points = table[[*objectives[:2], "feasible", "pareto"]].copy()
    names = np.full(len(table), "", dtype=object)
    for rows in cases(inputs, table):
        names[rows] = _case(inputs, table.iloc[rows[0]])
    points["case"] = names
    found = points[points["feasible"]].drop(columns="feasible").reset_index(drop=True)
    if found.empty:
        raise InputError(f"--figures: no point of {inputs.study.name} meets all constraints")
    return found


def _case(inputs: Inputs, row: pd.Series) -> str:
    told = []
    for axis in inputs.axes:
        if axis.name in inputs.study.per:
            value = row[axis.column]
            if axis.numbers is not None:
                value = axis.labels[int((axis.numbers == value).argmax())]
            told.append(str(value))
    return ", ".join(told)


def draw_pareto(points: pd.DataFrame, axes: Axes) -> None:
    """Draw all points faintly and, of each case, the front as a line of markers."""
    x, y = (name for name in points.columns if name not in ("case", "pareto"))
    values = {name: _scaled(name, points[name]) for name in (x, y)}
    axes.plot(
        values[x][1], values[y][1], linestyle="none", marker=".", markersize=2, color=LIGHT,
        zorder=0, label="feasible",
    )  # fmt: skip
    front = points[points["pareto"]]
    if front["case"].nunique() > MOST_CASES:
        axes.plot(
            values[x][1][front.index], values[y][1][front.index], linestyle="none", marker="o",
            color=SERIES[0], markersize=3, label=f"fronts of {front['case'].nunique()} cases",
        )  # fmt: skip
        front = front.iloc[:0]
    for place, (case, rows) in enumerate(front.groupby("case", sort=False)):
        order = rows.sort_values([x, y], kind="stable").index
        axes.plot(
            values[x][1][order], values[y][1][order], marker=MARKERS[place], color=SERIES[place],
            markersize=3, linewidth=0.7, label=case or "front",
        )  # fmt: skip
    for name, axis in ((x, axes.xaxis), (y, axes.yaxis)):
        label, column = values[name]
        axis.set_label_text(label)
        low, high = column.min(), column.max()
        if low > 0 and high / low > _LOGARITHMIC:
            (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")


def _scaled(name: str, column: pd.Series) -> tuple[str, pd.Series]:
    """Return the label of an objective with its unit, and its values in that unit."""
    value = column.astype(float)
    if name.endswith("_ps"):
        unit, size = time_unit(float(np.median(value)))
        return f"{_words(name, '_ps')} [{unit}]", value / size
    if name.endswith("_bytes"):
        return f"{_words(name, '_bytes').replace('tcdm', 'TCDM')} [KiB]", value / 1024
    if name.endswith("_percent"):
        return f"{_words(name, '_percent')} [%]", value
    return _words(name, ""), value


def _words(name: str, suffix: str) -> str:
    return name.removesuffix(suffix).replace("_", " ")


def pareto_figure(inputs: Inputs, table: pd.DataFrame) -> Figure:
    """Return the first two objectives of a study, one column wide.

    Raises:
        InputError: As :func:`pareto_points`.
    """
    points = pareto_points(inputs, table)
    lines = points["case"].nunique()
    figure, axes = blank(COLUMN, 2.7 + 0.13 * (lines if lines <= MOST_CASES else 0))
    draw_pareto(points, axes)
    legend_below(figure, axes, 1 if 1 < lines <= MOST_CASES else 2)
    return figure
