"""Estimates become numbers of a machine file, each with its source, and nothing known is asked."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from hybridsim import load, load_machine, make_strategy, simulate
from hybridsim.arch import machine_sources
from hybridsim.cli import app
from hybridsim.estimates import Answer, Settings, Untold, estimate, figures
from hybridsim.estimates.figures import library_adc, library_sram, published_sram
from hybridsim.library import machine_names

BARE = "extends: llm_2026\nname: bare\ndescription: a chip without numbers\n"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    file = tmp_path / "bare.yaml"
    file.write_text(f"{BARE}energy: null\narea: null\n", encoding="utf-8")
    return file


def test_a_machine_without_numbers_gets_energies_with_sources(bare: Path) -> None:
    file = bare.with_name("told.yaml")
    answer = CliRunner().invoke(app, ["machine", "estimate", str(bare), str(file), "--bits", "6"])
    assert answer.exit_code == 0, answer.output
    told = load_machine(str(file))
    assert told.energy is not None
    assert told.energy.dram is not None
    # 3.9 pJ/bit of HBM2 (O'Connor et al., MICRO 2017)
    assert told.energy.dram.byte == 31_200_000
    for path, source in machine_sources(str(file)).items():
        if path.startswith(("energy.", "area.")):
            assert source.startswith("estimated: "), path
    runs = [
        simulate(*load("mobilebert", str(each)), make_strategy("network"), tokens=8)
        for each in (bare, file)
    ]
    assert runs[0].latency_ps == runs[1].latency_ps
    assert runs[0].energy is None
    assert runs[1].energy is not None


@pytest.mark.parametrize("name", machine_names())
def test_what_is_known_is_never_asked(name: str) -> None:
    machine = load_machine(name)
    text = machine.to_text()
    for found in estimate(machine, Settings()):
        value = text
        for key in found.path.split("."):
            value = (value or {}).get(key)
        assert value is None, found


def test_a_term_that_is_part_of_another_is_not_asked() -> None:
    # ahwa_lora_2026 knows an energy per weight, conversions included, and areas of whole tiles
    paths = {found.path for found in estimate(load_machine("ahwa_lora_2026"), Settings())}
    assert paths.isdisjoint({"energy.tile.conversion", "energy.tile.device", "area.converter"})


@given(st.integers(1, 2**34), st.integers(1, 2**34))
def test_a_larger_sram_takes_no_less(one: int, other: int) -> None:
    small, large = (published_sram(each).byte.value for each in sorted((one, other)))
    assert 10 / 8 <= small <= large * (1 + 1e-12)
    assert large <= 100 / 8 * (1 + 1e-12)


@pytest.mark.parametrize(("size", "picojoules"), [(2**13, 10), (2**15, 20), (2**20, 100)])
def test_published_sizes_give_published_energies(size: int, picojoules: float) -> None:
    """Horowitz, ISSCC 2014: 64 bit of an SRAM of 8 KiB, 32 KiB and 1 MiB."""
    assert published_sram(size).byte.value * 8 == pytest.approx(picojoules)


def test_without_the_library_it_says_how_to_get_it(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "_model", lambda *_: "it is not here")
    found = {each.path: each for each in estimate(load_machine(str(bare)), Settings())}
    assert found["energy.tile.conversion"] == Untold("energy.tile.conversion", "it is not here")
    sram = found["energy.sram.byte"]
    assert isinstance(sram, Answer)
    assert (sram.value, sram.instead) == ("12.5 pJ/B", "it is not here")


def test_a_model_that_fails_is_told_and_published_figures_stand_in(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("CACTI failed\nwith exit code 1")

    monkeypatch.setattr(figures, "_model", lambda *_: fails)
    found = library_sram(2**20, 64, 28)
    assert isinstance(found, str)
    assert "RuntimeError: CACTI failed with exit code 1" in found
    assert isinstance(library_adc(8, 28, 1e9), str)


def test_the_librarys_adc_gives_what_was_measured_of_it() -> None:
    pytest.importorskip("hwcomponents_adc")
    # 8 bits, 22 nm, 1 GS/s, version 1.0.21
    found = library_adc(8, 22, 1e9)
    assert not isinstance(found, str)
    assert found.conversion.value == pytest.approx(0.678, rel=1e-3)
    assert found.area.value == pytest.approx(3334, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["bare.yaml", "bare.yaml"], "is there already"),
        (["bare.yaml", "new.txt"], "a .yaml file in a folder that exists"),
        (["bare.yaml", "new.yaml", "--dram", "hbm"], "hbm2"),
        (["bare.yaml", "new.yaml", "--node", "1"], "--node"),
        (["nothing.yaml", "new.yaml"], "nothing.yaml"),
    ],
)
def test_bad_input_is_refused_and_nothing_written(
    bare: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(bare.parent)
    answer = CliRunner().invoke(app, ["machine", "estimate", *arguments])
    assert answer.exit_code == 2
    assert says in answer.output
    assert sorted(bare.parent.iterdir()) == [bare]


def test_where_nothing_is_missing_no_file_is_written(tmp_path: Path) -> None:
    file = tmp_path / "new.yaml"
    answer = CliRunner().invoke(app, ["machine", "estimate", "ahwa_lora_2026", str(file)])
    assert answer.exit_code == 0
    assert "nothing that can be estimated is missing" in answer.output
    assert not file.exists()
