"""How the parts of each kind spend the run."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hybridsim.explanation import stalls_table
from hybridsim.report.figures.style import (
    COLUMN,
    GREEN,
    LIGHT,
    NAMES,
    ORANGE,
    SKY,
    VERMILION,
    blank,
    legend_below,
)
from hybridsim.simulation import Run

_STATES = {
    "busy": (GREEN, ""),
    "waiting": (ORANGE, "////"),
    "blocked": (VERMILION, "xxxx"),
    "starved": (SKY, "...."),
    "finished": (LIGHT, ""),
}
_SHOWN_AS = {"finished": "nothing left"}


def draw_utilization(table: pd.DataFrame, axes: Axes) -> None:
    """Draw the shares of :func:`hybridsim.explanation.stalls_table`, one bar per kind of part."""
    left = pd.Series(0.0, index=table.index)
    names = [
        f"{NAMES.get(row['kind'], row['kind'])} ({row['parts']})"
        for row in table.to_dict("records")
    ]
    for state, (color, hatch) in _STATES.items():
        axes.barh(
            names, table[state] * 100, left=left * 100, color=color, hatch=hatch, height=0.7,
            edgecolor="white", linewidth=0, label=_SHOWN_AS.get(state, state),
        )  # fmt: skip
        left = left + table[state]
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of the run [%]")


def utilization_figure(run: Run) -> Figure:
    """Return what the parts of each kind did: busy, or why not."""
    table = stalls_table(run)
    figure, axes = blank(COLUMN, 1.0 + 0.22 * len(table))
    draw_utilization(table, axes)
    legend_below(figure, axes, 3)
    return figure
