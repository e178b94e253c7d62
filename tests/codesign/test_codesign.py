"""Adaptation results crossed with the simulator, on a network of two layers."""

import json
import math
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from hybridsim.cli import app
from hybridsim.codesign import IntegrationNoise, read_codesign_study, run_codesign
from hybridsim.errors import SpecError, UnknownNameError
from hybridsim.report.figures.studies import codesign_file, codesign_points
from hybridsim.training import AdaptStudy
from tests.schemas import broken

REPORTS = Path(__file__).parents[2] / "reports"
NETWORK = """\
name: two_layers
source: made up
sequence_length: 32
adapters: {rank: 4, alpha: 16}
ops:
  - {name: block0.query, kind: linear, in_features: 128, out_features: 64}
  - {name: block0.output, kind: linear, in_features: 64, out_features: 128}
"""
RANKS = {"small": 2, "large": 16}
ARMS = {
    "small": {"train": "lora", "learning_rate": 0.1, "lora": {"rank": 2, "targets": ["query"]}},
    "large": {
        "train": "lora",
        "learning_rate": 0.1,
        "lora": {"rank": 16, "targets": ["query", "output.dense"]},
    },
    "full": {"train": "full", "learning_rate": 0.1},
}


def write_results(folder, noise, accuracies, bits=8, sentences="s", adapters=True):
    """Write what ``hybridsim adapt`` would: the study, accuracies after ten years, adapters."""
    source = {"kind": "table", "file": "a.csv", "text": "text", "label": "label"}
    converters = {"output_noise": noise, "dac_bits": bits, "adc_bits": bits}
    study = AdaptStudy.model_validate(
        {
            "name": "made_up", "question": "none", "model": {"folder": "model"},
            "data": {"source": source, "train": 1, "test": 1},
            "arms": ARMS, "steps": 1, "analog": {"converters": converters},
        }
    )  # fmt: skip
    folder.mkdir(parents=True)
    about = {"study": study.to_text(), "model_sha256": "m", "sentences_sha256": sentences}
    (folder / "study.json").write_text(json.dumps(about))
    rows = []
    for arm, accuracy in accuracies.items():
        for time, lost in (("digital", 0.0), ("0s", 0.5), ("10y", 2.0)):
            found = accuracy - lost
            rows.append([arm, time, found, 0.1, 0.2, found - 1, found + 1, 3, 5, 1000])
        if adapters:
            (folder / "runs" / arm / "seed1" / "adapter").mkdir(parents=True)
    names = "arm time accuracy_percent sd_chips sd_seeds ci95_low ci95_high seeds chips sentences"
    pd.DataFrame(rows, columns=names.split()).to_csv(folder / "accuracy.csv", index=False)


@pytest.fixture
def study(tmp_path):
    return study_of(tmp_path)


def study_of(tmp_path):
    """Two adapters at two noises; the larger one is better, and slower."""
    for name, noise, better in (("long", 0.04, 1.0), ("short", 0.08, 0.0)):
        write_results(tmp_path / name, noise, {"small": 80 + better, "large": 84 + better})
    (tmp_path / "net.yaml").write_text(NETWORK)
    document = {
        "name": "made_up", "question": "which adapter", "network": "net.yaml", "after": "10y",
        "results": ["long", "short"],
        "machines": {
            "one": {"machine": "ahwa_lora_2026"},
            "two": {"machine": "ahwa_lora_2026", "set": {"cluster.count": 2}},
        },
        "integration_times": ["128 ns", "512 ns"],
        "noise": {
            "output_noise": 0.04, "integration_time": "512 ns", "source": "assumed: white noise",
        },
        "batches": [8, 16],
    }  # fmt: skip
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return file


def changed(file, **parts):
    document = yaml.safe_load(file.read_text()) | parts
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return file


def naive_front(rows, objectives):
    """Quadratic: a row stays if no other is nowhere worse and somewhere better."""
    signs = np.array([1 if d == "minimise" else -1 for d in objectives.values()])
    values = rows[list(objectives)].astype(float).to_numpy() * signs
    return [
        not any((other <= own).all() and (other < own).any() for other in values) for own in values
    ]


