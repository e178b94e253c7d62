"""``hybridsim design``: what to build for a network under limits, with its price and its proof."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybridsim.boundary.kinds import Kind
from hybridsim.boundary.writing import write_all
from hybridsim.cli._design_answer import render
from hybridsim.cli._folders import check_out
from hybridsim.cli._options import (
    Json,
    Quiet,
    Settings,
    Tokens,
    Verbose,
    Workload,
    by_target,
)
from hybridsim.cli._progress import showing
from hybridsim.cli._terminal import (
    Telling,
    ends_cleanly,
    out,
    print_json,
)
from hybridsim.errors import InputError

if TYPE_CHECKING:
    from hybridsim.designs import Design
    from hybridsim.designs.search import Search, Watch

Base = Annotated[str, typer.Option("--base", help="Machine to begin with, maybe :variant.")]
Limits = Annotated[
    list[str] | None,
    typer.Option("--limit", help="'area <= 60 mm2', 'accuracy >= -1 point @ 10y', ..."),
]
Minimised = Annotated[
    str | None, typer.Option(help="What to minimise: latency,energy by default.")
]
Maximised = Annotated[str | None, typer.Option(help="What to maximise, as in accuracy.")]
Time = Annotated[str, typer.Option("--time", help="How long it may take.")]
Runs = Annotated[int | None, typer.Option(help="How many points may be run.")]
Space = Annotated[
    Path | None,
    typer.Option(help="File with axes, as a study has them, in place of the built-in ones."),
]
EvidenceFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--evidence", help="Folder of hybridsim adapt, or sensitivity.json; may be repeated."
    ),
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder for machine, page and proof; resumes.")
]
LayersOnly = Annotated[
    bool, typer.Option("--layers-only", help="Time linear layers alone, not all ops.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the search.")]


KIND = Kind("design", ("design.json", "points/part-*.parquet"))
KINDS = (KIND,)
"""What a folder of this command holds."""


@ends_cleanly
def design(
    network: Workload,
    base: Base,
    limit: Limits = None,
    minimise: Minimised = None,
    maximise: Maximised = None,
    time_: Time = "10min",
    runs: Runs = None,
    space: Space = None,
    evidence: EvidenceFiles = None,
    out_: Out = None,
    settings: Settings = None,
    tokens: Tokens = None,
    layers_only: LayersOnly = False,
    seed: Seed = 0,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Find what to build: machine, strategy, batch and adapters for NETWORK under limits.

    Ctrl-C ends the search with the best so far.
    """
    # here, as reading a space imports what runs need
    from hybridsim.designs import Question, asked, design_of
    from hybridsim.designs.proof import write_design
    from hybridsim.designs.run import seconds_of

    telling = Telling(verbose, quiet)
    seconds = seconds_of(time_)
    check_out(out_, KIND)
    question = Question(
        network, base, tuple(limit or ()), _names(minimise, maximise, "latency,energy"),
        _names(maximise, None, ""), space, tuple(evidence or ()), _settings(settings), tokens,
        layers_only,
    )  # fmt: skip
    with telling.stage("reading"):
        given = asked(question)
    telling.say("space", f"{len(given.inputs):,} points")
    with telling.stage("searching"), _progress(quiet or json_) as watch:
        found = design_of(given, out_, seconds, runs, seed, watch)
    proof = None
    if out_ is not None:
        with telling.stage("proving and writing"):
            proof = write_design(found, out_)
            _write_page(found, proof, out_)
    telling.end()
    if json_:
        print_json(found.document())
    elif not quiet:
        out().print(render(found, proof, out_))


def _names(text: str | None, other: str | None, default: str) -> tuple[str, ...]:
    """Return names between commas; the default where neither these nor others are given."""
    if text is None:
        text = default if other is None else ""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _settings(texts: list[str] | None) -> dict[str, Any]:
    groups = by_target(texts)
    for path in groups["strategy"]:
        raise InputError(
            f"--set strategy.{path}: strategies are chosen; a --space with it would do"
        )
    return groups["machine"] | {f"adapters.{k}": v for k, v in groups["adapters"].items()}


def _write_page(found: "Design", proof: Any, folder: Path) -> None:
    from hybridsim.report.page.design import design_page
    from hybridsim.report.page.shell import PAGE

    write_all(folder, {PAGE: design_page(found, proof.audit)})


@contextmanager
def _progress(quiet: bool) -> Iterator["Watch"]:
    """Show on standard error how many points ran, and the best so far."""
    with showing(quiet) as watch:

        def tell(search: "Search") -> None:
            if watch is not None:
                remark = f"{len(search.left_out):,} left out; {_best_of(search)}"
                watch("runs", len(search.seen), None, remark)

        yield tell


def _best_of(search: "Search") -> str:
    """Return the best of what is sought among what a search has seen, in words."""
    from hybridsim.report.quantities import told

    best, _, feasible = search.seen.best(search.constraints)
    if not best or not feasible:
        return "none meets all limits yet"
    tops = {
        name: (min if direction == "minimise" else max)(search.seen.column(name)[best])
        for name, direction in search.seen.objectives.items()
    }
    return "best " + ", ".join(told(name, float(value)) for name, value in tops.items())
