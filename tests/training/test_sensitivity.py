"""Sensitivity of layers: second order against measured, predictions, and the document."""

import json
from math import sqrt

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.training.conftest import changed

torch = pytest.importorskip("torch", reason="needs the extra adapt")

from hybridsim.analog import AnalogSettings, Converters  # noqa: E402
from hybridsim.cli import app  # noqa: E402
from hybridsim.errors import SpecError  # noqa: E402
from hybridsim.training.built_upon import divergence, logits_of  # noqa: E402
from hybridsim.training.crossbar import Disturbance, Pool  # noqa: E402
from hybridsim.training.linear import program_chip  # noqa: E402
from hybridsim.training.prediction import Answers, anchored, curve, normal_cdf  # noqa: E402
from hybridsim.training.run import StudyRun  # noqa: E402
from hybridsim.training.sensitivity import (  # noqa: E402
    crossbars_of,
    divergences,
    drawn_placements,
    put_some_on_chip,
    second_order,
)
from hybridsim.training.sensitivity_run import SensitivityRun  # noqa: E402
from tests.schemas import broken  # noqa: E402

EXACT = Converters(output_noise=0.0, dac_bits=None, adc_bits=None, output_bound=1e9)


@pytest.fixture
def study(study_file, model_folder):
    """A study of sensitivity beside the study of its adapters."""
    (study_file.parent / "model").symlink_to(model_folder)
    changed(study_file, data__validation=16)
    (study_file.parent / "network.json").write_text((model_folder / "config.json").read_text())
    document = {
        "name": "tiny", "question": "does it work", "task": "made up", "adapters": study_file.name,
        "arm": "digital_lora", "network": "network.json", "sentences": 16, "chips": 1,
        "checks": 2, "conditions": [{"time": "10y"}, {"time": "0s", "adc_bits": 4}],
    }  # fmt: skip
    file = study_file.parent / "sensitivity.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return file


def model_of(study, tmp_path, classes=2):
    run = StudyRun(study.parent / "study.yaml", tmp_path / "adapt")
    model = run.new_model("digital_lora", 1)
    model.head = torch.nn.Linear(16, classes)
    with torch.no_grad():
        model.head.weight.normal_(generator=torch.Generator().manual_seed(2))
        model.head.bias.zero_()
    return run, model.eval()


@pytest.mark.parametrize("classes", [2, 4])
def test_one_pass_finds_what_each_layer_alone_does(study, tmp_path, classes):
    """Measured layer by layer at errors so small that the second order is all there is."""
    run, model = model_of(study, tmp_path, classes)
    weak = AnalogSettings(converters=EXACT, clip_sigmas=None)
    noise = Disturbance(Pool(1, "cpu"))
    chip = program_chip(model, weak, (1,))
    crossbars = crossbars_of(model, chip, 0.0, weak, noise)
    text = run.test.text
    found = divergences(model, text, len(text.ids), crossbars, noise)
    wanted = logits_of(model, text)
    measured = {}
    for name in model.static_layers():
        put_some_on_chip(model, chip, 0.0, weak, noise, {name})
        measured[name] = float(divergence(wanted, logits_of(model, text)).mean())
    assert max(measured.values()) > 20 * min(measured.values())  # layers differ
    for name, value in measured.items():
        assert found[name] == pytest.approx(value, rel=0.35, abs=1e-6), name


def test_the_second_order_is_that_of_the_divergence():
    p = torch.softmax(
        torch.tensor([[0.3, -0.2, 1.0], [2.0, 0.0, -1.0]], dtype=torch.float64), dim=1
    )
    moves = torch.tensor([[0.01, -0.02], [0.005, 0.015]], dtype=torch.float64)
    whole = torch.cat([torch.zeros(2, 1, dtype=torch.float64), moves], dim=1)
    exact = divergence(p.log(), p.log() + whole)
    assert second_order(p, moves).tolist() == pytest.approx(exact.tolist(), rel=0.02)


def made_up(count=4000, seed=1):
    rng = np.random.default_rng(seed)
    margins = np.abs(rng.normal(0, 3, count))
    right = rng.random(count) < normal_cdf(margins)
    return Answers(margins, right, ~right)