def test_every_adapter_meets_every_machine_time_and_batch(study):
    result = run_codesign(study)
    table = result.table
    assert len(table) == 2 * 2 * 2 * 2  # arms, times, machines, batches
    assert not table.duplicated(["arm", "machine", "integration_time_ps", "batch"]).any()
    assert "full" not in set(table["arm"])
    at = table.set_index(["arm", "integration_time_ps"]).sort_index()["accuracy_percent"]
    assert at["small", 512_000].unique().tolist() == [79.0]
    assert at["large", 128_000].unique().tolist() == [82.0]
    assert set(table[table["arm"] == "large"]["layers"]) == {"*.query *.output"}
    parameters = table.drop_duplicates("arm").set_index("arm")["adapter_parameters"]
    assert parameters.to_dict() == {"small": 2 * 192, "large": 16 * 192 * 2}


def test_the_front_is_that_of_a_naive_search_and_ships_one_of_it(study):
    result = run_codesign(study)
    table = result.table
    assert table["pareto"].tolist() == naive_front(table, result.study.objectives)
    assert table["ship"].sum() == 1
    row = result.shipped
    assert row["pareto"]
    assert row["accuracy_percent"] >= table["accuracy_percent"].max() - 1.0
    near = table[table["pareto"] & (table["accuracy_percent"] >= 83 - 1.0)]
    assert row["slowdown_percent"] == near["slowdown_percent"].min()
    assert Path(row["adapter"]).is_dir()


def test_slowdown_is_against_the_fastest_all_analog_point(study):
    table = run_codesign(study).table
    fastest = table["yardstick_ps"].min()
    expected = (table["latency_ps"] / fastest - 1) * 100
    np.testing.assert_allclose(table["slowdown_percent"].astype(float), expected.astype(float))
    long = table[table["integration_time_ps"] == 512_000]
    assert (long["slowdown_percent"] > long["overhead_percent"]).all()


def test_the_command_simulates_what_is_shipped(study):
    result = run_codesign(study)
    done = CliRunner().invoke(app, [*shlex.split(result.command)[1:], "--json"])
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["latency_ps"] == result.shipped["latency_ps"]
    assert found["energy"]["total_pj"] == result.shipped["energy_pj"]


def test_a_constraint_bounds_what_is_shipped(study):
    free = run_codesign(study).table
    bound = float(free["latency_ps"].quantile(0.3))
    held = run_codesign(changed(study, constraints=[f"latency_ps <= {bound:.0f}"]))
    assert 0 < held.table["feasible"].sum() < len(free)
    assert held.shipped["latency_ps"] <= bound
    nothing = run_codesign(changed(study, constraints=["accuracy_percent >= 99"]))
    assert nothing.shipped is None
    assert nothing.command is None
    done = CliRunner().invoke(app, ["codesign", str(study)])
    assert done.exit_code == 0
    assert "nothing to ship" in done.stdout


def test_noise_that_was_not_tested_is_refused_or_a_noisier_test_stands_in(study):
    times = ["256 ns"]
    with pytest.raises(SpecError, match=r"output noise of 0\.05657.*tested at 0\.04, 0\.08"):
        run_codesign(changed(study, integration_times=times))
    result = run_codesign(changed(study, untested_noise="noisier"))
    assert result.table["stands_in"].all()
    assert set(result.table["tested_noise"]) == {0.08}
    assert any("noisier" in note for note in result.notes)
    with pytest.raises(SpecError, match=r"output noise of 0\.113"):
        run_codesign(changed(study, integration_times=["64 ns"]))


