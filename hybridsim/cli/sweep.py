"""``hybridsim sweep``: every point of a study; ``hybridsim search``: the best without all."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pandas as pd
import typer
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from hybridsim.cli._options import (
    FiguresOption,
    Json,
    Quiet,
    StudyFile,
    Verbose,
    check_figures,
    check_folder,
    write_all,
)
from hybridsim.cli._terminal import (
    Telling,
    bar_on_terminal,
    ends_cleanly,
    out,
    plain_table,
    print_json,
)
from hybridsim.errors import InputError
from hybridsim.sweeps.answers import best_rows, variance_shares
from hybridsim.sweeps.axes import Axis
from hybridsim.sweeps.executors import open_executor
from hybridsim.sweeps.forecast import forecast
from hybridsim.sweeps.inputs import Inputs, read_inputs
from hybridsim.sweeps.run import Progress, SweepInterrupted, SweepResult, run_study
from hybridsim.sweeps.study import read_study, study_constraints
from hybridsim.units import format_bytes, format_ps

if TYPE_CHECKING:
    from hybridsim.report.figures.style import Format

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""
AUDIT_FAILED = 1
"""Exit code when a point is not the same on SimPy."""
MOST_REASONS = 3
"""Reasons for points without a result that are shown."""
MOST_ROWS = 40
"""Rows of the Pareto table that are shown."""

Out = Annotated[
    Path | None,
    typer.Option("--out", help="Folder for page.html and all finished points; resumes."),
]
Csv = Annotated[bool, typer.Option("--csv", help="Print the table of all points as CSV.")]


@ends_cleanly
def sweep(
    study: StudyFile,
    out_: Out = None,
    executor: Annotated[
        str, typer.Option(help="in-process, processes:N, dask, dask:N or dask://host:port.")
    ] = "in-process",
    audit: Annotated[
        str, typer.Option(help="Share of points to compute again on SimPy, as in 0.1%.")
    ] = "0%",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many points, how long, what memory.")
    ] = False,
    figures: FiguresOption = None,
    json_: Json = False,
    csv_: Csv = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Evaluate every point of STUDY; ends with the Pareto table and what matters."""
    telling = Telling(verbose, quiet)
    if json_ and csv_:
        raise InputError("--json and --csv: give one of them")
    share, kind = _share(audit), check_figures(figures, out_)
    if out_ is not None:
        check_folder(out_)
    inputs = inputs_of(study)
    telling.say("study", f"{inputs.study.name}: {inputs.study.question}")
    for axis in inputs.axes:
        telling.say("axis", f"{axis.name}: {len(axis.labels)} values")
    if dry_run:
        _print_forecast(inputs, executor, json_)
        return
    with telling.stage("evaluating"), progress_bar(quiet or verbose) as progress, ctrl_c(out_):
        result = run_study(inputs, out_, executor, share, progress)
    telling.say("points", f"{len(result.table):,}, {result.recorded_before:,} recorded before")
    if out_ is not None:
        with telling.stage("writing"):
            write_all(out_, _files(result, kind))
    telling.end()
    if json_:
        print_json(
            result.summary()
            | {"seconds": round(result.seconds, 3), "recorded_before": result.recorded_before}
        )
    elif csv_:
        result.table.to_csv(sys.stdout, index=False)
    elif not quiet:
        out().print(render(result), soft_wrap=True)
    if result.audit and result.audit.differences:
        raise typer.Exit(AUDIT_FAILED)


def _files(result: SweepResult, kind: "Format | None") -> dict[str, str | bytes]:
    """Return what is written beside the points: the page, and figures where asked for."""
    from hybridsim.report.page.shell import PAGE, STUDY
    from hybridsim.report.page.sweep import study_text, sweep_page

    files: dict[str, str | bytes] = {PAGE: sweep_page(result)}
    files[STUDY] = study_text(result.inputs.study)
    if kind is not None:
        # Matplotlib only where something is drawn
        from hybridsim.report.figures.studies import sweep_files

        files |= sweep_files(result.inputs, result.table, kind)
    return files


def inputs_of(study: Path) -> Inputs:
    """Return a study file with all that it names.

    Raises:
        InputError: The file does not describe a study.
    """
    file = study / "study.yaml" if study.is_dir() else study
    return read_inputs(read_study(file), str(file))


@contextmanager
def ctrl_c(folder: Path | None) -> Iterator[None]:
    """End an interrupted command with one sentence and the exit code of shells."""
    try:
        yield
    except SweepInterrupted as interrupted:
        kept = f"kept in {folder}" if folder else "lost; --out DIR would have kept them"
        typer.echo(f"hybridsim: {interrupted}; they are {kept}", err=True)
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Progress | None]:
    """Show rate and time left on a terminal's standard error."""
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
    )
    with bar_on_terminal(quiet, *columns) as bar:
        if bar is None:
            yield None
            return
        task = bar.add_task("sweep", total=None, rate="")

        def update(done: int, recorded: int, points: int) -> None:
            speed = bar.tasks[0].speed
            rate = "" if speed is None else f"{speed:,.4g} points/s"
            bar.update(task, completed=done, total=points, rate=rate)

        yield update


