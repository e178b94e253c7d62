from pathlib import Path

import pytest
from typer.testing import CliRunner

from hybridsim.cli import app
from hybridsim.errors import InputError, SpecError
from hybridsim.specs import read_yaml_mapping
from hybridsim.training import (
    is_decoder_study,
    read_adapt_study,
    read_decoder_study,
    require_extra,
)
from hybridsim.training.recalibration_study import read_recalibration_study
from tests.training.conftest import changed

REPORTS = Path(__file__).parents[2] / "reports"
LORA = {"train": "lora", "learning_rate": 0.1}


def test_defaults_are_those_of_the_paper(study_file):
    study = read_adapt_study(study_file)
    assert study.arms["ahwa_lora"].noise.weights == 0.067
    assert study.analog.converters.output_noise == 0.04
    assert read_adapt_study(changed(study_file, lora={})).lora.rank == 8


def test_what_is_written_reads_back(study_file):
    study = read_adapt_study(study_file)
    assert type(study).model_validate(study.to_text()) == study
    assert study.to_text()["times"] == ["0s", "10y"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": {}}, "one would do"),
        ({"model": {"folder": "a", "package": "b"}}, "one would do"),
        ({"times": ["1 year"]}, "as in '1y'"),
        ({"arms__b": {**LORA, "start_from": "digital"}}, "digital_lora"),
        ({"arms__digital_lora__start_from": "ahwa_lora"}, "none: it is the first"),
        ({"arms__b": {**LORA, "train": "full", "noise": {"kind": "chips"}}}, "gaussian"),
        ({"arms__b": {**LORA, "train": "full", "lora": {}}}, "lora would do"),
        ({"arms__b": {**LORA, "learning_rat": 1}}, "learning_rat"),
        ({"analog": {"converters": {"input_scaling": "fixed"}}}, "input_range"),
        ({"analog": {"device": {"g_max": 25}}}, "25 uS"),
        ({"data__source__kind": "sql"}, "sql"),
        ({"seeds": []}, "seeds"),
        ({"controls": ["none"]}, "an arm of the study would do: digital_lora"),
        ({"arms__b": {**LORA, "adapter_of": "ahwa"}}, "adapter_of"),
        ({"arms__b": {**LORA, "distill_blocks": 1.0}}, "name a teacher"),
        (
            {"arms__b": {**LORA, "noise": {"kind": "chips", "shortest": "1y", "longest": "1d"}}},
            "longer than longest; at most 1d would do",
        ),
        ({"products": "bfloat16", "analog": {"converters": {"dac_bits": 12}}}, "at most 9 bits"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(study_file, change, said):
    with pytest.raises(SpecError, match=said) as raised:
        read_adapt_study(changed(study_file, **change))
    assert str(study_file) in str(raised.value)


def test_an_arm_may_be_trained_on_other_tiles_than_it_is_tested_on(study_file):
    five = {"converters": {"dac_bits": 5, "adc_bits": 5}}
    study = read_adapt_study(changed(study_file, arms__digital_lora__analog=five))
    assert study.analog_of("digital_lora").converters.adc_bits == 5
    assert study.analog_of("ahwa_lora") == study.analog


@pytest.mark.parametrize(
    "file",
    sorted([*REPORTS.glob("adapt_*/*.yaml"), *REPORTS.glob("recalibration/*.yaml")]),
    ids=lambda f: f"{f.parent.name}/{f.stem}",
)
def test_the_studies_that_come_along_can_be_read(file):
    if "adapters" in read_yaml_mapping(file):
        assert read_recalibration_study(file)[0].question
    else:
        read = read_decoder_study if is_decoder_study(file) else read_adapt_study
        assert read(file).question


def test_a_missing_extra_is_named(study_file, monkeypatch):
    monkeypatch.setattr("hybridsim.training.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"torch, safetensors.*pip install 'hybridsim\[adapt\]'"):
        require_extra()
    out = study_file.parent / "out"
    done = CliRunner().invoke(app, ["adapt", str(study_file), "--out", str(out)])
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    assert not out.exists()