def test_converter_bits_have_their_results_and_their_machine(study):
    write_results(study.parent / "six", 0.04, {"small": 70, "large": 71}, bits=6)
    by_bits = {"6": {"energy.tile.mac": "50 fJ/MAC"}}
    changed(study, results=["long", "six"], integration_times=["512 ns"], set_by_bits=by_bits)
    table = run_codesign(study).table
    keys = ["arm", "machine", "batch", "adc_bits"]
    energy = table.set_index(keys)["energy_pj"].astype(float).unstack()
    assert (energy[6] < energy[8]).all()
    accuracy = table.groupby("adc_bits")["accuracy_percent"].max()
    assert accuracy.to_dict() == {6: 69.0, 8: 83.0}


def test_inputs_as_pulses_need_their_time(study):
    noise = yaml.safe_load(study.read_text())["noise"] | {"pulse": "2 ns"}
    table = run_codesign(changed(study, noise=noise)).table
    short = table["integration_time_ps"] == 128_000
    assert table[short]["problem"].str.contains("254 ns as pulses").all()
    assert (table[~short]["problem"] == "").all()
    assert not table[short]["feasible"].any()


def test_what_does_not_fit_is_a_row_without_a_result(study):
    table = run_codesign(changed(study, batches=[8, 4096], tokens=4096)).table
    assert table[table["batch"] == 4096]["problem"].str.contains("a batch of").all()
    assert table[table["batch"] == 8]["feasible"].all()
    with pytest.raises(SpecError, match="no point can be simulated"):
        run_codesign(changed(study, batches=[4096]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"results": ["nowhere"]}, "hybridsim adapt --out"),
        ({"after": "1y"}, r"no row for 1y after programming; it has 0s, 10y"),
        ({"arms": ["smal"]}, "did you mean 'small'"),
        ({"network": "no_such"}, "no_such"),
        ({"objectives": {"accuracy": "maximise"}}, "accuracy_percent"),
        ({"constraints": ["overhead < 1"]}, r"constraints\[0\]"),
        ({"noise": {"output_noise": 0.04, "integration_time": "512 ns"}}, "'source' is missing"),
        (
            {
                "noise": {
                    "output_noise": 0.04,
                    "integration_time": "512 ns",
                    "floor": 0.05,
                    "source": "assumed for a test",
                }
            },
            r"noise\.floor: found 0\.05",
        ),
        ({"strategy": "no_such"}, "no_such"),
        ({"layers": {"query": "*.key"}}, "matches no static linear layer"),
        ({"machines": {"a": {"machine": "ahwa_lora_2026", "set": {"tile.row": 1}}}}, "row"),
        ({"ship": {"then": ["slowness"]}}, "slowdown_percent"),
        ({"integration_times": [128]}, "128 ns|write a number"),
    ],
)
def test_what_is_wrong_ends_in_one_line_and_code_two(study, change, said, tmp_path):
    changed(study, **change)
    with pytest.raises((SpecError, UnknownNameError), match=said):
        run_codesign(study)
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["codesign", str(study), "--out", str(out)])
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    assert not out.exists()


def test_broken_results_are_named(study):
    folder = study.parent / "long"
    table = (folder / "accuracy.csv").read_text()
    (folder / "accuracy.csv").write_text(table.replace("79.0", "many"))
    with pytest.raises(SpecError, match=r"accuracy\.csv: line 4"):
        run_codesign(study)
    (folder / "accuracy.csv").write_text(table.replace("ci95_low", "low"))
    with pytest.raises(SpecError, match="no column 'ci95_low'"):
        run_codesign(study)
    (folder / "accuracy.csv").write_text(table.replace("small", "tiny"))
    with pytest.raises(SpecError, match="'tiny'"):
        run_codesign(study)
    (folder / "accuracy.csv").write_text(table.replace("79.0", "inf"))
    with pytest.raises(SpecError, match=r"accuracy\.csv: line 4"):
        run_codesign(study)
    (folder / "accuracy.csv").unlink()
    with pytest.raises(SpecError, match="does not exist"):
        run_codesign(study)


def test_accuracies_on_different_sentences_are_not_compared(study):
    write_results(study.parent / "other", 0.04, {"small": 90}, sentences="others")
    with pytest.raises(SpecError, match="different sentences"):
        run_codesign(changed(study, results=["long", "other"]))


