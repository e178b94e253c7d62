"""``hybridsim codesign``: accuracy after years, latency and energy, and the adapter to ship."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pandas as pd
import typer
from rich.console import Group, RenderableType
from rich.markup import escape

from hybridsim.analog.times import format_time
from hybridsim.boundary.kinds import Kind
from hybridsim.boundary.writing import write_all
from hybridsim.cli._folders import check_out
from hybridsim.cli._options import (
    FiguresOption,
    Json,
    Quiet,
    StudyFile,
    check_figures,
)
from hybridsim.cli._progress import showing
from hybridsim.cli._terminal import (
    Sentence,
    ends_cleanly,
    out,
    plain_table,
    print_json,
)
from hybridsim.units import format_energy, format_ps

if TYPE_CHECKING:
    from hybridsim.codesign import CodesignResult
    from hybridsim.report.figures.style import Format

MOST_ROWS = 40
"""Rows of the Pareto table that are shown."""


KIND = Kind("codesign", ("codesign.json",))
KINDS = (KIND,)
"""What a folder of this command holds."""


@ends_cleanly
def codesign(
    study: StudyFile,
    out_: Annotated[
        Path | None, typer.Option("--out", help="Folder for codesign.csv and codesign.json.")
    ] = None,
    figures: FiguresOption = None,
    json_: Json = False,
    csv_: Annotated[bool, typer.Option("--csv", help="Print all points as CSV.")] = False,
    quiet: Quiet = False,
) -> None:
    """Cross results of ``hybridsim adapt`` with time and energy; ends with what to ship."""
    from hybridsim.codesign import run_codesign

    kind = check_figures(figures, out_)
    check_out(out_, KIND)
    with showing(quiet or json_ or csv_) as watch:

        def tell(done: int, points: int) -> None:
            if watch is not None:
                watch("points", done, points, "")

        result = run_codesign(study, tell)
    if out_ is not None:
        write_all(out_, _files(result, kind))
    if json_:
        print_json(result.document())
    elif csv_:
        result.table.to_csv(sys.stdout, index=False)
    elif not quiet:
        out().print(render(result), soft_wrap=True)


def _files(result: "CodesignResult", kind: "Format | None") -> dict[str, str | bytes]:
    files: dict[str, str | bytes] = {
        "codesign.csv": result.table.to_csv(index=False),
        "codesign.json": json.dumps(result.document(), indent=2, ensure_ascii=False) + "\n",
    }
    if kind is not None:
        # Matplotlib only where something is drawn
        from hybridsim.report.figures.studies import codesign_file

        files[f"figure_codesign.{kind}"] = codesign_file(result, kind)
    return files


def render(result: "CodesignResult") -> RenderableType:
    """Return the Pareto table, what to ship, and what to know before believing it."""
    study, table = result.study, result.table
    front = table[table["pareto"]].sort_values("accuracy_percent", ascending=False, kind="stable")
    lines: list[RenderableType] = [
        Sentence(f"{study.name}: {study.question}"),
        "",
        Sentence(
            f"{len(table):,} points, {int(table['feasible'].sum()):,} meet all constraints; "
            f"Pareto front of {', '.join(study.objectives)}: {len(front):,} points"
        ),
        Sentence(
            f"accuracy [%] is that {format_time(study.after)} after programming, with its 95 % "
            "interval; tiles is their integration time, slower against the fastest all-analog "
            "point"
        ),
        *_table(front.iloc[:MOST_ROWS]),
    ]
    if len(front) > MOST_ROWS:
        lines.append(f"and {len(front) - MOST_ROWS:,} more (--csv prints all)")
    lines += ["", *_told(result)]
    lines += [Sentence(f"note: {note}", 2) for note in result.notes]
    return Group(*lines)


def _told(result: "CodesignResult") -> list[RenderableType]:
    """Return what to ship, where it lies, and the command that simulates it."""
    row = result.shipped
    if row is None:
        return ["nothing to ship: no point meets all constraints", ""]
    there = "" if Path(row["adapter"]).is_dir() else " (not there: adapt writes it)"
    return [
        Sentence(
            f"ship {row['arm']}, rank {row['rank']}, on {row['machine']} at "
            f"{format_ps(row['integration_time_ps'])}: {_accuracy(row)} %, "
            f"{row['slowdown_percent']:.1f} % slower, {_energy(row['energy_pj'])}"
        ),
        f"adapter: {escape(row['adapter'])}{there}",
        f"simulate: {escape(result.command or '')}",
        "",
    ]


_COLUMNS: dict[str, Callable[[Any], str]] = {
    "": lambda row: "*" if row["ship"] else "",
    "arm": lambda row: row["arm"],
    "rank": lambda row: str(row["rank"]),
    "bits": lambda row: f"{_or_dash(row['dac_bits'])}/{_or_dash(row['adc_bits'])}",
    "machine": lambda row: row["machine"],
    "tiles": lambda row: format_ps(int(row["integration_time_ps"])),
    "batch": lambda row: _or_dash(row["batch"]),
    "accuracy": lambda row: _about(row),
    "latency": lambda row: format_ps(int(row["latency_ps"])),
    "slower": lambda row: f"{row['slowdown_percent']:.1f} %",
    "energy": lambda row: _energy(row["energy_pj"]),
    "overhead": lambda row: f"{row['overhead_percent']:.1f} %",
}
"""Heading -> the cell of a row."""
_CHOSEN = ("arm", "rank", "bits", "machine", "tiles", "batch")
"""Columns that say what a point is: told once where all points agree."""
_MAY_GO = "overhead|energy"
"""Columns that are left out where there is no room, the first first."""


def _table(rows: pd.DataFrame) -> list[RenderableType]:
    """Return what all rows have in common, and a table of the rest."""
    cells = {
        name: [cell(row) for row in rows.to_dict("records")] for name, cell in _COLUMNS.items()
    }
    same = [name for name in _CHOSEN if len(rows) > 1 and len(set(cells[name])) == 1]
    names = [name for name in _COLUMNS if name not in same]
    table = plain_table(
        *names, right="|".join(("rank", *list(_COLUMNS)[5:])), may_go=_MAY_GO, whole="accuracy"
    )
    for row in zip(*(cells[name] for name in names), strict=True):
        table.add_row(*map(escape, row))
    told = ", ".join(f"{name} {cells[name][0]}" for name in same)
    return [*([Sentence(f"all with {told}")] if told else []), table]


def _about(row: Any) -> str:
    """Return an accuracy and half of its interval, which is as wide on both sides."""
    least = ">=" if row["stands_in"] else ""
    reach = (row["ci95_high"] - row["ci95_low"]) / 2
    return f"{least}{row['accuracy_percent']:.1f} +-{reach:.1f}"


def _accuracy(row: Any) -> str:
    least = ">=" if row["stands_in"] else ""  # measured at more noise
    value = row["accuracy_percent"]
    return f"{least}{value:.1f} [{row['ci95_low']:.1f}, {row['ci95_high']:.1f}]"


def _energy(picojoule: Any) -> str:
    return "-" if pd.isna(picojoule) else format_energy(round(picojoule * 10**6))


def _or_dash(value: Any) -> str:
    return "-" if pd.isna(value) else str(value)
