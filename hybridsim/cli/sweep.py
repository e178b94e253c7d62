"""``hybridsim sweep``: every point of a study, a shard or a sample of it, and shards as one."""

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ParamSpec, TypeVar

import typer
from rich.markup import escape

from hybridsim.boundary.kinds import Kind
from hybridsim.boundary.values import decimal
from hybridsim.boundary.writing import write_all
from hybridsim.cli._folders import check_out
from hybridsim.cli._options import (
    FiguresOption,
    Json,
    Quiet,
    StudyFile,
    Verbose,
    check_figures,
)
from hybridsim.cli._progress import showing
from hybridsim.cli._sweep_forecast import print_forecast
from hybridsim.cli._sweep_pages import check_pages, check_same_study, write_run_pages
from hybridsim.cli._sweep_tables import render
from hybridsim.cli._terminal import (
    INTERRUPTED,
    Telling,
    ends_cleanly,
    out,
    print_json,
    working,
)
from hybridsim.errors import InputError
from hybridsim.sweeps.inputs import Inputs, read_inputs
from hybridsim.sweeps.jobs import jobs_of, run_in_jobs
from hybridsim.sweeps.large import merge_large
from hybridsim.sweeps.merging import merge as merge_shards
from hybridsim.sweeps.run import (
    Progress,
    SweepInterrupted,
    SweepResult,
    run_shard,
    run_study,
)
from hybridsim.sweeps.samples import sample_study
from hybridsim.sweeps.study import (
    MOST_POINTS,
    STUDY,
    read_study,
    read_written_study,
    study_text,
)

if TYPE_CHECKING:
    from hybridsim.report.figures.style import Format

P = ParamSpec("P")
R = TypeVar("R")

