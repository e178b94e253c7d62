"""How the charts of a sweep look."""

from typing import Any

import numpy as np
import pandas as pd

from hybridsim.report.page.figures import SERIES, Chart, Spec, chart, field, scale_of
from hybridsim.report.page.heat import axis_codes, case_labels
from hybridsim.sweeps.answers import Bools
from hybridsim.sweeps.inputs import Inputs
from hybridsim.units import Ints

MOST_POINTS = 3000
"""Points beside the front that are drawn; of more, evenly spread ones."""
MOST_CASES = 9
"""Cases with a colour of their own."""
BINS = 40
"""Bars of the spread of one objective."""
# the wheel alone scrolls the page
_MOVE: Spec = {"type": "interval", "zoom": "wheel![event.ctrlKey]"}


def measured(column: str, values: "pd.Series[Any]") -> tuple["pd.Series[float]", str]:
    """Return values of a column in a unit for people, and its name with that unit."""
    numbers = values.astype("Float64").astype(float)
    name = column.rpartition("_")[0].replace("_", " ")
    if column.endswith("_ps"):
        size, unit = scale_of(int(numbers.abs().max()) if len(numbers.dropna()) else 1)
        return numbers / size, f"{name} [{unit}]"
    if column.endswith("_bytes"):
        return numbers / 1024, f"{name} [KiB]"
    if column.endswith("_percent"):
        return numbers, f"{name} [%]"
    return numbers, column.replace("_", " ")


def front_chart(inputs: Inputs, table: pd.DataFrame) -> Chart:
    """Draw the feasible points by their first two objectives, and the front among them."""
    first, second, *others = inputs.study.objectives
    rows = table[table["feasible"]]
    names, case = case_labels(inputs, rows)
    kept = _kept(rows["pareto"].to_numpy(bool))
    x, x_title = measured(first, rows[first])
    y, y_title = measured(second, rows[second])
    drawn = pd.DataFrame(
        {
            "x": x.to_numpy()[kept],
            "y": y.to_numpy()[kept],
            "case": [names[c] if c < MOST_CASES else "other cases" for c in case[kept]],
            "front": np.where(rows["pareto"].to_numpy(bool)[kept], "on the front", "not"),
            "point": _described(inputs, rows.iloc[kept]),
        }
    )
    axes: Spec = {"scale": {"zero": False, "padding": 12}}
    spec: Spec = {
        "height": 360,
        "params": [{"name": "move", "select": _MOVE, "bind": "scales"}],
        "mark": {"type": "point", "filled": True},
        "encoding": {
            "x": field("x", title=x_title, **axes),
            "y": field("y", title=y_title, **axes),
            "color": field("case", "nominal", scale={"range": SERIES})
            | ({"legend": None} if len(names) == 1 else {}),
            "size": {
                "condition": {"test": "datum.front == 'on the front'", "value": 80},
                "value": 30,
            },
            "opacity": {
                "condition": {"test": "datum.front == 'on the front'", "value": 1},
                "value": 0.5,
            },
            "tooltip": [
                field("point", "nominal", "point"),
                field("x", title=x_title, format=",.5~g"),
                field("y", title=y_title, format=",.5~g"),
                field("front", "nominal", "Pareto front"),
            ],
        },
    }
    more = f" The front also weighs {', '.join(others)}." if others else ""
    left = len(rows) - len(kept)
    sample = f" {left:,} points that are not on it are left out." if left else ""
    return chart(
        "front",
        "Pareto front",
        "Large points: nothing feasible of the same case is at least as good in all objectives "
        f"and better in one.{more}{sample} Drag to move, Ctrl + wheel to zoom.",
        spec,
        drawn,
    )


def _described(inputs: Inputs, rows: pd.DataFrame) -> list[str]:
    """Return the settings of each point, in the words of the study."""
    labels = []
    for axis in inputs.axes:
        names = np.array(axis.labels, dtype=object)
        labels.append(names[axis_codes(axis, rows)])
    return [", ".join(each) for each in zip(*labels, strict=True)]


def _kept(front: Bools) -> Ints:
    """Return which points are drawn: the front, and some of the others."""
    others = np.flatnonzero(~front)
    if len(others) > MOST_POINTS:
        others = others[np.arange(MOST_POINTS) * len(others) // MOST_POINTS]
    on_it = np.flatnonzero(front)
    if len(on_it) > MOST_POINTS:
        on_it = on_it[np.arange(MOST_POINTS) * len(on_it) // MOST_POINTS]
    return np.sort(np.concatenate((on_it, others)))


def spread_chart(inputs: Inputs, table: pd.DataFrame) -> Chart:
    """Draw how many feasible points have which value of the only objective."""
    (name,) = inputs.study.objectives
    rows = table[table["feasible"]]
    values, title = measured(name, rows[name])
    numbers = values.dropna().to_numpy()
    counts, edges = np.histogram(numbers, bins=BINS)
    drawn = pd.DataFrame({"from": edges[:-1], "to": edges[1:], "points": counts})
    spec: Spec = {
        "height": 200,
        "mark": {"type": "bar", "color": "var(--c1)", "binSpacing": 1},
        "encoding": {
            "x": field("from", title=title, bin="binned"),
            "x2": {"field": "to"},
            "y": field("points", title="points"),
            "tooltip": [
                field("from", title="from", format=",.4~g"),
                field("to", title="to", format=",.4~g"),
                field("points", title="points"),
            ],
        },
    }
    return chart(
        "spread",
        "Where the points lie",
        "Feasible points by the objective of the study.",
        spec,
        drawn,
    )


def shares_chart(shares: pd.DataFrame) -> Chart:
    """Draw how much of the variance of each objective each axis explains alone."""
    long = shares.rename_axis("axis").reset_index().melt("axis", var_name="objective")
    long = long.rename(columns={"value": "share"})
    order = shares.max(axis=1).sort_values(ascending=False, kind="stable")
    objectives = [str(name) for name in shares]
    spec: Spec = {
        "height": {"step": 14 if len(objectives) > 1 else 24, "for": "offset"}
        if len(objectives) > 1
        else {"step": 26},
        "mark": {"type": "bar", "cornerRadius": 1},
        "encoding": {
            "y": field("axis", "nominal", sort=[str(name) for name in order.index]),
            "x": field(
                "share",
                axis={"format": "~%", "title": "share of the variance"},
                scale={"domain": [0, max(0.05, min(1.0, float(order.iloc[0]) * 1.05))]},
            ),
            "color": field(
                "objective",
                "nominal",
                scale={"range": SERIES},
                legend={"labelExpr": "replace(datum.label, '_', ' ')"} if objectives[1:] else None,
            ),
            "tooltip": [
                field("axis", "nominal", "axis"),
                field("objective", "nominal", "objective"),
                field("share", title="share", format=".2%"),
            ],
        },
    }
    if len(objectives) > 1:
        spec["encoding"]["yOffset"] = field("objective", "nominal", sort=objectives)
    return chart(
        "shares",
        "What matters",
        "Share of each objective's variance that an axis explains alone, over all points with a "
        "result. What is missing to 100 % is due to axes acting together.",
        spec,
        long,
    )
