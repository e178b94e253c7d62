"""Figures of the models beside what was published and what was measured on RTL."""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hybridsim.report.figures.style import (
    BLACK,
    BLUE,
    COLUMN,
    GREEN,
    GREY,
    MARKERS,
    ORANGE,
    VERMILION,
    blank,
    legend_below,
    save_undated,
)

_SHAPES = {"128x128": BLUE, "512x128": VERMILION}
_TIMES = {"128 ns": ("o", "-"), "256 ns": ("s", "--"), "512 ns": ("^", ":")}
_UNITS = {
    "matrix_engine": ("engine, X A", "o", "-"),
    "swapped": ("engine, AᵀXᵀ", "s", ":"),
    "cores": ("cores", "D", "--"),
}
_PUBLISHED: dict[str, Any] = {
    "marker": MARKERS[7],
    "color": BLACK,
    "markersize": 7,
    "linestyle": "none",
}


def draw_balance(table: pd.DataFrame, axes: Axes) -> None:
    """Draw what a token takes on the tile, and on the cluster over the batch.

    ``table`` has layer, batch, unit and ns_per_token; the unit ``tile`` has one row per
    integration time, for all batches.
    """
    for (layer, unit), rows in table[table["unit"] != "tile"].groupby(["layer", "unit"]):
        name, marker, style = _UNITS[str(unit)]
        axes.plot(
            rows["batch"], rows["ns_per_token"], color=_SHAPES[str(layer)], marker=marker,
            linestyle=style, markersize=3, label=f"{layer}, {name}",
        )  # fmt: skip
    batches = table["batch"].dropna()
    for value in sorted(table[table["unit"] == "tile"]["ns_per_token"]):
        axes.axhline(value, color=GREY, linewidth=0.7)
        axes.annotate(
            f"tile, {value:.0f} ns", (batches.max(), value), xytext=(0, -2),
            textcoords="offset points", ha="right", va="top", fontsize=6.5, color=GREY,
        )  # fmt: skip
    _batches(axes, sorted(batches.unique()))
    axes.set_ylim(bottom=0)
    axes.set_ylabel("time per token [ns]")


def draw_memory(table: pd.DataFrame, axes: Axes) -> None:
    """Draw the scratchpad of an adapter over the batch, and the published figures.

    ``table`` has layer, batch, kib, and published_kib where there is one.
    """
    for layer, rows in table.groupby("layer"):
        axes.plot(
            rows["batch"], rows["kib"], color=_SHAPES[str(layer)], marker="o", markersize=3,
            label=str(layer),
        )  # fmt: skip
    axes.plot(table["batch"], table["published_kib"], label="published", **_PUBLISHED)
    axes.axhline(128, color=GREY, linewidth=0.7)
    axes.annotate(
        "TCDM, 128 KiB", (8, 128), xytext=(0, 2), textcoords="offset points", fontsize=6.5,
        color=GREY,
    )  # fmt: skip
    _batches(axes, sorted(table["batch"].unique()))
    axes.set_ylim(bottom=0)
    axes.set_ylabel("scratchpad [KiB]")


def draw_overhead(study: pd.DataFrame, anchors: pd.DataFrame, axes: Axes) -> None:
    """Draw the overhead over the batch, and the published anchors beside the simulated ones.

    ``study`` has network, integration_time, batch and overhead_percent, for one sequence length
    and one unit; ``anchors`` has network, batch and published_percent.
    """
    for (network, time), rows in study.groupby(["network", "integration_time"], sort=False):
        layer = str(network).removeprefix("layer_")
        marker, style = _TIMES[str(time)]
        axes.plot(
            rows["batch"], rows["overhead_percent"], color=_SHAPES[layer], marker=marker,
            linestyle=style, markersize=3, label=f"{layer}, {time}",
        )  # fmt: skip
    axes.plot(anchors["batch"], anchors["published_percent"], label="published", **_PUBLISHED)
    axes.set_yscale("log")
    axes.set_yticks([5, 10, 20, 50, 100, 200, 500], ["5", "10", "20", "50", "100", "200", "500"])
    axes.minorticks_off()
    _batches(axes, sorted(study["batch"].unique()))
    axes.set_ylabel("overhead over all-analog [%]")


def _batches(axes: Axes, batches: list[float]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(batches, [f"{batch:g}" for batch in batches])
    axes.minorticks_off()
    axes.set_xlabel("tokens per batch t")


def balance_figure(table: pd.DataFrame) -> Figure:
    """Return the panel of the time per token, one column wide."""
    figure, axes = blank(COLUMN, 3.0)
    draw_balance(table, axes)
    legend_below(figure, axes, 2)
    return figure


def memory_figure(table: pd.DataFrame) -> Figure:
    """Return the panel of the scratchpad, one column wide."""
    figure, axes = blank(COLUMN, 2.6)
    draw_memory(table, axes)
    legend_below(figure, axes, 3)
    return figure


def overhead_figure(study: pd.DataFrame, anchors: pd.DataFrame) -> Figure:
    """Return the panel of the overhead, one column wide."""
    figure, axes = blank(COLUMN, 3.3)
    draw_overhead(study, anchors, axes)
    legend_below(figure, axes, 2)
    return figure


def anchors_figure(anchors: pd.DataFrame) -> Figure:
    """Return published and simulated anchors side by side, one column wide."""
    figure, axes = blank(COLUMN, 1.2 + 0.6 * len(anchors))
    places = range(len(anchors))
    bars = (
        ("published", "published", ORANGE),
        ("by_tokens", "X by tokens", BLUE),
        ("by_features", "X by features", GREEN),
        ("early", "X by features, early", GREY),
    )
    for number, (name, label, color) in enumerate(bars):
        values, shift = anchors[f"{name}_percent"], 0.2 * number - 0.3
        axes.barh([p + shift for p in places], values, height=0.19, color=color, label=label)
        for place, value in enumerate(values):
            axes.annotate(
                f"{value:.1f}", (value, place + shift), xytext=(3, 0), va="center", fontsize=6.5,
                textcoords="offset points",
            )  # fmt: skip
    axes.set_yticks(places, anchors["anchor"])
    axes.invert_yaxis()
    axes.margins(x=0.14)
    axes.set_xlabel("overhead over all-analog [%]")
    legend_below(figure, axes, 2)
    return figure


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
    """Write the figure; the ending of ``path`` is that of a PNG, SVG or PDF.

    The same points give the same file.
    """
    save_undated(lambda: rtl_figure(points), path)
