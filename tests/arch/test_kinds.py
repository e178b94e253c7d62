"""Kinds of tiles and clusters in a machine's file: differences from the usual, what is refused."""

from pathlib import Path

import pytest

from hybridsim.arch import differences, load_machine, machine_sources, machine_with, machine_yaml
from hybridsim.errors import SpecError
from hybridsim.work import Work, mvm

BIG = {"tiles": {"big": {"rows": 1024, "periphery": {"lanes": 16}}}}
FAST = {"clusters": {"fast": {"clock": {"frequency": "1 GHz"}, "count": 2}}}
FILE = """
extends: ahwa_lora_2026
tiles:
  big: {rows: 1024, integration_time: 512 ns}  # assumed
clusters:
  fast: {clock: {frequency: 1 GHz}}  # measured
mapping: {layers: {"*.up": big}, adapters: {"*.up": fast}}
energy: {tiles: {big: {mac: 100 fJ/MAC}}}
area: {tiles: {big: 5 mm2}}
"""


def paper(**overrides: object):
    return load_machine("ahwa_lora_2026", overrides)


def test_a_kind_is_the_usual_one_but_for_what_it_says() -> None:
    machine = paper(**BIG, **FAST)
    big, fast = machine.tile_of("big"), machine.cluster_of("fast")
    assert (big.rows, big.columns, big.periphery.lanes) == (1024, 512, 16)
    assert big.periphery.clock == machine.tile.periphery.clock
    assert fast is not None
    assert (fast.count, fast.clock.frequency, fast.tcdm) == (2, 10**9, machine.cluster.tcdm)  # type: ignore[union-attr]
    assert machine.tile_of("") is machine.tile


def test_what_a_kind_does_not_say_follows_the_usual_one_wherever_that_is_set() -> None:
    slow = {"tile.integration_time": "1 us"}
    once = load_machine("ahwa_lora_2026", {**BIG, **slow})
    later = machine_with(paper(**BIG), slow)
    assert once == later
    assert once.tile_of("big").integration_time == 10**6
    said = machine_with(paper(tiles={"big": {"integration_time": "64 ns"}}), slow)
    assert said.tile_of("big").integration_time == 64_000


def test_a_machine_without_kinds_says_nothing_of_them() -> None:
    text = paper().to_text()
    assert not {"tiles", "clusters", "mapping"} & {*text, *text["energy"], *text["area"]}


def test_files_of_kinds_are_extended_told_apart_and_written_with_their_sources(
    tmp_path: Path,
) -> None:
    base, own = tmp_path / "base.yaml", tmp_path / "own.yaml"
    base.write_text(FILE)
    own.write_text("extends: base.yaml\ntiles: {big: {rows: 2048}}  # larger\n")
    machine, sources = load_machine(str(own)), machine_sources(str(own))
    assert (machine.tile_of("big").rows, machine.tile_of("big").integration_time) == (2048, 512000)
    assert sources["tiles.big.rows"] == "larger"
    assert sources["tiles.big.integration_time"] == "assumed"
    told = {row.path: (row.first, row.second) for row in differences(str(base), str(own))}
    assert told["tiles.big.rows"] == (1024, 2048)
    written = tmp_path / "written.yaml"
    written.write_text(machine_yaml(str(own)))
    assert load_machine(str(written)) == machine
    assert machine_sources(str(written))["clusters.fast.clock.frequency"] == "measured"


@pytest.mark.parametrize(
    ("path", "value", "read"),
    [
        ("tiles.big.rows", 256, lambda m: m.tile_of("big").rows),
        ("tiles.big.periphery.setup", "7 cycles", lambda m: m.tile_of("big").periphery.setup),
        ("energy.tiles.big.mac", "5 fJ/MAC", lambda m: m.energy.kind("tile", "big").mac),
        ("mapping.layers.*.ffn.*", "big", lambda m: m.mapping.layers["*.ffn.*"]),
        ("mapping.objective", "tiles", lambda m: m.mapping.objective),
    ],
)
def test_what_a_kind_or_a_rule_says_is_set_by_its_path(path, value, read) -> None:
    given, asked = machine_with(paper(**BIG), {path: value}), load_machine
    assert given == asked("ahwa_lora_2026", {**BIG, path: value})
    assert str(read(given)) in (str(value).partition(" ")[0], "5000")


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"tiles": {"big": {"row": 3}}}, r"tiles.big: unknown key 'row' .did you mean 'rows'"),
        ({"tiles": {"big": {"rows": 0}}}, r"tiles.big.rows: found 0; a number"),
        ({"tiles": {"big": 3}}, r"tiles.big: found 3; a mapping"),
        ({"tiles": {"Big one": {}}}, r"tiles: found 'Big one'; a name of small letters"),
        ({"tiles": {"cluster": {}}}, r"tiles: found 'cluster'; a name"),
        ({**BIG, "clusters": {"big": {}}}, r"clusters.big: is the name of tiles too"),
        ({"tiles": {"big": {"sharing": "area"}}}, r"sharing: found area; exclusive, as"),
        ({"clusters": {"fast": {"precision": "fp8"}}}, r"clusters.fast.precision: found 'fp8'"),
        ({**FAST, "cluster": None}, r"clusters: differ from nothing"),
        (
            {"mapping.layers": {"*": "bigg"}, **BIG},
            r"'bigg'; .*did you mean 'big'\?\); tile, big, c",
        ),
        ({"mapping.adapters": {"*": "tile"}}, r"mapping.adapters.*'tile'.*cluster would do"),
        ({"energy.tiles": {"big": {"mac": "1 fJ/MAC"}}}, r"energy.tiles.big: the machine has no"),
        ({**BIG, "energy.tiles": {"big": {"mac": "1 m"}}}, r"energy.tiles.big.mac: found '1 m'"),
        ({"tiles.big.rows": 3}, r"tiles.big.rows: 'tiles.big' is not a group of values here"),
    ],
)
def test_what_is_no_kind_is_refused_in_one_sentence(overrides, sentence) -> None:
    with pytest.raises(SpecError, match=sentence):
        load_machine("ahwa_lora_2026", overrides)


def test_several_chips_have_one_kind_of_tiles() -> None:
    with pytest.raises(SpecError, match=r"tiles.big: several kinds of parts .* single chip"):
        load_machine("llm_2026", {"tiles": {"big": {"rows": 256}}})


def test_a_work_of_a_kind_costs_what_it_would_if_the_machine_had_no_other() -> None:
    machine = paper(**BIG, **FAST, **{"tiles.big.integration_time": "1 us"})
    work = mvm(((512, 128),), 8)
    for sort in ("", "big"):
        own = Work(**{**vars_of(work), "sort": sort})
        assert machine.time_ps(own) == machine.seen(tile=sort).time_ps(work)
    moved = Work("dma", "transfer", "load x", (4096,), sort="fast")
    assert machine.time_ps(moved) == machine.seen(cluster="fast").transfer_ps(4096)
    assert machine.time_ps(moved) < machine.transfer_ps(4096)


def vars_of(work: Work) -> dict[str, object]:
    return {name: getattr(work, name) for name in ("part", "kind", "label", "shape", "tokens")}
