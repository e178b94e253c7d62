"""``hybridsim search``: the best points of a study without evaluating all of them."""

import sys
from typing import Annotated

import typer

from hybridsim.cli._files import check_folder
from hybridsim.cli._options import Json, Quiet, StudyFile, Verbose
from hybridsim.cli._telling import Telling
from hybridsim.cli._terminal import ends_cleanly, out, print_json
from hybridsim.cli.sweep import (
    Csv,
    Out,
    ctrl_c,
    inputs_of,
    progress_bar,
    render,
)
from hybridsim.errors import InputError


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
