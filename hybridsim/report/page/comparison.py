"""The page of strategies side by side, its charts, and writing it again from its files."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hybridsim._old_names import COLUMNS, renamed
from hybridsim.boundary.reading import read_own, read_own_json
from hybridsim.comparison import coverage_lines
from hybridsim.errors import SpecError
from hybridsim.report.page.cells import Column, Table, part_name, shown, table
from hybridsim.report.page.charts import (
    LEGEND,
    PARTS,
    STATES,
    Chart,
    Spec,
    chart,
    field,
    palette,
    same,
    scale_of,
    times,
    whiskers,
)
from hybridsim.report.page.energy_charts import energy_scale
from hybridsim.report.page.shell import render_page

ACTIVITY = "activity.csv"
"""File from which the page is rebuilt, beside comparison.json."""
_COLUMNS = (
    Column("strategy", "strategy"),
    Column("latency_ps", "latency", "time", "Start to end of the whole run."),
    Column("energy_pj", "energy", "energy", "Work and static energy of the whole run."),
    Column("overhead_percent", "overhead", "percent", "Over the same network without adapters."),
    Column(
        "layer_by_layer_percent", "layer by layer", "percent", "Over all-analog layers in turn."
    ),
    Column("worst_layer_percent", "worst layer", "percent", "Overhead of the worst layer."),
    Column("tcdm_bytes", "TCDM", "size", "The most scratchpad that a layer takes."),
    Column("bound", "bound by", "word", "The part that is worth most if it is 10 % faster."),
    Column("tile_critical", "tile", "share", "Share of the critical path."),
    Column("matrix_engine_critical", "engine", "share", "Share of the critical path."),
    Column("cores_critical", "cores", "share", "Share of the critical path."),
    Column("dma_critical", "DMA", "share", "Share of the critical path."),
    Column("units_waiting", "waiting", "share", "Multiplying units: another part is taken."),
    Column("units_blocked", "blocked", "share", "Multiplying units: no room downstream."),
    Column("units_starved", "starved", "share", "Multiplying units: no data yet."),
    Column("problem", "cannot run, because"),
)


def comparison_page(document: Mapping[str, Any], activity: pd.DataFrame) -> str:
    """Return the page of a comparison as one HTML document.

    ``document`` is comparison.json; ``activity`` has a row per strategy, part and stretch of
    time, see :class:`hybridsim.report.page.chart_data.Activities`.
    """
    rows = list(document["strategies"])
    ran = [row for row in rows if not row["problem"]]
    charts = [lanes_chart(activity, ran), path_chart(ran), memory_chart(ran)]
    # clusters that are one part each, as in whole networks, do not tell of their units
    units = ("matrix_engine_utilization", "cores_utilization")
    told = [row for row in ran if any(row.get(unit) for unit in units)]
    if told:
        charts.append(stalls_chart(told))
    known = [row for row in ran if row.get("energy_pj") is not None]
    if known:
        charts.append(energy_chart(known))
    by_name = {row["strategy"]: row for row in ran}
    data = {"charts": {chart.name: chart.to_data() for chart in charts}}
    return render_page(
        "comparison.html.j2",
        data,
        found=document,
        best=by_name.get(document["best"]),
        ran=ran,
        charts={chart.name: chart for chart in charts},
        covers=coverage_lines(ran),
        strategies=_table(rows),
    )


def _table(rows: list[dict[str, Any]]) -> Table:
    optional = ("problem", "energy_pj", "layer_by_layer_percent")
    absent = {key for key in optional if not any(row.get(key) for row in rows)}
    columns = [column for column in _COLUMNS if column.key not in absent]
    return table("strategies", "Strategies", columns, rows)


COMPARISON = "comparison.json"
"""Name of the file in a folder of results."""
_WRITES = "hybridsim compare --out writes it"
ACTIVITY_COLUMNS: dict[str, Any] = {
    "strategy": str,
    "part": str,
    "start_ps": "int64",
    "end_ps": "int64",
    "busy": "float64",
}
"""Columns of that file, and what they hold."""


def comparison_of_folder(folder: Path) -> str:
    """Return the page of the comparison whose files lie in a folder.

    Raises:
        SpecError: A file is missing, or is not what ``hybridsim compare --out`` wrote.
    """
    path = folder / COMPARISON
    try:
        document = read_own_json(path, _WRITES)
        path = folder / ACTIVITY
        held = io.BytesIO(read_own(path, would_do=_WRITES))
        activity = pd.read_csv(held, dtype=ACTIVITY_COLUMNS, keep_default_na=False)
        path = folder / COMPARISON
        document["strategies"] = [renamed(row, COLUMNS) for row in document["strategies"]]
        return comparison_page(document, activity)
    except (OverflowError, IndexError, ValueError, KeyError, TypeError, AttributeError):
        raise SpecError(
            str(path), "", "is not what hybridsim compare --out wrote; compare again"
        ) from None


Rows = list[dict[str, Any]]
_WHY = ("waiting", "blocked", "starved", "finished")


def lanes_chart(activity: pd.DataFrame, ran: Rows) -> Chart:
    """Draw when each kind of part worked, one band per strategy, on one time axis."""
    longest = max(int(row["latency_ps"]) for row in ran)
    drawn, unit = times(activity, longest)
    size = scale_of(longest)[0]
    drawn["kind"], drawn["part"] = drawn["part"], drawn["part"].map(part_name)
    ends = [{"strategy": r["strategy"], "end": r["latency_ps"] / size} for r in ran]
    in_turn = ran[0].get("layer_by_layer_ps") or ran[0]["yardstick_ps"]
    analog = [{"analog": in_turn / size}]
    strategy = field("strategy", "nominal", sort=[row["strategy"] for row in ran])
    parts = list(dict.fromkeys(drawn["kind"]))
    lanes: Spec = {
        "mark": {"type": "bar", "cornerRadius": 0},
        "encoding": {
            "y": strategy,
            "yOffset": field("kind", "nominal", sort=None),
            "x": field("start", title=f"time [{unit}]", scale={"nice": False}),
            "x2": {"field": "end"},
            "color": field("kind", "nominal", scale=palette(PARTS, parts), legend=LEGEND),
            "opacity": field("busy", scale={"domain": [0, 1], "range": [0.12, 1]}, legend=None),
            "tooltip": [
                field("strategy", "nominal", "strategy"),
                field("part", "nominal", "part"),
                field("start", title=f"from [{unit}]", format=".5~g"),
                field("end", title=f"to [{unit}]", format=".5~g"),
                field("busy", title="at work", format=".1%"),
            ],
        },
    }
    last: Spec = {
        "data": {"values": ends},
        "mark": {"type": "tick", "thickness": 2, "color": "var(--ink)", "bandSize": 34},
        "encoding": {"y": strategy, "x": same("end")},
    }
    rule: Spec = {
        "data": {"values": analog},
        "mark": {"type": "rule", "strokeDash": [5, 3], "color": "var(--ink-2)"},
        "encoding": {"x": same("analog")},
    }
    return chart(
        "lanes",
        "Strategies on one time axis",
        "When at least one part of each kind was at work; paler where for only a share of the "
        "time. The mark is the end; dashed: the all-analog latency.",
        {"height": {"step": 9, "for": "offset"}, "layer": [lanes, rule, last]},
        drawn,
    )


def _path_rows(ran: Rows, size: int) -> tuple[Rows, Rows]:
    """Return the pieces of each bar, and what stands behind it, in units of ``size`` ps."""
    rows = [
        {
            "strategy": row["strategy"],
            "kind": kind,
            "part": part_name(kind),
            "share": row.get(f"{kind}_critical") or 0.0,
            "time": row["latency_ps"] * (row.get(f"{kind}_critical") or 0.0) / size,
            "order": place,
            "overhead": row["overhead_percent"],
        }
        for row in ran
        for place, kind in enumerate(_on_path(ran))
    ]
    sums = [
        {
            "strategy": row["strategy"],
            "end": row["latency_ps"] / size,
            "label": f"{row['overhead_percent']:+.1f} %",
            "low": (row.get("latency_low_ps") or row["latency_ps"]) / size,
            "high": (row.get("latency_high_ps") or row["latency_ps"]) / size,
        }
        for row in ran
    ]
    return rows, sums


def _on_path(ran: Rows) -> list[str]:
    """Return the kinds of parts that some critical path passes, in the order of pages."""
    share = "_critical"
    kinds = {
        key.removesuffix(share) for row in ran for key in row if key.endswith(share) and row[key]
    }
    order = list(PARTS)
    return sorted(kinds, key=lambda kind: (order.index(kind) if kind in order else 99, kind))


def path_chart(ran: Rows) -> Chart:
    """Draw what the critical path of each strategy consists of."""
    longest = max(int(row["latency_ps"]) for row in ran)
    size, unit = scale_of(longest)
    rows, sums = _path_rows(ran, size)
    strategy = field("strategy", "nominal", sort=[row["strategy"] for row in ran])
    parts = palette(PARTS, _on_path(ran))
    spec: Spec = {
        "height": {"step": 26},
        "layer": [
            {
                "mark": {"type": "bar", "height": 17},
                "encoding": {
                    "y": strategy,
                    "x": field("time", title=f"critical path [{unit}]", stack="zero"),
                    "order": {"field": "order", "type": "quantitative"},
                    "color": field("kind", "nominal", scale=parts, legend=LEGEND),
                    "tooltip": [
                        field("strategy", "nominal", "strategy"),
                        field("part", "nominal", "part"),
                        field("time", title=f"time [{unit}]", format=",.5~g"),
                        field("share", title="share", format=".1%"),
                    ],
                },
            },
            {"data": {"values": sums}, "layer": whiskers({"y": strategy})},
            {
                "data": {"values": sums},
                "mark": {"type": "text", "align": "left", "dx": 6},
                "encoding": {"y": strategy, "x": same("high"), "text": {"field": "label"}},
            },
        ],
    }
    return chart(
        "path",
        "What the critical path consists of",
        "The parts of a bar add up to the latency; with ends: its 90 % interval, where one is "
        "known; behind it, the overhead.",
        spec,
        pd.DataFrame(rows),
    )


def energy_chart(ran: Rows) -> Chart:
    """Draw the energy of each strategy; the least of all is told from the others."""
    size, unit = energy_scale(round(max(row["energy_pj"] for row in ran) * 10**6))
    least = min(row["energy_pj"] for row in ran)
    table = pd.DataFrame(
        {
            "strategy": [row["strategy"] for row in ran],
            "energy": [row["energy_pj"] * 10**6 / size for row in ran],
            "over": [row["energy_pj"] / least - 1 if least else 0.0 for row in ran],
            "which": ["least of all" if row["energy_pj"] == least else "more" for row in ran],
            "label": [shown("energy", row["energy_pj"]) for row in ran],
        }
    )
    strategy = field("strategy", "nominal", sort=[row["strategy"] for row in ran])
    room = {"domain": [0, float(table["energy"].max()) * 1.1 or 1.0], "nice": False}
    bars: Spec = {
        "mark": {"type": "bar", "height": 17},
        "encoding": {
            "y": strategy,
            "x": field("energy", title=f"energy [{unit}]", scale=room),
            "color": {
                **field("which", "nominal", sort=None),
                "scale": {
                    "domain": ["least of all", "more"],
                    "range": ["var(--better)", "var(--plain)"],
                },
            },
            "tooltip": [
                field("strategy", "nominal", "strategy"),
                field("energy", title=f"energy [{unit}]", format=",.5~g"),
                field("over", title="over the least", format="+.2%"),
            ],
        },
    }
    texts: Spec = {
        "mark": {"type": "text", "align": "left", "dx": 4},
        "encoding": {"y": strategy, "x": same("energy"), "text": {"field": "label"}},
    }
    return chart(
        "energy",
        "Energy of the run",
        "Work and static energy, as far as the machine tells what its parts draw.",
        {"height": {"step": 26}, "layer": [bars, texts]},
        table,
    )


def memory_chart(ran: Rows) -> Chart:
    """Draw latency against scratchpad; what no other strategy beats in both is joined."""
    size, unit = scale_of(max(int(row["latency_ps"]) for row in ran))
    ordered = sorted(ran, key=lambda row: (row["latency_ps"], row["tcdm_bytes"]))
    least, front = None, set()
    for row in ordered:
        if least is None or row["tcdm_bytes"] < least:
            least = row["tcdm_bytes"]
            front.add(row["strategy"])
    table = pd.DataFrame(
        {
            "strategy": [row["strategy"] for row in ran],
            "latency": [row["latency_ps"] / size for row in ran],
            "KiB": [row["tcdm_bytes"] / 1024 for row in ran],
            "front": [row["strategy"] in front for row in ran],
            "label": [row["strategy"] if row["strategy"] in front else "" for row in ran],
        }
    )
    x = field("latency", title=f"latency [{unit}]", scale={"zero": False, "padding": 30})
    y = field("KiB", title="TCDM [KiB]", scale={"zero": True})
    spec: Spec = {
        "height": 260,
        "layer": [
            {
                "transform": [{"filter": "datum.front"}],
                "mark": {"type": "line", "interpolate": "step-after", "color": "var(--ink-2)"},
                "encoding": {"x": x, "y": y},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 90, "opacity": 0.9},
                "encoding": {
                    "x": x,
                    "y": y,
                    "color": {
                        "condition": {"test": "datum.front", "value": "var(--better)"},
                        "value": "var(--plain)",
                    },
                    "tooltip": [
                        field("strategy", "nominal", "strategy"),
                        field("latency", title=f"latency [{unit}]", format=",.5~g"),
                        field("KiB", title="TCDM [KiB]", format=",.5~g"),
                    ],
                },
            },
            {
                "mark": {"type": "text", "align": "left", "dx": 8, "dy": -7, "fontSize": 12},
                "encoding": {"x": x, "y": y, "text": {"field": "label", "type": "nominal"}},
            },
        ],
    }
    return chart(
        "memory",
        "Latency against scratchpad",
        "Joined and named: strategies that no other beats in both, the Pareto front.",
        spec,
        table,
    )


def stalls_chart(ran: Rows) -> Chart:
    """Draw why the multiplying units of the clusters were idle."""
    rows = []
    for row in ran:
        shares = {why: float(row[f"units_{why}"]) for why in _WHY}
        told = {"busy": max(0.0, 1 - sum(shares.values())), **shares}
        for place, (why, share) in enumerate(told.items()):
            state = "idle" if why == "finished" else why
            rows.append(
                {"strategy": row["strategy"], "state": state, "share": share, "order": place}
            )
    spec: Spec = {
        "height": {"step": 24},
        "mark": {"type": "bar", "height": 16},
        "encoding": {
            "y": field("strategy", "nominal", sort=[row["strategy"] for row in ran]),
            "x": field(
                "share",
                stack="zero",
                axis={"format": "~%", "title": "share of the run"},
                scale={"domain": [0, 1]},
            ),
            "order": {"field": "order", "type": "quantitative"},
            "color": field("state", "nominal", scale=palette(STATES, list(STATES))),
            "tooltip": [
                field("strategy", "nominal", "strategy"),
                field("state", "nominal", "state"),
                field("share", title="share", format=".1%"),
            ],
        },
    }
    return chart(
        "unit_stalls",
        "What the multiplying units did",
        "Matrix engines and cores that the run uses. Waiting: ready, but another part is taken. "
        "Blocked: no room downstream. Starved: no data yet. Idle: nothing left to do.",
        spec,
        pd.DataFrame(rows),
    )
