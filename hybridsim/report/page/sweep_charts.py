"""The charts of a sweep: heat maps over two axes, fronts, what each axis explains, profiles."""

from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd

from hybridsim.report.page.charts import SERIES, Chart, Spec, chart, field, same
from hybridsim.report.quantities import heading, name_of, scale
from hybridsim.sweeps.answers import cases
from hybridsim.sweeps.axes import Axis
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.sensitivity import sought_results, variance_shares
from hybridsim.units import Ints

MOST_VALUES = 60
"""Values of an axis that a heat map shows; longer axes are left out of it."""
MOST_CELLS = 60_000
"""Cells of all heat maps of a page; cases beyond that are shown together only."""


def axis_codes(axis: Axis, table: pd.DataFrame) -> Ints:
    """Return which value of an axis each row has, as an index into its labels."""
    column = table[axis.column]
    if axis.numbers is not None:
        order = np.argsort(axis.numbers, kind="stable")
        place = np.searchsorted(axis.numbers, column.to_numpy(np.int64), sorter=order)
        return order[place].astype(np.int64)
    known = pd.Categorical(column, categories=list(axis.labels))
    return known.codes.astype(np.int64)


_UNITS = {"tokens": "tokens", "past": "tokens", "strategy.batch": "tokens"}
"""Axes of plain numbers -> what they count."""


def axis_title(axis: Axis) -> str:
    """Return the name of an axis, with its unit where its values do not say one."""
    unit = next((u for path, u in _UNITS.items() if path in axis.paths), "")
    return f"{axis.name} [{unit}]" if unit else axis.name


def case_labels(inputs: Inputs, table: pd.DataFrame) -> tuple[list[str], Ints]:
    """Return a name for each case of a study, and which case each row belongs to."""
    number = np.zeros(len(table), np.int64)
    axes = [axis for axis in inputs.axes if axis.name in inputs.study.per]
    if not axes:
        return ["all points"], number
    codes = [axis_codes(axis, table) for axis in axes]
    names = []
    for case, rows in enumerate(cases(inputs, table)):
        number[rows] = case
        labels = [axis.labels[code[rows[0]]] for axis, code in zip(axes, codes, strict=True)]
        names.append(", ".join(labels))
    return names, number


def heat_maps(inputs: Inputs, table: pd.DataFrame) -> dict[str, Any]:
    """Return the axes that can be chosen, and for each pair of them its cells.

    A cell is [case, place on the first axis, place on the second, best value of each objective]:
    the best of the feasible points that have both values, over all values of the other axes. Case
    -1 is all cases together. There are no cells for what no feasible point has.
    """
    axes = [axis for axis in inputs.axes if 2 <= len(axis) <= MOST_VALUES]
    names, number = case_labels(inputs, table)
    feasible = table["feasible"].to_numpy(bool)
    rows = table[feasible]
    codes = [axis_codes(axis, rows) for axis in axes]
    frame = pd.DataFrame({f"a{i}": code for i, code in enumerate(codes)})
    frame["case"] = number[feasible]
    how, objectives = {}, []
    directions = inputs.study.objectives
    sought = sought_results(inputs)  # these first: a page shows the first one
    for i, column in enumerate(dict.fromkeys((*sought, *directions))):
        values = rows[column].astype("Float64").to_numpy(float, na_value=np.nan)
        size, unit = scale(column, float(np.nanmax(np.abs(values), initial=0)))
        frame[f"v{i}"] = values / size
        how[f"v{i}"] = "min" if directions[column] == "minimise" else "max"
        label = f"{name_of(column)} [{unit}]" if unit else name_of(column)
        objectives.append(
            {"name": heading(column), "label": label, "direction": directions[column]}
        )
    pairs = list(combinations(range(len(axes)), 2))
    cells = sum(len(axes[i]) * len(axes[j]) for i, j in pairs)
    by_case = len(names) > 1 and cells * len(names) <= MOST_CELLS
    return {
        "axes": [
            {"name": axis.name, "title": axis_title(axis), "labels": list(axis.labels)}
            for axis in axes
        ],
        "objectives": objectives,
        "cases": names if by_case else [],
        "cells": {f"{i},{j}": _cells(frame, i, j, how, by_case) for i, j in pairs},
    }


