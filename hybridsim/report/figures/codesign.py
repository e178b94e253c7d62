"""Accuracy after years against slowdown, with energy as colour: what codesign answers."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from hybridsim.analog.times import format_time
from hybridsim.codesign import CodesignResult
from hybridsim.errors import InputError
from hybridsim.report.figures.style import (
    BLACK,
    COLUMN,
    GREY,
    LIGHT,
    MARKERS,
    Format,
    blank,
    file_of,
    legend_below,
)


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
