"""The page of two results: what differs, on one axis, and writing it again from its files."""

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from hybridsim.boundary.reading import read_own, read_own_json
from hybridsim.difference import Difference, FigureChange, RunHead
from hybridsim.errors import SpecError
from hybridsim.report.page.cells import Cell, Column, Table, micro, part_name, shown, table
from hybridsim.report.page.chart_data import kind_of_layer
from hybridsim.report.page.charts import (
    CHANGES,
    Chart,
    Spec,
    chart,
    field,
    palette,
    same,
    scale_of,
    whiskers,
)
from hybridsim.report.page.comparison import ACTIVITY, ACTIVITY_COLUMNS, lanes_chart
from hybridsim.report.page.energy_charts import energy_scale
from hybridsim.report.page.shell import render_page
from hybridsim.report.quantities import changed, name_of, told
from hybridsim.units import format_share

DIFFERENCE = "difference.json"
"""Name of the file in a folder of results."""
MOST_KINDS = 16
"""Kinds of layers with a bar of their own: those that changed most."""
_WRITES = "hybridsim compare A.json B.json --out writes it"
_SIDES = {"before": "var(--plain)", "after": "var(--accent)"}


def difference_page(found: Difference, activity: pd.DataFrame | None = None) -> str:
    """Return the page of two results as one HTML document.

    ``activity`` tells when parts worked in each (strategy: ``before`` or ``after``, part,
    start_ps, end_ps, busy), where both runs left that beside their results.
    """
    charts = [latency_chart(found), path_chart(found)]
    if activity is not None and len(activity):
        charts.insert(1, _lanes(found, activity))
    if any(part.energy_before_aj or part.energy_after_aj for part in found.parts):
        charts.append(energy_chart(found))
    if any(op.before_ps != op.after_ps for op in found.ops):
        charts.append(kinds_chart(found))
    return render_page(
        "difference.html.j2",
        {"charts": {one.name: one.to_data() for one in charts}},
        found=found,
        sides=(found.before, found.after),
        verdict=verdict(found),
        charts={one.name: one for one in charts},
        figures=_figures(found.figures),
        inputs=_inputs(found),
        ops=_ops(found),
    )


def verdict(found: Difference) -> str:
    """Return the answer in a sentence."""
    before, after = found.before.latency_ps, found.after.latency_ps
    if before == after:
        text = f"Both take {shown('time', after)}."
    else:
        ratio = max(before, after) / max(1, min(before, after))
        change = format_share(abs(after - before) / max(1, before), 1)
        word = "shorter" if after < before else "longer"
        text = (
            f"{found.after.label} takes {shown('time', after)} instead of "
            f"{shown('time', before)}: {change} {word}, "
            f"a factor of {ratio:.3g}."
        )
    if found.apart is None or before == after:
        return text
    sure = "have no time in common" if found.apart else "overlap, so it may as well be none"
    return f"{text} The 90 % intervals of the two {sure}."


def _figures(figures: tuple[FigureChange, ...]) -> Table:
    columns = (
        Column("name", "figure"),
        Column("before", "before", "number"),
        Column("after", "after", "number"),
        Column("change_percent", "change", "percent", "(after - before) / before."),
    )
    rows = []
    for figure in figures:
        both = (figure.before, figure.after)
        text = changed(figure.name, *both)
        change = Cell(figure.change_percent if text else "", text)
        cells = (_told(figure.name, value) for value in both)
        rows.append((Cell(figure.name, name_of(figure.name)), *cells, change))
    return Table("figures", "Figures", columns, tuple(rows))


def _told(name: str, value: float | None) -> Cell:
    return Cell("", "unknown") if value is None else Cell(value, micro(told(name, value)))


def _inputs(found: Difference) -> Table:
    columns = (Column("path", "input"), Column("before", "before"), Column("after", "after"))
    return table("inputs", "Inputs", columns, (i.model_dump() for i in found.inputs))


def _ops(found: Difference) -> Table:
    columns = (
        Column("name", "layer or op"),
        Column("before_ps", "before", "time"),
        Column("after_ps", "after", "time"),
        Column("change_ps", "change", "time", "After less before."),
    )
    rows = [
        op.model_dump()
        | {
            "change_ps": None
            if op.before_ps is None or op.after_ps is None
            else op.after_ps - op.before_ps
        }
        for op in found.ops
    ]
    return table("ops", "Layers and ops", columns, rows)


