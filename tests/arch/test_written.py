"""Machines written out: whole files, templates and differences read back as what they were."""

from pathlib import Path

import pytest

from hybridsim.arch import (
    differences,
    load_machine,
    machine_sources,
    machine_variants,
    machine_yaml,
    nearest,
    template,
)
from hybridsim.arch.files import leaves
from hybridsim.library import machine_names

EVERY = [
    f"{name}{variant}"
    for name in machine_names()
    for variant in ["", *(f":{each}" for each in list(machine_variants(name))[-2:])]
]


@pytest.mark.parametrize("name", EVERY)
def test_a_whole_file_reads_back_with_its_sources_and_variants(name: str, tmp_path: Path) -> None:
    path = tmp_path / "whole.yaml"
    path.write_text(machine_yaml(name), encoding="utf-8")
    machine = load_machine(name)
    assert load_machine(str(path)) == machine
    assert machine_variants(str(path)) == machine_variants(name)
    before, after = machine_sources(name), machine_sources(str(path))
    paths = [p for p, _ in leaves(machine.to_text()) if p not in ("name", "description")]
    assert [nearest(after, p) for p in paths] == [nearest(before, p) for p in paths]


@pytest.mark.parametrize("name", machine_names())
def test_a_template_is_the_machine_itself_with_every_key_as_a_comment(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(template(name, "mine"), encoding="utf-8")
    assert differences(name, str(path)) == []
    machine = load_machine(name).to_text()
    keys = {p.rpartition(".")[2] for p, _ in leaves(machine)} - {"known"}
    text = path.read_text(encoding="utf-8")
    assert [key for key in keys if f"{key}:" not in text] == []


def test_a_line_of_a_template_that_is_taken_in_changes_that_value(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = template("ahwa_lora_2026", "mine")
    for line in ("tile:", "  rows: 512"):
        text = text.replace(f"\n# {line}", f"\n{line.replace('512', '256')}", 1)
    path.write_text(text, encoding="utf-8")
    found = differences("ahwa_lora_2026", str(path))
    assert [(row.path, row.first, row.second) for row in found] == [("tile.rows", 512, 256)]


def test_differences_name_values_and_sources_of_both() -> None:
    (time,) = differences("ahwa_lora_2026:128ns", "ahwa_lora_2026:512ns")
    assert time == (
        "tile.integration_time",
        "128 ns",
        "512 ns",
        "[paper] shortest of the study",
        "[paper] longest of the study",
    )


def test_a_part_that_one_machine_lacks_is_a_difference() -> None:
    rows = {row.path: row for row in differences("ahwa_lora_2026", "harp_2026")}
    assert rows["memory.sram.size"].first is None
    assert rows["memory.sram.size"].first_source == ""
