"""How the charts of a run look, in the language of Vega-Lite; each draws one table."""

import json
from dataclasses import dataclass
from typing import Any

import pandas as pd

from hybridsim.report.page.cells import ACRONYMS, part_name
from hybridsim.report.page.chart_data import Roofline

Spec = dict[str, Any]

PARTS = {
    "tile": "var(--c1)",
    "matrix_engine": "var(--c2)",
    "cores": "var(--c3)",
    "dma": "var(--c4)",
    "link": "var(--c5)",
    "periphery": "var(--c6)",
    "cluster": "var(--c7)",
    "engine_cluster": "color-mix(in srgb, var(--c7) 65%, var(--c2))",
    "dram": "var(--c8)",
    "tcdm": "var(--c9)",
    "sram": "var(--warm)",
    "static": "var(--c0)",
    "delay": "var(--c0)",
    "row_unit": "color-mix(in srgb, var(--c3) 60%, var(--ink))",
    "chip_link": "color-mix(in srgb, var(--c5) 60%, var(--ink))",
}
"""Kind of part -> its colour on every page; the style sheet says which that is."""
OTHER_PARTS = tuple(
    f"color-mix(in srgb, var(--c{i}) 55%, var(--ink-2))" for i in (9, 4, 7, 1, 2, 6)
)
"""Colours of kinds of parts that are not in :data:`PARTS`, as those of somebody else's."""
STATES = {
    "busy": "var(--plain)",
    "waiting": "var(--s1)",
    "blocked": "var(--s2)",
    "starved": "var(--s3)",
    "idle": "var(--c0)",
}
"""What a part does -> its colour, which is that of no part."""
CHANGES = {"total": "var(--plain)", "more": "var(--worse)", "less": "var(--better)"}
"""Total, more and less -> their colours, which are those of no part."""


