"""The tables of a run: layers, other ops, where the time of each part went, noise, and inputs."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from hybridsim.measure.interval import LayerInterval
from hybridsim.measure.result import (
    AnalogNoiseResult,
    LayerResult,
    OpResult,
    Result,
)
from hybridsim.report.page.cells import Column, Kind, Table, table

_LAYERS: tuple[tuple[str, str, Kind], ...] = (
    ("name", "layer", "text"),
    ("in_features", "in", "count"),
    ("out_features", "out", "count"),
    ("rank", "rank", "count"),
    ("batch", "batch", "count"),
    ("unit", "adapter on", "word"),
    ("latency_ps", "latency", "time"),
    ("yardstick_ps", "without", "time"),
    ("overhead_percent", "overhead", "percent"),
    ("bound", "bound by", "word"),
    ("tcdm_bytes", "TCDM", "size"),
    ("tiles", "tiles", "count"),
    ("occupancy", "occupancy", "share"),
    ("tokens", "tokens", "count"),
)
_ENDS: tuple[tuple[str, str, Kind], ...] = (
    ("latency_low_ps", "90 % from", "time"),
    ("latency_high_ps", "to", "time"),
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
    records = [layer.model_dump() for layer in result.layers]
    columns = _columns(_LAYERS, LayerResult)
    if result.interval is not None:
        after = [name for name, _, _ in _LAYERS].index("latency_ps") + 1
        columns = (*columns[:after], *_columns(_ENDS, LayerInterval), *columns[after:])
        for record, ends in zip(records, result.interval.layers, strict=True):
            record |= ends.model_dump(include={name for name, _, _ in _ENDS})
    return table("layers", "Layers", columns, records)


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


_COLUMNS = (
    Column("layer", "layer"),
    Column("layers", "layers", "count", "Layers of this kind with these figures."),
    Column("seconds", "since programming", "since", "Time since programming [s]."),
    Column("snr_db", "SNR", "decibels", "-20 log10 of the mean relative error [dB]."),
    Column("relative_error", "error", "share", "||y - exact|| / ||exact||, mean."),
    Column("relative_error_sd", "its spread", "share", "Standard deviation over chips."),
    Column("cosine_error", "1 - cos", "number", "Of y and the exact vector, mean."),
    Column("alpha", "alpha", "number", "Mean factor of the drift compensation."),
    Column("clipping_error", "clipping", "share", "||W - clipped|| / ||W||."),
)


def noise_table(noise: AnalogNoiseResult | None) -> Table | None:
    """Return a row per kind of layer and time, or None where nothing was asked for.

    Layers whose names differ in numbers alone are one row where all their figures are the same.
    """
    if noise is None:
        return None
    alike: dict[tuple[Any, ...], int] = {}
    for row in noise.rows:
        figures = row.model_dump(exclude={"layer"})
        key = (re.sub(r"\d+", "*", row.layer), *figures.items())
        alike[key] = alike.get(key, 0) + 1
    records = [{"layer": key[0], "layers": count, **dict(key[1:])} for key, count in alike.items()]
    return table("analog_noise", "Noise of the analog tiles", _COLUMNS, records)


NOT_RECORDED = "not recorded with this result"


@dataclass(frozen=True, slots=True)
class Origin:
    """One value that went in."""

    path: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Origins:
    """All that went in."""

    machine: tuple[Origin, ...]
    network: tuple[tuple[str, str], ...]
    strategy: tuple[tuple[str, str], ...]
    definitions: tuple[tuple[str, str], ...]
    """Field of the result and what it means."""


def origins(result: Result, sources: Mapping[str, str]) -> Origins:
    """Return the inputs of a result with their sources."""
    machine = result.inputs.get("machine") or {}
    return Origins(
        machine=tuple(
            Origin(path, plain(value), _nearest(sources, path))
            for path, value in flat(machine)
            if path not in ("name", "description")
        ),
        network=tuple(_network(result)),
        strategy=tuple(
            (name, "as the strategy decides" if value is None else plain(value))
            for name, value in flat(result.inputs.get("strategy") or {})
        ),
        definitions=tuple(
            (name, " ".join(field.description.split()))
            for name, field in type(result).model_fields.items()
            if field.description and not isinstance(getattr(result, name), (tuple, dict))
        ),
    )


def _network(result: Result) -> Iterator[tuple[str, str]]:
    network = result.inputs.get("network") or {}
    yield "name", result.network
    for key in ("source", "reference", "sequence_length", "max_sequence_length"):
        if network.get(key) is not None:
            yield key, str(network[key])
    yield "ops", f"{len(network.get('ops', ())):,}"
    yield "static linear layers", f"{len(result.layers):,}"
    for path, value in flat({"adapters": network.get("adapters") or "none"}):
        yield path, plain(value)


def plain(value: Any) -> str:
    """Return a value of YAML as people read it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(each) for each in value) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {plain(each)}" for key, each in value.items()) or "none"
    return str(value)


def _nearest(sources: Mapping[str, str], path: str) -> str:
    """Return the source of a value, or else that of the group it stands in."""
    while path:
        if path in sources:
            return sources[path]
        path = path.rpartition(".")[0]
    return "" if sources else NOT_RECORDED


def flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted path and value of every leaf."""
    for key, value in tree.items():
        path = f"{above}.{key}" if above else str(key)
        if isinstance(value, Mapping):
            yield from flat(value, path)
        else:
            yield path, value
