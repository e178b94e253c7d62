"""Machines from text: what is read, what can be replaced, and what is refused."""

from pathlib import Path

import pytest

from hybridsim.arch import load_machine, machine_sources, machine_variants, parse_override
from hybridsim.errors import InputError, SpecError, UnknownNameError
from hybridsim.library import MACHINES, machine_names


def written(folder: Path, old: str, new: str) -> str:
    """Write the paper's machine with one piece of its text replaced, and return its path."""
    text = (MACHINES / "ahwa_lora_2026" / "arch.yaml").read_text()
    assert old in text
    path = folder / "mine.yaml"
    path.write_text(text.replace(old, new))
    return str(path)


def test_the_paper_machine_is_as_published() -> None:
    """512x512 tiles, PMCA of 8 cores with RedMulE and 128 KiB of TCDM; 500 MHz is assumed."""
    machine = load_machine("ahwa_lora_2026")
    assert (machine.tile.rows, machine.tile.columns) == (512, 512)
    assert machine.tile.integration_time == 256_000
    assert machine.cluster is not None
    assert machine.cluster.clock.frequency == 500_000_000
    assert machine.cluster.cores.count == 8
    assert machine.cluster.tcdm.size == 128 * 1024


@pytest.mark.parametrize(("variant", "ps"), [("128ns", 128_000), ("512ns", 512_000)])
def test_a_variant_is_a_named_group_of_overrides(variant: str, ps: int) -> None:
    assert load_machine(f"ahwa_lora_2026:{variant}").tile.integration_time == ps


@pytest.mark.parametrize("name", machine_names())
def test_every_bundled_machine_and_variant_loads_and_reads_back(name: str) -> None:
    for variant in ["", *(f":{v}" for v in machine_variants(name))]:
        machine = load_machine(name + variant)
        assert type(machine).model_validate(machine.to_text()) == machine


@pytest.mark.parametrize("name", machine_names())
def test_every_number_of_a_bundled_machine_has_a_source_beside_it(name: str) -> None:
    sources = machine_sources(name)
    missing = []

    def visit(tree: dict[str, object], above: str) -> None:
        for key, value in tree.items():
            path = f"{above}.{key}" if above else key
            if isinstance(value, dict):
                visit(value, path)
            elif path not in ("name", "description"):
                parents = [path.rsplit(".", i)[0] for i in range(path.count(".") + 1)]
                if not any(p in sources for p in parents):
                    missing.append(path)

    visit(load_machine(name).to_text(), "")
    assert missing == []


def test_any_field_can_be_replaced_by_its_path() -> None:
    machine = load_machine(
        "ahwa_lora_2026", {"tile.integration_time": "512 ns", "cluster.cores.count": 4}
    )
    assert machine.tile.integration_time == 512_000
    assert machine.cluster is not None
    assert machine.cluster.cores.count == 4


def test_an_override_is_read_as_yaml() -> None:
    assert parse_override("tile.rows=256") == ("tile.rows", 256)
    assert parse_override("tile.integration_time=128 ns") == ("tile.integration_time", "128 ns")
    assert parse_override("cluster=null") == ("cluster", None)
    assert parse_override("cluster=") == ("cluster", None)
    assert parse_override("energy.gpu={power: 1 W}") == ("energy.gpu", {"power": "1 W"})
    assert parse_override("name=2024-13-45") == ("name", "2024-13-45")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tile.rows", "found 'tile.rows'; write path=value"),
        ("=3", "found '=3'; write path=value"),
        ("tile.rows=[1", "tile.rows: '[1' is not read as a value: broken YAML: "),
        ("tile.rows=" + "[" * 100_000, "'... is not read as a value: lists or mappings are"),
        ("tile.rows=" + "9" * 5000, "'... is not read as a value: found a number of 5000 char"),
        ("tile.rows=[&a [1], *a]", "anchors (&) and aliases (*) are not read; write the value"),
        ("tile.rows=!!set {a}", "tags (!) are not read; leave the tag out"),
        ("tile.rows=0x10", "found '0x10'; a plain decimal number would do"),
    ],
)
def test_an_override_that_is_none_is_refused(text: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_override(text)
    assert str(caught.value).startswith("--set: ")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "place", "says"),
    [
        ({"tile.integration_tme": "1 ns"}, "tile", "did you mean 'integration_time'"),
        ({"tile.integration_time": 256}, "tile.integration_time", "found 256"),
        ({"tile.rows": -1}, "tile.rows", "-1"),
        ({"tile.rows": "512"}, "tile.rows", "'512'"),
        ({"nothing.here": 1}, "nothing.here", "not a group"),
        ({"cluster.tcdm.size": "100 B"}, "cluster", "banks"),
        ({"cluster.tcdm.banks": 16}, "cluster", "measured with 32 banks"),
        ({"cluster.tcdm.banks": 16, "cluster.cores.tcdm_banks": 16}, "cluster", "write 32"),
    ],
)
def test_a_wrong_override_names_itself(
    overrides: dict[str, object], place: str, says: str
) -> None:
    with pytest.raises(SpecError) as caught:
        load_machine("ahwa_lora_2026", overrides)
    assert place in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("integration_time: 256 ns", "integration_time: 256", "tile.integration_time"),
        ("integration_time: 256 ns", "integration_time: 256 nF", "tile.integration_time"),
        ("integration_time: 256 ns", "integration_time: -256 ns", "tile.integration_time"),
        ("integration_time: 256 ns", "integration_tme: 256 ns", "tile"),
        ("  integration_time: 256 ns", "", "tile"),
        ("rows: 512", "rows: 0", "tile.rows"),
    ],
)
def test_a_wrong_file_is_refused_with_file_and_place(
    tmp_path: Path, old: str, new: str, place: str
) -> None:
    path = written(tmp_path, old, new)
    with pytest.raises(SpecError) as caught:
        load_machine(path)
    assert str(caught.value).startswith(f"{path}: {place}")
    assert "\n" not in str(caught.value)


def test_an_unknown_machine_lists_what_there_is() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'ahwa_lora_2026'"):
        load_machine("ahwa_lora_2025")


def test_an_unknown_variant_lists_what_there_is() -> None:
    with pytest.raises(UnknownNameError, match="512ns"):
        load_machine("ahwa_lora_2026:64ns")


def test_a_path_that_does_not_exist_is_an_input_error() -> None:
    with pytest.raises(InputError, match="no such file"):
        load_machine("no/such/arch.yaml")