def part_color(kind: str) -> str:
    """Return the colour of a kind of part: the same on every page, and for any name.

    That of one of several kinds of it (``tile:fast``) is paler.
    """
    part, several, _ = kind.partition(":")
    color = PARTS.get(part, OTHER_PARTS[sum(part.encode()) % len(OTHER_PARTS)])
    return f"color-mix(in srgb, {color} 55%, white)" if several else color


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: a table, how it is drawn, and what it says."""

    name: str
    title: str
    caption: str
    spec: Spec
    columns: dict[str, list[Any]]
    """The table, by columns."""

    def to_data(self) -> dict[str, Any]:
        """Return what the script needs."""
        return {"spec": self.spec, "columns": self.columns, "title": self.title}


def chart(name: str, title: str, caption: str, spec: Spec, table: pd.DataFrame) -> Chart:
    """Return a chart of a table."""
    columns = {str(column): table[column].tolist() for column in table}
    return Chart(name, title, caption, spec, columns)


def scale_of(unit_ps: int) -> tuple[int, str]:
    """Return the unit in which a time of that length is told: its size [ps], its name."""
    for size, name in ((10**12, "s"), (10**9, "ms"), (10**6, "µs"), (10**3, "ns")):
        if unit_ps >= size:
            return size, name
    return 1, "ps"


def times(table: pd.DataFrame, longest_ps: int) -> tuple[pd.DataFrame, str]:
    """Return the table with its ``_ps`` columns in a unit for people, and that unit."""
    size, unit = scale_of(longest_ps)
    changed = {str(c): table[c] / size for c in table if str(c).endswith("_ps")}
    return table.assign(**changed).rename(columns=lambda c: str(c).removesuffix("_ps")), unit


def field(name: str, kind: str = "quantitative", title: str | None = None, **more: Any) -> Spec:
    """Return one encoding."""
    return {"field": name, "type": kind, "title": title, **more}


def same(name: str) -> Spec:
    """Return a further quantity on an axis that another layer of the chart has named."""
    return {"field": name, "type": "quantitative"}


LEGEND: Spec = {
    "labelExpr": f"({json.dumps(ACRONYMS)})[datum.label] || replace(datum.label, '_', ' ')"
}
"""A legend with names as people write them."""


def bars_from_zero_to_one(title: str) -> Spec:
    """Return an axis of shares."""
    return {"axis": {"format": "~%", "title": title}, "scale": {"domain": [0, 1]}}


def palette(colors: dict[str, str], used: list[Any]) -> Spec:
    """Return a scale that gives each name its colour."""
    names, order = [str(name) for name in dict.fromkeys(used)], list(colors)

    def place(name: str) -> int:
        part = name.partition(":")[0]
        return order.index(part) if part in colors else 99

    names.sort(key=place)
    return {"domain": names, "range": [colors.get(name) or part_color(name) for name in names]}


def whiskers(place: Spec) -> list[Spec]:
    """Return an interval from ``low`` to ``high`` as a bar with ends, over bars in a place."""
    line: Spec = {
        "mark": {"type": "rule", "strokeWidth": 2, "color": "var(--ink)"},
        "encoding": {**place, "x": same("low"), "x2": {"field": "high"}},
    }
    ends: list[Spec] = [
        {
            "mark": {"type": "tick", "thickness": 2, "size": 12, "color": "var(--ink)"},
            "encoding": {**place, "x": same(end)},
        }
        for end in ("low", "high")
    ]
    return [line, *ends]


def waterfall_chart(table: pd.DataFrame, ends: tuple[int, int] | None = None) -> Chart:
    """Draw from the all-analog latency to the hybrid one.

    Where the two are close, bars from zero would hide the steps, so it is drawn above the first.
    ``ends`` are those of the 90 % interval of the hybrid latency [ps].
    """
    base = int(table["to_ps"].iloc[0])
    close = int(table["to_ps"].max()) < 1.2 * base
    steps = table.assign(change_ps=table["to_ps"] - table["from_ps"], total_ps=table["to_ps"])
    if close:
        for column in ("from_ps", "to_ps"):
            steps[column] = steps[column] - base
        steps.loc[steps["kind"] == "total", "from_ps"] = 0
    longest = int(steps[["from_ps", "to_ps"]].abs().to_numpy().max())
    drawn, unit = times(steps, longest)
    size, name = scale_of(base)
    sure = [] if ends is None else _ends_of(table, ends, base if close else 0, longest)
    above = f"above {base / size:.4g} {name} {table['step'].iloc[0]} " if close else ""
    place = {"y": field("step", "nominal", sort=None, axis={"labelLimit": 220})}
    bars: Spec = {
        "mark": {"type": "bar", "height": 16, "cornerRadius": 1},
        "encoding": {
            **place,
            "x": field("from", title=f"latency {above}[{unit}]", scale=_roomy(drawn, sure)),
            "x2": {"field": "to"},
            "color": field("kind", "nominal", scale=palette(CHANGES, drawn["kind"].tolist())),
            "tooltip": [
                field("step", "nominal", "step"),
                field("layers", title="layers"),
                field("change", title=f"change [{unit}]", format=",.6~g"),
                field("total", title=f"latency after it [{unit}]", format=",.8~g"),
            ],
        },
    }
    label = "datum.kind == 'total' ? format(datum.total, ',.4~g') : format(datum.change, '+,.3~g')"
    texts: Spec = {
        "transform": [{"calculate": label, "as": "label"}],
        "mark": {"type": "text", "align": "left", "dx": 4},
        "encoding": {
            **place,
            "x": same("edge"),
            "text": {"field": "label", "type": "nominal"},
        },
    }
    drawn["edge"] = drawn[["from", "to"]].max(axis=1)
    if sure:  # the label stands behind the interval
        drawn.loc[drawn.index[-1], "edge"] = max(float(drawn["edge"].iloc[-1]), sure[0]["high"])
    interval = {"data": {"values": sure}, "layer": whiskers(place)}
    return chart(
        "waterfall",
        f"From {table['step'].iloc[0]} to hybrid",
        "What the adapters of each kind of layer add: layers whose names differ in numbers alone. "
        "Where layers overlap, it is what their adapters take on the critical path."
        + (" With ends: the 90 % interval of the latency." if sure else ""),
        {"height": {"step": 26}, "layer": [bars, *([interval] if sure else []), texts]},
        drawn,
    )


def _ends_of(
    table: pd.DataFrame, ends: tuple[int, int], base: int, longest: int
) -> list[dict[str, Any]]:
    """Return the last step of a waterfall with the ends of its interval, in the unit drawn."""
    size = scale_of(longest)[0]
    low, high = ((end - base) / size for end in ends)
    return [{"step": table["step"].iloc[-1], "low": low, "high": high}]


def _roomy(drawn: pd.DataFrame, sure: list[dict[str, Any]]) -> Spec:
    """Return a scale from zero, or below, that leaves room for a label behind the last bar."""
    ends = drawn[["from", "to"]].to_numpy(float)
    low, high = float(ends.min()), max(float(ends.max()), *(one["high"] for one in sure), 0.0)
    spread = high - min(0.0, low) or 1.0
    domain = [min(0.0, low) - (0.08 * spread if low < 0 else 0), high + 0.08 * spread]
    return {"domain": domain, "nice": False}


def activity_chart(table: pd.DataFrame, longest_ps: int) -> Chart:
    """Draw when the parts of each kind were at work."""
    drawn, unit = times(table, longest_ps)
    drawn["kind"], drawn["part"] = drawn["part"], drawn["part"].map(part_name)
    spec: Spec = {
        "height": {"step": 24},
        "mark": {"type": "rect", "height": 18},
        "encoding": {
            "y": field("part", "nominal", sort=None),
            "x": field(
                "start",
                title=f"time [{unit}]",
                scale={"domain": [0, longest_ps / scale_of(longest_ps)[0]], "nice": False},
            ),
            "x2": {"field": "end"},
            "color": field("kind", "nominal", scale=palette(PARTS, drawn["kind"].tolist()))
            | {"legend": None},
            "opacity": field("busy", scale={"domain": [0, 1], "range": [0.12, 1]}, legend=None),
            "tooltip": [
                field("part", "nominal", "part"),
                field("start", title=f"from [{unit}]", format=".5~g"),
                field("end", title=f"to [{unit}]", format=".5~g"),
                field("busy", title="at work", format=".1%"),
            ],
        },
    }
    return chart(
        "activity",
        "The whole run",
        "When at least one part of each kind was at work; paler where for only a share of it.",
        spec,
        drawn,
    )


def stalls_chart(table: pd.DataFrame) -> Chart:
    """Draw how the parts spent the run."""
    drawn, unit = times(table, int(table["time_ps"].max()))
    drawn["part"] = drawn["part"].str.replace("_", " ")
    drawn["order"] = drawn["state"].map({name: i for i, name in enumerate(STATES)})
    spec: Spec = {
        "height": {"step": 26},
        "mark": {"type": "bar", "height": 18},
        "encoding": {
            "y": field("part", "nominal", sort=None),
            "x": field("share", stack="zero", **bars_from_zero_to_one("share of the run")),
            "order": {"field": "order", "type": "quantitative"},
            "color": field("state", "nominal", scale=palette(STATES, list(STATES))),
            "tooltip": [
                field("part", "nominal", "part"),
                field("state", "nominal", "state"),
                field("share", title="share", format=".2%"),
                field("time", title=f"time, all parts [{unit}]", format=",.5~g"),
            ],
        },
    }
    return chart(
        "stall_shares",
        "Where the time of each part went",
        "Waiting: ready, but another part is taken. Blocked: no room downstream. Starved: no data "
        "yet. Idle: nothing left to do. Kinds with many parts are one bar.",
        spec,
        drawn,
    )


def occupancy_chart(table: pd.DataFrame, capacity: int, longest_ps: int) -> Chart:
    """Draw what lies in the scratchpads, below what there is."""
    drawn, unit = times(table, longest_ps)
    drawn["KiB"] = drawn["tcdm_bytes"] / 1024
    end = longest_ps / scale_of(longest_ps)[0]
    bars: Spec = {
        "mark": {"type": "rect", "color": part_color("tcdm")},
        "encoding": {
            "x": field("start", title=f"time [{unit}]", scale={"domain": [0, end], "nice": False}),
            "x2": {"field": "end"},
            "y": field("KiB", title="TCDM [KiB]", scale={"zero": True}),
            "y2": {"datum": 0},
            "tooltip": [
                field("cluster", "nominal", "cluster"),
                field("start", title=f"from [{unit}]", format=".6~g"),
                field("end", title=f"to [{unit}]", format=".6~g"),
                field("KiB", title="KiB", format=",.6~g"),
            ],
        },
    }
    limit: Spec = {
        "mark": {"type": "rule", "color": "var(--ink)", "strokeDash": [5, 3], "strokeWidth": 1.5},
        "encoding": {"y": {"datum": capacity / 1024, "type": "quantitative"}},
    }
    spec: Spec = {"height": 160, "layer": [bars, limit]}
    if drawn["cluster"].nunique() > 1:
        spec = {
            "facet": {"row": field("cluster", "nominal")},
            "spec": {**spec, "width": 800, "height": 90},
        }
    return chart(
        "occupancy",
        "Scratchpad in use",
        "What lies in the scratchpad over time; of many short steps, the largest of each stretch. "
        f"Dashed: {capacity / 1024:,.6g} KiB, what there is in one cluster, or in a pool of them.",
        spec,
        drawn,
    )


def _roof_lines(roof: Roofline, low: float, high: float) -> list[dict[str, Any]]:
    """Return the corners of each roof between two intensities."""
    peaks: dict[float, list[str]] = {}  # units with the same peak are one line
    for name, peak in zip(roof.roofs["roof"], roof.roofs["operations_per_s"], strict=True):
        peaks.setdefault(float(peak), []).append(str(name))
    lines: list[dict[str, Any]] = []
    for peak, names in peaks.items():
        ridge = min(max(peak / roof.bandwidth_bytes_per_s, low), high)
        for intensity in (low, ridge, high):
            reached = min(peak, intensity * roof.bandwidth_bytes_per_s) / 1e9
            line = {"roof": ", ".join(names), "operations_per_byte": intensity, "gops": reached}
            lines.append(line | {"label": intensity == high})
    return lines


def _unit_color(unit: str) -> str:
    """Return the colour of the part that a unit of a strategy names first."""
    known = (kind for kind in PARTS if unit.startswith(kind.replace("_", " ")))
    return part_color(next(known, "cluster"))


def roofline_chart(roof: Roofline) -> Chart:
    """Draw the adapter kernels below the roofs of one cluster, on two logarithmic axes."""
    kernels = roof.kernels.assign(gops=roof.kernels["operations_per_s"] / 1e9)
    kernels["unit"] = kernels["unit"].str.replace("_", " ")
    units = {unit: _unit_color(unit) for unit in dict.fromkeys(kernels["unit"])}
    colors = palette(units, [*units])
    low = min(0.25, float(kernels["operations_per_byte"].min()) / 2)
    high = max(64.0, float(kernels["operations_per_byte"].max()) * 2)
    lines = _roof_lines(roof, low, high)
    log = {"type": "log", "nice": False}
    x = field("operations_per_byte", title="operations per byte moved", scale=log)
    y = field("gops", title="10⁹ operations per second", scale={"type": "log"})
    spec: Spec = {
        "height": 280,
        "layer": [
            {
                "data": {"values": lines},
                "mark": {"type": "line", "strokeWidth": 1.5, "color": "var(--ink-2)"},
                "encoding": {"x": x, "y": y, "detail": {"field": "roof", "type": "nominal"}},
            },
            {
                "data": {"values": lines},
                "transform": [{"filter": "datum.label"}],
                "mark": {"type": "text", "align": "right", "dy": -8, "fontSize": 12},
                "encoding": {"x": x, "y": y, "text": {"field": "roof", "type": "nominal"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 90, "opacity": 0.9},
                "encoding": {
                    "x": x,
                    "y": y,
                    # domains that agree make one legend of both
                    "color": field("unit", "nominal", "adapter on", scale=colors),
                    "shape": field(
                        "unit", "nominal", "adapter on", scale={"domain": colors["domain"]}
                    ),
                    "tooltip": [
                        field("kernel", "nominal", "adapter"),
                        field("layers", title="layers"),
                        field("example", "nominal", "for example"),
                        field("batch", title="tokens per batch"),
                        field("unit", "nominal", "on"),
                        field("operations_per_byte", title="operations per byte", format=".3~g"),
                        field("gops", title="10⁹ operations/s", format=".3~g"),
                    ],
                },
            },
        ],
    }
    return chart(
        "roofline",
        "Roofline of the adapter kernels",
        "Each point is one shape: the rate while a unit computes, without waits and transfers. "
        "The slope is the DMA of one cluster, the ceilings are its units at their peak. "
        "Operations are two per multiply-accumulate; bytes are X, Y, Z once per token, A and B "
        "once.",
        spec,
        kernels,
    )


SERIES = [f"var(--c{i})" for i in (1, 2, 4, 3, 5, 6, 7, 8, 9)]
"""Colours of what has no colour of its own."""
