"""How the first objective of a study follows the axis that matters most."""

from typing import Any, Literal

import pandas as pd

from hybridsim.report.page.figures import SERIES, Chart, Spec, chart, field
from hybridsim.report.page.heat import axis_codes
from hybridsim.report.page.sweep_figures import measured
from hybridsim.sweeps.answers import variance_shares
from hybridsim.sweeps.axes import Axis
from hybridsim.sweeps.inputs import Inputs

MOST_LINES = 60
"""Cases that are drawn; a study with more has no such chart."""
MOST_VALUES = 200
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
    shares = variance_shares(inputs, table).max(axis=1)
    given = set(inputs.study.per)
    return sorted(inputs.axes, key=lambda a: (a.name in given, -float(shares[a.name])))


def profile(inputs: Inputs, table: pd.DataFrame, axis: Axis) -> pd.DataFrame:
    """Return value, place, case, rest, best and ratio: a row per case and value of an axis.

    ``best`` is the best feasible value of the first objective over all other axes, ``ratio`` that
    over the best of the case; ``case`` is its first given axis and ``rest`` the others.
    """
    objective, direction = next(iter(inputs.study.objectives.items()))
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
    if axis.name in inputs.study.per or not 2 <= len(axis) <= MOST_VALUES:
        return None
    found = profile(inputs, table, axis)
    if not 0 < len(found[["case", "rest"]].drop_duplicates()) <= MOST_LINES:
        return None
    objective = next(iter(inputs.study.objectives))
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
            title=axis.name,
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
