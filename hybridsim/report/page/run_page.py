"""The page of one run."""

from dataclasses import dataclass

import pandas as pd

from hybridsim.arch import Machine
from hybridsim.explanation import Explanation
from hybridsim.measure.critical_path import critical_path
from hybridsim.measure.result import Result
from hybridsim.measure.stalls import stalls_by_resource
from hybridsim.report.page import figures
from hybridsim.report.page.activity import activity
from hybridsim.report.page.blocks import Diagram, diagram
from hybridsim.report.page.cells import Table
from hybridsim.report.page.energy import (
    area_figures,
    energy_by_kind,
    energy_by_part,
    energy_figures,
    unknowns,
)
from hybridsim.report.page.energy_figures import kinds_chart, parts_chart, power_chart
from hybridsim.report.page.gantt import Gantt, Window, gantt
from hybridsim.report.page.headline import Figure, Headline, count_of, headline
from hybridsim.report.page.levels import stretches
from hybridsim.report.page.noise import noise_table
from hybridsim.report.page.origins import Origins, origins
from hybridsim.report.page.recording import Recording
from hybridsim.report.page.roofline import roofline
from hybridsim.report.page.shell import render_page
from hybridsim.report.page.tables import layers_table, ops_table, stall_shares, stalls_table
from hybridsim.report.page.waterfall import waterfall
from hybridsim.specs import validate


@dataclass(frozen=True, slots=True)
class RunPage:
    """All that the page of a run shows, before anything is drawn."""

    result: Result
    headline: Headline
    diagram: Diagram | None
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
    charts: dict[str, figures.Chart]
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


def _charts(
    result: Result, machine: Machine | None, recording: Recording, shares: pd.DataFrame
) -> list[figures.Chart]:
    plan, timeline = recording.plan, recording.timeline
    until = timeline.makespan
    charts = [
        figures.waterfall_chart(waterfall(result, critical_path(plan, timeline))),
        figures.activity_chart(activity(plan, timeline, until), until),
        figures.stalls_chart(shares),
        *_energy_charts(result, recording),
    ]
    if machine is None or machine.cluster is None:
        return charts
    held = stretches(recording.occupancy, until)
    if len(held):
        pool = any(resource.kind == "cluster" for resource in plan.resources)
        capacity = machine.cluster.tcdm.size * (machine.cluster.total if pool else 1)
        charts.append(figures.occupancy_chart(held, capacity, until))
    roof = roofline(machine, plan, timeline, result)
    if roof is not None and len(roof.kernels):
        charts.append(figures.roofline_chart(roof))
    return charts


def _energy_charts(result: Result, recording: Recording) -> list[figures.Chart]:
    energy = result.energy
    if energy is None or not energy.total_aj:
        return []
    charts = [parts_chart(energy_by_part(energy))]
    if len(recording.work):
        charts.append(kinds_chart(energy_by_kind(recording.work)))
    if len(recording.power):
        charts.append(power_chart(recording.power, energy.average_power_w))
    return charts


def render_run(page: RunPage) -> str:
    """Return the page as one HTML document."""
    data = {
        "charts": {name: chart.to_data() for name, chart in page.charts.items()},
        "gantt": {
            "window": page.gantt.window,
            "shown": page.gantt.shown,
            "layers": page.gantt.layers,
            **page.gantt.data,
        },
    }
    return render_page(
        "run.html.j2", data, page=page, parts=figures.PARTS, tokens=count_of(page.result)
    )
