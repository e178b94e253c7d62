"""The files of a run that make its page, and the page that they make."""

from collections.abc import Mapping
from pathlib import Path

from hybridsim.errors import InputError, SpecError
from hybridsim.explanation import explain
from hybridsim.measure.result import Result, read_result
from hybridsim.report.page.comparison_folder import COMPARISON, comparison_of_folder
from hybridsim.report.page.file_names import PAGE, STUDY
from hybridsim.report.page.gantt import Window
from hybridsim.report.page.recording import FILE as TIMELINE
from hybridsim.report.page.recording import read_recording, record
from hybridsim.report.page.run_page import render_run, run_page
from hybridsim.simulation import Run

MOST_TASKS_EXPLAINED = 50_000
"""Plans up to this size are cheap enough to try all changes of the machine unasked: seconds."""


def page_files(run: Run, sources: Mapping[str, str], tried: bool = True) -> dict[str, str | bytes]:
    """Return name -> content of the page of a run, and of the file from which it is rebuilt.

    ``sources`` tells where the values of the machine come from; ``tried`` runs the changes of the
    machine that might help, where that is cheap.
    """
    result = run.result
    recording = record(run, sources)
    explanation = explain(result) if tried and _cheap(result) else None
    page = render_run(run_page(result, recording, explanation=explanation))
    return {TIMELINE: recording.to_bytes(), PAGE: page}


def page_of_folder(folder: Path, window: Window | None = None, tried: bool = False) -> str:
    """Return the page of the run, the comparison or the sweep whose files lie in a folder.

    ``window`` is the stretch of the Gantt chart [ps]; ``tried`` also runs the changes of the
    machine that might help, however large the plan is. Both are for runs.

    Raises:
        SpecError: The folder does not hold the files of a run, or not of the same one.
        InputError: The window does not fit the run, or there is nothing for it to choose.
    """
    if (folder / COMPARISON).exists() and not (folder / "result.json").exists():
        if window is not None or tried:
            raise InputError(f"--window and --explain: {folder} holds a comparison, not a run")
        return comparison_of_folder(folder)
    if (folder / STUDY).exists() and not (folder / "result.json").exists():
        if window is not None or tried:
            raise InputError(f"--window and --explain: {folder} holds a sweep, not a run")
        from hybridsim.report.page.sweep_folder import sweep_of_folder

        return sweep_of_folder(folder)
    result = read_result(folder / "result.json")
    recording = read_recording(folder / TIMELINE)
    if len(recording.plan) != result.tasks or recording.timeline.makespan != result.latency_ps:
        raise SpecError(
            str(folder / TIMELINE), "", "is not of the run in result.json; run it again with --out"
        )
    explanation = explain(result) if tried or _cheap(result) else None
    return render_run(run_page(result, recording, window, explanation))


def _cheap(result: Result) -> bool:
    """Return whether a run can be repeated a dozen times unasked.

    Strategies for whole networks, and those that search, take too long for that.
    """
    searches = bool(result.ops) or result.scheduler == "auto"
    return not searches and result.tasks <= MOST_TASKS_EXPLAINED
