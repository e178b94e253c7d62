import math
import struct
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from hybridsim import compare, load
from hybridsim.cli.sweep import inputs_of
from hybridsim.errors import InputError
from hybridsim.measure.usage import usage
from hybridsim.report.figures.comparison import comparison_files, overhead_bars
from hybridsim.report.figures.run import MOST_KINDS, gantt_bars, layer_bars, run_files
from hybridsim.report.figures.studies import adaptation_figure, pareto_points, sweep_files
from hybridsim.report.figures.style import COLUMN, PAGE, Format
from hybridsim.simulation import Run, execute
from hybridsim.strategies import make_strategy
from hybridsim.sweeps.inputs import read_inputs
from hybridsim.sweeps.run import run_study
from hybridsim.sweeps.study import read_study

STUDY = Path(__file__).parents[2] / "reports" / "ahwa_lora_2026_fig4"
BEGINS = {"pdf": b"%PDF", "png": b"\x89PNG", "svg": b"<?xml"}


@pytest.fixture(scope="module")
def run() -> Run:
    return execute(*load("layer_512x128", "ahwa_lora_2026"), tokens=64)


@pytest.fixture(scope="module")
def network() -> Run:
    strategy = make_strategy("xb_pipe", {"batch": 16, "dispatch": "online"})
    return execute(*load("mobilebert", "harp_2026"), strategy, 32)


@pytest.mark.slow
@pytest.mark.parametrize("kind", get_args(Format))
def test_equal_runs_give_equal_files(run: Run, kind: str) -> None:
    first, second = run_files(run, kind), run_files(run, kind)
    assert first == second
    assert all(file.startswith(BEGINS[kind]) for file in first.values())


def test_figures_are_one_or_two_columns_wide(network: Run) -> None:
    for name, file in run_files(network, "png").items():
        width, height = struct.unpack(">II", file[16:24])
        assert width in (int(COLUMN * 300), int(PAGE * 300)), name
        assert height < 9 * 300


def test_accuracy_over_time_is_drawn_per_arm_with_its_interval() -> None:
    rows = [
        {"arm": arm, "time": time, "accuracy_percent": p, "ci95_low": p - 1, "ci95_high": p + 2}
        for arm, all_p in (("digital_lora", (84, 83, 79)), ("ahwa_lora", (84, 84, 82)))
        for time, p in zip(("digital", "0s", "10y"), all_p, strict=True)
    ]
    rows.append(rows[-1] | {"time": "1h"})  # known of one arm only
    (axes,) = adaptation_figure(pd.DataFrame(rows)).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["digital", "0s", "1h", "10y"]
    assert [bar.get_label() for bar in axes.containers] == ["digital_lora", "ahwa_lora"]
    lines = [
        line for line in axes.lines if len(line.get_ydata()) == 2 and line.get_marker() == "None"
    ]
    assert [83, 79] in [list(line.get_ydata()) for line in lines]  # from chip to chip, not digital


def test_eight_arms_stand_apart_on_a_logarithmic_axis() -> None:
    times = ("digital", "0s", "1h", "1d", "1mo", "1y", "10y")
    rows = [
        {"arm": f"arm{a}", "time": t, "accuracy_percent": 80.0, "ci95_low": 79, "ci95_high": 81}
        for a in range(8)
        for t in times
    ]
    figure = adaptation_figure(pd.DataFrame(rows))
    (axes,) = figure.axes
    assert figure.get_figwidth() == PAGE
    columns = [text.get_text() for text in figure.legends[0].get_texts()]
    lines = [columns[at::2] for at in (0, 1)]  # two entries in each of four columns
    assert lines == [[f"arm{a}" for a in range(4)], [f"arm{a}" for a in range(4, 8)]]
    ticks = axes.get_xticks()
    # as drift goes: evenly in log10(t + 20 s)
    assert ticks[-1] - ticks[-2] == pytest.approx(1.0, abs=1e-3)
    assert ticks[2] - ticks[1] == pytest.approx(math.log10(3620 / 20))
    places = sorted(x for bar in axes.containers for x in bar.lines[0].get_xdata())
    assert min(np.diff(places)) > 0.08  # none on another, of this time or the next


