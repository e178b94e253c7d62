"""Figures of strategies side by side: what critical paths consist of, and overheads."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hybridsim.report.figures.style import (
    BLUE,
    COLUMN,
    GREY,
    LIGHT,
    PAGE,
    Build,
    Format,
    blank,
    files_of,
    legend_below,
    save_undated,
)

_ALL_ANALOG = "0.4"
# Okabe and Ito's colours, told apart with any colour vision
_PARTS = (
    ("tile", "tiles", "#56B4E9"),
    ("matrix_engine", "matrix engine", "#D55E00"),
    ("cores", "cores", "#E69F00"),
    ("dma", "DMA", "#009E73"),
    ("cluster", "clusters", "#F0E442"),
    ("engine_cluster", "engine clusters", "#CC79A7"),
    ("link", "link", "#0072B2"),
    ("dram", "DRAM", "#000000"),
    ("periphery", "tile periphery", "0.6"),
)
_OTHER = "other parts"


def comparison_bars(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what is drawn: strategy, overhead_percent, yardstick_ms, and ms on each part used.

    With intervals also below_ms and above_ms, from the latency to their ends.

    ``rows`` is a comparison; strategies that cannot run are left out. The parts of a strategy add
    up to its latency.
    """
    ran = rows[rows["problem"] == ""]
    table = ran[["strategy", "overhead_percent"]].copy()
    table["yardstick_ms"] = ran["yardstick_ps"] / 1e9
    for kind, name, _ in _PARTS:
        column = f"{kind}_critical"
        if column in ran and (ran[column].fillna(0) > 0).any():
            table[name] = ran["latency_ps"] * ran[column].fillna(0) / 1e9
    named = {f"{kind}_critical" for kind, _, _ in _PARTS}
    columns = [str(column) for column in ran]
    unnamed = [c for c in columns if c.endswith("_critical") and c not in named]
    rest = ran[unnamed].fillna(0).sum(axis=1)
    if (rest > 0).any():
        table[_OTHER] = ran["latency_ps"] * rest / 1e9
    if "latency_low_ps" in ran:
        table["below_ms"] = (ran["latency_ps"] - ran["latency_low_ps"]) / 1e9
        table["above_ms"] = (ran["latency_high_ps"] - ran["latency_ps"]) / 1e9
    return table.reset_index(drop=True)


def draw_comparison(table: pd.DataFrame, axes: Axes) -> None:
    """Draw one bar per strategy, the first on top, and the all-analog latency as a line."""
    left = pd.Series(0.0, index=table.index)
    for _, name, color in (*_PARTS, ("", _OTHER, "0.8")):
        if name not in table:
            continue
        axes.barh(table["strategy"], table[name], left=left, color=color, label=name, height=0.7)
        left = left + table[name]
    if "below_ms" in table:
        reach = table[["below_ms", "above_ms"]].to_numpy().T
        places = list(range(len(table)))
        axes.errorbar(left, places, xerr=reach, fmt="none", ecolor="black", capsize=2, lw=0.8)
    axes.axvline(table["yardstick_ms"].iloc[0], color=_ALL_ANALOG, linewidth=1, label="all-analog")
    for place, (length, over) in enumerate(zip(left, table["overhead_percent"], strict=True)):
        axes.annotate(
            f"{over:+.1f} %", (length, place), xytext=(3, 0), textcoords="offset points",
            va="center", fontsize=7.5,
        )  # fmt: skip
    axes.invert_yaxis()
    axes.margins(x=0.14)
    axes.set(xlabel="critical path [ms]")


def comparison_figure(rows: pd.DataFrame) -> Figure:
    """Return the figure, one column and a half of a page wide."""
    table = comparison_bars(rows)
    figure = Figure(figsize=(6.0, 1.4 + 0.28 * len(table)), layout="constrained")
    axes = figure.subplots()
    draw_comparison(table, axes)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=5, fontsize=7.5, frameon=False)
    return figure


def save_comparison_figure(rows: pd.DataFrame, path: Path) -> None:
    """Write the figure; the ending of ``path`` is that of a PNG, SVG or PDF.

    The same rows give the same file.
    """
    save_undated(lambda: comparison_figure(rows), path)


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


def comparison_files(rows: pd.DataFrame, kind: Format) -> dict[str, bytes]:
    """Return file name -> figure: critical paths of the strategies, and overheads."""
    drawn: dict[str, Build] = {"strategies": lambda: strategies_figure(rows)}
    if (rows["strategy"][rows["problem"] == ""] != "all_analog").any():
        drawn["overheads"] = lambda: overheads_figure(rows)
    return files_of(drawn, kind)
