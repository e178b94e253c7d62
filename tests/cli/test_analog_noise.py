import json

import pytest
from typer.testing import CliRunner

from hybridsim import load, simulate
from hybridsim.cli import app
from hybridsim.measure.numerics import analog_noise_of
from hybridsim.measure.result import Result

RUN = ["run", "minilm_l6", "ahwa_lora_2026"]
LAYER = ["run", "layer_512x128", "ahwa_lora_2026"]


def invoke(*arguments, run=RUN):
    return CliRunner().invoke(app, [*run, *arguments], catch_exceptions=False)


def test_it_stands_below_the_latency():
    done = invoke("--analog-noise", "t=0s,1y", run=LAYER)
    assert done.exit_code == 0
    assert "0s SNR" in done.stdout
    assert "1y 1-cos" in done.stdout
    assert "random" in done.stdout
    assert "IR drop left out" in " ".join(done.stdout.split())


def test_it_is_in_the_json_and_in_the_files(tmp_path):
    asked = ("--tokens", "8", "--analog-noise", "t=1y", "--json", "--out", str(tmp_path))
    done = invoke(*asked, run=LAYER)
    noise = json.loads(done.stdout)["analog_noise"]
    assert {row["seconds"] for row in noise["rows"]} == {31536000.0}
    assert noise["settings"]["device"]["g_max"] == "25 uS"
    lines = (tmp_path / "analog_noise.csv").read_text().splitlines()
    assert lines[0].startswith("layer,seconds,relative_error")
    assert len(lines) == 1 + len(noise["rows"]) == 2
    text = (tmp_path / "result.json").read_text()
    assert Result.from_json(text).analog_noise.chips == 3


def test_without_the_option_nothing_is_said():
    assert "analog_noise" not in json.loads(invoke("--json").stdout)


def test_it_changes_no_latency():
    network, machine = load("layer_512x128", "ahwa_lora_2026")
    plain = simulate(network, machine)
    noisy = json.loads(invoke("--analog-noise", "t=1h", "--json", run=LAYER).stdout)
    assert noisy["latency_ps"] == plain.latency_ps


def test_layers_of_one_shape_have_one_answer():
    network, _ = load("minilm_l6", "ahwa_lora_2026")
    rows = {row.layer: row for row in analog_noise_of(network, [0.0]).rows}
    assert len(rows) == 36
    same = rows["block0.attention.self.query"], rows["block5.attention.self.value"]
    assert same[0].snr_db == same[1].snr_db


@pytest.mark.parametrize("text", ["1y", "t=", "t=1year", "time=1y", "t=1y,", "t=2000y"])
def test_other_text_is_refused_in_one_sentence(text, tmp_path):
    done = CliRunner().invoke(app, [*RUN, "--analog-noise", text, "--out", str(tmp_path / "x")])
    assert done.exit_code == 2
    assert done.stderr.startswith("hybridsim: --analog-noise: ")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "x").exists()
