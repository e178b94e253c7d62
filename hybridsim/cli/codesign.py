"""``hybridsim codesign``: accuracy after years, latency and energy, and the adapter to ship."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pandas as pd
import typer
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from hybridsim.analog.times import format_time
from hybridsim.cli._options import (
    FiguresOption,
    Json,
    Quiet,
    StudyFile,
    check_figures,
    check_folder,
    write_all,
)
from hybridsim.cli._terminal import bar_on_terminal, ends_cleanly, out, plain_table, print_json
from hybridsim.errors import InputError
from hybridsim.units import format_energy, format_ps

if TYPE_CHECKING:
    from hybridsim.codesign import CodesignResult
    from hybridsim.codesign.points import Watch
    from hybridsim.report.figures.style import Format

MOST_ROWS = 40
"""Rows of the Pareto table that are shown."""


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

    if json_ and csv_:
        raise InputError("--json and --csv: give one of them")
    kind = check_figures(figures, out_)
    if out_ is not None:
        check_folder(out_)
    with _progress(quiet) as watch:
        result = run_codesign(study, watch)
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


@contextmanager
def _progress(quiet: bool) -> Iterator["Watch | None"]:
    """Show points and time left on a terminal's standard error."""
    columns = (
        TextColumn("codesign"), BarColumn(), MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
    )  # fmt: skip
    with bar_on_terminal(quiet, *columns) as bar:
        if bar is None:
            yield None
            return
        task = bar.add_task("codesign", total=None)

        def watch(done: int, points: int) -> None:
            bar.update(task, completed=done, total=points)

        yield watch


def render(result: "CodesignResult") -> RenderableType:
    """Return the Pareto table, what to ship, and what to know before believing it."""
    study, table = result.study, result.table
    front = table[table["pareto"]].sort_values("accuracy_percent", ascending=False, kind="stable")
    lines: list[RenderableType] = [
        f"{study.name}: {escape(study.question)}",
        "",
        f"{len(table):,} points, {int(table['feasible'].sum()):,} meet all constraints; Pareto "
        f"front of {', '.join(study.objectives)}: {len(front):,} points",
        f"accuracy is that {format_time(study.after)} after programming, with its 95 % interval; "
        "slowdown is against the fastest all-analog point",
        _table(front.iloc[:MOST_ROWS]),
    ]
    if len(front) > MOST_ROWS:
        lines.append(f"and {len(front) - MOST_ROWS:,} more (--csv prints all)")
    lines += ["", *_told(result)]
    lines += [f"note: {escape(note)}" for note in result.notes]
    return Group(*lines)


def _told(result: "CodesignResult") -> list[str]:
    """Return what to ship, where it lies, and the command that simulates it."""
    row = result.shipped
    if row is None:
        return ["nothing to ship: no point meets all constraints", ""]
    there = "" if Path(row["adapter"]).is_dir() else " (not there: adapt writes it)"
    return [
        f"ship {escape(row['arm'])}, rank {row['rank']}, on {escape(row['machine'])} at "
        f"{format_ps(row['integration_time_ps'])}: {_accuracy(row)} %, "
        f"{row['slowdown_percent']:.1f} % slower, {_energy(row['energy_pj'])}",
        f"adapter: {escape(row['adapter'])}{there}",
        f"simulate: {escape(result.command or '')}",
        "",
    ]


def _table(rows: pd.DataFrame) -> RenderableType:
    names = (
        "ship", "arm", "rank", "bits", "machine", "integration", "batch", "accuracy", "latency",
        "overhead", "slowdown", "energy",
    )  # fmt: skip
    table = plain_table(*names, right="|".join(names[2:4] + names[5:]))
    for row in rows.to_dict("records"):
        cells = (
            "*" if row["ship"] else "",
            row["arm"],
            str(row["rank"]),
            f"{_or_dash(row['dac_bits'])}/{_or_dash(row['adc_bits'])}",
            row["machine"],
            format_ps(int(row["integration_time_ps"])),
            _or_dash(row["batch"]),
            _accuracy(row),
            format_ps(int(row["latency_ps"])),
            f"{row['overhead_percent']:.1f} %",
            f"{row['slowdown_percent']:.1f} %",
            _energy(row["energy_pj"]),
        )
        table.add_row(*(escape(str(cell)) for cell in cells))
    return table


def _accuracy(row: Any) -> str:
    least = ">=" if row["stands_in"] else ""  # measured at more noise
    value = row["accuracy_percent"]
    return f"{least}{value:.1f} [{row['ci95_low']:.1f}, {row['ci95_high']:.1f}]"


def _energy(picojoule: Any) -> str:
    return "-" if pd.isna(picojoule) else format_energy(round(picojoule * 10**6))


def _or_dash(value: Any) -> str:
    return "-" if pd.isna(value) else str(value)