def _lanes(found: Difference, activity: pd.DataFrame) -> Chart:
    rows = [
        {"strategy": side, "latency_ps": head.latency_ps, "yardstick_ps": found.figures[1].before}
        for side, head in (("before", found.before), ("after", found.after))
    ]
    made = lanes_chart(activity, rows)
    return replace(
        made,
        title="Both runs on one time axis",
        caption="When at least one part of each kind was at work; paler where for only a share "
        "of the time. The mark is the end; dashed: the yardstick of the first.",
    )


def latency_chart(found: Difference) -> Chart:
    """Draw both latencies, with their 90 % intervals as bars."""
    heads: tuple[RunHead, ...] = (found.before, found.after)
    size, unit = scale_of(max(head.latency_ps for head in heads))
    drawn = pd.DataFrame(
        [
            {
                "run": side,
                "latency": head.latency_ps / size,
                "low": (head.latency_low_ps or head.latency_ps) / size,
                "high": (head.latency_high_ps or head.latency_ps) / size,
                "label": shown("time", head.latency_ps),
            }
            for side, head in zip(_SIDES, heads, strict=True)
        ]
    )
    y = {"y": field("run", "nominal", sort=None)}
    room = {"domain": [0, float(drawn["high"].max()) * 1.12 or 1.0], "nice": False}
    bars: Spec = {
        "mark": {"type": "bar", "height": 18},
        "encoding": {
            **y,
            "x": field("latency", title=f"latency [{unit}]", scale=room),
            "color": field("run", "nominal", scale=palette(_SIDES, [*_SIDES]), legend=None),
            "tooltip": [
                field("run", "nominal", "run"),
                field("latency", title=f"latency [{unit}]", format=",.6~g"),
                field("low", title=f"90 % from [{unit}]", format=",.6~g"),
                field("high", title=f"to [{unit}]", format=",.6~g"),
            ],
        },
    }
    text: Spec = {
        "mark": {"type": "text", "align": "left", "dx": 6},
        "encoding": {**y, "x": same("high"), "text": {"field": "label", "type": "nominal"}},
    }
    return chart(
        "latencies",
        "Latency",
        "With ends: the 90 % interval, by what the models of kernels missed on RTL.",
        {"height": {"step": 30}, "layer": [bars, *whiskers(y), text]},
        drawn,
    )


def path_chart(found: Difference) -> Chart:
    """Draw from the first latency to the second, by the parts of their critical paths."""
    before, after = found.before.latency_ps, found.after.latency_ps
    changes = [
        (part_name(part.name), part.critical_after_ps - part.critical_before_ps)
        for part in found.parts
    ]
    changes = sorted((one for one in changes if one[1]), key=lambda one: -abs(one[1]))
    left = after - before - sum(change for _, change in changes)
    if abs(left) > 1000:  # shares are floats; below a nanosecond it is rounding
        changes.append(("waits", left))
    rows, level = [("before", 0, before, "total")], before
    for name, change in changes:
        rows.append((name, level, level + change, "more" if change > 0 else "less"))
        level += change
    rows.append(("after", 0, after, "total"))
    size, unit = scale_of(max(before, after))
    drawn = pd.DataFrame(rows, columns=["step", "from", "to", "kind"])
    drawn["change"] = (drawn["to"] - drawn["from"]) / size
    drawn[["from", "to"]] /= size
    drawn["edge"] = drawn[["from", "to"]].max(axis=1)
    label = "datum.kind == 'total' ? format(datum.to, ',.4~g') : format(datum.change, '+,.3~g')"
    place = {"y": field("step", "nominal", sort=None)}
    room = {"domain": [0, float(drawn["edge"].max()) * 1.1 or 1.0], "nice": False}
    bars: Spec = {
        "mark": {"type": "bar", "height": 16},
        "encoding": {
            **place,
            "x": field("from", title=f"latency [{unit}]", scale=room),
            "x2": {"field": "to"},
            "color": field("kind", "nominal", scale=palette(CHANGES, list(drawn["kind"]))),
            "tooltip": [
                field("step", "nominal", "part"),
                field("change", title=f"change [{unit}]", format="+,.5~g"),
            ],
        },
    }
    texts: Spec = {
        "transform": [{"calculate": label, "as": "label"}],
        "mark": {"type": "text", "align": "left", "dx": 4},
        "encoding": {**place, "x": same("edge"), "text": {"field": "label", "type": "nominal"}},
    }
    return chart(
        "path",
        "From the one to the other",
        "What parts take more or less on the critical path, the chain of tasks that fills a run.",
        {"height": {"step": 26}, "layer": [bars, texts]},
        drawn,
    )


