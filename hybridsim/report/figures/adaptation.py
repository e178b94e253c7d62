"""Accuracy of ways to train over the years: what a study of adapters answers."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hybridsim.analog.times import in_order
from hybridsim.report.figures.style import (
    COLUMN,
    MARKERS,
    SERIES,
    Format,
    blank,
    file_of,
    legend_below,
)

APART = 0.12
"""Distance between arms at the same time, in places of the axis."""


def draw_adaptation(accuracy: pd.DataFrame, axes: Axes) -> None:
    """Draw accuracy [%] with 95 % intervals per arm: in digital arithmetic, then on chips in time.

    ``accuracy`` has the columns of ``accuracy.csv`` of ``hybridsim adapt``.
    """
    times = in_order(accuracy["time"])
    arms = list(dict.fromkeys(accuracy["arm"]))
    for index, arm in enumerate(arms):
        rows = accuracy[accuracy["arm"] == arm].set_index("time").reindex(times)
        places = [at + APART * (index - (len(arms) - 1) / 2) for at in range(len(times))]
        middle = rows["accuracy_percent"]
        colour = SERIES[index % len(SERIES)]
        axes.errorbar(
            places, middle, yerr=[middle - rows["ci95_low"], rows["ci95_high"] - middle],
            linestyle="none", marker=MARKERS[index % len(MARKERS)], markersize=3.5,
            color=colour, elinewidth=0.7, capsize=1.5, label=arm,
        )  # fmt: skip
        on_chips = [
            at for at, time in enumerate(times) if time != "digital" and middle.notna().iloc[at]
        ]
        axes.plot([places[at] for at in on_chips], middle.iloc[on_chips], color=colour)
    if "digital" in times:
        axes.axvline(times.index("digital") + 0.5, color="0.85", linewidth=0.6)
    axes.set_xticks(range(len(times)), times)
    axes.set_xlabel("time since programming")
    axes.set_ylabel("accuracy [%]")


def adaptation_figure(accuracy: pd.DataFrame) -> Figure:
    """Return the figure of a study, one column wide."""
    figure, axes = blank(COLUMN, 2.8)
    draw_adaptation(accuracy, axes)
    legend_below(figure, axes, 2)
    return figure


def adaptation_file(accuracy: pd.DataFrame, kind: Format) -> bytes:
    """Return the figure as a file."""
    return file_of(lambda: adaptation_figure(accuracy), kind)
