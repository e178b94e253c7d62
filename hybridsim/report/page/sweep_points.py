"""The points of a sweep, to be chosen from: a Pareto chart, parallel axes and a table, linked.

All three show the same points under the same numbers. A script joins them: what is chosen in one
is chosen in all, and one that is picked says how its own run page is had.
"""

import shlex
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from hybridsim.report.page.charts import SERIES, Chart, Spec, chart, field
from hybridsim.report.page.sweep_charts import (
    axis_codes,
    axis_title,
    case_labels,
    measured,
    ticks,
)
from hybridsim.report.quantities import name_of
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.pareto import Bools
from hybridsim.sweeps.study import fixed_settings
from hybridsim.units import Ints

MOST_POINTS = 3000
"""Points beside the front that are drawn; of more, evenly spread ones."""
MOST_CASES = 9
"""Cases with a colour of their own."""
MOST_RESULTS = 8
"""Results with a parallel axis of their own: objectives first, then what constraints compare."""
# a drag chooses points; with Shift it moves the chart, and the wheel alone scrolls the page
_ON = "[pointerdown[%sevent.shiftKey], window:pointerup] > window:pointermove!"
_CHOOSE: Spec = {"type": "interval", "on": _ON % "!", "translate": False, "zoom": False}
_MOVE: Spec = {
    "type": "interval",
    "on": _ON % "",
    "translate": _ON % "",
    "zoom": "wheel![event.ctrlKey]",
}
_SHOWN: Spec = {
    "size": {
        "condition": {"test": "datum.front == 'on the front'", "value": 80},
        "value": 30,
    },
    "opacity": {
        "condition": [
            {"test": "chosen && !chosen[datum.number]", "value": 0.08},
            {"test": "datum.front == 'on the front'", "value": 1},
        ],
        "value": 0.5,
    },
    "stroke": {
        "condition": {"test": "datum.number == picked", "value": "var(--ink)"},
        "value": "transparent",
    },
    "strokeWidth": {"value": 3},
}
"""How a point on the front, a chosen one and the picked one look."""
FOLDER = "points"
"""Folder beside the page of a sweep with a run page for some points, by their number."""


def front_chart(
    inputs: Inputs, table: pd.DataFrame, linked: str = "and on the parallel axes below"
) -> Chart:
    """Draw the feasible points by their first two objectives, and the front among them.

    ``linked`` says where else on the page points can be chosen.
    """
    first, second, *others = inputs.study.objectives
    rows = table[table["feasible"]]
    names, case = case_labels(inputs, rows)
    kept = kept_points(rows["pareto"].to_numpy(bool))
    x, x_title = measured(first, rows[first])
    y, y_title = measured(second, rows[second])
    drawn = pd.DataFrame(
        {
            "x": x.to_numpy()[kept],
            "y": y.to_numpy()[kept],
            "case": [names[c] if c < MOST_CASES else "other cases" for c in case[kept]],
            "front": np.where(rows["pareto"].to_numpy(bool)[kept], "on the front", "not"),
            "point": _described(inputs, rows.iloc[kept]),
            "number": np.arange(len(kept)),
        }
    )
    axes: Spec = {"scale": {"zero": False, "padding": 12}}
    spec: Spec = {
        "height": 360,
        "params": [
            {"name": "chosen", "value": None},
            {"name": "picked", "value": -1},
            {"name": "brush", "select": _CHOOSE},
            {"name": "move", "select": _MOVE, "bind": "scales"},
        ],
        "mark": {"type": "point", "filled": True},
        "encoding": {
            "x": field("x", title=x_title, **axes, **ticks(x)),
            "y": field("y", title=y_title, **axes, **ticks(y)),
            "color": field("case", "nominal", scale={"range": SERIES})
            | ({"legend": None} if len(names) == 1 else {}),
            **_SHOWN,
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
    here = f"here {linked}".rstrip()
    return chart(
        "front",
        "Pareto front",
        "Large points: nothing feasible of the same case is at least as good in all objectives "
        f"and better in one.{more}{sample} Drag to choose points {here}, click to pick one; "
        "Shift + drag moves, Ctrl + wheel zooms.",
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


def kept_points(front: Bools) -> Ints:
    """Return which points are drawn: the front, and some of the others."""
    others = np.flatnonzero(~front)
    if len(others) > MOST_POINTS:
        others = others[np.arange(MOST_POINTS) * len(others) // MOST_POINTS]
    on_it = np.flatnonzero(front)
    if len(on_it) > MOST_POINTS:
        on_it = on_it[np.arange(MOST_POINTS) * len(on_it) // MOST_POINTS]
    return np.sort(np.concatenate((on_it, others)))


def points_data(
    inputs: Inputs, table: pd.DataFrame, pages: Collection[int] = ()
) -> dict[str, Any]:
    """Return the points of :func:`front_chart`, by columns, and all that is shown of them.

    ``pages`` are the numbers in the grid of points that have a run page in :data:`FOLDER`.
    """
    rows = table[table["feasible"]]
    kept = kept_points(rows["pareto"].to_numpy(bool))
    rows = rows.iloc[kept]
    codes = [axis_codes(axis, rows) for axis in inputs.axes]
    index = np.ravel_multi_index(tuple(codes), inputs.shape) if len(rows) else np.empty(0, int)
    names, case = case_labels(inputs, rows)
    known = set(pages)
    return {
        "base": _arguments(fixed_settings(inputs.study), {}),
        "axes": [
            {
                "title": axis_title(axis),
                "labels": list(axis.labels),
                "arguments": [_arguments({}, group) for group in axis.settings],
                "codes": code.tolist(),
            }
            for axis, code in zip(inputs.axes, codes, strict=True)
        ],
        "results": [_result(name, rows[name]) for name in _results(inputs, rows)],
        "front": rows["pareto"].astype(int).tolist(),
        "case": case.tolist() if 1 < len(names) <= MOST_CASES else [0] * len(rows),
        "index": index.tolist(),
        "pages": sorted(known & set(index.tolist())),
        "folder": FOLDER,
    }


def _results(inputs: Inputs, rows: pd.DataFrame) -> list[str]:
    """Return the results that have an axis: numbers that are sought, then others."""
    axes = {axis.column for axis in inputs.axes} | {"feasible", "pareto", "problem"}
    others = [str(name) for name in rows if name not in axes]
    names = dict.fromkeys((*inputs.study.objectives, *others))
    numbers = [
        n for n in names if pd.api.types.is_numeric_dtype(rows[n]) and rows[n].notna().any()
    ]
    varied = [n for n in numbers if n in inputs.study.objectives or rows[n].nunique() > 1]
    return varied[:MOST_RESULTS]


def _result(name: str, column: "pd.Series[Any]") -> dict[str, Any]:
    values, title = measured(name, column)
    numbers = [None if np.isnan(v) else float(f"{v:.6g}") for v in values]
    return {"name": name_of(name), "title": title, "values": numbers}


def _arguments(fixed: Mapping[str, Any], group: Mapping[str, Any]) -> dict[str, str]:
    """Return path -> the argument of ``hybridsim run`` that sets it; heads stand by their name."""
    heads = {"tokens": "--tokens", "strategy": "--strategy"}
    found = {}
    for path, value in {**fixed, **group}.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if path in ("network", "machine"):
            found[path] = shlex.quote(text)
        elif path in heads:
            found[path] = f"{heads[path]} {shlex.quote(text)}"
        elif path == "adapters":
            found[path] = "--no-adapters" if value == "none" else ""
        else:
            found[path] = "--set " + shlex.quote(f"{path}={text}")
    return found
