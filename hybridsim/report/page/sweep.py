"""The page of a sweep, and writing it again from its files."""

from pathlib import Path
from typing import Any

import pandas as pd

from hybridsim._old_names import COLUMNS, in_silence
from hybridsim.errors import InputError, SpecError
from hybridsim.nesting import json_value
from hybridsim.report.page.cells import Column, Kind, Table, part_name, table
from hybridsim.report.page.shell import STUDY, render_page
from hybridsim.report.page.sweep_charts import (
    axes_by_weight,
    axis_codes,
    front_chart,
    heat_maps,
    profile_chart,
    shares_chart,
    spread_chart,
)
from hybridsim.specs import validate
from hybridsim.sweeps.answers import best_rows, variance_shares
from hybridsim.sweeps.axes import Axis
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.run import Audit, SweepResult
from hybridsim.sweeps.study import Study, study_axes

MOST_ROWS = 500
"""Rows of the Pareto table; the CSV file beside the page has all."""


def sweep_page(result: SweepResult, model_version: str | None = None) -> str:
    """Return the page of a sweep as one HTML document.

    ``model_version`` is that of the points, where it is not that of this program.
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
        charts.append(shares_chart(variance_shares(inputs, found)))
    heat = heat_maps(inputs, found) | {"objectives": _objectives(inputs)}
    heat["shown"] = _shown(inputs, found, [axis["name"] for axis in heat["axes"]])
    best = _best(inputs, found)
    front = found[found["pareto"]]
    return render_page(
        "sweep.html.j2",
        {"charts": {chart.name: chart.to_data() for chart in charts}, "heat": heat},
        study=study,
        summary=result.summary() | ({"model_version": model_version} if model_version else {}),
        counts={
            "points": len(found),
            "with_result": int((found["problem"] == "").sum()),
            "feasible": int(found["feasible"].sum()),
            "front": len(front),
        },
        charts={chart.name: chart for chart in charts},
        has_heat=bool(heat["cells"]),
        axes=[(axis.name, ", ".join(axis.labels[:24]), len(axis)) for axis in inputs.axes],
        best=best,
        front=points_table(inputs, "pareto", "Pareto front", front.iloc[:MOST_ROWS]),
        problems=found["problem"][found["problem"] != ""].value_counts().head(10).to_dict(),
    )


def _objectives(inputs: Inputs) -> list[dict[str, Any]]:
    return [
        {"name": name, "label": _heading(name), "kind": kind_of(name), "direction": direction}
        for name, direction in inputs.study.objectives.items()
    ]


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
        ({"best": _heading(name)} for name in names),
    )
    joined = tuple((*a, *b) for a, b in zip(lead.rows[:MOST_ROWS], points.rows, strict=True))
    return Table("best", points.title, (*lead.columns, *points.columns), joined)


def points_table(inputs: Inputs, name: str, title: str, rows: pd.DataFrame) -> Table:
    """Return some points of a study: its axes as it wrote them, then results."""
    axes = {axis.column: axis for axis in inputs.axes}
    results = [c for c in rows if c not in axes and c not in ("problem", "feasible", "pareto")]
    columns = [Column(axis.column, axis.name) for axis in inputs.axes]
    columns += [Column(str(c), _heading(str(c)), kind_of(str(c))) for c in results]
    values: dict[str, list[Any]] = {a.column: _labels(a, rows) for a in inputs.axes}
    values |= {str(c): [None if pd.isna(v) else _plain(v) for v in rows[c]] for c in results}
    records = [{key: values[key][i] for key in values} for i in range(len(rows))]
    return table(name, title, columns, records)


def _labels(axis: Axis, rows: pd.DataFrame) -> list[str]:
    return [axis.labels[code] for code in axis_codes(axis, rows)]


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _heading(column: str) -> str:
    for unit in ("_ps", "_bytes", "_percent"):
        column = column.removesuffix(unit)
    return part_name(column)


def kind_of(column: str) -> Kind:
    """Return what the values of a result column are, by the unit in its name."""
    for unit, kind in (("_ps", "time"), ("_bytes", "size"), ("_percent", "percent")):
        if column.endswith(unit):
            return kind  # type: ignore[return-value]
    return "word" if column == "bound" else "number"


TABLE = "sweep.parquet"
SUMMARY = "sweep.json"


def study_text(study: Study) -> str:
    """Return a study as the file from which its page can be written again."""
    return study.model_dump_json(indent=2) + "\n"


def sweep_of_folder(folder: Path) -> str:
    """Return the page of the sweep whose files lie in a folder.

    Raises:
        SpecError: A file is missing, or is not what ``hybridsim sweep --out`` wrote.
    """
    path = folder / STUDY
    try:
        document = json_value(path.read_text(encoding="utf-8"), str(path))
        with in_silence():
            study = validate(Study, document, str(path))
            axes = study_axes(study, str(path))
        path = folder / SUMMARY
        summary = json_value(path.read_text(encoding="utf-8"), str(path))
        audit = summary["audit"] and Audit(
            summary["audit"]["points"], tuple(summary["audit"]["differences"])
        )
        path = folder / TABLE
        table = pd.read_parquet(path).rename(columns=COLUMNS)
        result = SweepResult(Inputs(study, axes, {}, {}, {}), table, audit, len(table), 0.0)
        return sweep_page(result, summary["model_version"])
    except OSError as error:
        reason = error.strerror or "is unreadable"
        raise SpecError(str(path), "", f"{reason}; hybridsim sweep --out writes it") from None
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SpecError(
            str(path), "", "is not what hybridsim sweep --out wrote; sweep again"
        ) from None
