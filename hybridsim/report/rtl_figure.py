"""The figure of the models against RTL: simulated over measured cycles, and error over size."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
"""Kinds of files that can be written."""

# Okabe and Ito's eight colours, told apart with any colour vision; and markers, in print
_STYLES = (
    ("#0072B2", "o"),
    ("#E69F00", "s"),
    ("#009E73", "^"),
    ("#CC79A7", "D"),
    ("#D55E00", "v"),
    ("#56B4E9", "P"),
    ("#000000", "X"),
    ("#F0E442", "*"),
)
_FAMILIES = (
    ("RedMulE 4x12", r"RedMulE 4x12.*"),
    ("RedMulE 4x8", r"RedMulE 4x8.*"),
    ("RedMulE, other", r"RedMulE.*"),
    ("cores: GEMM", r"gemm|dot"),
    ("cores: other", r"vadd|layernorm|softmax|ubench"),
    ("DMA", r"dma"),
    ("adapter program", r"lora"),
    ("other", r".*"),
)


def rtl_points(points: pd.DataFrame) -> pd.DataFrame:
    """Return what is drawn: family, measured_cycles, simulated_cycles, error_percent.

    ``points`` has a group, measured_cycles, simulated_cycles and error_percent per row; groups are
    gathered into families, in the order of the legend.
    """
    table = points[["measured_cycles", "simulated_cycles", "error_percent"]].copy()
    family = pd.Series("", index=points.index, dtype=object)
    for name, pattern in _FAMILIES:
        family = family.mask((family == "") & points["group"].str.fullmatch(pattern), name)
    names = [name for name, _ in _FAMILIES]
    table["family"] = pd.Categorical(family, names, ordered=True)
    return table


def draw_agreement(table: pd.DataFrame, axes: Axes) -> None:
    """Draw simulated over measured cycles, both on logarithmic axes, with the line of equality."""
    low, high = table["measured_cycles"].min(), table["measured_cycles"].max()
    axes.plot([low, high], [low, high], color="0.6", linewidth=0.8, zorder=0)
    _scatter(table, axes, "simulated_cycles")
    axes.set(xscale="log", yscale="log", xlabel="measured [cycles]", ylabel="simulated [cycles]")


def draw_errors(table: pd.DataFrame, axes: Axes) -> None:
    """Draw the signed error over the measured cycles."""
    axes.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    _scatter(table, axes, "error_percent")
    axes.set(xscale="log", xlabel="measured [cycles]", ylabel="error [% of measured]")


def _scatter(table: pd.DataFrame, axes: Axes, column: str) -> None:
    names = list(table["family"].cat.categories)
    for family, rows in table.groupby("family", observed=True, sort=True):
        color, marker = _STYLES[names.index(family)]
        axes.scatter(
            rows["measured_cycles"], rows[column], s=9, c=color, marker=marker,
            linewidths=0, alpha=0.75, label=f"{family} ({len(rows)})",
        )  # fmt: skip


def rtl_figure(points: pd.DataFrame) -> Figure:
    """Return the figure, two columns of a page wide."""
    table = rtl_points(points)
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_agreement(table, left)
    draw_errors(table, right)
    for axes in (left, right):
        axes.tick_params(labelsize=8)
        axes.xaxis.label.set_size(9)
        axes.yaxis.label.set_size(9)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=4, fontsize=7.5, frameon=False
    )
    return figure


def save_rtl_figure(points: pd.DataFrame, path: Path) -> None:
    """Write the figure; the ending of ``path`` is one of :data:`FORMATS`.

    The same points give the same file.
    """
    # a date in the file would change it every time
    dated = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    figure = rtl_figure(points)
    figure.savefig(path, dpi=150, metadata=dated[path.suffix.lower()])
