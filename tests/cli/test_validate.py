"""``hybridsim validate``: summaries for people, rows for programs."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from hybridsim.library import MACHINES
from tests.schemas import broken

CYCLES = MACHINES / "ahwa_lora_2026/cycles"
CORES = str(CYCLES / "snitch_kernels.csv")
ENGINE = str(CYCLES / "redmule_gemm.csv")


def test_the_summary_fits_a_terminal(cli: Any) -> None:
    done = cli("validate", "rtl")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("RedMulE, height 4") for line in lines)
    assert any(line.startswith("lora") for line in lines)
    assert any(line.startswith("hung") for line in lines)
    text = " ".join(done.stdout.split())
    engine, cores = (text.rpartition(f"{name}: ")[2] for name in ("height 4", "cores and DMA"))
    readme = Path("README.md").read_text("utf-8").splitlines()
    rows = [row for row in readme if "`hybridsim validate rtl`" in row]
    for row, told in zip(rows, (engine, cores), strict=True):
        figures = re.findall(r"\d[\d,]*(?:\.\d+)?(?: %)?", row.split("|")[2])
        assert len(figures) >= 5
        assert [figure for figure in figures if figure not in told] == [], "as README.md says"


@pytest.mark.parametrize("table", [CORES, ENGINE])
def test_csv_is_the_table_with_columns_appended_and_nothing_else(cli: Any, table: str) -> None:
    done = cli("validate", "rtl", "--table", table, "--csv")
    assert done.exit_code == 0
    answered = list(csv.DictReader(io.StringIO(done.stdout)))
    with Path(table).open(encoding="utf-8") as file:
        measured = list(csv.DictReader(line for line in file if not line.startswith("#")))
    assert len(answered) == len(measured)
    for row, given in zip(answered, measured, strict=True):
        assert list(row)[-3:] == ["simulated_cycles", "error_percent", "unsupported"]
        assert {name: row[name] for name in given} == given
        assert bool(row["simulated_cycles"]) != bool(row["unsupported"])
        if row["simulated_cycles"]:
            error = 100 * (int(row["simulated_cycles"]) / float(row["cycles"]) - 1)
            assert float(row["error_percent"]) == pytest.approx(error, abs=1e-3)


def test_json_is_one_document(cli: Any) -> None:
    found = cli.json("validate", "rtl", "--table", CORES)
    assert set(found) >= {"rows", "summary"}
    assert len(found["rows"]) == 297
    total = next(each for each in found["summary"] if each["group"] == "cores and DMA")
    assert total["median_percent"] <= 3
    assert total["p90_percent"] <= 8
    unanswered = [row for row in found["rows"] if row["simulated_cycles"] is None]
    assert unanswered
    assert all(row["unsupported"] and row["error_percent"] is None for row in unanswered)


def test_several_tables_and_another_machine(cli: Any, tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text("kernel,shape,precision,cores,cycles\nvadd_ssr_frep,8x128,fp32,8,99\n")
    found = cli.json("validate", "rtl", "--table", str(own), "--table", CORES)
    assert len(found["rows"]) == 298
    one = cli.json("validate", "rtl", "--table", str(own), "--machine", "ahwa_lora_2026:512ns")
    assert one["rows"][0]["simulated_cycles"] == found["rows"][0]["simulated_cycles"]


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_figure_is_drawn(cli: Any, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"rtl.{kind}"
    done = cli("validate", "rtl", "--table", CORES, "--csv", "--figure", str(path))
    assert done.exit_code == 0
    assert done.stdout.startswith("kernel,shape,")
    assert path.stat().st_size > 5000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("kernel,shape,precision,cores,cycles\n", "no rows"),
        ("kernel,shape,precision,cycles\na,8x8,fp32,9\n", "column cores is missing"),
        ("kernel,shape,precision,cores,cycles\na,8x8,fp32,8,few\n", "line 2: cycles: found 'few'"),
        ("kernel,shape,precision,cores,cycles\na,8x8,fp32,8,0\n", "line 2: cycles: found '0'"),
        (f"kernel,shape,precision,cores,cycles\na,8x{'9' * 40},fp32,8,9\n", "line 2: shape"),
        ("\0\0\0", "line 1: has a control character"),
    ],
)
def test_broken_tables_are_refused(cli: Any, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(text)
    for flags in ([], ["--csv"], ["--json"]):
        assert message in cli.refused("validate", "rtl", "--table", str(path), *flags)


def test_wrong_requests_are_refused(cli: Any, tmp_path: Path) -> None:
    nothing = str(tmp_path / "nothing.csv")
    assert "does not exist" in cli.refused("validate", "rtl", "--table", nothing)
    assert "is a folder" in cli.refused("validate", "rtl", "--table", str(tmp_path))
    assert "not known" in cli.refused("validate", "rtl", "--table", CORES, "--machine", "ahwa")
    assert "one of them" in cli.refused("validate", "rtl", "--csv", "--json")
    assert ".svg" in cli.refused("validate", "rtl", "--figure", str(tmp_path / "a.gif"))
    away = str(tmp_path / "away" / "a.png")
    assert "folder" in cli.refused("validate", "rtl", "--figure", away)
    hung = tmp_path / "hung.csv"
    hung.write_text(
        "array_height,array_width,pipe_regs,m,n,k,op,cycles,status\n"
        "4,12,3,24,8,8,gemm_with_Y,,hung\n"
    )
    figure = str(tmp_path / "a.png")
    refused = cli.refused("validate", "rtl", "--table", str(hung), "--figure", figure)
    assert "nothing to draw" in refused


def test_a_table_without_any_answer_is_still_summed_up(cli: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("kernel,shape,precision,cores,cycles\nunheard of,8x8,fp32,8,9\n")
    done = cli("validate", "rtl", "--table", str(path))
    assert done.exit_code == 0
    assert "no equation for 'unheard of'" in done.stdout
    found = cli.json("validate", "rtl", "--table", str(path))
    assert found["summary"][0]["median_percent"] is None


@pytest.mark.slow
def test_the_study_of_the_paper(cli: Any) -> None:
    found = cli.json("validate", "paper")
    assert broken("validate-paper", found) == []
    assert {row["anchor"] for row in found["anchors"]} >= {"best case", "worst case"}
    rows = list(csv.DictReader(io.StringIO(cli("validate", "paper", "--csv").stdout)))
    assert len(rows) == len(found["study"])
    assert json.dumps(found["study"])  # no NaN: it went through a JSON reader already
    keys = ("network", "integration_time", "sequence_length", "x_layout", "unit")
    cases = {tuple(row[key] for key in keys) for row in rows}
    assert sum(row["best"] == "True" for row in rows) == len(cases)
    done = cli("validate", "paper")
    assert done.exit_code == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "172.0 %" in done.stdout
    said = " ".join(done.stdout.split())
    assert all(row["why"] in said for row in found["anchors"])
    assert "one of them" in cli.refused("validate", "paper", "--csv", "--json")
