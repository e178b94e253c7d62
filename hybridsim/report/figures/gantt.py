"""Which part does what, when, in a stretch of the run."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hybridsim.measure.critical_path import critical_path
from hybridsim.plan import Plan, Timeline
from hybridsim.report.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    LIGHT,
    ORANGE,
    PAGE,
    PURPLE,
    SERIES,
    SKY,
    VERMILION,
    YELLOW,
    blank,
    legend_below,
    time_unit,
)
from hybridsim.report.page.gantt import Window, gantt
from hybridsim.report.trace_lanes import Lanes
from hybridsim.simulation import Run

MOST_ROWS = 24
"""Parts that are drawn; of more, those that do most in the window."""
MOST_BARS = 600
"""Bars that a window has if it is not chosen: more cannot be told apart in print."""
_COLORS = {
    "mvm": SKY,
    "load": GREEN,
    "prefetch": GREEN,
    "move": GREEN,
    "fetch": GREEN,
    "store": PURPLE,
    "zero": GREY,
    "xa": VERMILION,
    "x": VERMILION,
    "ub+y": ORANGE,
    "ub": ORANGE,
    "u": ORANGE,
    "adapt": ORANGE,
    "add": YELLOW,
    "attend": BLUE,
}


def gantt_bars(plan: Plan, timeline: Timeline, window: Window | None = None) -> pd.DataFrame:
    """Return part, action, start_ps, end_ps and critical of the tasks in a window.

    Times are cut to the window. Without one it is that which a page shows first, shortened to
    :data:`MOST_BARS` bars. A part is one unit of a resource; those without work in the window are
    left out.
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
    names, actions = (np.array(n, dtype=object) for n in (lanes.names, plan.labels))
    return pd.DataFrame(
        {
            "part": names[lane[order]],
            "action": actions[plan.label[task[order]]],
            "start_ps": start[order],
            "end_ps": until[order],
            "critical": critical[order],
        }
    )


def draw_gantt(table: pd.DataFrame, axes: Axes) -> None:
    """Draw a bar per task in the colour of what it does; the critical path has a dark edge."""
    names = list(dict.fromkeys(table["part"]))
    unit, size = time_unit(float(table["end_ps"].max() - table["start_ps"].min()))
    doing = table["action"].str.split().str[0]
    for number, action in enumerate(dict.fromkeys(doing)):
        color = _COLORS.get(action, SERIES[number % len(SERIES)])
        for critical in (False, True):
            rows = table[(doing == action) & (table["critical"] == critical)]
            if rows.empty:
                continue
            axes.barh(
                [names.index(name) for name in rows["part"]],
                (rows["end_ps"] - rows["start_ps"]) / size,
                left=rows["start_ps"] / size,
                height=0.72,
                color=color,
                edgecolor=BLACK if critical else "white",
                linewidth=0.7 if critical else 0.2,
                label=action,
            )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=LIGHT, linewidth=0.4)
    axes.set_xlim(table["start_ps"].min() / size, table["end_ps"].max() / size)
    axes.set_xlabel(f"time [{unit}]; dark edges: critical path")


def gantt_figure(run: Run, window: Window | None = None) -> Figure:
    """Return the tasks of a window, two columns wide."""
    table = gantt_bars(run.schedule.plan, run.timeline, window)
    rows = table["part"].nunique()
    figure, axes = blank(PAGE, 1.1 + 0.2 * rows)
    draw_gantt(table, axes)
    legend_below(figure, axes, 8)
    return figure
