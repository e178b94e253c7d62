"""Energy, power, silicon and noise as pages tell them, against the result and by definition."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridsim.measure.energy import RunEnergy, energy_of_run
from hybridsim.measure.numerics import analog_noise_of
from hybridsim.report.page import energy as energy_module
from hybridsim.report.page.energy import (
    area_figures,
    energy_by_kind,
    energy_by_part,
    energy_figures,
    energy_work,
    power_steps,
    si,
    unknowns,
)
from hybridsim.report.page.recording import read_recording, record
from hybridsim.report.page.run_page import render_run, run_page
from hybridsim.report.page.tables import noise_table, plain
from hybridsim.simulation import Run, execute, load
from hybridsim.strategies import make_strategy

CASES = (
    ("layer_512x128", "ahwa_lora_2026", "token_parallel"),
    ("layer_512x128", "ahwa_lora_2026", "separate_add"),
    ("distilbert", "harp_2026:bert_base", "xb_pipe"),
)
AJ_PER_UW = 10**-6


@pytest.fixture(scope="module", params=CASES, ids=[" ".join(case) for case in CASES])
def run(request: pytest.FixtureRequest) -> Run:
    network, machine, strategy = request.param
    return execute(*load(network, machine), make_strategy(strategy, {}), tokens=32)


@pytest.fixture(scope="module")
def energy(run: Run) -> RunEnergy:
    found = energy_of_run(run.job, run.schedule, run.timeline)
    assert found is not None
    return found


def at(document: dict[str, Any], path: str) -> Any:
    for key in path.split("."):
        document = document[key]
    return document


def test_figures_are_those_of_the_json(run: Run) -> None:
    document = json.loads(run.result.to_json())
    figures = [*energy_figures(run.result), *area_figures(run.result.area)]
    assert {f.key for f in figures} >= {"energy.total_pj", "energy.edp_js", "area.total_um2"}
    for figure in figures:
        assert figure.cell.value == at(document, figure.key)
        assert figure.cell.text
        assert "e-" not in figure.cell.text


@pytest.mark.parametrize("most", [1, 7, 400, 10**6])
def test_power_over_time_has_the_energy_of_the_run(run: Run, energy: RunEnergy, most: int) -> None:
    steps = power_steps(energy, most)
    assert len(steps) <= most
    start, end = steps["start_ps"].to_numpy(), steps["end_ps"].to_numpy()
    assert start[0] == 0
    assert end[-1] == run.timeline.makespan
    assert (end[:-1] == start[1:]).all()
    assert (end > start).all()
    told = run.result.energy
    assert told is not None

    def integral(column: str) -> float:
        return float((steps[column] / AJ_PER_UW * (end - start)).sum())

    for part, aj in told.component_aj.items():
        assert integral(f"{part}_w") == pytest.approx(aj, rel=1e-9)
    assert integral("static_w") == pytest.approx(sum(told.static_aj.values()), rel=1e-9)
    assert integral("power_w") == pytest.approx(told.total_aj, rel=1e-9)
    assert steps["peak_w"].max() == pytest.approx(told.peak_power_w, rel=1e-9)
    assert (steps["power_w"] <= steps["peak_w"] * (1 + 1e-9)).all()


def test_power_of_a_stretch_is_what_its_tasks_draw_in_it(run: Run, energy: RunEnergy) -> None:
    """By the definition: each charge in proportion to its task's time inside of the stretch."""
    for row in power_steps(energy, 5).to_dict("records"):
        begin, end = row["start_ps"], row["end_ps"]
        drawn = 0.0
        for charge in energy.charges:
            for task, aj in zip(charge.tasks.tolist(), charge.aj.tolist(), strict=True):
                first, last = int(run.timeline.start[task]), int(run.timeline.end[task])
                inside = max(0, min(last, end) - max(first, begin))
                drawn += aj * inside / (last - first)
        expected = drawn / (end - begin) * AJ_PER_UW + row["static_w"]
        assert row["power_w"] == pytest.approx(expected, rel=1e-9)


def test_the_chart_of_power_holds_the_energy(run: Run) -> None:
    """What the page draws, in its own units."""
    page = run_page(run.result, record(run, {}))
    columns = page.charts["power"].columns
    time = np.array(columns["end"]) - np.array(columns["start"])
    share = time / time.sum()
    watts = 1.0 if "[W]" in json.dumps(page.charts["power"].spec) else 1e-3
    assert run.result.energy is not None
    mean = float((share * np.array(columns["power"])).sum()) * watts
    assert mean == pytest.approx(run.result.energy.average_power_w, rel=1e-9)
    parts = set(columns) - {"start", "end", "power", "peak"}
    stacked = sum(np.array(columns[part]) for part in parts)
    assert stacked == pytest.approx(np.array(columns["power"]), rel=1e-9)


