"""The page of a design, from the answer down to how it was found."""

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
from hybridsim.report.page.sweep import points_table
from hybridsim.report.page.sweep_charts import spread_chart
from hybridsim.report.page.sweep_points import front_chart
from hybridsim.report.quantities import heading, told
from hybridsim.sweeps.audits import Audit

MOST_ROWS = 200
"""Rows of the front that are shown; front.csv beside the page has all."""


def design_page(design: Design, audit: Audit | None) -> str:
    """Return the page of a design, with what its proof found, as one HTML document."""
    inputs, found = design.asked.inputs, design.table()
    front = found[found["pareto"]]
    charts = []
    if len(front):
        several = len(design.objectives) > 1
        charts.append(front_chart(inputs, found, "") if several else spread_chart(inputs, found))
    return render_page(
        "design.html.j2",
        {"charts": {chart.name: chart.to_data() for chart in charts}},
        title=f"A design for {design.asked.question.network}",
        headline=micro(headline(design)),
        objectives=[(heading(n), micro(told(n, v)), v) for n, v in design.objectives.items()],
        choice=list(design.choice.items()),
        figures=[(name, micro(text)) for name, text in figures(design)],
        limits=_limits(design),
        conflicts=list(conflicts(design)),
        needed=design.asked.needed,
        decisions=_decisions(design),
        sharing=[micro(text) for text in sharing(design)],
        charts=charts,
        front=points_table(inputs, "front", "The front", front.iloc[:MOST_ROWS]),
        audit=audit,
        proof_command=f"hybridsim sweep {PROOF}/{STUDY_FILE} --audit 100%",
        run_command=command_of(design),
        axes=[(axis.name, ", ".join(axis.labels[:24])) for axis in inputs.axes],
        notes=[*cautions(design), *design.asked.notes],
        story=story(design),
    )


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
    columns = (
        Column("axis", "decision"), Column("chosen", "chosen"), Column("instead", "instead"),
        *(Column(name, heading(name), "percent") for name in names), Column("misses", "misses"),
    )  # fmt: skip
    rows = [
        {"axis": own.axis, "chosen": own.label, "instead": other.label}
        | {name: other.changes.get(name) for name in names}
        | {"misses": ", ".join(other.misses) if other.changes else "does not run"}
        for own in design.decisions
        for other in own.alternatives
    ]
    return table("decisions", "Decisions", columns, rows)
