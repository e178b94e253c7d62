"""The tables of a run: its layers, its other ops, and where the time of each part went."""

from typing import Any

import pandas as pd

from hybridsim.measure.result import LayerResult, OpResult, Result
from hybridsim.report.page.cells import Column, Kind, Table, table

_LAYERS: tuple[tuple[str, str, Kind], ...] = (
    ("name", "layer", "text"),
    ("in_features", "in", "count"),
    ("out_features", "out", "count"),
    ("rank", "rank", "count"),
    ("batch", "batch", "count"),
    ("unit", "adapter on", "word"),
    ("latency_ps", "latency", "time"),
    ("all_analog_ps", "without", "time"),
    ("overhead_percent", "overhead", "percent"),
    ("bound", "bound by", "word"),
    ("tcdm_bytes", "TCDM", "size"),
    ("tiles", "tiles", "count"),
    ("occupancy", "occupancy", "share"),
    ("tokens", "tokens", "count"),
)
_OPS: tuple[tuple[str, str, Kind], ...] = (
    ("name", "op", "text"),
    ("kind", "kind", "word"),
    ("where", "computed on", "word"),
    ("pieces", "split", "count"),
    ("latency_ps", "latency", "time"),
    ("busy_ps", "busy", "time"),
    ("cost_from", "cost from", "word"),
    ("tcdm_bytes", "TCDM", "size"),
    ("tokens", "tokens", "count"),
)
STATES = ("busy", "waiting", "blocked", "starved", "idle")
"""What a part does with its time."""
_ABOUT = {
    "busy": "At work.",
    "waiting": "A task is ready, but another part that it needs is taken.",
    "blocked": "A task has its data, but there is no room downstream.",
    "starved": "No task has its data yet.",
    "idle": "Nothing is left to do.",
}


def layers_table(result: Result) -> Table:
    """Return one row per static linear layer."""
    records = (layer.model_dump() for layer in result.layers)
    return table("layers", "Layers", _columns(_LAYERS, LayerResult), records)


def ops_table(result: Result) -> Table | None:
    """Return one row per op that is no linear layer, or None if there are none."""
    if not result.ops:
        return None
    records = (op.model_dump() for op in result.ops)
    return table("ops", "Other ops", _columns(_OPS, OpResult), records)


def _columns(names: tuple[tuple[str, str, Kind], ...], model: Any) -> tuple[Column, ...]:
    fields = model.model_fields
    return tuple(
        Column(key, label, kind, " ".join((fields[key].description or "").split()))
        for key, label, kind in names
    )


def stalls_table(stalls: pd.DataFrame) -> Table:
    """Return one row per part of the machine: how it spent the run.

    ``stalls`` is what :func:`hybridsim.measure.stalls.stalls_by_resource` returns.
    """
    columns = (
        Column("resource", "part"),
        Column("kind", "kind", "word"),
        Column("utilization", "at work", "share", "Share of the run that the part is busy."),
        *(Column(f"{state}_ps", state, "time", _ABOUT[state]) for state in STATES),
    )
    frame = stalls.rename(columns={"finished_ps": "idle_ps"}).reset_index()
    times = frame[[f"{state}_ps" for state in STATES]].sum(axis=1)
    frame["utilization"] = frame["busy_ps"] / times.clip(lower=1)
    frame = frame.sort_values("utilization", ascending=False, kind="stable")
    return table("stalls", "Parts", columns, _records(frame))


def stall_shares(stalls: pd.DataFrame) -> pd.DataFrame:
    """Return part, state, time_ps and share [0..1]: parts that work at all, tiles as one.

    The shares of a part add up to 1.
    """
    frame = stalls.rename(columns={"finished_ps": "idle_ps"})
    frame = frame[frame["busy_ps"] > 0]
    many = frame["kind"].map(frame["kind"].value_counts()) > 4
    label = frame["kind"].where(many, pd.Series(frame.index, index=frame.index))
    columns = [f"{state}_ps" for state in STATES]
    total = frame[columns].groupby(label, sort=False).sum()
    total.columns = pd.Index(STATES)
    long = total.rename_axis("part").reset_index().melt("part", var_name="state", value_name="ps")
    share = long["ps"] / long.groupby("part")["ps"].transform("sum").clip(lower=1)
    return pd.DataFrame(
        {"part": long["part"], "state": long["state"], "time_ps": long["ps"], "share": share}
    )


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows with Python's own numbers."""
    return [
        {str(k): v.item() if hasattr(v, "item") else v for k, v in row.items()}
        for row in frame.to_dict("records")
    ]
