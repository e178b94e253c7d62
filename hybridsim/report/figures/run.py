"""Figures of one run: where latency comes from, what runs when, how parts spend time, roofs."""

import re
from collections import Counter
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from hybridsim.explanation import stalls_table
from hybridsim.measure.critical_path import critical_path
from hybridsim.measure.interval import LayerInterval
from hybridsim.measure.result import LayerResult, Result
from hybridsim.plan import Plan, Timeline
from hybridsim.report.figures.style import (
    BLACK,
    COLUMN,
    GREEN,
    GREY,
    LIGHT,
    MARKERS,
    NAMES,
    ORANGE,
    PAGE,
    PARTS,
    SERIES,
    SKY,
    VERMILION,
    Build,
    Format,
    blank,
    files_of,
    legend_below,
    time_unit,
)
from hybridsim.report.page.chart_data import Roofline, roofline, waterfall
from hybridsim.report.page.gantt import Actions, Window, gantt
from hybridsim.report.trace_events import Lanes
from hybridsim.simulation import Run

MOST_KINDS = 16
"""Kinds of layers with a bar of their own; the others are one bar."""
_STEPS = {"total": GREY, "more": VERMILION, "less": GREEN}


def draw_waterfall(table: pd.DataFrame, axes: Axes) -> None:
    """Draw the steps of :func:`hybridsim.report.page.chart_data.waterfall`, the first on top."""
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
    """Return kind, layers, yardstick_ps, added_ps and bound of each kind of layer.

    Layers whose names differ in numbers alone are one kind; times are sums over them, and the
    bound is that of the slowest. With intervals also below_ps and above_ps, from the latency to
    their ends, added up: layers alike err alike. Kinds are in the order of the network; of more
    than :data:`MOST_KINDS` those that take least are one.
    """
    alike: dict[str, list[LayerResult]] = {}
    for layer in result.layers:
        alike.setdefault(re.sub(r"\d+", "*", layer.name), []).append(layer)
    ends = {} if result.interval is None else {e.name: e for e in result.interval.layers}
    rows = [
        {
            "kind": kind,
            "layers": len(layers),
            "yardstick_ps": sum(layer.yardstick_ps for layer in layers),
            "added_ps": sum(layer.latency_ps - layer.yardstick_ps for layer in layers),
            "bound": max(layers, key=lambda layer: layer.latency_ps).bound,
        }
        | (_error_bar(layers, ends) if ends else {})
        for kind, layers in alike.items()
    ]
    table = pd.DataFrame(rows)
    total = table["yardstick_ps"] + table["added_ps"]
    kept = table[total.rank(method="first", ascending=False) <= MOST_KINDS]
    rest = table.drop(kept.index)
    if len(rest):
        summed = [name for name in table.columns if name not in ("kind", "bound")]
        other = rest[summed].sum().to_dict()
        other |= {"kind": f"{len(rest)} other kinds", "bound": "nothing"}
        kept = pd.concat([kept, pd.DataFrame([other])], ignore_index=True)
    return kept.reset_index(drop=True)


def _error_bar(layers: list[LayerResult], ends: dict[str, LayerInterval]) -> dict[str, int]:
    """Return how far the intervals of some layers reach below and above their latencies [ps]."""
    return {
        "below_ps": sum(layer.latency_ps - ends[layer.name].latency_low_ps for layer in layers),
        "above_ps": sum(ends[layer.name].latency_high_ps - layer.latency_ps for layer in layers),
    }


