"""``hybridsim adapt``: train adapters against analog noise, and test them over years."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn

from hybridsim.analog.times import in_order
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

if TYPE_CHECKING:
    import pandas as pd

    from hybridsim.training.run import AdaptResult, Watch

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


@ends_cleanly
def adapt(
    study: StudyFile,
    out_: Annotated[Path, typer.Option("--out", help="Folder that keeps every step; resumes.")],
    arm: Annotated[
        list[str] | None, typer.Option("--arm", help="Only this arm of the study; repeatable.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure a few steps and say how long it all takes.")
    ] = False,
    figures: FiguresOption = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train the arms of STUDY and test them on programmed chips over time."""
    from hybridsim.training import is_decoder_study, require_extra

    require_extra()
    kind = check_figures(figures, out_)
    check_folder(out_)
    # only here: torch takes seconds to import
    from hybridsim.training.run import StudyRun

    file = study / "study.yaml" if study.is_dir() else study
    if is_decoder_study(file):
        if arm or dry_run or kind:
            raise InputError(
                "--arm, --dry-run and --figures: a decoder's study has none; leave them out"
            )
        _adapt_decoder(file, out_, json_, quiet)
        return
    with _progress(quiet or json_) as watch:
        try:
            run = StudyRun(file, out_, watch)
            if dry_run:
                _print_forecast(run.forecast(), json_)
                return
            result = run.run(tuple(arm or ()))
        except KeyboardInterrupt:
            typer.echo(f"hybridsim: interrupted; the same command goes on from {out_}", err=True)
            raise typer.Exit(INTERRUPTED) from None
    if kind is not None and len(result.accuracy):
        # Matplotlib only where something is drawn
        from hybridsim.report.figures.studies import adaptation_file

        write_all(out_, {f"figure_adaptation.{kind}": adaptation_file(result.accuracy, kind)})
    if json_:
        tables = (result.accuracy, result.differences, result.training)
        names = ("accuracy", "differences", "training")
        print_json({n: t.to_dict("records") for n, t in zip(names, tables, strict=True)})
    elif not quiet:
        out().print(render(result))


def _adapt_decoder(file: Path, folder: Path, json_: bool, quiet: bool) -> None:
    from hybridsim.training.decoder_run import STAGES, DecoderRun

    with _progress(quiet or json_) as watch:
        try:
            result = DecoderRun(file, folder, watch).run()
        except KeyboardInterrupt:
            typer.echo(f"hybridsim: interrupted; the same command goes on from {folder}", err=True)
            raise typer.Exit(INTERRUPTED) from None
    if json_:
        print_json({"rewards": result.rewards.to_dict("records")})
        return
    if quiet:
        return
    study, table = result.study, result.rewards
    times = [str(time) for time in dict.fromkeys(table["time"])]
    shown = plain_table("stage", *times, right="|".join(times))
    for stage in STAGES:
        rows = table[table["stage"] == stage].groupby("time")["reward"].mean()
        shown.add_row(stage, *(f"{100 * float(rows[time]):.1f}" for time in times))
    out().print(
        f"{study.name}: {escape(study.question)}",
        f"\nreward of the likeliest answer in %; mean over {len(study.seeds)} training seeds, "
        f"{len(study.chips)} chips, {study.test} questions\n",
    )
    out().print(shown)


@contextmanager
def _progress(quiet: bool) -> Iterator["Watch | None"]:
    """Show what is done, loss, accuracy and time left on a terminal's standard error."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[remark]}"),
        TimeRemainingColumn(compact=True),
    )
    with bar_on_terminal(quiet, *columns) as bar:
        if bar is None:
            yield None
            return
        tasks: dict[str, TaskID] = {}

        def watch(what: str, done: int, total: int, remark: str) -> None:
            if what not in tasks:
                for old in tasks.values():
                    bar.remove_task(old)
                tasks.clear()
                tasks[what] = bar.add_task(what, total=total, remark=remark)
            bar.update(tasks[what], completed=done, remark=remark)

        yield watch


def render(result: "AdaptResult") -> RenderableType:
    """Return accuracy per arm over time, and what differs from the first arm."""
    study = result.study
    lines: list[RenderableType] = [
        f"{study.name}: {escape(study.question)}",
        "",
        f"accuracy in % and its 95 % interval; {len(study.seeds)} training seeds, "
        f"{len(study.chips)} programmed chips, {study.data.test:,} test sentences",
        _table(result.accuracy, "accuracy_percent"),
        "",
        "difference in points; * excludes zero",
    ]
    against = result.differences
    for name in dict.fromkeys(against["against"]) if len(against) else ():
        chosen = against[against["against"] == name]
        lines += [f"against {name}", _table(chosen, "difference_points")]
    return Group(*lines)


def _table(table: "pd.DataFrame", column: str) -> RenderableType:
    times = in_order(table["time"]) if len(table) else []
    shown = plain_table("arm", *times, right="|".join(times))
    for arm, rows in table.groupby("arm", sort=False) if len(table) else ():
        cells = {}
        for row in rows.to_dict("records"):
            star = "*" if row.get("significant") else ""
            low, high = row["ci95_low"], row["ci95_high"]
            cells[row["time"]] = f"{row[column]:.1f}{star} [{low:.1f}, {high:.1f}]"
        shown.add_row(escape(str(arm)), *(escape(cells.get(t, "-")) for t in times))
    return shown


def _print_forecast(seconds: dict[str, float], json_: bool) -> None:
    total = sum(seconds.values())
    if json_:
        print_json({"seconds": seconds, "total_seconds": total})
        return
    table = plain_table("part", "minutes", right="minutes")
    for part, value in (seconds | {"all": total}).items():
        table.add_row(part, f"{value / 60:.1f}")
    out().print(table)
