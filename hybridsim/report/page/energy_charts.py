"""How the charts of energy and power look."""

import json

import pandas as pd

from hybridsim.report.page.cells import micro, part_name, shown
from hybridsim.report.page.charts import (
    PARTS,
    Chart,
    Spec,
    chart,
    field,
    palette,
    part_color,
    same,
    scale_of,
)
from hybridsim.report.page.energy import COLUMNS, MOST_STRETCHES
from hybridsim.units import format_energy

WORKS = {
    "MVM": part_color("tile"),
    "transfer": part_color("link"),
    "adapter": part_color("cluster"),
    "other op": "var(--plain)",
}
"""Work -> its colour: that of the part that does it."""
_WORK_NAMES = {"mvm": "MVM", "transfer": "transfer", "adapter": "adapter", "other": "other op"}


def energy_scale(most_aj: int) -> tuple[int, str]:
    """Return the unit in which an energy of that size is told: its size [aJ], its name."""
    for size, name in (
        (10**18, "J"), (10**15, "mJ"), (10**12, "µJ"), (10**9, "nJ"), (10**6, "pJ"),
    ):  # fmt: skip
        if most_aj >= size:
            return size, name
    return 1, "aJ"


def parts_chart(table: pd.DataFrame) -> Chart:
    """Draw the energy of each part of the machine."""
    size, unit = energy_scale(max(table["aj"], default=0))
    total = sum(table["aj"]) or 1
    drawn = table.assign(
        energy=[aj / size for aj in table["aj"]], share=[aj / total for aj in table["aj"]]
    ).drop(columns="aj")
    drawn["label"] = [
        f"{micro(format_energy(aj))}, {shown('share', aj / total)}" for aj in table["aj"]
    ]
    colors = {part_name(part): part_color(part) for part in PARTS}
    named = {part: colors.get(part, _static_or_other(part)) for part in drawn["part"]}
    place = {"y": field("part", "nominal", sort=None)}
    room = {"domain": [0, float(drawn["energy"].max()) * 1.18], "nice": False}
    bars: Spec = {
        "mark": {"type": "bar", "height": 16, "cornerRadius": 1},
        "encoding": {
            **place,
            "x": field("energy", title=f"energy [{unit}]", scale=room),
            "color": field("part", "nominal", scale=palette(named, [*named]), legend=None),
            "tooltip": [
                field("part", "nominal", "part"),
                field("kind", "nominal", "kind"),
                field("energy", title=f"energy [{unit}]", format=",.6~g"),
                field("share", title="share", format=".2%"),
            ],
        },
    }
    texts: Spec = {
        "mark": {"type": "text", "align": "left", "dx": 4},
        "encoding": {
            **place,
            "x": same("energy"),
            "text": {"field": "label", "type": "nominal"},
        },
    }
    return chart(
        "energy_parts",
        "Energy by part",
        "The bars add up to the energy of the run.",
        {"height": {"step": 26}, "layer": [bars, texts]},
        drawn,
    )


def _static_or_other(part: str) -> str:
    return part_color("static" if part.endswith(", static") else part)


def kinds_chart(table: pd.DataFrame) -> Chart:
    """Draw the energy of each kind of layer and op, by what draws it."""
    size, unit = energy_scale(max(table["total_aj"], default=0))
    drawn = table.assign(
        energy=[aj / size for aj in table["aj"]],
        total=[aj / size for aj in table["total_aj"]],
        work=table["work"].map(_WORK_NAMES),
        order=table["work"].map({name: place for place, name in enumerate(_WORK_NAMES)}),
    ).drop(columns=["aj", "total_aj"])
    place = {"y": field("step", "nominal", sort=None, axis={"labelLimit": 220})}
    room = {"domain": [0, float(drawn["total"].max()) * 1.12], "nice": False}
    bars: Spec = {
        "mark": {"type": "bar", "height": 16},
        "encoding": {
            **place,
            "x": field("energy", title=f"energy [{unit}]", stack="zero", scale=room),
            "order": {"field": "order", "type": "quantitative"},
            "color": field("work", "nominal", scale=palette(WORKS, drawn["work"].tolist())),
            "tooltip": [
                field("step", "nominal", "kind"),
                field("ops", title="layers or ops"),
                field("work", "nominal", "work"),
                field("energy", title=f"energy [{unit}]", format=",.5~g"),
                field("total", title=f"of all work [{unit}]", format=",.5~g"),
            ],
        },
    }
    texts: Spec = {
        "transform": [{"aggregate": [{"op": "max", "field": "total", "as": "end"}],
                       "groupby": ["step"]}],
        "mark": {"type": "text", "align": "left", "dx": 4},
        "encoding": {
            **place,
            "x": same("end"),
            "text": {"field": "end", "type": "quantitative", "format": ",.3~g"},
        },
    }  # fmt: skip
    return chart(
        "energy_kinds",
        "Energy by kind of layer",
        "What the work on layers and ops draws; names that differ in numbers alone are one kind. "
        "MVM: tiles at work. Adapter: its kernels, with what they load and store. Transfer: "
        "vectors that move between parts besides.",
        {"height": {"step": 26}, "layer": [bars, texts]},
        drawn,
    )


