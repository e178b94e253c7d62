"""The page of strategies side by side."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from hybridsim.report.page.cells import Column, Table, table
from hybridsim.report.page.comparison_figures import (
    energy_chart,
    lanes_chart,
    memory_chart,
    path_chart,
    stalls_chart,
)
from hybridsim.report.page.shell import render_page

ACTIVITY = "activity.csv"
"""File from which the page is rebuilt, beside comparison.json."""
_COLUMNS = (
    Column("strategy", "strategy"),
    Column("latency_ps", "latency", "time", "Start to end of the whole run."),
    Column("energy_pj", "energy", "energy", "Work and static energy of the whole run."),
    Column("overhead_percent", "overhead", "percent", "Over the same network without adapters."),
    Column("worst_layer_percent", "worst layer", "percent", "Overhead of the worst layer."),
    Column("tcdm_bytes", "TCDM", "size", "The most scratchpad that a layer takes."),
    Column("bound", "bound by", "word", "The part that takes most of the critical path."),
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
    time, see :class:`hybridsim.report.page.activity.Activities`.
    """
    rows = list(document["strategies"])
    ran = [row for row in rows if not row["problem"]]
    charts = [lanes_chart(activity, ran), path_chart(ran), memory_chart(ran), stalls_chart(ran)]
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
        strategies=_table(rows),
    )


def _table(rows: list[dict[str, Any]]) -> Table:
    absent = {
        column.key
        for column in _COLUMNS
        if column.key in ("problem", "energy_pj") and not any(row.get(column.key) for row in rows)
    }
    columns = [column for column in _COLUMNS if column.key not in absent]
    return table("strategies", "Strategies", columns, rows)
