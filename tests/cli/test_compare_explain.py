"""The commands that compare strategies and explain results."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

LAYER = ("layer_512x128", "ahwa_lora_2026:128ns")
FEW = ("--strategies", "token_parallel,early_xa,split_cores", "--tokens", "64")


def test_compare_prints_a_narrow_table(cli) -> None:
    done = cli("compare", *LAYER, "--tokens", "64")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "TCDM" in lines[0], "no column has to go"
    assert any(line.startswith("token_parallel") for line in lines)
    assert any("fastest: auto" in line for line in lines)


def test_compare_gives_the_same_figures_as_csv_json_and_files(cli, tmp_path: Path) -> None:
    document = cli.json("compare", *LAYER, *FEW)
    text = cli("compare", *LAYER, *FEW, "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["strategy"] for row in rows] == ["token_parallel", "early_xa", "split_cores"]
    for row, other in zip(rows, document["strategies"], strict=True):
        assert int(row["latency_ps"]) == other["latency_ps"]
    plot = tmp_path / "plot.svg"
    cli("compare", *LAYER, *FEW, "--out", str(tmp_path / "out"), "--plot", str(plot), "--quiet")
    assert (tmp_path / "out" / "comparison.csv").read_text(encoding="utf-8") == text
    written = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert written == document
    assert plot.read_bytes().startswith(b"<?xml")


def test_the_default_comparison_says_how_sure_it_is_and_what_it_is_measured_against(cli) -> None:
    found = json.loads(cli("compare", "layer_512x128", "ahwa_lora_2026", "--json").stdout)
    for row in found["strategies"]:
        assert row["latency_low_ps"] <= row["latency_ps"] <= row["latency_high_ps"], row[
            "strategy"
        ]
    assert any(row["latency_low_ps"] < row["latency_high_ps"] for row in found["strategies"])
    said = cli("compare", "mobilebert", "ahwa_lora_2026", "--strategies", "early_xa,cross_layer")
    assert "90 % intervals of the latencies" in said.stdout
    assert "over of cross_layer: against all-analog layers that overlap as well" in said.stdout


def test_compare_takes_a_batch_and_settings(cli) -> None:
    arguments = ("compare", *LAYER, *FEW)
    plain = cli.json(*arguments)
    changed = cli.json(*arguments, "--batch", "8", "--set", "cluster.clock.frequency=1 GHz")
    for one, other in zip(plain["strategies"], changed["strategies"], strict=True):
        assert other["latency_ps"] != one["latency_ps"]


def test_compare_tells_on_standard_error_who_cannot_run_and_why(cli, tmp_path: Path) -> None:
    """Below its table, where there is one; the others are compared, and that is a success."""
    arguments = (
        "compare", "layer_128x128", "ahwa_lora_2026", "--tokens", "8", "--set",
        "cluster.matrix_engine=null", "--strategies", "early_xa,token_parallel,split_cores",
    )  # fmt: skip
    table = cli(*arguments)
    problem = "early_xa, token_parallel: the cluster has no matrix engine"
    assert (table.exit_code, table.stderr) == (0, "")
    assert problem in table.stdout
    for how in (["--json"], ["--csv"], ["--quiet", "--out", str(tmp_path / "out")]):
        done = cli(*arguments, *how)
        assert done.exit_code == 0
        assert done.stderr.startswith(f"hybridsim: {problem}")
        assert done.stderr.count("\n") == 1
        assert problem not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--strategies", "nonsense"), "strategy 'nonsense' is not known"),
        (("--strategies", ""), "--strategies: found an empty text"),
        (("--csv", "--json"), "give one of them"),
        (("--plot", "figure.bmp"), ".png, .svg, .pdf"),
        (("--plot", "nowhere/at/all.png"), "no folder"),
        (("--set", "strategy.bach=3"), "bach"),
        (("--tokens", "0"), "tokens: found 0"),
    ],
)
def test_compare_refuses_in_one_line(cli, arguments: tuple[str, ...], said: str) -> None:
    assert said in cli.refused("compare", *LAYER, *arguments)


def test_explain_reads_what_run_wrote(cli, tmp_path: Path) -> None:
    cli("run", *LAYER, "--tokens", "64", "--out", str(tmp_path), "--quiet")
    from_folder = cli.json("explain", str(tmp_path))
    assert cli.json("explain", str(tmp_path / "result.json")) == from_folder
    assert cli.json("explain", "--run", *LAYER, "--tokens", "64") == from_folder
    assert len(from_folder["best_changes"]) == 3
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert from_folder["latency_ps"] == result["latency_ps"]


def test_explain_prints_narrow_tables(cli) -> None:
    done = cli("explain", "--run", *LAYER, "--strategy", "early_xa", "--tokens", "64")
    tables = [line for line in done.stdout.splitlines() if "--set" not in line]
    assert max(map(len, tables)) <= 80
    for heading in (
        "critical path",
        "bound by",
        "starved",
        "what is free",
        "what hardware would help",
    ):
        assert heading in done.stdout


def test_explain_refuses_in_one_line(cli, tmp_path: Path) -> None:
    wrong = tmp_path / "result.json"
    wrong.write_text("{}", encoding="utf-8")
    assert "is no result" in cli.refused("explain", str(wrong))
    wrong.write_bytes(b"\xff\xfe\x00")
    assert "is not UTF-8 text" in cli.refused("explain", str(wrong))
    assert "the folder of hybridsim run" in cli.refused("explain", str(tmp_path / "none.json"))
    assert "give a network and a machine" in cli.refused("explain", "--run", "mobilebert")
    assert "give one result" in cli.refused("explain", "one", "two")
    assert "--tokens: give it with --run" in cli.refused("explain", str(wrong), "--tokens", "3")


@pytest.mark.parametrize(
    "arguments", [("explain", "--run", "layer_128x128", "ahwa_lora_2026"),
                  ("serve", "layer_128x128", "ahwa_lora_2026:served", "--count", "20")],
)  # fmt: skip
def test_answers_have_one_form_for_a_share_and_one_for_the_engine(
    cli, arguments: tuple[str, ...]
) -> None:
    # what changes of hardware there are says which part of the file they change
    said = cli(*arguments).stdout.partition("what hardware would help")[0]
    assert re.search(r"\d %", said)
    assert not re.search(r"\d%", said)
    assert "matrix" not in said
