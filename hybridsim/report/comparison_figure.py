"""The figure of strategies side by side: what the critical path consists of, and the overhead."""

from pathlib import Path

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
"""Kinds of files that can be written."""
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


def comparison_bars(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what is drawn: strategy, overhead_percent, all_analog_ms, and ms on each part used.

    ``rows`` is a comparison; strategies that cannot run are left out. The parts of a strategy add
    up to its latency.
    """
    ran = rows[rows["problem"] == ""]
    table = ran[["strategy", "overhead_percent"]].copy()
    table["all_analog_ms"] = ran["all_analog_ps"] / 1e9
    for kind, name, _ in _PARTS:
        column = f"{kind}_critical"
        if column in ran and (ran[column].fillna(0) > 0).any():
            table[name] = ran["latency_ps"] * ran[column].fillna(0) / 1e9
    return table.reset_index(drop=True)


def draw_comparison(table: pd.DataFrame, axes: Axes) -> None:
    """Draw one bar per strategy, the first on top, and the all-analog latency as a line."""
    left = pd.Series(0.0, index=table.index)
    for _, name, color in _PARTS:
        if name not in table:
            continue
        axes.barh(table["strategy"], table[name], left=left, color=color, label=name, height=0.7)
        left = left + table[name]
    axes.axvline(
        table["all_analog_ms"].iloc[0], color=_ALL_ANALOG, linewidth=1, label="all-analog"
    )
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
    """Write the figure; the ending of ``path`` is one of :data:`FORMATS`.

    The same rows give the same file.
    """
    # a date or a random name in the file would change it every time
    dated = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with rc_context({"svg.hashsalt": "hybridsim"}):
        figure = comparison_figure(rows)
        figure.savefig(path, dpi=150, metadata=dated[path.suffix.lower()])
