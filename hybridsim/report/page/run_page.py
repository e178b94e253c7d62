"""The page of one run, from the run itself or from the files that it left in a folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hybridsim.arch import Machine
from hybridsim.errors import InputError, SpecError
from hybridsim.explanation import Explanation, explain
from hybridsim.measure.critical_path import critical_path
from hybridsim.measure.result import Result, read_result
from hybridsim.measure.stalls import stalls_by_resource
from hybridsim.report.page import charts
from hybridsim.report.page.blocks import Diagram, diagram
from hybridsim.report.page.cells import Table
from hybridsim.report.page.chart_data import activity, roofline, stretches, waterfall
from hybridsim.report.page.charts import Chart
from hybridsim.report.page.comparison import COMPARISON, comparison_of_folder
from hybridsim.report.page.difference import DIFFERENCE, difference_of_folder
from hybridsim.report.page.energy import (
    area_figures,
    energy_by_kind,
    energy_by_part,
    energy_figures,
    unknowns,
)
from hybridsim.report.page.energy_charts import kinds_chart, parts_chart, power_chart
from hybridsim.report.page.gantt import Gantt, Window, gantt
from hybridsim.report.page.headline import Figure, Headline, count_of, headline
from hybridsim.report.page.recording import FILE as TIMELINE
from hybridsim.report.page.recording import Recording, read_recording, record
from hybridsim.report.page.sankey import Sankey, kinds_of_ops, sankey, time_flows
from hybridsim.report.page.shell import PAGE, render_page
from hybridsim.report.page.tables import (
    Origins,
    layers_table,
    noise_table,
    ops_table,
    origins,
    stall_shares,
    stalls_table,
)
from hybridsim.report.page.tile_map import TileMap, map_data, tile_map
from hybridsim.simulation import Run
from hybridsim.specs import validate
from hybridsim.sweeps.study import STUDY

DESIGN = "design.json"
"""What says that a design lies in a folder."""


@dataclass(frozen=True, slots=True)
class RunPage:
    """All that the page of a run shows, before anything is drawn."""

    result: Result
    headline: Headline
    diagram: Diagram | None
    tile_map: TileMap
    flows: dict[str, Sankey]
    """Where time and energy flow, by name; what is unknown is left out."""
    layers: Table
    ops: Table | None
    stalls: Table
    energy: tuple[Figure, ...]
    """Energy and power in figures; nothing where they are unknown."""
    area: tuple[Figure, ...]
    """Silicon by part."""
    unknown: tuple[str, ...]
    """What of energy, power and silicon is not known, in sentences."""
    noise: Table | None
    gantt: Gantt
    charts: dict[str, Chart]
    origins: Origins


def run_page(
    result: Result,
    recording: Recording,
    window: Window | None = None,
    explanation: Explanation | None = None,
) -> RunPage:
    """Return what the page of a run shows.

    ``window`` is the stretch of time of the Gantt chart [ps]; ``explanation`` adds the changes of
    the machine that were tried.

    Raises:
        InputError: The window does not fit the run.
    """
    machine = _machine(result)
    stalls = stalls_by_resource(recording.plan, recording.timeline)
    return RunPage(
        result=result,
        headline=headline(result, explanation),
        diagram=diagram(machine, result) if machine else None,
        tile_map=tile_map(machine, recording.plan, result),
        flows=_flows(result, recording),
        layers=layers_table(result),
        ops=ops_table(result),
        stalls=stalls_table(stalls),
        energy=energy_figures(result),
        area=area_figures(result.area),
        unknown=unknowns(result),
        noise=noise_table(result.analog_noise),
        gantt=gantt(recording.plan, recording.timeline, window),
        charts={c.name: c for c in _charts(result, machine, recording, stall_shares(stalls))},
        origins=origins(result, recording.sources),
    )


def _machine(result: Result) -> Machine | None:
    found = result.inputs.get("machine")
    return validate(Machine, found, "result", "inputs.machine") if found else None


def _flows(result: Result, recording: Recording) -> dict[str, Sankey]:
    kind_of = kinds_of_ops(result)
    found = (
        sankey(
            "time",
            "Where the time flows",
            "How long parts are at work, by kind of op: a task that holds two parts counts for "
            "both, and tiles that work together count once, so it adds up to more than the run.",
            time_flows(recording.plan, recording.timeline),
            kind_of,
            result.network,
        ),
        sankey(
            "energy",
            "Where the energy flows",
            "What parts draw, by the kind of op they work for; it adds up to the energy of the "
            "run.",
            recording.flows,
            kind_of,
            result.network,
        ),
    )
    return {each.name: each for each in found if each is not None}


def _charts(
    result: Result, machine: Machine | None, recording: Recording, shares: pd.DataFrame
) -> list[Chart]:
    plan, timeline = recording.plan, recording.timeline
    until = timeline.makespan
    found = [
        charts.waterfall_chart(waterfall(result, critical_path(plan, timeline)), _ends(result)),
        charts.activity_chart(activity(plan, timeline, until), until),
        charts.stalls_chart(shares),
        *_energy_charts(result, recording),
    ]
    if machine is None or machine.cluster is None:
        return found
    held = stretches(recording.occupancy, until)
    if len(held):
        pool = any(resource.kind == "cluster" for resource in plan.resources)
        capacity = machine.cluster.tcdm.size * (machine.cluster.total if pool else 1)
        found.append(charts.occupancy_chart(held, capacity, until))
    roof = roofline(machine, plan, timeline, result)
    if roof is not None and len(roof.kernels):
        found.append(charts.roofline_chart(roof))
    return found


def _ends(result: Result) -> tuple[int, int] | None:
    """Return the ends of the latency's interval [ps], where one was asked for."""
    sure = result.interval
    return None if sure is None else (sure.latency_low_ps, sure.latency_high_ps)