def test_a_machine_without_energies_needs_other_objectives(study):
    machines = {"one": {"machine": "ahwa_lora_2026", "set": {"energy": None}}}
    changed(study, machines=machines)
    with pytest.raises(SpecError, match="energy_pj of a point is not known"):
        run_codesign(study)
    objectives = {"accuracy_percent": "maximise", "latency_ps": "minimise"}
    result = run_codesign(changed(study, objectives=objectives, ship={"then": ["latency_ps"]}))
    assert result.shipped["energy_pj"] is None
    assert codesign_file(result, "png")


def test_tables_and_sentences_fit_eighty_columns(study, monkeypatch):
    """But for the command and the adapter's folder, which are there to be copied."""
    monkeypatch.setenv("COLUMNS", "80")
    done = CliRunner().invoke(app, ["codesign", str(study)])
    assert done.exit_code == 0
    lines = [
        line for line in done.stdout.splitlines() if not line.startswith(("adapter:", "simulate:"))
    ]
    assert max(map(len, lines)) <= 80
    heading = next(line for line in lines if "accuracy" in line and "latency" in line)
    assert "slower" in heading
    # a row is one line: nothing is folded
    rows = lines[lines.index(heading) + 1 : lines.index("", lines.index(heading))]
    assert all("+-" in row for row in rows)


def test_the_command_prints_and_writes_the_same(study, tmp_path):
    out = tmp_path / "out"
    done = CliRunner().invoke(
        app,
        ["codesign", str(study), "--out", str(out), "--figures", "svg"],
        catch_exceptions=False,
    )
    assert done.exit_code == 0
    assert "ship large, rank 16" in done.stdout
    document = json.loads((out / "codesign.json").read_text())
    table = pd.read_csv(out / "codesign.csv")
    assert len(table) == document["points"]
    assert table["pareto"].sum() == len(document["pareto"])
    assert (out / "figure_codesign.svg").read_bytes().startswith(b"<?xml")
    printed = CliRunner().invoke(app, ["codesign", str(study), "--json"])
    assert json.loads(printed.stdout) == document
    assert broken("codesign-answer", document) == []
    again, _ = read_codesign_study(study)
    assert type(again).model_validate(document["study"]) == again
    points = codesign_points(run_codesign(study))
    assert len(points) == len(table)
    assert points["ship"].sum() == 1


@given(st.integers(1_000, 10**9), st.integers(2, 100))
def test_white_noise_falls_with_the_square_root_of_time(ps, longer):
    noise = IntegrationNoise.model_validate(
        {"output_noise": 0.04, "integration_time": "256 ns", "source": "assumed for a test"}
    )
    assert noise.at(ps * longer) == pytest.approx(noise.at(ps) / math.sqrt(longer))
    floored = noise.model_copy(update={"floor": 0.03})
    assert floored.at(256_000) == pytest.approx(0.04)
    assert floored.at(ps) >= 0.03
    assert (floored.at(ps) - noise.at(ps)) * (ps - 256_000) >= -1e-9


def test_noise_is_that_of_averaged_samples():
    """The mean of n independent samples is sqrt(n) times less noisy: the relation, drawn."""
    rng = np.random.default_rng(0)
    noise = IntegrationNoise.model_validate(
        {"output_noise": 0.04, "integration_time": "100 ns", "source": "assumed for a test"}
    )
    samples = rng.normal(0, 0.04, (20_000, 16))  # each of 100 ns
    assert samples.mean(axis=1).std() == pytest.approx(noise.at(1_600_000), rel=0.03)


def test_the_example_that_comes_along_ends_in_an_answer():
    result = run_codesign(REPORTS / "codesign_example")
    assert len(result.table) == 4 * 6 * 2 * 2  # arms, times and bits, machines, batches
    assert not result.table["stands_in"].any()
    assert result.shipped["pareto"]
    assert result.table["accuracy_percent"].max() - result.shipped["accuracy_percent"] <= 4
    assert any("one training run" in note for note in result.notes)
