"""The page of a sweep, and writing it again from its files."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd

from hybridsim._old_names import in_silence
from hybridsim.errors import SpecError
from hybridsim.report.page.cells import Column, Table, table
from hybridsim.report.page.shell import PAGE, render_page
from hybridsim.report.page.sweep_charts import (
    axes_by_weight,
    axis_codes,
    heat_maps,
    profile_chart,
    shares_chart,
    spread_chart,
)
from hybridsim.report.page.sweep_points import FOLDER, front_chart, points_data
from hybridsim.report.quantities import heading, held_by, missed_by
from hybridsim.sweeps.answer_files import SUMMARY, read_answers
from hybridsim.sweeps.answers import best_rows
from hybridsim.sweeps.audits import Audit
from hybridsim.sweeps.axes import Axis
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.misses import met_by, nearest_points
from hybridsim.sweeps.run import SweepResult
from hybridsim.sweeps.sensitivity import sought_results, total_shares, variance_shares
from hybridsim.sweeps.study import STUDY, read_written_study, study_axes

MOST_ROWS = 500
"""Rows of the Pareto table; the CSV file beside the page has all."""

MOST_NEAREST = 8
"""Points that are shown where none meets all constraints."""


def sweep_page(
    result: SweepResult, model_version: str | None = None, pages: Collection[int] = ()
) -> str:
    """Return the page of a sweep as one HTML document.

    ``model_version`` is that of the points, where it is not that of this program; ``pages`` are
    the numbers of the points whose run pages lie in the folder ``points`` beside it.
    """
    inputs, found = result.inputs, result.table
    study = inputs.study
    charts = []
    if found["feasible"].any():
        several = len(study.objectives) > 1
        charts.append(front_chart(inputs, found) if several else spread_chart(inputs, found))
    if result.whole and (found["problem"] == "").any():
        following = profile_chart(inputs, found) if found["feasible"].any() else None
        charts += [] if following is None else [following]
        sought = sought_results(inputs)
        own, total = variance_shares(inputs, found), total_shares(inputs, found)
        charts.append(shares_chart(own[sought], total[sought]))
    heat = heat_maps(inputs, found)
    heat["shown"] = _shown(inputs, found, [axis["name"] for axis in heat["axes"]])
    best = _best(inputs, found)
    front = found[found["pareto"]]
    data = {"charts": {chart.name: chart.to_data() for chart in charts}, "heat": heat}
    linked = any(chart.name == "front" for chart in charts)
    if linked:
        data["points"] = points_data(inputs, found, pages)
    return render_page(
        "sweep.html.j2",
        data,
        linked=linked,
        study=study,
        summary=result.summary() | ({"model_version": model_version} if model_version else {}),
        counts={
            "points": len(found),
            "with_result": int((found["problem"] == "").sum()),
            "feasible": int(found["feasible"].sum()),
            "front": len(front),
        },
        charts={chart.name: chart for chart in charts},
        has_heat=any(heat["cells"].values()),
        constraints=_constraints(inputs, found),
        nearest=nearest_table(inputs, found),
        axes=[(axis.name, ", ".join(axis.labels[:24]), len(axis)) for axis in inputs.axes],
        best=best,
        front=points_table(inputs, "pareto", "Pareto front", front.iloc[:MOST_ROWS]),
        problems=found["problem"][found["problem"] != ""].value_counts().head(10).to_dict(),
    )


def _constraints(inputs: Inputs, found: pd.DataFrame) -> Table:
    """Return each constraint and how many points meet it, whatever the others."""
    columns = (Column("constraint", "constraint"), Column("met", "points that meet it", "count"))
    met = [{"constraint": text, "met": count} for text, count in met_by(inputs, found).items()]
    return table("constraints", "Constraints", columns, met)


def nearest_table(inputs: Inputs, found: pd.DataFrame) -> Table | None:
    """Return the points that come nearest where none is feasible, and what each misses by."""
    near = nearest_points(inputs, found, MOST_NEAREST)
    if not near:
        return None
    texts = dict.fromkeys(inputs.study.constraints)
    columns = [Column(text, text, "word") for text in texts]
    rows = []
    for own in near:
        misses = {miss.constraint: missed_by(miss) for miss in own.misses}
        rows.append({text: misses.get(text, "meets it") for text in texts})
    standing = table("nearest", "Nearest points", columns, rows)
    points = points_table(
        inputs, "nearest", "Nearest points", found.iloc[[own.row for own in near]]
    )
    joined = tuple((*a, *b) for a, b in zip(standing.rows, points.rows, strict=True))
    heads = (*standing.columns, *points.columns)
    return Table("nearest", "Nearest points", heads, joined)


def _shown(inputs: Inputs, found: pd.DataFrame, names: list[str]) -> list[int]:
    """Return which axes a heat map shows first: across and down, what matters most down."""
    if len(names) < 2 or not (found["problem"] == "").any():
        return [0, 1]
    first = [a.name for a in axes_by_weight(inputs, found) if a.name in names][:2]
    return [names.index(first[1]), names.index(first[0])]


def _best(inputs: Inputs, found: pd.DataFrame) -> Table | None:
    """Return the best point of each objective and case, or None where nothing is feasible."""
    rows, names = [], []
    for name, places in best_rows(inputs, found).items():
        rows += places
        names += [name] * len(places)
    if not rows:
        return None
    points = points_table(inputs, "best", "Best points", found.iloc[rows[:MOST_ROWS]])
    lead = table(
        "best",
        "",
        (Column("best", "best in", "word"),),
        ({"best": heading(name)} for name in names),
    )
    joined = tuple((*a, *b) for a, b in zip(lead.rows[:MOST_ROWS], points.rows, strict=True))
    return Table("best", points.title, (*lead.columns, *points.columns), joined)


def points_table(inputs: Inputs, name: str, title: str, rows: pd.DataFrame) -> Table:
    """Return some points of a study: its axes as it wrote them, then results."""
    axes = {axis.column: axis for axis in inputs.axes}
    results = [c for c in rows if c not in axes and c not in ("problem", "feasible", "pareto")]
    columns = [Column(axis.column, axis.name) for axis in inputs.axes]
    columns += [Column(str(c), heading(str(c)), held_by(str(c))) for c in results]
    values: dict[str, list[Any]] = {a.column: _labels(a, rows) for a in inputs.axes}
    values |= {str(c): [None if pd.isna(v) else _plain(v) for v in rows[c]] for c in results}
    records = [{key: values[key][i] for key in values} for i in range(len(rows))]
    return table(name, title, columns, records)


def _labels(axis: Axis, rows: pd.DataFrame) -> list[str]:
    return [axis.labels[code] for code in axis_codes(axis, rows)]


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def pages_of(folder: Path) -> list[int]:
    """Return the numbers of the points whose run pages lie in the folder of a sweep."""
    found = (path.parent.name for path in (folder / FOLDER).glob(f"*/{PAGE}"))
    return sorted(int(name) for name in found if name.isdecimal())


def sweep_of_folder(folder: Path) -> str:
    """Return the page of the sweep whose files lie in a folder.

    Raises:
        SpecError: A file is missing, or is not what ``hybridsim sweep --out`` wrote.
    """
    study = read_written_study(folder)
    table, summary = read_answers(folder)
    with in_silence():
        inputs = Inputs(study, study_axes(study, str(folder / STUDY)), {}, {}, {})
    try:
        told = summary["audit"]
        audit = told and Audit(told["points"], tuple(told["differences"]))
        result = SweepResult(inputs, table, audit, len(table), 0.0)
        return sweep_page(result, summary["model_version"], pages_of(folder))
    except (ValueError, KeyError, TypeError, AttributeError):
        problem = "is not what hybridsim sweep --out wrote; sweep again"
        raise SpecError(str(folder / SUMMARY), "", problem) from None