def _energy_charts(result: Result, recording: Recording) -> list[Chart]:
    energy = result.energy
    if energy is None or not energy.total_aj:
        return []
    found = [parts_chart(energy_by_part(energy))]
    if len(recording.work):
        found.append(kinds_chart(energy_by_kind(recording.work)))
    if len(recording.power):
        found.append(power_chart(recording.power, energy.average_power_w))
    return found


def render_run(page: RunPage) -> str:
    """Return the page as one HTML document."""
    data = {
        "charts": {name: chart.to_data() for name, chart in page.charts.items()}
        | {name: {"columns": found.columns} for name, found in page.flows.items()},
        "tiles": map_data(page.tile_map),
        "gantt": {
            "window": page.gantt.window,
            "shown": page.gantt.shown,
            "layers": page.gantt.layers,
            "colors": {kind: charts.part_color(kind) for kind in page.gantt.data["kinds"]}
            | {"delay": charts.part_color("delay")},
            **page.gantt.data,
        },
    }
    return render_page("run.html.j2", data, page=page, tokens=count_of(page.result))


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
    """Return the page of the run, comparison, sweep or design whose files lie in a folder.

    ``window`` is the stretch of the Gantt chart [ps]; ``tried`` also runs the changes of the
    machine that might help, however large the plan is. Both are for runs.

    Raises:
        SpecError: The folder does not hold the files of a run, or not of the same one.
        InputError: The window does not fit the run, or there is nothing for it to choose.
    """
    try:
        return _page_of_folder(folder, window, tried)
    except InputError:
        raise
    except Exception as error:  # files that were changed by hand may say anything
        problem = f"its files are not what hybridsim wrote together ({type(error).__name__})"
        raise SpecError(str(folder), "", f"{problem}; write them again with --out") from error


def _page_of_folder(folder: Path, window: Window | None, tried: bool) -> str:
    if (folder / COMPARISON).exists() and not (folder / "result.json").exists():
        if window is not None or tried:
            raise InputError(f"--window and --explain: {folder} holds a comparison, not a run")
        return comparison_of_folder(folder)
    if (folder / DIFFERENCE).exists() and not (folder / "result.json").exists():
        if window is not None or tried:
            raise InputError(f"--window and --explain: {folder} holds two runs, not one")
        return difference_of_folder(folder)
    if (folder / STUDY).exists() and not (folder / "result.json").exists():
        if window is not None or tried:
            raise InputError(f"--window and --explain: {folder} holds a sweep, not a run")
        from hybridsim.report.page.sweep import sweep_of_folder

        return sweep_of_folder(folder)
    if (folder / DESIGN).exists() and not (folder / "result.json").exists():
        if window is not None or tried:
            raise InputError(f"--window and --explain: {folder} holds a design, not a run")
        from hybridsim.designs.again import design_of_folder
        from hybridsim.report.page.design import design_page

        return design_page(*design_of_folder(folder))
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
    searches = bool(result.ops) or result.strategy == "auto"
    return not searches and result.tasks <= MOST_TASKS_EXPLAINED