def render(result: SweepResult) -> RenderableType:
    """Return the Pareto table, the best points and what each axis explains."""
    inputs, table = result.inputs, result.table
    study = inputs.study
    front = table[table["pareto"]]
    failed = int((table["problem"] != "").sum())
    lines: list[RenderableType] = [
        f"{study.name}: {len(table):,} points, {failed:,} without a result, "
        f"{int(table['feasible'].sum()):,} meet all constraints",
        *_reasons(table),
        "",
        f"Pareto front of {', '.join(study.objectives)}: {len(front):,} points",
        points_table(inputs, front.iloc[:MOST_ROWS]),
    ]
    if len(front) > MOST_ROWS:
        lines.append(f"and {len(front) - MOST_ROWS:,} more (--csv prints all)")
    for name, rows in best_rows(inputs, table).items():
        lines += ["", f"best {name}", points_table(inputs, table.iloc[rows[:MOST_ROWS]])]
    if result.whole:
        lines += ["", "variance explained by each axis alone", _shares_table(result)]
    if result.audit is not None:
        wrong = result.audit.differences
        said = f"{len(wrong)} differences" if wrong else "all the same"
        lines += ["", f"audit: {result.audit.points:,} points again on SimPy, {said}"]
        lines += [f"  {escape(text)}" for text in wrong[:MOST_ROWS]]
    return Group(*lines)


def _reasons(table: pd.DataFrame) -> list[str]:
    """Return why points have no result, the commonest reasons first."""
    found = table.loc[table["problem"] != "", "problem"].value_counts()
    lines = [f"  {count:,} times: {escape(str(reason))}" for reason, count in found.items()]
    more = len(lines) - MOST_REASONS
    return [*lines[:MOST_REASONS], *([f"  and {more:,} other reasons"] if more > 0 else [])]


def points_table(inputs: Inputs, rows: pd.DataFrame) -> RenderableType:
    """Return some points as a table for people."""
    told = {c.column for c in study_constraints(inputs.study, inputs.axes)}
    told |= {*inputs.study.objectives, *(axis.column for axis in inputs.axes)}
    names = [name for name in rows.columns if name in told]
    axes = {axis.column: axis for axis in inputs.axes}
    numbers = "|".join(_heading(name) for name in names)
    table = plain_table(*(_heading(name) for name in names), right=numbers)
    for row in rows[names].itertuples(index=False):
        cells = (_cell(name, value, axes) for name, value in zip(names, row, strict=True))
        table.add_row(*map(escape, cells))
    return table


def _heading(column: str) -> str:
    for unit in ("_ps", "_bytes", "_hz", "_bits", "_cycles", "_bytes_per_cycle"):
        column = column.removesuffix(unit)
    return column.replace("overhead_percent", "overhead").rpartition(".")[2]


def _cell(column: str, value: Any, axes: Mapping[str, Axis]) -> str:
    """Return a value as the study wrote it, or, for a result, with a unit."""
    axis = axes.get(column)
    if axis is not None and axis.numbers is not None:
        return axis.labels[int((axis.numbers == value).argmax())]
    if pd.isna(value):
        return "-"
    if column.endswith("_ps"):
        return format_ps(int(value))
    if column.endswith("_bytes"):
        return format_bytes(int(value))
    if column.endswith("_percent"):
        return f"{value:.2f} %"
    return str(value)


def _shares_table(result: SweepResult) -> RenderableType:
    shares = variance_shares(result.inputs, result.table)
    names = [str(name) for name in shares]
    table = plain_table("axis", *names, right="|".join(names))
    for axis, *values in shares.itertuples():
        table.add_row(escape(str(axis)), *(f"{value:.1%}" for value in values))
    return table


def _share(text: str) -> float:
    try:
        return float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise InputError(f"--audit: found {text!r}; a share would do, as in 0.1%") from None


def _print_forecast(inputs: Inputs, executor: str, json_: bool) -> None:
    with open_executor(executor) as (_, workers):
        pass
    expected = forecast(inputs)
    seconds = expected.seconds / workers
    if json_:
        print_json(
            {
                "study": inputs.study.name,
                "points": expected.points,
                "sampled": expected.sampled,
                "workers": workers,
                "seconds": seconds,
                "result_bytes": expected.result_bytes,
                "worker_bytes": expected.worker_bytes,
            }
        )
        return
    out().print(
        f"{inputs.study.name}: {expected.points:,} points",
        f"  time    {format_ps(int(seconds * 1e12))} on {workers} "
        f"worker{'s' if workers > 1 else ''} (from {expected.sampled} points)",
        f"  memory  {format_bytes(expected.result_bytes)} for results, and "
        f"{format_bytes(expected.worker_bytes) if expected.worker_bytes else '?'} per worker",
        sep="\n",
    )


@ends_cleanly
def search(
    study: StudyFile,
    trials: Annotated[int, typer.Option(help="Different points to evaluate, per case.")],
    out_: Out = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sampler.")] = 0,
    json_: Json = False,
    csv_: Csv = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Search STUDY with Optuna; ends with the Pareto table."""
    telling = Telling(verbose, quiet)
    if json_ and csv_:
        raise InputError("--json and --csv: give one of them")
    try:
        from hybridsim.sweeps.search import search as search_study
    except ImportError:
        raise InputError("search needs Optuna; pip install 'hybridsim[search]'") from None
    if out_ is not None:
        check_folder(out_)
    inputs = inputs_of(study)
    telling.say("study", f"{inputs.study.name}: {inputs.study.question}")
    with telling.stage("searching"), progress_bar(quiet or verbose) as progress, ctrl_c(out_):
        result = search_study(inputs, trials, out_, seed, progress)
    telling.end()
    if json_:
        print_json(result.summary() | {"seconds": round(result.seconds, 3)})
    elif csv_:
        result.table.to_csv(sys.stdout, index=False)
    elif not quiet:
        out().print(render(result), soft_wrap=True)