def energy_chart(found: Difference) -> Chart:
    """Draw what each part draws in both runs."""
    parts = [p for p in found.parts if p.energy_before_aj or p.energy_after_aj]
    most = max(max(p.energy_before_aj or 0, p.energy_after_aj or 0) for p in parts)
    size, unit = energy_scale(most)
    parts.sort(key=lambda p: -max(p.energy_before_aj or 0, p.energy_after_aj or 0))
    drawn = pd.DataFrame(
        [
            {"part": part_name(part.name), "run": side, "energy": (aj or 0) / size}
            for part in parts
            for side, aj in zip(_SIDES, (part.energy_before_aj, part.energy_after_aj), strict=True)
        ]
    )
    return chart(
        "energies",
        "Energy by part",
        "At work and for being there, as far as the machines tell what parts draw.",
        _pairs("part", "energy", f"energy [{unit}]"),
        drawn,
    )


def kinds_chart(found: Difference) -> Chart:
    """Draw the latencies of kinds of layers and ops in both runs, where they changed most."""
    sums: dict[str, list[int]] = {}
    for op in found.ops:
        both = sums.setdefault(kind_of_layer(op.name), [0, 0])
        both[0] += op.before_ps or 0
        both[1] += op.after_ps or 0
    changed = sorted(sums.items(), key=lambda one: -abs(one[1][1] - one[1][0]))[:MOST_KINDS]
    size, unit = scale_of(max(max(both) for _, both in changed))
    drawn = pd.DataFrame(
        [
            {"kind": kind, "run": side, "time": ps / size}
            for kind, both in changed
            for side, ps in zip(_SIDES, both, strict=True)
        ]
    )
    return chart(
        "kinds",
        "Latency by kind of layer",
        "Sums over layers whose names differ in numbers alone, what changed most first. Layers "
        "that overlap count waiting for others.",
        _pairs("kind", "time", f"latency [{unit}]"),
        drawn,
    )


def _pairs(name: str, value: str, title: str) -> Spec:
    """Return two bars per name: before and after."""
    return {
        "height": {"step": 13, "for": "offset"},
        "mark": {"type": "bar", "cornerRadius": 1},
        "encoding": {
            "y": field(name, "nominal", sort=None, axis={"labelLimit": 220}),
            "yOffset": field("run", "nominal", sort=[*_SIDES]),
            "x": field(value, title=title),
            "color": field("run", "nominal", scale=palette(_SIDES, [*_SIDES])),
            "tooltip": [
                field(name, "nominal", name),
                field("run", "nominal", "run"),
                field(value, title=title, format=",.5~g"),
            ],
        },
    }


def difference_of_folder(folder: Path) -> str:
    """Return the page of the two results whose difference lies in a folder.

    Raises:
        SpecError: A file is missing, or is not what ``hybridsim compare`` wrote.
    """
    path = folder / DIFFERENCE
    document: Mapping[str, Any] = read_own_json(path, _WRITES)
    try:
        found = Difference.model_validate(document)
        activity = None
        if (folder / ACTIVITY).exists():
            path = folder / ACTIVITY
            held = io.BytesIO(read_own(path, would_do=_WRITES))
            activity = pd.read_csv(held, dtype=ACTIVITY_COLUMNS, keep_default_na=False)
        return difference_page(found, activity)
    except (ValidationError, OverflowError, IndexError, ValueError, KeyError, TypeError):
        problem = "is not what hybridsim compare A.json B.json --out wrote; compare again"
        raise SpecError(str(path), "", problem) from None
