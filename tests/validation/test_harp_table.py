"""Reading a table of HARP's results: what a row means, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from hybridsim.cli.validate_harp import validate_harp
from hybridsim.errors import SpecError, UnsupportedError
from hybridsim.validation.harp import COLUMNS, Case, compare, read_case, summary

ROW = {
    "figure": "8",
    "model": "MobileBERT",
    "seq_len": "128",
    "config": "XB-pipe",
    "chunk": "8",
    "other_params": "digital_mJ=2.7;avg_W=0.8",
    "latency_ms": "3.861117",
}


def row(**changes: str) -> dict[str, str]:
    return ROW | changes


def table(folder: Path, *rows: dict[str, str]) -> Path:
    file = folder / "results.csv"
    lines = [",".join(COLUMNS), *(",".join(each[name] for name in COLUMNS) for each in rows)]
    file.write_text("# a comment\n" + "\n".join(lines) + "\n")
    return file


def test_a_row_is_a_run() -> None:
    sharing = (("tile.sharing", "latency"),)
    assert read_case(row()) == Case("mobilebert", "mobilebert", sharing, "xb_pipe", 8, 128)


@pytest.mark.parametrize(
    ("changes", "overrides"),
    [
        (
            {"other_params": "opt_level=area;pmca_red_used=1"},
            {"tile.sharing": "area", "cluster.count": 1},
        ),
        (
            {"other_params": "opt_level=area_latency_balance"},
            {"tile.sharing": "balance", "cluster.count": 2},
        ),
        (
            {"other_params": "link_width=256b"},
            {"tile.sharing": "latency", "link.width": "256 b/cycle"},
        ),
        ({"other_params": "sram_mib=4"}, {"tile.sharing": "latency", "memory.sram.size": "4 MiB"}),
        ({"other_params": "chunk sweep"}, {"tile.sharing": "latency"}),
    ],
)
def test_parameters_change_the_machine(changes: dict[str, str], overrides: dict[str, Any]) -> None:
    assert dict(read_case(row(**changes)).overrides) == overrides


@pytest.mark.parametrize(
    ("model", "network", "variant"),
    [
        ("BERT_B", "bert_base", "bert_base"),
        ("BERT_L", "bert_large", "bert_large"),
        ("GPT-2", "gpt2", "gpt2"),
        ("T5_encoder", "t5_small_encoder", "t5"),
    ],
)
def test_names_of_networks(model: str, network: str, variant: str) -> None:
    case = read_case(row(model=model))
    assert (case.network, case.variant) == (network, variant)


@pytest.mark.parametrize(
    ("config", "chunk", "found"),
    [
        ("Serial", "", "all"),
        ("IL-Pipe", "auto(attention)", "all"),
        ("XL-Pipe", "best", "best"),
        ("IL+XL-Pipe", "16", 16),
        ("XB-pipe", "auto(16)", 16),
    ],
)
def test_chunks(config: str, chunk: str, found: int | str) -> None:
    assert read_case(row(config=config, chunk=chunk)).chunk == found


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": "ALBERT_B"}, "no bundled network"),
        ({"model": "T5_decoder"}, "no bundled network"),
        ({"config": "mapping:area"}, "none of the six strategies"),
        ({"seq_len": "long"}, "no number of tokens"),
        ({"seq_len": "0"}, "no number of tokens"),
        ({"chunk": ""}, "no number of tokens"),
        ({"chunk": "-8"}, "no number of tokens"),
        ({"config": "Serial", "chunk": "8"}, "has no chunk"),
        ({"other_params": "opt_level=power"}, "none of latency"),
        ({"other_params": "link_bits=100"}, "no whole number of bytes"),
        ({"other_params": "prefill=64"}, "has no counterpart here"),
        ({"other_params": "something else"}, "is not known"),
        ({"other_params": "pmca_red_used=none"}, "no number of 1 or more"),
        ({"model": "BERT_B", "other_params": "opt_level=area"}, "is not published"),
    ],
)
def test_what_is_not_understood_is_not_guessed(changes: dict[str, str], says: str) -> None:
    with pytest.raises(UnsupportedError, match=says):
        read_case(row(**changes))


def test_a_table_of_any_rows(tmp_path: Path) -> None:
    file = table(tmp_path, row(), row(model="nothing"), row(latency_ms=""), row(seq_len="600"))
    compared = compare(file)
    assert list(compared.columns) == [*COLUMNS, "simulated_ms", "error_percent", "reason"]
    assert abs(compared["error_percent"][0]) < 0.03
    assert compared["simulated_ms"].notna().tolist() == [True, False, False, False]
    assert "at most 512 tokens" in compared["reason"][3]
    told = summary(compared)
    assert (told["rows"], told["simulated"], told["unsupported"]) == (4, 1, 3)
    assert told["worst_row"] == "figure 8: MobileBERT XB-pipe 8"


def test_a_table_with_nothing_to_run(tmp_path: Path) -> None:
    told = summary(compare(table(tmp_path, row(model="nothing"))))
    assert told["simulated"] == 0
    assert told["worst_row"] is None


def test_a_table_without_its_columns_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "results.csv"
    file.write_text("model,latency\nMobileBERT,1\n")
    with pytest.raises(SpecError, match="figure, seq_len"):
        compare(file)


@pytest.fixture
def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(validate_harp)
    return app


def test_the_command_prints_rows_and_a_summary(command: typer.Typer, tmp_path: Path) -> None:
    file = table(tmp_path, row(), row(model="nothing"))
    run = CliRunner().invoke
    shown = run(command, ["--table", str(file)])
    assert shown.exit_code == 0
    assert "1 of 2 rows simulated" in shown.stdout
    document = json.loads(run(command, ["--table", str(file), "--json"]).stdout)
    assert document["summary"]["simulated"] == 1
    assert document["rows"][1]["simulated_ms"] is None
    lines = run(command, ["--table", str(file), "--csv"]).stdout.splitlines()
    assert lines[0].startswith("figure,model")
    assert len(lines) == 3


@pytest.mark.parametrize("arguments", [["--table", "no/such.csv"], ["--csv", "--json"]])
def test_the_command_refuses(command: typer.Typer, arguments: list[str]) -> None:
    done = CliRunner().invoke(command, arguments)
    assert (done.exit_code, done.stdout) == (2, "")
