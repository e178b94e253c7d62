"""Machines by difference: what is inherited, what is changed, and whose sources stay."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.arch import load_machine, machine_sources, machine_variants, nearest
from hybridsim.arch.files import data_of, leaves, merged, read_chain, with_overrides
from hybridsim.errors import SpecError, UnknownNameError
from hybridsim.library import machine_path

BASE = data_of(read_chain(machine_path("ahwa_lora_2026")))
OTHER = data_of(read_chain(machine_path("llm_2026")))
COMMON = sorted(
    path
    for path, _ in leaves(BASE)
    if path in dict(leaves(OTHER)) and path not in ("name", "description")
)


def written(folder: Path, name: str, text: str) -> str:
    """Write a file and return its path."""
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def nested(paths: dict[str, Any]) -> dict[str, Any]:
    """Return groups that say the same as dotted paths."""
    found: dict[str, Any] = {}
    for path, value in paths.items():
        *groups, last = path.split(".")
        place = found
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = value
    return found


@given(st.sets(st.sampled_from(COMMON)))
def test_groups_that_differ_say_the_same_as_overrides_one_by_one(paths: set[str]) -> None:
    own = {path: dict(leaves(OTHER))[path] for path in sorted(paths)}
    assert merged(BASE, nested(own)) == with_overrides(BASE, own, "file")


def test_what_is_not_said_is_that_of_the_other_machine(tmp_path: Path) -> None:
    mine = written(tmp_path, "mine.yaml", "extends: ahwa_lora_2026:128ns\ntile: {rows: 256}\n")
    machine, base = load_machine(mine), load_machine("ahwa_lora_2026:128ns")
    assert machine.name == "mine"
    assert machine.tile == base.tile.model_copy(update={"rows": 256})
    assert machine.cluster == base.cluster
    assert machine_variants(mine) == machine_variants("ahwa_lora_2026")
    assert load_machine(f"{mine}:512ns").tile.integration_time == 512_000


def test_sources_stay_with_what_is_inherited_and_leave_what_is_changed(tmp_path: Path) -> None:
    text = "extends: ahwa_lora_2026\ntile:\n  rows: 256  # assumed\n  columns: 256\n"
    sources = machine_sources(written(tmp_path, "mine.yaml", text))
    assert nearest(sources, "tile.rows") == "assumed"
    assert nearest(sources, "tile.columns") == "set in mine.yaml, which gives no source"
    assert nearest(sources, "tile.tiers") == "[paper] no stacked tiers"


def test_a_group_that_takes_the_place_of_another_keeps_none_of_its_sources(tmp_path: Path) -> None:
    text = "extends: llm_2026:mesh\nnetwork_on_chip: {kind: tree, arity: 2, levels: 6, \
clock: {frequency: 1 GHz}, width: 64 B/cycle, hop: 2 cycles}  # mine\n"
    path = written(tmp_path, "mine.yaml", text)
    assert load_machine(path).to_text()["network_on_chip"]["kind"] == "tree"
    assert nearest(machine_sources(path), "network_on_chip.clock.frequency") == "mine"


def test_files_extend_files_beside_them(tmp_path: Path) -> None:
    written(tmp_path, "one.yaml", "extends: harp_2026:bert_base\nlink: {count: 2}  # assumed\n")
    two = written(tmp_path, "two.yaml", "extends: one.yaml\ndescription: two\nmemory: null\n")
    machine = load_machine(two)
    assert (machine.description, machine.memory, machine.link.count) == ("two", None, 2)
    assert machine.tile.count == 96
    assert nearest(machine_sources(two), "link.count") == "assumed"
    assert nearest(machine_sources(two), "tile.count") == "[harp] Table III"


def test_a_description_of_what_differs_is_given_where_none_is_written(tmp_path: Path) -> None:
    mine = written(tmp_path, "mine.yaml", "extends: harp_2026:t5\ntile: {rows: 64}\n")
    assert load_machine(mine).description == "harp_2026:t5 with other tile.rows"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("extends: 3\n", "extends: found 3; a machine's name, name:variant or a file would do"),
        ("extends: harp_2027\n", "extends: machine 'harp_2027' is not known (did you mean"),
        ("extends: no.yaml\n", "extends: no.yaml: no such file; give a path, or a bundled"),
        ("extends: harp_2026:t6\n", "extends: variant of harp_2026 't6' is not known"),
        ("extends: me.yaml\n", "leads back to me.yaml (me.yaml -> me.yaml); a machine that does"),
        ("extends: harp_2026\ntile: {rowz: 1}\n", "tile: unknown key 'rowz' (did you mean 'rows'"),
        ("name: me\n", "write 'extends: MACHINE' and only what differs from that one"),
    ],
)
def test_a_file_that_extends_nothing_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path, "me.yaml", text)
    with pytest.raises(SpecError) as caught:
        load_machine(path)
    assert str(caught.value).startswith(path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cycle_of_files_is_refused(tmp_path: Path) -> None:
    paths = [written(tmp_path, f"{i}.yaml", f"extends: {(i + 1) % 3}.yaml\n") for i in range(3)]
    with pytest.raises(SpecError, match=r"2.yaml: extends: leads back to 0.yaml \(0.yaml -> 1.ya"):
        load_machine(paths[0])


def test_an_unknown_variant_of_a_difference_lists_what_is_inherited(tmp_path: Path) -> None:
    mine = written(tmp_path, "mine.yaml", "extends: ahwa_lora_2026\n")
    with pytest.raises(UnknownNameError, match="512ns"):
        load_machine(f"{mine}:64ns")


def test_a_comment_goes_on_in_lines_below_its_own_column_alone(tmp_path: Path) -> None:
    text = (
        "extends: ahwa_lora_2026\n"
        "tile:\n"
        "  rows: 256     # one\n"
        "                # two\n"
        "  # not of rows\n"
        "  columns: 256  # three\n"
    )
    sources = machine_sources(written(tmp_path, "mine.yaml", text))
    assert (sources["tile.rows"], sources["tile.columns"]) == ("one two", "three")


def test_the_whole_of_a_chip_of_256_x_256_and_four_clusters_is_a_few_lines(tmp_path: Path) -> None:
    text = "extends: ahwa_lora_2026\ntile: {rows: 256, columns: 256}\ncluster: {count: 4}\n"
    machine = load_machine(written(tmp_path, "chip.yaml", text))
    assert yaml.safe_load(text).keys() == {"extends", "tile", "cluster"}
    assert machine.cluster is not None
    assert (machine.tile.rows, machine.tile.columns, machine.cluster.count) == (256, 256, 4)