def draw_layers(table: pd.DataFrame, axes: Axes) -> None:
    """Draw all-analog time and, on top, what adapters add, in the colour of what bounds it.

    Error bars are the 90 % intervals, where there are some.
    """
    both = table["yardstick_ps"] + table["added_ps"].clip(lower=0)
    unit, size = time_unit(float(both.max()))
    places = range(len(table))
    axes.barh(
        places, table["yardstick_ps"] / size, color=LIGHT, height=0.7, label="without adapters"
    )
    for bound, rows in table.groupby("bound", sort=False):
        color = PARTS.get(str(bound).partition(":")[0], GREY)
        axes.barh(
            rows.index, rows["added_ps"] / size, left=rows["yardstick_ps"] / size, color=color,
            height=0.7, label=f"added, bound by {NAMES.get(str(bound), bound)}",
        )  # fmt: skip
    if "below_ps" in table:
        total = (table["yardstick_ps"] + table["added_ps"]) / size
        reach = (table[["below_ps", "above_ps"]] / size).to_numpy().T
        axes.errorbar(
            total, list(places), xerr=reach, fmt="none", ecolor=BLACK, capsize=1.5, linewidth=0.7
        )
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


MOST_ROWS = 24
"""Parts that are drawn; of more, those that do most in the window."""
MOST_BARS = 600
"""Bars that a window has if it is not chosen: more cannot be told apart in print."""
_SHADES = (1.0, 0.6, 0.8, 0.4, 0.7, 0.5, 0.3, 0.9)
"""How much of its part's colour each action has, the rest being white."""


def gantt_bars(plan: Plan, timeline: Timeline, window: Window | None = None) -> pd.DataFrame:
    """Return part, action, doer, start_ps, end_ps and critical of the tasks in a window.

    The doer is the kind of part that does an action. Times are cut to the window; without one it
    is that which a page shows first, shortened to :data:`MOST_BARS` bars. A part is one unit of a
    resource; those without work in the window are left out.
    """
    begin, end = window or gantt(plan, timeline).shown
    lanes = Lanes.of(plan, timeline)
    start, until = timeline.start[lanes.task], timeline.end[lanes.task]
    inside = (start < end) & (until > begin)
    starts = np.sort(start[inside])
    if window is None and len(starts) > MOST_BARS:
        end = int(starts[MOST_BARS])
        inside &= start < end
    task, lane = lanes.task[inside], lanes.lane[inside]
    start, until = np.maximum(start[inside], begin), np.minimum(until[inside], end)
    work = np.bincount(lane, until - start, minlength=len(lanes.names))
    shown = np.isin(lane, np.argsort(-work, kind="stable")[:MOST_ROWS])
    critical = np.isin(task, critical_path(plan, timeline)["task"].to_numpy())
    order = np.lexsort((start, lane))
    order = order[shown[order]]
    actions = Actions.in_plan(plan)
    names, doing, doers = (
        np.array(n, dtype=object) for n in (lanes.names, actions.names, actions.parts)
    )
    number = actions.of[task[order]]
    return pd.DataFrame(
        {
            "part": names[lane[order]],
            "action": doing[number],
            "doer": doers[number],
            "start_ps": start[order],
            "end_ps": until[order],
            "critical": critical[order],
        }
    )


def draw_gantt(table: pd.DataFrame, axes: Axes) -> None:
    """Draw a bar per task in the colour of the part that does it, paler for what else that part
    does; the critical path has a dark edge."""
    names = list(dict.fromkeys(table["part"]))
    unit, size = time_unit(float(table["end_ps"].max() - table["start_ps"].min()))
    word = table["action"].str.split().str[0]
    done = list(dict.fromkeys(zip(word, table["doer"], strict=True)))
    doers = Counter(action for action, _ in done)
    shades: Counter[str] = Counter()
    for action, doer in done:
        shade = _SHADES[shades[doer] % len(_SHADES)]
        shades[doer] += 1
        own = table[(word == action) & (table["doer"] == doer)]
        for critical, rows in own.groupby("critical"):
            axes.barh(
                [names.index(name) for name in rows["part"]],
                (rows["end_ps"] - rows["start_ps"]) / size,
                left=rows["start_ps"] / size,
                height=0.72,
                color=_paler(PARTS.get(doer.partition(":")[0], GREY), shade),
                edgecolor=BLACK if critical else "white",
                linewidth=0.7 if critical else 0.2,
                label=f"{action} ({NAMES.get(doer, doer)})" if doers[action] > 1 else action,
            )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=LIGHT, linewidth=0.4)
    axes.set_xlim(table["start_ps"].min() / size, table["end_ps"].max() / size)
    axes.set_xlabel(f"time [{unit}]; dark edges: critical path")