def test_nothing_adapted_has_no_roofline() -> None:
    net, machine = load("layer_128x128", "ahwa_lora_2026")
    files = run_files(execute(net.without_adapters(), machine, tokens=8), "svg")
    assert "figure_roofline.svg" not in files
    assert len(files) == 4


def test_layer_bars_add_up_to_the_layers(network: Run) -> None:
    table, layers = layer_bars(network.result), network.result.to_frame()
    assert table["layers"].sum() == len(layers)
    assert (table["yardstick_ps"] + table["added_ps"]).sum() == layers["latency_ps"].sum()


def test_many_kinds_of_layers_are_gathered(run: Run) -> None:
    layer = run.result.layers[0]
    letters = [chr(97 + i) for i in range(MOST_KINDS + 4)]
    layers = tuple(layer.model_copy(update={"name": name}) for name in letters)
    table = layer_bars(run.result.model_copy(update={"layers": layers}))
    assert len(table) == MOST_KINDS + 1
    assert table["kind"].iloc[-1] == "4 other kinds"
    assert table["layers"].sum() == len(layers)


def test_bars_of_the_whole_run_are_all_that_was_done(run: Run) -> None:
    plan, timeline = run.schedule.plan, run.timeline
    table = gantt_bars(plan, timeline, (0, timeline.makespan))
    busy = (table["end_ps"] - table["start_ps"]).groupby(table["part"]).sum()
    expected = usage(plan, timeline)["busy_ps"]
    assert busy.to_dict() == expected[expected > 0].to_dict()


def test_bars_of_a_part_never_overlap(network: Run) -> None:
    table = gantt_bars(network.schedule.plan, network.timeline)
    for _, rows in table.groupby("part"):
        assert (rows["start_ps"].to_numpy()[1:] >= rows["end_ps"].to_numpy()[:-1]).all()


def test_bars_end_at_the_window(run: Run) -> None:
    window = (run.timeline.makespan // 3, run.timeline.makespan // 2)
    table = gantt_bars(run.schedule.plan, run.timeline, window)
    assert table["start_ps"].min() == window[0]
    assert table["end_ps"].max() == window[1]
    assert (table["end_ps"] > table["start_ps"]).all()


def test_a_comparison_is_drawn(run: Run) -> None:
    found = compare(*load("layer_128x128", "ahwa_lora_2026"), ["all_analog", "token_parallel"], 16)
    bars = overhead_bars(found.to_frame())
    assert bars["strategy"].tolist() == ["token_parallel"]
    assert set(comparison_files(found.to_frame(), "svg")) == {
        "figure_strategies.svg", "figure_overheads.svg",
    }  # fmt: skip


def test_a_front_is_that_of_the_sweep() -> None:
    inputs = inputs_of(STUDY)
    table = run_study(inputs, None, "in-process", 0, None).table
    points = pareto_points(inputs, table)
    assert points["pareto"].sum() == table["pareto"].sum()
    assert points["case"].nunique() == 24
    np.testing.assert_array_equal(
        np.sort(points["latency_ps"]), np.sort(table[table["feasible"]]["latency_ps"])
    )
    assert sweep_files(inputs, table, "svg") == sweep_files(inputs, table, "svg")


def test_one_objective_has_no_front(tmp_path: Path) -> None:
    study = read_study(STUDY / "study.yaml")
    study = study.model_copy(update={"objectives": {"latency_ps": "minimise"}})
    inputs = read_inputs(study, "study.yaml")
    with pytest.raises(InputError, match="a front needs two"):
        pareto_points(inputs, pd.DataFrame())
