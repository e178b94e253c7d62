"""What a design says, as text for people: the choice, its limits, its decisions, its proof."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Group, RenderableType
from rich.markup import escape

from hybridsim.cli._terminal import Sentence, noted, plain_table, told
from hybridsim.designs import Design
from hybridsim.designs.answer import choice_at
from hybridsim.designs.proof import MACHINE, PAGE, PROOF, STUDY_FILE, command_of
from hybridsim.report.designs import (
    cautions,
    choice_in_words,
    conflicts,
    figures,
    headline,
    limit_cells,
    sharing,
    story,
)
from hybridsim.report.quantities import heading
from hybridsim.report.quantities import told as in_units
from hybridsim.sweeps.run import SweepResult

MOST_FRONT = 12
"""Points of the front that are shown."""


def render(design: Design, proof: SweepResult | None, folder: Path | None) -> RenderableType:
    """Return the answer of a design."""
    lines: list[RenderableType] = [Sentence(headline(design)), ""]
    lines += [told("choice", choice_in_words(design.choice))]
    lines += [told(name, text) for name, text in figures(design)]
    if design.asked.limits or design.asked.open_limits:
        lines += ["", _limits(design)]
    lines += [noted(text) for text in conflicts(design)]
    if design.asked.needed:
        lines += [
            "",
            Sentence(f"no evidence of accuracy. It would come from {design.asked.needed}"),
        ]
    if design.decisions:
        lines += ["", "each decision and the best alternative to it, all else as it is"]
        lines.append(_decisions(design))
    lines += [noted(text) for text in sharing(design)]
    lines += ["", *_front(design)]
    lines += [noted(f"note: {text}") for text in (*cautions(design), *design.asked.notes)]
    lines.append(noted(story(design)))
    if folder is not None and proof is not None:
        lines += ["", *_files(design, proof, folder)]
    return Group(*lines)


def _limits(design: Design) -> RenderableType:
    table = plain_table("limit", "it has", "room", "relaxed to", "buys", right="it has|room")
    for own in design.standings():
        table.add_row(*map(escape, limit_cells(own)))
    return table


def _decisions(design: Design) -> RenderableType:
    names = [heading(name) for name in design.seen.objectives]
    table = plain_table("decision", "chosen", "instead", *names, "misses", right="|".join(names))
    for own in design.decisions:
        if not own.alternatives:
            continue
        other = own.alternatives[0]
        changes = [
            f"{other.changes[name]:+.1f} %" if name in other.changes else "does not run"
            for name in design.seen.objectives
        ]
        row = (own.axis, own.label, other.label, *changes, ", ".join(other.misses))
        table.add_row(*map(escape, row))
    return table


def _front(design: Design) -> Iterator[RenderableType]:
    best, _, feasible = design.seen.best(design.asked.constraints)
    if not feasible:
        return
    names = list(design.seen.objectives)
    varied = [
        axis.name
        for axis in design.asked.inputs.axes
        if len({choice_at(design.asked, design.seen.index[p])[axis.name] for p in best}) > 1
    ]
    yield f"the front it lies on: {len(best)} points that differ in what is sought"
    short = [name.rpartition(".")[2] for name in varied]
    short = [
        own if short.count(own) == 1 else name for own, name in zip(short, varied, strict=True)
    ]
    heads = ["", *(heading(name) for name in names), *short]
    table = plain_table(*heads, right="|".join(heads[1 : len(names) + 1]))
    best.sort(key=lambda place: design.seen.column(names[0])[place])
    for place in best[:MOST_FRONT]:
        choice = choice_at(design.asked, design.seen.index[place])
        same = (design.seen.values()[place] == design.seen.values()[design.place]).all()
        cells = [in_units(name, float(design.seen.column(name)[place])) for name in names]
        row = ["*" if same else "", *cells, *(choice[name] for name in varied)]
        table.add_row(*map(escape, row))
    yield table
    if len(best) > MOST_FRONT:
        yield f"and {len(best) - MOST_FRONT} more"


def _files(design: Design, proof: SweepResult, folder: Path) -> Iterator[RenderableType]:
    audit = proof.audit
    assert audit is not None
    same = f"{len(audit.differences)} differences" if audit.differences else "all the same"
    yield told("proof", f"{audit.points} points again on SimPy, {same}; again with")
    yield f"  hybridsim sweep {escape(str(folder / PROOF / STUDY_FILE))} --audit 100%"
    yield told("files", f"{folder}: {MACHINE}, {PAGE}, design.json, front.csv, {PROOF}/")
    yield told("run it", command_of(design).replace(MACHINE, str(folder / MACHINE)))
