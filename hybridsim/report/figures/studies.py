"""Figures of studies: fronts of a sweep, accuracy against slowdown, accuracy over the years."""

from math import log10
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hybridsim.analog.times import format_time, in_order, parse_time
from hybridsim.codesign import CodesignResult
from hybridsim.errors import InputError
from hybridsim.report.figures.style import (
    BLACK,
    COLUMN,
    GREY,
    LIGHT,
    MARKERS,
    PAGE,
    SERIES,
    Format,
    blank,
    file_of,
    files_of,
    legend_below,
)
from hybridsim.report.quantities import name_of, scale
from hybridsim.sweeps.answers import cases
from hybridsim.sweeps.columns import INTERVALS
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.study import Study

MOST_CASES = 8
"""Cases whose fronts are lines of their own in one figure; of more, fronts are markers alone."""
DIGITAL = "digital"
"""In place of a time: digital arithmetic."""
FEW_ARMS = 3
"""Arms that one column has room for."""
MOST_BARS = 60
"""Points of fronts up to which each has its error bars."""
_LOGARITHMIC = 20
"""A larger ratio of the largest to the smallest value is drawn on a logarithmic axis."""


def pareto_points(inputs: Inputs, table: pd.DataFrame) -> pd.DataFrame:
    """Return the first two objectives, pareto and case, of the feasible points of a study.

    With them the ends of their 90 % intervals, where the study keeps these.

    Raises:
        InputError: The study has one objective, or no feasible point.
    """
    check_objectives(inputs.study)
    objectives = list(inputs.study.objectives)
    ends = [end for name in objectives[:2] for end in INTERVALS.get(name, ()) if end in table]
    points = table[[*objectives[:2], *ends, "feasible", "pareto"]].copy()
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