def power_chart(table: pd.DataFrame, average_w: float) -> Chart:
    """Draw power over time, part upon part, with its mean and the most of each stretch."""
    until = int(table["end_ps"].iloc[-1])
    size, unit = scale_of(until)
    watts, watt = _watts(float(table["peak_w"].max()))
    names = [str(n) for n in table if str(n).endswith("_w") and n not in COLUMNS]
    parts = [name.removesuffix("_w") for name in names if table[name].any()]
    labels = [part_name(part) for part in parts]
    x = field("start", title=f"time [{unit}]", scale={"domain": [0, until / size], "nice": False})
    binned = len(table) == MOST_STRETCHES and bool((table["peak_w"] > table["power_w"]).any())
    peaks: Spec = {
        "mark": {
            "type": "line",
            "interpolate": "step-after",
            "strokeWidth": 0.8,
            "color": "var(--ink-2)",
        },
        "encoding": {"x": x, "y": same("peak")},
    }
    mean: Spec = {
        "data": {"values": [{"mean": average_w / watts}]},
        "mark": {"type": "rule", "strokeDash": [5, 3], "color": "var(--ink)"},
        "encoding": {"y": same("mean")},
    }
    thin = (
        f" Thin line: the most within each of {MOST_STRETCHES} stretches, whose mean is filled."
        if binned
        else ""
    )
    layers = [_areas(x, labels, watt), *([peaks] if binned else []), mean]
    return chart(
        "power",
        "Power over time",
        "What each part draws, the energy of a task even over its time: the area is the energy. "
        f"Dashed: the average.{thin}",
        {"height": 200, "layer": [*layers, _touched(x, labels, unit, watt, binned)]},
        _drawn_power(table, parts, size, watts),
    )


def _watts(most: float) -> tuple[float, str]:
    """Return the unit in which powers up to that one are told: its size [W], its name."""
    for size, name in ((1.0, "W"), (1e-3, "mW"), (1e-6, "µW")):
        if most >= size:
            return size, name
    return 1e-9, "nW"


def _drawn_power(table: pd.DataFrame, parts: list[str], size: float, watts: float) -> pd.DataFrame:
    """Return begin, end, the power of each part, of all, and the most, in the units drawn."""
    drawn = pd.DataFrame({"start": table["start_ps"] / size, "end": table["end_ps"] / size})
    for part in parts:
        drawn[part_name(part)] = table[f"{part}_w"] / watts
    drawn["power"], drawn["peak"] = table["power_w"] / watts, table["peak_w"] / watts
    # an area by steps ends where its last point is
    last = drawn.tail(1).assign(start=drawn["end"])
    return pd.concat([drawn, last], ignore_index=True)


def _areas(x: Spec, labels: list[str], watt: str) -> Spec:
    """Return the powers of the parts, one upon the other."""
    colors = {part_name(part): color for part, color in PARTS.items()}
    return {
        "transform": [
            {"fold": labels, "as": ["part", "watts"]},
            {"calculate": f"indexof({json.dumps(labels)}, datum.part)", "as": "order"},
        ],
        "mark": {"type": "area", "interpolate": "step-after", "clip": True},
        "encoding": {
            "x": x,
            "y": field("watts", title=f"power [{watt}]", stack="zero"),
            "order": {"field": "order", "type": "quantitative"},
            "color": field("part", "nominal", scale=palette(colors, labels))
            | {"legend": {"symbolType": "square"}},
        },
    }


def _touched(x: Spec, labels: list[str], unit: str, watt: str, binned: bool) -> Spec:
    """Return what a pointer touches: a stretch of time and what it is told about it."""
    return {
        "mark": {"type": "rect", "opacity": 0},
        "encoding": {
            "x": x,
            "x2": {"field": "end"},
            "y": {"value": 0},
            "y2": {"value": 200},
            "tooltip": [
                field("start", title=f"from [{unit}]", format=".6~g"),
                field("end", title=f"to [{unit}]", format=".6~g"),
                field("power", title=f"power [{watt}]", format=",.4~g"),
                *([field("peak", title=f"at most [{watt}]", format=",.4~g")] if binned else []),
                *(field(label, title=f"{label} [{watt}]", format=",.4~g") for label in labels),
            ],
        },
    }
