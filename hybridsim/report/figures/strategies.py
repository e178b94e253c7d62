"""Strategies side by side: what their critical paths consist of, and the overhead of each."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hybridsim.report.comparison_figure import comparison_bars, draw_comparison
from hybridsim.report.figures.style import (
    BLUE,
    COLUMN,
    GREY,
    LIGHT,
    PAGE,
    blank,
    legend_below,
)


def strategies_figure(rows: pd.DataFrame) -> Figure:
    """Return the critical path of each strategy by parts, two columns wide."""
    table = comparison_bars(rows)
    figure, axes = blank(PAGE, 1.0 + 0.22 * len(table))
    draw_comparison(table, axes)
    legend_below(figure, axes, 5)
    return figure


def overhead_bars(rows: pd.DataFrame) -> pd.DataFrame:
    """Return strategy, overhead_percent and worst_layer_percent of those that ran, least first."""
    ran = rows[(rows["problem"] == "") & (rows["strategy"] != "all_analog")]
    table = ran[["strategy", "overhead_percent", "worst_layer_percent"]]
    return table.sort_values("overhead_percent", kind="stable", ignore_index=True)


def draw_overheads(table: pd.DataFrame, axes: Axes) -> None:
    """Draw the overhead of each strategy, and that of its worst layer as a mark."""
    axes.barh(table["strategy"], table["overhead_percent"], color=BLUE, height=0.7)
    axes.plot(
        table["worst_layer_percent"], range(len(table)), linestyle="none", marker="D",
        markersize=3.5, color=GREY, label="worst layer",
    )  # fmt: skip
    for place, value in enumerate(table["overhead_percent"]):
        axes.annotate(
            f"{value:.1f}", (max(value, 0), place), xytext=(3, 0), textcoords="offset points",
            va="center", fontsize=6.5,
        )  # fmt: skip
    axes.invert_yaxis()
    axes.axvline(0, color=LIGHT, linewidth=0.6)
    axes.margins(x=0.14)
    axes.set_xlabel("overhead over all-analog [%]")


def overheads_figure(rows: pd.DataFrame) -> Figure:
    """Return the overhead of each strategy, one column wide."""
    table = overhead_bars(rows)
    figure, axes = blank(COLUMN, 0.9 + 0.2 * len(table))
    draw_overheads(table, axes)
    legend_below(figure, axes, 1)
    return figure
