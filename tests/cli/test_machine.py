"""A machine of one's own from the command line: new, show --yaml, show --diff."""

from pathlib import Path

import pytest


def test_a_new_machine_can_be_shown_run_and_told_from_its_base(cli, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    assert "a machine like ahwa_lora_2026" in cli("machine", "new", str(mine)).stdout
    assert "say the same" in cli("show", "--diff", str(mine), "ahwa_lora_2026").stdout
    mine.write_text("extends: ahwa_lora_2026\ntile: {rows: 256}  # assumed\n", encoding="utf-8")
    (row,) = cli.json("show", "--diff", "ahwa_lora_2026", str(mine))
    assert (row["path"], row["first"], row["second"]) == ("tile.rows", 512, 256)
    assert cli.json("show", str(mine))["sources"]["tile.rows"] == "assumed"
    assert cli.json("run", "layer_512x128", str(mine), "--tokens", "16")["machine"] == "mine"


def test_a_new_machine_like_a_file_finds_it_from_another_folder(cli, tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "below" / "second.yaml"
    second.parent.mkdir()
    first.write_text("extends: ahwa_lora_2026\nlink: {count: 3}\n", encoding="utf-8")
    assert cli("machine", "new", str(second), "--like", f"{first}:128ns").exit_code == 0
    shown = cli.json("show", str(second))["machine"]
    assert (shown["link"]["count"], shown["tile"]["integration_time"]) == (3, "128 ns")


def test_a_whole_machine_is_written_to_standard_output(cli) -> None:
    text = cli("show", "--yaml", "ahwa_lora_2026:128ns").stdout
    assert "integration_time: 128 ns       # [paper] shortest of the study" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("show", "--yaml", "mobilebert"), "which is no machine; a machine would do"),
        (("show", "--diff", "harp_2026"), "give one name, or --diff and two machines"),
        (("show", "harp_2026", "llm_2026"), "give one name, or --diff and two machines"),
        (("machine", "new", "no/such/folder/x.yaml"), "a .yaml file in a folder that exists"),
        (("machine", "new", "x.yaml", "--like", "harp_2027"), "did you mean 'harp_2026'"),
    ],
)
def test_what_makes_no_machine_is_refused(
    cli, arguments: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert says in cli.refused(*arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_never_written_over(cli, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("mine", encoding="utf-8")
    assert "is there already" in cli.refused("machine", "new", str(mine))
    assert mine.read_text(encoding="utf-8") == "mine"


def test_a_cycle_of_machines_ends_a_run_with_code_2(cli, tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / f"{name}.yaml").write_text(f"extends: {other}.yaml\n", encoding="utf-8")
    place = str(tmp_path / "a.yaml")
    assert "leads back to a.yaml" in cli.refused("run", "layer_512x128", place)
