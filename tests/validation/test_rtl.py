"""The models against RTL: the figures that hybridsim promises, and tables of any kind."""

import csv
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from hybridsim.errors import InputError, SpecError, UnsupportedError
from hybridsim.report.figures.validation import rtl_points, save_rtl_figure
from hybridsim.report.markdown import refilled
from hybridsim.validation.certainty import calibrated
from hybridsim.validation.rtl import (
    APPENDED,
    Comparison,
    bundled_tables,
    compare_with_rtl,
    half_of,
)

DOCS = Path(__file__).parents[2] / "docs"
ENGINE_HEAD = "array_height,array_width,pipe_regs,m,n,k,op,cycles,status"
CORES_HEAD = "kernel,shape,precision,cores,cycles"


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare_with_rtl()


@pytest.fixture(scope="module")
def figures(comparison: Comparison) -> pd.DataFrame:
    return comparison.summary().set_index(["group", "half"])


@pytest.mark.parametrize("half", ["all", "fitted", "held back"])
def test_jobs_of_an_engine_of_height_4_are_close(figures: pd.DataFrame, half: str) -> None:
    """Median 0.2 %, 99th percentile 1 %, worst 3 %, fitted or not."""
    found = figures.loc[("RedMulE, height 4", half)]
    assert found["compared"] > 900
    assert found["median_percent"] <= 0.2
    assert found["p99_percent"] <= 1
    assert found["worst_percent"] <= 3


def test_squares_on_an_array_of_height_8_are_close(comparison: Comparison) -> None:
    """8 x 24, which nothing was fitted on: to the cycle."""
    errors = [one.error_percent for one in comparison.rows if one.group == "RedMulE 8x24"]
    assert errors == [0] * 9


@pytest.mark.parametrize("half", ["all", "fitted", "held back"])
def test_cores_and_dma_are_close(figures: pd.DataFrame, half: str) -> None:
    found = figures.loc[("cores and DMA", half)]
    assert found["compared"] > 90
    assert found["median_percent"] <= 0.1
    assert found["p90_percent"] <= 2
    assert found["p99_percent"] <= 10


def test_adapter_programs_are_close(figures: pd.DataFrame) -> None:
    """First load to last store, executed as a plan: 2 % at worst."""
    found = figures.loc[("lora", "all")]
    assert found["compared"] == found["rows"] >= 12
    assert found["worst_percent"] <= 2
    assert ("lora", "fitted") not in figures.index


def test_the_model_knows_which_jobs_fail(comparison: Comparison) -> None:
    found = comparison.outcomes().set_index("measured")
    assert found.loc["bit_exact", "fails"] == 2
    assert found.loc["hung", "works"] == found.loc["wrong_result", "works"] == 0
    assert found.to_numpy().sum() == 2831


def test_every_row_has_an_error_or_a_reason(comparison: Comparison) -> None:
    for one in comparison.rows:
        assert (one.error_percent is None) == bool(one.unsupported)
        assert (one.measured is None) == (one.outcome != "bit_exact")
        if one.measured is None:
            assert one.unsupported.startswith(one.outcome)


def test_all_bundled_rows_are_there_unchanged(comparison: Comparison) -> None:
    rows = []
    for path in bundled_tables():
        with path.open(encoding="utf-8") as file:
            rows += list(csv.DictReader(line for line in file if not line.startswith("#")))
    records = comparison.records()
    assert len(records) == len(rows) == 2831 + 297
    for row, record in zip(rows, records, strict=True):
        assert {name: record[name] for name in row} == row
        assert tuple(record)[-3:] == APPENDED


def test_the_summary_counts_every_row_once(comparison: Comparison) -> None:
    found = comparison.summary()
    single = found[(found["half"] == "all") & ~found["group"].str.contains(",| and ")]
    assert single["rows"].sum() == len(comparison.rows)
    halves = found[found["half"] != "all"].groupby("group")["rows"].sum()
    whole = found[found["half"] == "all"].set_index("group")["rows"]
    assert (halves == whole[halves.index]).all()