@given(st.floats(0.001, 0.2), st.floats(0.5, 30))
def test_the_anchor_meets_the_flips_that_were_measured(kl, flips):
    predictor = anchored(made_up(200), kl, flips)
    assert predictor.flips(kl) == pytest.approx(flips, abs=0.01)
    assert predictor.flips(0) == predictor.drop(0) == 0
    assert predictor.flips(kl / 4) < predictor.flips(kl) < predictor.flips(2 * kl)


def test_predictions_are_what_a_simulation_of_noisy_margins_gives():
    """Two classes: a margin that noise turns below zero is another answer."""
    answers, kl = made_up(), 0.04
    sigma = 0.9
    rng = np.random.default_rng(2)
    turned = answers.margins + sigma * rng.normal(size=(400, len(answers.margins))) < 0
    lost = np.where(answers.right, turned, 0) - np.where(answers.right, 0, turned)
    predictor = anchored(answers, kl, 100 * float(turned.mean()))
    assert predictor.scale == pytest.approx(sigma / sqrt(kl), rel=0.02)
    assert predictor.drop(kl) == pytest.approx(100 * float(lost.mean()), abs=0.05)


def test_a_curve_rises_from_nothing_and_its_interval_has_both_errors():
    predictor = anchored(made_up(400), 0.05, 9.0)
    sure, unsure = (curve(predictor, 0.06, error) for error in (0.0, 1.0))
    assert sure[0] == {
        "kl": 0.0,
        "flips_percent": 0.0,
        "drop_points": 0.0,
        "low_points": 0.0,
        "high_points": 0.0,
    }
    assert unsure[0]["high_points"] == pytest.approx(1.96 * sqrt(np.pi / 2), rel=1e-3)
    for key in ("kl", "flips_percent", "drop_points"):
        assert np.diff([entry[key] for entry in sure]).min() > 0
    assert unsure[-1]["high_points"] > sure[-1]["high_points"] > sure[-1]["drop_points"]


def test_placements_are_of_all_sizes_and_the_same_for_a_seed():
    names = [f"layer{i}" for i in range(12)]
    found = drawn_placements(names, 40, 1)
    assert found == drawn_placements(names, 40, 1) != drawn_placements(names, 40, 2)
    assert len({len(layers) for layers in found}) > 6
    assert all(layers and len(set(layers)) == len(layers) for layers in found)


def test_a_study_ends_in_the_document_that_design_reads(study, tmp_path):
    out = tmp_path / "out"
    arguments = ["sensitivity", str(study), "--out", str(out)]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert max(map(len, done.stdout.splitlines())) <= 80
    document = json.loads((out / "sensitivity.json").read_text())
    assert document["kind"] == "sensitivity"
    assert [c["time"] for c in document["conditions"]] == ["10y", "0s"]
    for condition in document["conditions"]:
        assert len(condition["kl"]) == 12
        assert "block1.attention.self.query" in condition["kl"]
        # layers add up to what all of them do together
        assert sum(condition["kl"].values()) == pytest.approx(
            condition["all_on_tiles"]["kl"], rel=1e-4, abs=1e-6
        )
        entries = condition["curve"]
        assert entries[0]["kl"] == 0
        assert entries[-1]["kl"] > condition["all_on_tiles"]["kl"]
        assert condition["checked_on"] == 2
    journal = (out / "journal.jsonl").read_text()
    assert len(journal.splitlines()) == 2 * (1 + 1 + 2)
    again = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert json.loads(again.stdout) == document
    assert broken("sensitivity-answer", document) == []
    assert (out / "journal.jsonl").read_text() == journal


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"arm": "nobody"}, "nobody"),
        ({"adapters": "nowhere.yaml"}, "nowhere.yaml"),
        ({"network": "minilm_l6"}, "not those of the model"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(study, tmp_path, parts, said):
    changed(study, **parts)
    with pytest.raises(SpecError, match=said):
        SensitivityRun(study, tmp_path / "out").run()