def test_energy_by_op_and_work_is_that_of_the_result(run: Run, energy: RunEnergy) -> None:
    """To the attojoule; without what draws nothing."""
    told = run.result.energy
    assert told is not None
    work = energy_work(run, energy)
    assert sum(work["aj"]) == sum(told.component_aj.values())
    by_op: dict[str, int] = {}
    for op, aj in zip(work["op"], work["aj"], strict=True):
        by_op[op] = by_op.get(op, 0) + aj
    assert by_op == {op: aj for op, aj in told.op_aj.items() if aj}
    mvm = work[work["work"] == "mvm"]
    assert dict(zip(mvm["op"], mvm["aj"], strict=True)) == energy.mvm_by_layer
    layers = {layer.name for layer in run.result.layers}
    assert set(work[work["work"] == "adapter"]["op"]) == layers
    assert set(work[work["work"] == "other"]["op"]).isdisjoint(layers)


@pytest.mark.parametrize("most", [1, 3, 100])
def test_energy_by_part_and_by_kind_adds_up(
    run: Run, energy: RunEnergy, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(energy_module, "MOST_KINDS", most)
    told = run.result.energy
    assert told is not None
    parts = energy_by_part(told)
    assert sum(parts["aj"]) == told.total_aj
    work = energy_work(run, energy)
    kinds = energy_by_kind(work)
    assert sum(kinds["aj"]) == sum(work["aj"])
    totals = kinds.drop_duplicates("step")
    assert sum(totals["total_aj"]) == sum(work["aj"])
    assert sum(totals["ops"]) == work["op"].nunique()
    assert len(totals) <= most + 1


def test_a_recording_keeps_power_and_work(run: Run, tmp_path: Path) -> None:
    recording = record(run, {})
    path = tmp_path / "timeline.npz"
    path.write_bytes(recording.to_bytes())
    again = read_recording(path)
    assert again.power.equals(recording.power)
    assert again.work.equals(recording.work)
    assert len(recording.power) <= 400


def test_what_is_unknown_is_said() -> None:
    network, machine = load("layer_128x128", "ahwa_lora_2026")
    bare = machine.model_copy(update={"energy": None, "area": None})
    run = execute(network, bare)
    assert energy_figures(run.result) == area_figures(run.result.area) == ()
    said = " ".join(unknowns(run.result))
    assert "Energy and power are unknown" in said
    assert "Silicon is unknown" in said
    page = render_run(run_page(run.result, record(run, {})))
    assert all(sentence in page for sentence in unknowns(run.result))
    assert 'data-chart="power"' not in page
    known = execute(network, machine).result
    assert known.energy is not None
    partly = known.energy.model_copy(update={"not_counted": ("dma",), "tdp_w": None})
    said = " ".join(unknowns(known.model_copy(update={"energy": partly})))
    assert "left out: DMA" in said
    assert "all parts at work is unknown" in said
    figures = energy_figures(known.model_copy(update={"energy": partly}))
    assert next(f for f in figures if f.key == "energy.tdp_w").cell.text == "unknown"


def test_noise_is_a_row_per_kind_of_layer_and_time() -> None:
    network, machine = load("layer_128x128", "ahwa_lora_2026")
    first = analog_noise_of(network, (3600.0, 86400.0))
    names = ("block0.query", "block1.query", "block1.key")
    rows = [row.model_copy(update={"layer": name}) for name in names for row in first.rows]
    other = rows[0].model_copy(update={"layer": "block2.query", "snr_db": 1.0})
    noise = first.model_copy(update={"rows": (*rows, other)})
    table = noise_table(noise)
    assert table is not None
    keys = [column.key for column in table.columns]
    told = [dict(zip(keys, row, strict=True)) for row in table.rows]
    assert [(r["layer"].value, r["layers"].value, r["seconds"].text) for r in told] == [
        ("block*.query", 2, "1h"),
        ("block*.query", 2, "1d"),
        ("block*.key", 1, "1h"),
        ("block*.key", 1, "1d"),
        ("block*.query", 1, "1h"),
    ]
    for key in set(keys) - {"layer", "layers"}:
        assert told[0][key].value == getattr(rows[0], key)
    assert noise_table(None) is None
    run = execute(network, machine)
    with_noise = run.result.model_copy(update={"analog_noise": noise})
    assert 'data-table="analog_noise"' in render_run(run_page(with_noise, record(run, {})))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (True, "yes"),
        (False, "no"),
        (["*"], "*"),
        ([], "none"),
        (["a", ["b", None]], "a, b, none"),
        ({"x": False}, "x: no"),
        (8, "8"),
        ("matrix_engine", "matrix_engine"),
    ],
)
def test_values_of_inputs_read_as_text(value: object, text: str) -> None:
    assert plain(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.5, "1.5 W"), (0.0776, "77.6 mW"), (2e-7, "200 nW"), (0.0, "0 W"), (34.849, "34.8 W")],
)
def test_quantities_have_prefixes(value: float, text: str) -> None:
    assert si(value, "W") == text