def table(folder: Path, *lines: str) -> Path:
    path = folder / "rows.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_of_ones_own_is_recognised_by_its_columns(tmp_path: Path) -> None:
    engine = table(
        tmp_path, "# mine", "note," + ENGINE_HEAD, ",4,12,3,96,96,96,gemm_with_Y,18540,bit_exact"
    )
    (one,) = compare_with_rtl([engine]).rows
    assert (one.simulated, one.error_percent, one.half) == (18540, 0.0, "")
    cores = table(tmp_path, CORES_HEAD, "gemm_ssr_frep_u8_nopad,8x128.128x8,fp32,8,400")
    (one,) = compare_with_rtl([cores]).rows
    assert one.group == "gemm"
    assert one.error_percent == pytest.approx(100 * ((one.simulated or 0) - 400) / 400, abs=1e-3)


def test_the_array_comes_from_the_row(tmp_path: Path) -> None:
    rows = (
        "2,6,3,12,24,16,gemm_with_Y,999,bit_exact",
        "4,12,3,12,24,16,gemm_with_Y,999,bit_exact",
    )
    first, second = compare_with_rtl([table(tmp_path, ENGINE_HEAD, *rows)]).rows
    assert first.simulated is not None
    assert second.simulated is not None
    assert first.simulated > second.simulated


def test_a_bundled_table_is_known_wherever_one_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    path = next(iter(bundled_tables()))
    monkeypatch.chdir(path.parent)
    assert "fitted" in set(compare_with_rtl([path.name]).summary()["half"])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("4,12,3,8,8,8,gemm_max,9,bit_exact", "op 'gemm_max' is not modelled"),
        ("4,12,3,70000,8,8,gemm_with_Y,9,bit_exact", "no sizes above 65535"),
        ("64,12,3,8,8,8,gemm_with_Y,9,bit_exact", "array_height above 32"),
        ("4,12,3,24,8,8,gemm_with_Y,,hung", "hung in RTL; model: n is at most twice the height"),
        ("4,12,3,96,96,96,gemm_with_Y,,hung", "the model does not see it"),
        ("4,12,3,24,8,8,gemm_with_Y,77,wrong_result", "wrong_result in RTL"),
    ],
)
def test_a_job_that_cannot_be_compared_says_why(tmp_path: Path, row: str, reason: str) -> None:
    (one,) = compare_with_rtl([table(tmp_path, ENGINE_HEAD, row)]).rows
    assert one.simulated is one.error_percent is None
    assert reason in one.unsupported


