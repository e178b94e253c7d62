"""The figures of a run, of a comparison and of a sweep, as files."""

import pandas as pd

from hybridsim.report.figures.gantt import gantt_figure
from hybridsim.report.figures.latency import layers_figure, waterfall_figure
from hybridsim.report.figures.pareto import pareto_figure
from hybridsim.report.figures.roofline import roofline_figure, roofline_of
from hybridsim.report.figures.strategies import overheads_figure, strategies_figure
from hybridsim.report.figures.style import Build, Format, file_of
from hybridsim.report.figures.utilization import utilization_figure
from hybridsim.simulation import Run
from hybridsim.sweeps.inputs import Inputs


def run_files(run: Run, kind: Format) -> dict[str, bytes]:
    """Return file name -> figure: waterfall, layers, utilization, Gantt window, roofline.

    The roofline is left out where nothing is adapted.
    """
    drawn: dict[str, Build] = {
        "waterfall": lambda: waterfall_figure(run),
        "layers": lambda: layers_figure(run.result),
        "utilization": lambda: utilization_figure(run),
        "gantt": lambda: gantt_figure(run),
    }
    roof = roofline_of(run)
    if roof is not None:
        drawn["roofline"] = lambda: roofline_figure(roof)
    return _files(drawn, kind)


def comparison_files(rows: pd.DataFrame, kind: Format) -> dict[str, bytes]:
    """Return file name -> figure: critical paths of the strategies, and overheads."""
    drawn: dict[str, Build] = {"strategies": lambda: strategies_figure(rows)}
    if (rows["strategy"][rows["problem"] == ""] != "all_analog").any():
        drawn["overheads"] = lambda: overheads_figure(rows)
    return _files(drawn, kind)


def sweep_files(inputs: Inputs, table: pd.DataFrame, kind: Format) -> dict[str, bytes]:
    """Return file name -> figure: the Pareto front of the first two objectives.

    Raises:
        InputError: There is one objective, or nothing feasible.
    """
    return _files({"pareto": lambda: pareto_figure(inputs, table)}, kind)


def _files(drawn: dict[str, Build], kind: Format) -> dict[str, bytes]:
    return {f"figure_{name}.{kind}": file_of(build, kind) for name, build in drawn.items()}