def _cells(
    frame: pd.DataFrame, i: int, j: int, how: dict[str, str], by_case: bool
) -> list[list[Any]]:
    keys = [f"a{i}", f"a{j}"]
    together = frame.groupby(keys, sort=True).agg(how).reset_index()
    together.insert(0, "case", -1)
    tables = [together]
    if by_case:
        tables.append(frame.groupby(["case", *keys], sort=True).agg(how).reset_index())
    return [
        [int(case), int(x), int(y), *(None if pd.isna(v) else float(f"{v:.6g}") for v in values)]
        for found in tables
        for case, x, y, *values in found.itertuples(index=False)
    ]


BINS = 40
"""Bars of the spread of one objective."""


def measured(column: str, values: "pd.Series[Any]") -> tuple["pd.Series[float]", str]:
    """Return values of a column in a unit for people, and its name with that unit."""
    numbers = values.astype("Float64").astype(float)
    size, unit = scale(column, float(np.nanmax(numbers.abs(), initial=0)))
    return numbers / size, f"{name_of(column)} [{unit}]" if unit else name_of(column)


def ticks(values: "pd.Series[float]") -> Spec:
    """Return what keeps ticks of whole numbers from lying between them."""
    numbers = values.dropna().to_numpy()
    return {"axis": {"tickMinStep": 1}} if (numbers == np.round(numbers)).all() else {}


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
            "y": field("points", title="points", axis={"tickMinStep": 1}),
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


def shares_chart(shares: pd.DataFrame, total: pd.DataFrame) -> Chart:
    """Draw what share of each objective's variance axes explain alone, and with others."""
    long, whole = (
        table.rename_axis("axis").reset_index().melt("axis", var_name="objective")
        for table in (shares, total)
    )
    long = long.rename(columns={"value": "share"}).assign(total=whole["value"])
    long["objective"] = [name_of(str(name)) for name in long["objective"]]
    order = total.max(axis=1).sort_values(ascending=False, kind="stable")
    objectives = [name_of(str(name)) for name in shares]
    spec: Spec = {
        "height": {"step": 14 if len(objectives) > 1 else 24, "for": "offset"}
        if len(objectives) > 1
        else {"step": 26},
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
                legend={"symbolOpacity": 1} if objectives[1:] else None,
            ),
            "tooltip": [
                field("axis", "nominal", "axis"),
                field("objective", "nominal", "objective"),
                field("share", title="alone", format=".2%"),
                field("total", title="with others", format=".2%"),
            ],
        },
        "layer": [
            {
                "mark": {"type": "bar", "cornerRadius": 1, "opacity": 0.3},
                "encoding": {"x": same("total")},
            },
            {"mark": {"type": "bar", "cornerRadius": 1}},
        ],
    }
    if len(objectives) > 1:
        spec["encoding"]["yOffset"] = field("objective", "nominal", sort=objectives)
    return chart(
        "shares",
        "What matters",
        "Share of each objective's variance that an axis explains alone, over all points with a "
        "result; faint, with what it explains together with other axes.",
        spec,
        long,
    )


MOST_LINES = 60
"""Cases that are drawn; a study with more has no such chart."""
MOST_PLACES = 200
"""Values of an axis that are drawn."""
LOGARITHMIC = 4
"""From this ratio on between best and worst, the axis is logarithmic."""
_DASHES: Spec = {
    "symbolType": "stroke",
    "symbolSize": 300,
    "symbolStrokeWidth": 1.6,
    "symbolStrokeColor": "var(--ink)",
}


def axes_by_weight(inputs: Inputs, table: pd.DataFrame) -> list[Axis]:
    """Return the axes that are chosen before those that are given, what matters most first."""
    shares = variance_shares(inputs, table)[sought_results(inputs)].max(axis=1)
    given = set(inputs.study.per)
    return sorted(inputs.axes, key=lambda a: (a.name in given, -float(shares[a.name])))