def _paler(color: str, share: float) -> tuple[float, float, float]:
    """Return a colour mixed with white."""
    red, green, blue = to_rgb(color)
    return (1 - (1 - red) * share, 1 - (1 - green) * share, 1 - (1 - blue) * share)


def gantt_figure(run: Run, window: Window | None = None) -> Figure:
    """Return the tasks of a window, two columns wide."""
    table = gantt_bars(run.schedule.plan, run.timeline, window)
    rows = table["part"].nunique()
    figure, axes = blank(PAGE, 1.1 + 0.2 * rows)
    draw_gantt(table, axes)
    legend_below(figure, axes, 8)
    return figure


_GIGA = 1e9


def draw_roofline(roof: Roofline, axes: Axes) -> None:
    """Draw the roofs, and a marker per shape, batch and unit, on logarithmic axes."""
    table = roof.kernels.reset_index(drop=True)
    slope = roof.bandwidth_bytes_per_s / _GIGA
    top = float(roof.roofs["operations_per_s"].max()) / _GIGA
    low = min(float(table["operations_per_byte"].min()) / 2, top / slope / 4)
    high = max(float(table["operations_per_byte"].max()) * 3, top / slope * 4)
    axes.plot([low, top / slope], [low * slope, top], color=BLACK)
    for rate, units in roof.roofs.groupby("operations_per_s")["roof"]:
        peak, names = float(str(rate)) / _GIGA, " and ".join(units)
        axes.plot([peak / slope, high], [peak, peak], color=GREY if peak < top else BLACK)
        axes.annotate(
            f"{names}, {peak:.0f}", (high, peak), xytext=(0, 2), textcoords="offset points",
            ha="right", va="bottom", fontsize=6.5,
        )  # fmt: skip
    axes.annotate(
        f"DMA, {slope:.0f} GB/s", (low, low * slope), xytext=(4, 0), textcoords="offset points",
        fontsize=6.5, va="top",
    )  # fmt: skip
    for place, row in enumerate(table.to_dict("records")):
        axes.plot(
            row["operations_per_byte"], row["operations_per_s"] / _GIGA, linestyle="none",
            marker=MARKERS[place % len(MARKERS)], color=SERIES[place % len(SERIES)], markersize=4,
            label=_label(row),
        )  # fmt: skip
    bottom = min(float(table["operations_per_s"].min()) / _GIGA / 2, low * slope)
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(bottom, top * 1.6))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
    axes.set(xlabel="operations per byte over the DMA", ylabel="10$^9$ operations per second")


def _label(row: dict[Hashable, Any]) -> str:
    unit = str(row["unit"]).replace("_", " ")
    return f"{row['kernel']}, t = {row['batch']}: {unit} ({row['layers']})"


def roofline_of(run: Run) -> Roofline | None:
    """Return the roofs and what is under them; None where nothing is adapted."""
    roof = roofline(run.job.machine, run.schedule.plan, run.timeline, run.result)
    return None if roof is None or roof.kernels.empty else roof


def roofline_figure(roof: Roofline) -> Figure:
    """Return the adapters under the roofs of a cluster, one column wide."""
    figure, axes = blank(COLUMN, 2.6 + 0.14 * len(roof.kernels))
    draw_roofline(roof, axes)
    legend_below(figure, axes, 1)
    return figure


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


def run_files(run: Run, kind: Format) -> dict[str, bytes]:
    """Return file name -> figure: waterfall, layers, utilization, Gantt window, roofline.

    The roofline is left out where nothing is adapted.
    """
    drawn: dict[str, Build] = {
        "waterfall": lambda: waterfall_figure(run),
        "layers": lambda: layers_figure(run.result),
        "utilization": lambda: utilization_figure(run),
        "gantt": lambda: gantt_figure(run),
    }
    roof = roofline_of(run)
    if roof is not None:
        drawn["roofline"] = lambda: roofline_figure(roof)
    return files_of(drawn, kind)