LORA = "lora_xA_then_B_with_DMA(tile {} rows; y {}-buffered)"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("gemm_ssr_frep_u8,8x8.8x8,fp32,4,9", "ran on 4 cores; this cluster has 8"),
        (f"{LORA.format(8, 'triple')},T8 d8 o8 r8,fp32,8+DMA,9", "no adapter program"),
        (f"{LORA.format(8, 'double')},T8 d8 o8 r8,fp8,8+DMA,9", "precision 'fp8'"),
        (f"{LORA.format(64, 'double')},T64 d4096 o8 r8,fp32,8+DMA,9", "lower the tile"),
        (f"{LORA.format(1, 'double')},T900000 d8 o8 r8,fp16,8+DMA,9", "tiles are not executed"),
        ("unheard of,8x8,fp32,8,9", "no equation"),
    ],
)
def test_a_kernel_that_cannot_be_answered_says_why(tmp_path: Path, row: str, reason: str) -> None:
    (one,) = compare_with_rtl([table(tmp_path, CORES_HEAD, row)]).rows
    assert one.simulated is one.error_percent is None
    assert reason in one.unsupported


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "is empty"),
        (["# only a comment"], "is empty"),
        ([ENGINE_HEAD], "no rows"),
        (["m,n,k", "1,2,3"], "column array_height, array_width, pipe_regs, op, cycles is missing"),
        (["kernel,shape", "gemm,8x8"], "column precision, cores, cycles is missing"),
        (["colour,size", "red,8"], "is missing"),
        ([ENGINE_HEAD, "4,12,3,8,8,gemm_with_Y,9,bit_exact"], "line 2: has 8 cells; 9 columns"),
        ([ENGINE_HEAD, "4,12,3,0,8,8,gemm_with_Y,9,bit_exact"], "line 2: m: found '0'"),
        ([ENGINE_HEAD, "4,12,3,-8,8,8,gemm_with_Y,9,bit_exact"], "line 2: m: found '-8'"),
        ([ENGINE_HEAD, "4,12,3,8,8.5,8,gemm_with_Y,9,bit_exact"], "line 2: n: found '8.5'"),
        ([ENGINE_HEAD, "4,12,3,8,8,lots,gemm_with_Y,9,bit_exact"], "line 2: k: found 'lots'"),
        ([ENGINE_HEAD, f"4,12,3,8,8,{'9' * 99},gemm_with_Y,9,bit_exact"], "line 2: k: found '999"),
        ([ENGINE_HEAD, "4,12,3,8,8,8,gemm_with_Y,0,bit_exact"], "line 2: cycles: found '0'"),
        ([ENGINE_HEAD, "4,12,3,8,8,8,gemm_with_Y,,bit_exact"], "line 2: cycles: found ''"),
        ([ENGINE_HEAD, "4,12,3,8,8,8,gemm_with_Y,9,fine"], "line 2: status: found 'fine'"),
        ([CORES_HEAD, "gemm_x,8x8.8x0,fp32,8,9"], "line 2: shape: found '8x8.8x0'"),
        ([CORES_HEAD, "gemm_x,8x8.8x8,fp32,8,nan"], "line 2: cycles: found 'nan'"),
        (["kernel,kernel", "a,b"], "'kernel' stands there twice"),
        ([CORES_HEAD + ",error_percent", "a,8x8.8x8,fp32,8,9,1"], "rename it"),
        ([CORES_HEAD, 'a,"8x8.8x8,fp32,8,9'], "is no CSV"),
    ],
)
def test_a_broken_table_is_refused_in_one_sentence(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(SpecError) as refused:
        compare_with_rtl([table(tmp_path, *lines)])
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"\xff\xfe\x00\x01")
    for wrong in (path, tmp_path, tmp_path / "nothing.csv"):
        with pytest.raises(SpecError, match=re.escape(str(wrong))):
            compare_with_rtl([wrong])


def test_a_machine_without_cluster_cannot_answer_for_one(tmp_path: Path) -> None:
    machine = tmp_path / "arch.yaml"
    text = (bundled_machine() / "arch.yaml").read_text()
    head, tail = text.split("\ncluster:\n")
    machine.write_text(f"{head}\ncluster: null\nlink:" + tail.partition("\nlink:")[2])
    cores = table(tmp_path, CORES_HEAD, "gemm_ssr_frep_u8,8x8.8x8,fp32,8,9")
    with pytest.raises(UnsupportedError, match="no cluster"):
        compare_with_rtl([cores], str(machine))
    with pytest.raises(InputError, match="not known"):
        compare_with_rtl([cores], "no_such_machine")


def bundled_machine() -> Path:
    return next(iter(bundled_tables())).parents[1]


def test_the_figure_shows_every_compared_row(comparison: Comparison, tmp_path: Path) -> None:
    points = comparison.points()
    drawn = rtl_points(points)
    assert drawn["family"].notna().all()
    assert len(drawn) == sum(one.error_percent is not None for one in comparison.rows)
    assert "other" not in set(drawn["family"])
    for name in ("a.png", "a.svg", "a.pdf"):
        save_rtl_figure(points.sample(50, random_state=1), tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("trust", DOCS / "generate_trust.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_on_trust_holds_what_is_computed(comparison: Comparison) -> None:
    """Run ``python docs/generate_trust.py`` where it does not."""
    module = generator()
    page = (DOCS / "trust.md").read_text(encoding="utf-8")
    again = refilled(page, module.tables(comparison, calibrated(comparison)))
    assert numbers(page) == numbers(again)
    assert (DOCS / "img" / "rtl.png").stat().st_size < 200_000


def numbers(page: str) -> list[str]:
    return re.findall(r"-?\d+(?:\.\d+)?", page)


def test_halves_are_halves_by_name_alone() -> None:
    names = [f"kernel,{m}x8.8x8,fp32,8" for m in range(1000)]
    assert 400 < sum(half_of(name) == "fitted" for name in names) < 600
    assert [half_of(name) for name in names] == [half_of(name) for name in names]
