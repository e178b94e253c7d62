"""Where latency comes from: the way from all-analog to hybrid, and layer by layer."""

import re

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hybridsim.measure.critical_path import critical_path
from hybridsim.measure.result import LayerResult, Result
from hybridsim.report.figures.style import (
    COLUMN,
    GREEN,
    GREY,
    LIGHT,
    NAMES,
    PAGE,
    PARTS,
    VERMILION,
    blank,
    legend_below,
    time_unit,
)
from hybridsim.report.page.waterfall import waterfall
from hybridsim.simulation import Run

MOST_KINDS = 16
"""Kinds of layers with a bar of their own; the others are one bar."""
_STEPS = {"total": GREY, "more": VERMILION, "less": GREEN}


def draw_waterfall(table: pd.DataFrame, axes: Axes) -> None:
    """Draw the steps of :func:`hybridsim.report.page.waterfall.waterfall`, the first on top."""
    unit, size = time_unit(table[["from_ps", "to_ps"]].to_numpy().max())
    begin, end = table["from_ps"] / size, table["to_ps"] / size
    colors = [_STEPS[kind] for kind in table["kind"]]
    axes.barh(range(len(table)), end - begin, left=begin, color=colors, height=0.7)
    for place, row in enumerate(zip(begin, end, table["kind"], strict=True)):
        low, high, kind = min(row[:2]), max(row[:2]), row[2]
        text = f"{row[1]:.3g}" if kind == "total" else f"{row[1] - row[0]:+.3g}"
        axes.annotate(
            text, (high if low >= 0 else low, place), xytext=(3, 0), textcoords="offset points",
            va="center", fontsize=6.5,
        )  # fmt: skip
    axes.set_yticks(range(len(table)), table["step"])
    axes.invert_yaxis()
    axes.margins(x=0.14)
    axes.set_xlabel(f"latency [{unit}]")


def waterfall_figure(run: Run) -> Figure:
    """Return the way from the all-analog latency to that of the hybrid machine."""
    table = waterfall(run.result, critical_path(run.schedule.plan, run.timeline))
    figure, axes = blank(COLUMN, 0.75 + 0.2 * len(table))
    draw_waterfall(table, axes)
    return figure


def layer_bars(result: Result) -> pd.DataFrame:
    """Return kind, layers, all_analog_ps, added_ps and bound of each kind of layer.

    Layers whose names differ in numbers alone are one kind; times are sums over them, and the
    bound is that of the slowest. Kinds are in the order of the network; of more than
    :data:`MOST_KINDS` those that take least are one.
    """
    alike: dict[str, list[LayerResult]] = {}
    for layer in result.layers:
        alike.setdefault(re.sub(r"\d+", "*", layer.name), []).append(layer)
    rows = [
        {
            "kind": kind,
            "layers": len(layers),
            "all_analog_ps": sum(layer.all_analog_ps for layer in layers),
            "added_ps": sum(layer.latency_ps - layer.all_analog_ps for layer in layers),
            "bound": max(layers, key=lambda layer: layer.latency_ps).bound,
        }
        for kind, layers in alike.items()
    ]
    table = pd.DataFrame(rows)
    total = table["all_analog_ps"] + table["added_ps"]
    kept = table[total.rank(method="first", ascending=False) <= MOST_KINDS]
    rest = table.drop(kept.index)
    if len(rest):
        other = rest[["layers", "all_analog_ps", "added_ps"]].sum().to_dict()
        other |= {"kind": f"{len(rest)} other kinds", "bound": "nothing"}
        kept = pd.concat([kept, pd.DataFrame([other])], ignore_index=True)
    return kept.reset_index(drop=True)


def draw_layers(table: pd.DataFrame, axes: Axes) -> None:
    """Draw all-analog time and, on top, what adapters add, in the colour of what bounds it."""
    both = table["all_analog_ps"] + table["added_ps"].clip(lower=0)
    unit, size = time_unit(float(both.max()))
    places = range(len(table))
    axes.barh(
        places, table["all_analog_ps"] / size, color=LIGHT, height=0.7, label="without adapters"
    )
    for bound, rows in table.groupby("bound", sort=False):
        color = PARTS.get(str(bound), GREY)
        axes.barh(
            rows.index, rows["added_ps"] / size, left=rows["all_analog_ps"] / size, color=color,
            height=0.7, label=f"added, bound by {NAMES.get(str(bound), bound)}",
        )  # fmt: skip
    labels = [f"{row['kind']} ({row['layers']})" for row in table.to_dict("records")]
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.set_xlabel(f"latency, summed over layers [{unit}]")


def layers_figure(result: Result) -> Figure:
    """Return the latency of each kind of layer, two columns wide."""
    table = layer_bars(result)
    figure, axes = blank(PAGE, 1.0 + 0.19 * len(table))
    draw_layers(table, axes)
    legend_below(figure, axes, 4)
    return figure