def draw_pareto(points: pd.DataFrame, axes: Axes, joined: bool = True) -> None:
    """Draw all points faintly and, of each case, the front as markers, by a line where ``joined``.

    The first two columns are the axes; a front of more objectives is no line in their plane.
    Points of fronts have error bars where their intervals are known, if there are no more than
    :data:`MOST_BARS`.
    """
    x, y = points.columns[:2]
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
    if len(front) <= MOST_BARS:
        _draw_intervals(front, {x: values[x][1], y: values[y][1]}, axes)
    for place, (case, rows) in enumerate(front.groupby("case", sort=False)):
        order = rows.sort_values([x, y], kind="stable").index
        axes.plot(
            values[x][1][order], values[y][1][order], marker=MARKERS[place], color=SERIES[place],
            markersize=3, linewidth=0.7, linestyle="-" if joined else "none",
            label=case or "front",
        )  # fmt: skip
    for name, axis in ((x, axes.xaxis), (y, axes.yaxis)):
        label, column = values[name]
        axis.set_label_text(label)
        low, high = column.min(), column.max()
        if low > 0 and high / low > _LOGARITHMIC:
            (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
        elif (column == column.round()).all():
            axis.set_major_locator(MaxNLocator(integer=True))


def _draw_intervals(
    front: pd.DataFrame, values: dict[str, "pd.Series[float]"], axes: Axes
) -> None:
    """Draw the 90 % intervals of some points, along the axes that have them."""
    reach: list[np.ndarray[Any, Any] | None] = []
    for name, scaled in values.items():
        low, high = INTERVALS.get(name, ("", ""))
        if low not in front:
            reach.append(None)
            continue
        own = front[name].astype(float)
        size = (scaled[front.index] / own.where(own != 0)).median()
        ends = (own - front[low], front[high] - own)
        reach.append(np.array([(end * size).to_numpy(float) for end in ends]))
    if any(each is not None for each in reach):
        x, y = (scaled[front.index] for scaled in values.values())
        axes.errorbar(
            x, y, xerr=reach[0], yerr=reach[1], fmt="none", ecolor=GREY, linewidth=0.6, zorder=1
        )


def _scaled(name: str, column: pd.Series) -> tuple[str, pd.Series]:
    """Return the label of an objective with its unit, and its values in that unit."""
    value = column.astype(float)
    size, unit = scale(name, float(np.median(value)))
    return f"{name_of(name)} [{unit}]" if unit else name_of(name), value / size


def pareto_figure(inputs: Inputs, table: pd.DataFrame) -> Figure:
    """Return the first two objectives of a study, one column wide.

    Raises:
        InputError: As :func:`pareto_points`.
    """
    points = pareto_points(inputs, table)
    lines = points["case"].nunique()
    figure, axes = blank(COLUMN, 2.7 + 0.13 * (lines if lines <= MOST_CASES else 0))
    draw_pareto(points, axes, joined=len(inputs.study.objectives) == 2)
    legend_below(figure, axes, 1 if 1 < lines <= MOST_CASES else 2)
    return figure


def check_objectives(study: Study) -> None:
    """Refuse a study whose sweep cannot be drawn, before any work is done.

    Raises:
        InputError: The study has one objective.
    """
    if len(study.objectives) < 2:
        raise InputError(
            f"--figures: {study.name} has one objective; a front needs two, so add another"
        )


def sweep_files(inputs: Inputs, table: pd.DataFrame, kind: Format) -> dict[str, bytes]:
    """Return file name -> figure: the Pareto front of the first two objectives.

    Nothing feasible is no figure.

    Raises:
        InputError: There is one objective.
    """
    check_objectives(inputs.study)
    if not table["feasible"].any():
        return {}
    return files_of({"pareto": lambda: pareto_figure(inputs, table)}, kind)


def codesign_points(result: CodesignResult) -> pd.DataFrame:
    """Return machine, slowdown [%], accuracy [%] with interval, energy [uJ], pareto and ship.

    Raises:
        InputError: No point meets all constraints.
    """
    rows = result.table[result.table["feasible"]]
    if rows.empty:
        raise InputError(f"--figures: no point of {result.study.name} meets all constraints")
    return pd.DataFrame(
        {
            "machine": rows["machine"],
            "slowdown_percent": rows["slowdown_percent"].astype(float),
            "accuracy_percent": rows["accuracy_percent"].astype(float),
            "ci95_low": rows["ci95_low"].astype(float),
            "ci95_high": rows["ci95_high"].astype(float),
            "energy_uj": rows["energy_pj"].astype(float) / 10**6,
            "pareto": rows["pareto"],
            "ship": rows["ship"],
        }
    ).reset_index(drop=True)


def draw_codesign(points: pd.DataFrame, axes: Axes) -> PathCollection | None:
    """Draw all points faintly, the front with intervals, energies and machines, and what ships.

    Returns what carries the colours of the energies; None where energies are unknown.
    """
    axes.plot(
        points["slowdown_percent"], points["accuracy_percent"], linestyle="none", marker=".",
        markersize=2, color=LIGHT, zorder=0, label="feasible",
    )  # fmt: skip
    front = points[points["pareto"]]
    known = front["energy_uj"].notna().all()
    span = (front["energy_uj"].min(), front["energy_uj"].max())
    coloured: PathCollection | None = None
    for place, (machine, rows) in enumerate(front.groupby("machine", sort=False)):
        middle, low, high = (rows[c] for c in ("accuracy_percent", "ci95_low", "ci95_high"))
        axes.errorbar(
            rows["slowdown_percent"], middle, yerr=[middle - low, high - middle],
            linestyle="none", color=GREY, linewidth=0.5, zorder=1,
        )  # fmt: skip
        drawn = axes.scatter(
            rows["slowdown_percent"], middle, s=18, marker=MARKERS[place % len(MARKERS)],
            c=rows["energy_uj"] if known else GREY, cmap="viridis" if known else None,
            vmin=span[0] if known else None, vmax=span[1] if known else None,
            edgecolors="none", zorder=2, label=str(machine),
        )  # fmt: skip
        coloured = drawn if known else None
    shipped = points[points["ship"]]
    axes.plot(
        shipped["slowdown_percent"], shipped["accuracy_percent"], linestyle="none", marker="o",
        markersize=8, markerfacecolor="none", markeredgecolor=BLACK, label="to ship",
    )  # fmt: skip
    axes.set_xlabel("slowdown against the fastest all-analog point [%]")
    return coloured


def codesign_figure(result: CodesignResult) -> Figure:
    """Return the figure of a study, one column wide.

    Raises:
        InputError: As :func:`codesign_points`.
    """
    points = codesign_points(result)
    figure, axes = blank(COLUMN, 3.0)
    coloured = draw_codesign(points, axes)
    axes.set_ylabel(f"accuracy after {format_time(result.study.after)} [%]")
    if coloured is not None:
        figure.colorbar(coloured, ax=axes, label="energy [µJ]")
    legend_below(figure, axes, 3)
    return figure


def codesign_file(result: CodesignResult, kind: Format) -> bytes:
    """Return the figure as a file."""
    return file_of(lambda: codesign_figure(result), kind)


FIRST_READ = 20.0
"""t0 of the drift law [s]: times stand at log10(t + t0), so that 0 s has a place."""
DODGED = 0.75
"""Share of the least distance between two times over which the arms of one time spread."""


def times_on_axis(times: list[str]) -> list[float]:
    """Return where each time stands: log10(t + t0), and digital arithmetic a decade before.

    Times come in order, as :func:`hybridsim.analog.times.in_order` gives them.
    """
    on_chips = [log10(parse_time(time) + FIRST_READ) for time in times if time != DIGITAL]
    first = min(on_chips, default=1.0) - 1.0
    return ([first] if DIGITAL in times else []) + on_chips


def draw_adaptation(accuracy: pd.DataFrame, axes: Axes) -> None:
    """Draw accuracy [%] with 95 % intervals per arm: in digital arithmetic, then on chips in time.

    ``accuracy`` has the columns of ``accuracy.csv`` of ``hybridsim adapt``. The arms of one time
    stand side by side, in the order of the legend.
    """
    times = in_order(accuracy["time"])
    centres = times_on_axis(times)
    arms = list(dict.fromkeys(accuracy["arm"]))
    least = min(np.diff(centres), default=1.0)
    apart = DODGED * float(least) / max(len(arms), 1)
    for index, arm in enumerate(arms):
        rows = accuracy[accuracy["arm"] == arm].set_index("time").reindex(times)
        places = [centre + apart * (index - (len(arms) - 1) / 2) for centre in centres]
        middle = rows["accuracy_percent"]
        colour = SERIES[index % len(SERIES)]
        axes.errorbar(
            places, middle, yerr=[middle - rows["ci95_low"], rows["ci95_high"] - middle],
            linestyle="none", marker=MARKERS[index % len(MARKERS)], markersize=3.5,
            color=colour, elinewidth=0.7, capsize=1.5, label=arm,
        )  # fmt: skip
        on_chips = [
            at for at, time in enumerate(times) if time != DIGITAL and middle.notna().iloc[at]
        ]
        axes.plot(
            [places[at] for at in on_chips], middle.iloc[on_chips], color=colour, linewidth=0.5,
            alpha=0.5,
        )  # fmt: skip
    if DIGITAL in times and len(times) > 1:
        axes.axvline((centres[0] + centres[1]) / 2, color="0.85", linewidth=0.6)
    axes.set_xticks(centres, times)
    axes.set_xlabel("time since programming (logarithmic)")
    axes.set_ylabel("accuracy [%]")


def adaptation_figure(accuracy: pd.DataFrame) -> Figure:
    """Return the figure of a study: one column wide, two where more than three arms share it."""
    many = accuracy["arm"].nunique() > FEW_ARMS
    figure, axes = blank(PAGE if many else COLUMN, 2.8)
    draw_adaptation(accuracy, axes)
    legend_below(figure, axes, 4 if many else 2)
    return figure


def adaptation_file(accuracy: pd.DataFrame, kind: Format) -> bytes:
    """Return the figure as a file."""
    return file_of(lambda: adaptation_figure(accuracy), kind)