def profile(inputs: Inputs, table: pd.DataFrame, axis: Axis) -> pd.DataFrame:
    """Return value, place, case, rest, best and ratio: a row per case and value of an axis.

    ``best`` is the best feasible value of the first result sought over all other axes, ``ratio``
    that over the best of the case; ``case`` is its first given axis and ``rest`` the others.
    """
    objective = sought_results(inputs)[0]
    direction = inputs.study.objectives[objective]
    rows = table[table["feasible"]]
    given = [a for a in inputs.axes if a.name in inputs.study.per and a is not axis]
    frame = pd.DataFrame({"place": axis_codes(axis, rows)})
    for i, each in enumerate(given):
        frame[f"given{i}"] = axis_codes(each, rows)
    frame["best"] = rows[objective].astype("Float64").astype(float).to_numpy()
    keys = [f"given{i}" for i in range(len(given))]
    how: Literal["min", "max"] = "min" if direction == "minimise" else "max"
    found = frame.dropna().groupby([*keys, "place"], sort=True)["best"].agg(how).reset_index()
    top = found.groupby(keys)["best"].transform(how) if keys else found["best"].agg(how)
    names = [[a.labels[code] for code in found[key]] for a, key in zip(given, keys, strict=True)]
    return pd.DataFrame(
        {
            "value": [axis.labels[place] for place in found["place"]],
            "place": found["place"].tolist(),
            "case": names[0] if names else "all points",
            "rest": [", ".join(each) for each in zip(*names[1:], strict=True)]
            if names[1:]
            else "",
            "best": found["best"],
            "ratio": found["best"] / top,
        }
    )


def profile_chart(inputs: Inputs, table: pd.DataFrame) -> Chart | None:
    """Draw the first objective over the axis that matters most, a line per case.

    There is none where that axis is too long, or cases are too many.
    """
    axis = axes_by_weight(inputs, table)[0]
    if axis.name in inputs.study.per or not 2 <= len(axis) <= MOST_PLACES:
        return None
    found = profile(inputs, table, axis)
    if not 0 < len(found[["case", "rest"]].drop_duplicates()) <= MOST_LINES:
        return None
    objective = sought_results(inputs)[0]
    values, title = measured(objective, found["best"])
    drawn = found.assign(best=values)
    several = bool(found["case"].nunique() > 1)
    ratios = drawn["ratio"]
    wide = bool(ratios.min() > 0 and ratios.max() / ratios.min() >= LOGARITHMIC)
    scale: Spec = {"type": "log", "nice": False} if wide else {"zero": False}
    name = title.partition(" [")[0]
    encoding: Spec = {
        "x": field(
            "value",
            "ordinal",
            title=axis_title(axis),
            sort=[axis.labels[place] for place in sorted(set(found["place"]))],
            axis={"labelAngle": 0 if len(axis) <= 14 else -90, "grid": True},
        ),
        "y": field("ratio", title=f"{name} / best of the case", scale=scale),
        "color": field(
            "case", "nominal", sort=list(dict.fromkeys(drawn["case"])), scale={"range": SERIES}
        )
        | ({} if several else {"legend": None}),
        "tooltip": [
            field("case", "nominal", inputs.study.per[0] if inputs.study.per else "case"),
            *([field("rest", "nominal", "and")] if drawn["rest"].any() else []),
            field("value", "nominal", axis.name),
            field("best", title=title, format=",.5~g"),
            field("ratio", title="over the best of the case", format=".4~g"),
        ],
    }
    lines: Spec = {**encoding, "detail": field("rest", "nominal")}
    if drawn["rest"].nunique() > 1:
        title = ", ".join(a for a in inputs.study.per[1:] if a != axis.name)
        lines["strokeDash"] = field("rest", "nominal", title, legend=_DASHES)
    spec: Spec = {
        "height": 260,
        "layer": [
            {"mark": {"type": "line", "strokeWidth": 1.6}, "encoding": lines},
            {"mark": {"type": "point", "filled": True, "size": 40}, "encoding": encoding},
        ],
    }
    return chart("profile", f"{_capital(name)} by {axis.name}", _caption(wide), spec, drawn)


def _caption(wide: bool) -> str:
    text = "The best over all other axes, as a multiple of the best of its case."
    return f"{text} Logarithmic." if wide else text


def _capital(text: Any) -> str:
    return f"{text[:1].upper()}{text[1:]}"
