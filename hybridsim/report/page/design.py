"""The page of a design, from the answer down to how it was found."""

import numpy as np
import pandas as pd

from hybridsim.designs import Design
from hybridsim.designs.proof import PROOF, STUDY_FILE, command_of
from hybridsim.report.designs import (
    cautions,
    conflicts,
    figures,
    headline,
    limit_cells,
    sharing,
    story,
)
from hybridsim.report.page.cells import Column, Table, micro, table
from hybridsim.report.page.shell import render_page
from hybridsim.report.page.sweep import nearest_table
from hybridsim.report.page.sweep_charts import axis_codes, spread_chart
from hybridsim.report.page.sweep_points import front_chart
from hybridsim.report.quantities import heading, held_by, told
from hybridsim.sweeps.audits import Audit

FAR = 2
"""How many times the worst of the front a point may have to be drawn beside it."""
_NOT_SHOWN = ("batch", "problem", "feasible", "pareto")
MOST_ROWS = 200
"""Rows of the front that are shown; front.csv beside the page has all."""


def design_page(design: Design, audit: Audit | None) -> str:
    """Return the page of a design, with what its proof found, as one HTML document."""
    inputs, found = design.asked.inputs, design.table()
    front = found[found["pareto"]]
    charts, several = [], len(design.objectives) > 1
    if len(front):
        near = _near(found, front, design)
        charts.append(front_chart(inputs, near, "") if several else spread_chart(inputs, found))
    return render_page(
        "design.html.j2",
        {"charts": {chart.name: chart.to_data() for chart in charts}},
        title=f"A design for {design.asked.question.network}",
        headline=micro(headline(design)),
        objectives=[(heading(n), micro(told(n, v)), v) for n, v in design.objectives.items()],
        choice=list(design.choice.items()),
        figures=[(name, micro(text)) for name, text in figures(design)],
        limits=_limits(design),
        nearest=nearest_table(inputs, found),
        conflicts=[micro(text) for text in conflicts(design)],
        needed=design.asked.needed.split("`"),  # each second part is a command
        decisions=_decisions(design),
        sharing=[micro(text) for text in sharing(design)],
        charts=charts,
        near=FAR if len(charts) and several else 0,
        front=_front(design, front),
        audit=audit,
        proof_command=f"hybridsim sweep {PROOF}/{STUDY_FILE} --audit 100%",
        run_command=command_of(design),
        axes=[(axis.name, ", ".join(axis.labels[:24])) for axis in inputs.axes],
        notes=[*cautions(design), *design.asked.notes],
        story=story(design),
    )


def _near(found: pd.DataFrame, front: pd.DataFrame, design: Design) -> pd.DataFrame:
    """Return the points that are not far from the front: it would be one spot beside others."""
    near = np.ones(len(found), np.bool_)
    for name, direction in design.seen.objectives.items():
        if direction == "minimise":
            near &= (found[name] <= FAR * front[name].max()).fillna(False).to_numpy(np.bool_)
    return found[near]


def _front(design: Design, front: pd.DataFrame) -> Table:
    """Return the points of the front by the first objective: what they have, and what differs."""
    inputs, names = design.asked.inputs, list(design.objectives)
    front = front.sort_values(names[0]).iloc[:MOST_ROWS]
    axes = [axis for axis in inputs.axes if front[axis.column].nunique() > 1]
    # the strategy's batch is an axis, and that of its adapters beside it would be taken for it
    taken = {*(axis.column for axis in inputs.axes), *names, *_NOT_SHOWN}
    numbers = [*names, *(str(own) for own in front if own not in taken)]
    columns = [Column(name, heading(name), held_by(name)) for name in numbers]
    columns[len(names) : len(names)] = [Column(axis.column, axis.name) for axis in axes]
    labels = {axis.column: [axis.labels[k] for k in axis_codes(axis, front)] for axis in axes}
    values = labels | {name: front[name].astype(object).tolist() for name in numbers}
    rows = [
        {key: None if pd.isna(own[i]) else own[i] for key, own in values.items()}
        for i in range(len(front))
    ]
    return table("front", "The front", columns, rows)


def _limits(design: Design) -> Table:
    columns = (
        Column("limit", "limit"), Column("value", "it has"), Column("room", "room"),
        Column("relaxed", "relaxed to"), Column("buys", "buys"),
    )  # fmt: skip
    keys = [column.key for column in columns]
    rows = (
        dict(zip(keys, map(micro, limit_cells(own)), strict=True)) for own in design.standings()
    )
    return table("limits", "Limits", columns, rows)


def _decisions(design: Design) -> Table:
    """Return each decision with all of its alternatives, the least bad first."""
    names = list(design.objectives)
    columns = [
        Column("axis", "decision"), Column("chosen", "chosen"), Column("instead", "instead"),
        *(Column(name, heading(name), "percent") for name in names),
    ]  # fmt: skip
    rows = [
        {"axis": own.axis, "chosen": own.label, "instead": other.label}
        | {name: other.changes.get(name) for name in names}
        | {"misses": ", ".join(other.misses) if other.changes else "does not run"}
        for own in design.decisions
        for other in own.alternatives
    ]
    if any(row["misses"] for row in rows):
        columns.append(Column("misses", "misses"))
    return table("decisions", "Decisions", columns, rows)