AUDIT_FAILED = 1
"""Exit code when a point is not the same on SimPy."""
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Folder for page.html and all finished points; resumes."),
]
Shard = Annotated[
    str | None,
    typer.Option("--shard", help="i/N: only the i-th of N shares, for `sweep merge` later."),
]
Sample = Annotated[
    int | None,
    typer.Option(
        "--sample", help="Only N (axes + 2) points: what each axis explains, and errors."
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the sampler.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print the table of all points as CSV.")]
Workers = Annotated[
    str, typer.Option(help="in-process, processes:N, dask, dask:N, dask://host:port or slurm:N.")
]
AuditShare = Annotated[
    str, typer.Option(help="Share of points to compute again on SimPy, as in 0.1%.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only say how many points, how long, what memory.")
]
Pages = Annotated[
    int, typer.Option("--pages", help="Also write the run pages of so many of the best points.")
]


KIND = Kind(
    "sweep", ("sweep.json", "search.json", "sample.json", "answers.json", "part-*.parquet")
)
KINDS = (KIND,)
"""What a folder of this command holds."""


def ctrl_c(command: Callable[P, R]) -> Callable[P, R]:
    """End an interrupted command with one sentence and the exit code of shells."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        folder = kwargs.get("out_") or kwargs.get("folder")
        try:
            return command(*args, **kwargs)
        except SweepInterrupted as interrupted:
            kept = f"kept in {folder}" if folder else "lost; --out DIR would have kept them"
            typer.echo(f"hybridsim: {interrupted}; they are {kept}", err=True)
        except KeyboardInterrupt:
            kept = f"; what was recorded is kept in {folder}" if folder else ""
            typer.echo(f"hybridsim: interrupted{kept}", err=True)
        raise typer.Exit(INTERRUPTED)

    return wrapped


@ends_cleanly
@ctrl_c
def sweep(
    study: StudyFile,
    out_: Out = None,
    executor: Workers = "in-process",
    audit: AuditShare = "0%",
    shard: Shard = None,
    sample: Sample = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
    figures: FiguresOption = None,
    pages: Pages = 0,
    json_: Json = False,
    csv_: Csv = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Evaluate every point of STUDY; ends with the Pareto table and what matters.

    ``sweep merge OUT SHARD...`` puts the folders of shards together.
    """
    telling = Telling(verbose, quiet)
    share, kind = _share(audit), check_figures(figures, out_)
    check_pages(pages, out_)
    _check_part(bool(share or kind or pages), csv_, shard, sample, executor)
    check_out(out_, KIND)
    inputs = inputs_of(study)
    check_same_study(out_, inputs.study)
    if kind is not None:
        # Matplotlib only where something is drawn
        from hybridsim.report.figures.studies import check_objectives

        check_objectives(inputs.study)
    telling.say("study", f"{inputs.study.name}: {inputs.study.question}")
    for axis in inputs.axes:
        telling.say("axis", f"{axis.name}: {len(axis.labels)} values")
    if dry_run:
        print_forecast(inputs, executor, json_)
        return
    if shard is not None:
        _sweep_shard(inputs, shard, out_, executor, telling, json_, quiet or verbose)
        return
    if sample is not None:
        with telling.stage("evaluating"), progress_bar(quiet or verbose) as progress:
            sampled = sample_study(inputs, sample, out_, executor, seed, progress)
        print_result(sampled, telling, json_, csv_, quiet)
        return
    with telling.stage("evaluating"), progress_bar(quiet or verbose) as progress:
        result = _evaluated(inputs, out_, executor, share, progress)
    if out_ is not None and pages:
        with (
            telling.stage("running the best points again"),
            working("run pages", quiet or verbose),
        ):
            write_run_pages(result, out_, pages)
    _tell(result, out_, kind, telling, json_, csv_, quiet)
    if result.audit and result.audit.differences:
        raise typer.Exit(AUDIT_FAILED)


def _check_part(
    whole: bool, csv_: bool, shard: str | None, sample: int | None, executor: str
) -> None:
    """Refuse what only makes sense of a ``whole`` sweep.

    Raises:
        InputError: A shard or a sample is asked for with it.
    """
    if shard is not None and (whole or csv_):
        raise InputError(
            "--shard: --audit, --figures, --pages and --csv are for whole sweeps; leave them"
        )
    if sample is not None and (whole or shard or jobs_of(executor)):
        raise InputError(
            "--sample: --shard, --audit, --figures, --pages and slurm:N are for whole sweeps; "
            "leave them"
        )


def _evaluated(
    inputs: Inputs, folder: Path | None, executor: str, audit: float, progress: Progress | None
) -> SweepResult:
    """Evaluate a whole study, here or in jobs.

    Raises:
        InputError: As :func:`run_study` and :func:`run_in_jobs`.
    """
    jobs = jobs_of(executor)
    if jobs is None:
        return run_study(inputs, folder, executor, audit, progress)
    if folder is None or audit:
        raise InputError(f"--executor {executor} needs --out DIR, and takes no --audit")
    return run_in_jobs(inputs, folder, *jobs, progress)


def _tell(
    result: SweepResult,
    folder: Path | None,
    kind: "Format | None",
    telling: Telling,
    json_: bool,
    csv_: bool,
    quiet: bool,
) -> None:
    """Write the page of a sweep, and print what it says."""
    telling.say("points", f"{len(result.table):,}, {result.recorded_before:,} recorded before")
    if folder is not None:
        with telling.stage("writing"):
            write_all(folder, _files(result, folder, kind))
        telling.wrote(folder / "page.html", json_ or csv_)
    print_result(result, telling, json_, csv_, quiet)


def print_result(
    result: SweepResult, telling: Telling, json_: bool, csv_: bool, quiet: bool
) -> None:
    """Print what a sweep, a search or a sample says."""
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


def _sweep_shard(
    inputs: Inputs,
    shard: str,
    folder: Path | None,
    executor: str,
    telling: Telling,
    json_: bool,
    quiet: bool,
) -> None:
    """Evaluate a shard into its folder, and say how to go on.

    Raises:
        InputError: The shard is none, or has no folder.
    """
    number, shards = _number_of_shard(shard)
    if folder is None:
        raise InputError("--shard: give --out DIR as well, a folder for each shard")
    write_all(folder, {STUDY: study_text(inputs.study)})
    with telling.stage("evaluating"), progress_bar(quiet) as progress:
        result = run_shard(inputs, (number, shards), folder, executor, progress)
    telling.end()
    if json_:
        told = asdict(replace(result, inputs=None))  # type: ignore[arg-type]
        print_json({"study": inputs.study.name} | {k: v for k, v in told.items() if k != "inputs"})
    elif not quiet:
        out().print(
            f"{inputs.study.name}: shard {number} of {shards}, {result.points:,} of "
            f"{len(inputs):,} points in {escape(str(folder))}; when all shards are done, "
            "hybridsim sweep merge OUT SHARD... puts them together",
            soft_wrap=True,
        )


def _number_of_shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    number, shards = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= shards:
        raise InputError(f"--shard: found {text!r}; as in 1/4 for the first of four would do")
    return number, shards


@ends_cleanly
@ctrl_c
def merge(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to merge into.")],
    shards: Annotated[
        list[Path], typer.Argument(metavar="SHARD...", help="Folders of sweep --shard.")
    ],
    answers: Annotated[
        bool, typer.Option("--answers", help="No table: answers alone, part by part.")
    ] = False,
    figures: FiguresOption = None,
    json_: Json = False,
    csv_: Csv = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Put the shards of a sweep together; leaves and says what the whole sweep does."""
    telling = Telling(verbose, quiet)
    kind = check_figures(figures, folder)
    check_out(folder, KIND)
    inputs = _inputs_of_shards(shards)
    check_same_study(folder, inputs.study)
    if large := answers or len(inputs) > MOST_POINTS:
        if csv_ or kind is not None:
            raise InputError(
                "merge: --csv and --figures are of a table; leave them away with --answers and "
                f"with more than {MOST_POINTS:,} points, or leave --answers away"
            )
        telling.say("answers", "from the parts of the shards, which stay where they are")
    with telling.stage("merging"), progress_bar(quiet or verbose) as progress:
        result = (merge_large if large else merge_shards)(inputs, shards, folder, progress)
    if large:
        print_result(result, telling, json_, csv_, quiet)
        return
    _tell(result, folder, kind, telling, json_, csv_, quiet)


def _inputs_of_shards(shards: list[Path]) -> Inputs:
    """Return the study that all shards are of.

    Raises:
        InputError: They are of different ones, or one of none.
    """
    studies = [read_written_study(folder) for folder in shards]
    for folder, study in zip(shards, studies, strict=True):
        if study != studies[0]:
            raise InputError(
                f"merge: {folder} and {shards[0]} are shards of different studies "
                f"({study.name} and {studies[0].name}); shards of one study would do"
            )
    return read_inputs(studies[0], str(shards[0] / STUDY))


def _files(result: SweepResult, folder: Path, kind: "Format | None") -> dict[str, str | bytes]:
    """Return what is written beside the points: the page, and figures where asked for."""
    from hybridsim.report.page.shell import PAGE
    from hybridsim.report.page.sweep import pages_of, sweep_page

    files: dict[str, str | bytes] = {PAGE: sweep_page(result, pages=pages_of(folder))}
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
def progress_bar(quiet: bool) -> Iterator[Progress | None]:
    """Show points, their rate and the time left on standard error."""
    with showing(quiet) as watch:
        if watch is None:
            yield None
            return
        began = time.monotonic()

        def update(done: int, recorded: int, points: int) -> None:
            rate = (done - recorded) / max(time.monotonic() - began, 1e-9)
            watch("points", done, points, f"{rate:,.4g} points/s" if done > recorded else "")

        yield update


def _share(text: str) -> float:
    try:
        return decimal(text.removesuffix("%"), "--audit") / (100 if text.endswith("%") else 1)
    except InputError:
        raise InputError(f"--audit: found {text[:40]!r}; a share would do, as in 0.1%") from None
