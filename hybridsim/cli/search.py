"""``hybridsim search``: the best points of a study without all."""

from typing import Annotated

import typer

from hybridsim.cli._folders import check_out
from hybridsim.cli._options import Json, Quiet, StudyFile, Verbose
from hybridsim.cli._sweep_pages import check_same_study
from hybridsim.cli._terminal import Telling, ends_cleanly
from hybridsim.cli.sweep import KIND, Csv, Out, Seed, ctrl_c, inputs_of, print_result, progress_bar
from hybridsim.errors import InputError, installing


@ends_cleanly
@ctrl_c
def search(
    study: StudyFile,
    trials: Annotated[int, typer.Option(help="Different points to evaluate, per case.")],
    out_: Out = None,
    seed: Seed = 0,
    json_: Json = False,
    csv_: Csv = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Search STUDY with Optuna; ends with the Pareto table."""
    telling = Telling(verbose, quiet)
    try:
        from hybridsim.sweeps.search import search as search_study
    except ImportError:
        raise InputError(f"search needs Optuna; {installing('search')}") from None
    check_out(out_, KIND)
    inputs = inputs_of(study)
    check_same_study(out_, inputs.study)
    telling.say("study", f"{inputs.study.name}: {inputs.study.question}")
    with telling.stage("searching"), progress_bar(quiet or verbose) as progress:
        result = search_study(inputs, trials, out_, seed, progress)
    print_result(result, telling, json_, csv_, quiet)
