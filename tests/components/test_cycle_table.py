"""Measured cycles by shape: exact look-up, and nothing made up in between."""

import csv
from pathlib import Path

import numpy as np
import pytest

from hybridsim.components.cycle_table import CycleTable, read_cores_table, read_engine_table
from hybridsim.components.snitch_rows import GEMM_NAMES
from hybridsim.errors import SpecError, UnsupportedError

CYCLES = Path(__file__).parents[2] / "arch_configs/ahwa_lora_2026/cycles"
HEAD = "array_height,array_width,pipe_regs,m,n,k,op,cycles,status"
ARRAY = (4, 12, 3, "gemm_with_Y")


@pytest.fixture(scope="module")
def engine() -> CycleTable:
    return read_engine_table(CYCLES / "redmule_gemm.csv")


@pytest.fixture(scope="module")
def cores() -> CycleTable:
    return read_cores_table(CYCLES / "snitch_kernels.csv")


def rows(name: str) -> list[dict[str, str]]:
    with (CYCLES / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def test_every_measured_job_is_found(engine: CycleTable) -> None:
    for row in rows("redmule_gemm.csv"):
        array = [int(row[name]) for name in ("array_height", "array_width", "pipe_regs")]
        key, shape = (*array, row["op"]), [int(row[name]) for name in "mnk"]
        if row["status"] == "bit_exact":
            assert engine.cycles(key, *shape) == float(row["cycles"])
        else:
            with pytest.raises(UnsupportedError, match=row["status"]):
                engine.cycles(key, *shape)


def test_every_measured_gemm_of_all_cores_is_found(cores: CycleTable) -> None:
    found = 0
    for row in rows("snitch_kernels.csv"):
        if row["kernel"] in GEMM_NAMES and row["cores"] == "8":
            left, right = row["shape"].split(".")
            (m, n), k = map(int, left.split("x")), int(right.split("x")[1])
            key = (GEMM_NAMES[row["kernel"]], row["precision"], 8)
            assert cores.cycles(key, m, n, k) == int(row["cycles"])
            found += 1
    assert found > 100


def test_arrays_of_shapes_give_arrays(engine: CycleTable) -> None:
    sizes = np.array([8, 16, 24])
    found = engine.cycles(ARRAY, sizes, sizes, sizes)
    assert found.dtype == np.int64
    assert found.tolist() == [125, 236, 484]
    assert type(engine.cycles(ARRAY, 8, 8, 8)) is int


def test_a_shape_in_between_names_its_neighbours(engine: CycleTable) -> None:
    with pytest.raises(UnsupportedError) as refused:
        engine.cycles(ARRAY, 97, 96, 96)
    assert "m=97 n=96 k=96 is not measured" in str(refused.value)
    assert "nearest: m=96 n=96 k=96," in str(refused.value)
    with pytest.raises(UnsupportedError, match="m=97"):
        engine.cycles(ARRAY, np.array([96, 97]), np.array([96, 96]), np.array([96, 96]))


def test_another_array_is_another_table(engine: CycleTable) -> None:
    with pytest.raises(
        UnsupportedError, match="nothing measured for array_height 4, array_width 13"
    ):
        engine.cycles((4, 13, 3, "gemm_with_Y"), 96, 96, 96)


def test_the_share_of_one_core_is_no_problem_of_its_own(cores: CycleTable) -> None:
    assert {key[2] for key in cores.measured} == {8}


def write(folder: Path, *lines: str) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["m,n,k", "8,8,8"],
            "array_height, array_width, pipe_regs, op, cycles, status is missing",
        ),
        ([HEAD], "no rows"),
        ([HEAD, "4,12,3,8,8,none,gemm_with_Y,9,bit_exact"], "line 2: k: found 'none'"),
        ([HEAD, "4,12,3,8,8,8,gemm_with_Y,,bit_exact"], "line 2: cycles: found ''"),
        (
            [HEAD, *(f"4,12,3,8,8,8,gemm_with_Y,{c},bit_exact" for c in (9, 10))],
            "line 3: cycles: found '10'; the same job is measured above with 9",
        ),
    ],
)
def test_a_broken_table_is_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        read_engine_table(write(tmp_path, *lines))
    assert message in str(refused.value)


def test_comments_and_blank_lines_are_skipped_and_lines_counted(tmp_path: Path) -> None:
    lines = ("# a table", HEAD, "", "# more", "4,12,3,8,8,x,gemm_with_Y,9,bit_exact")
    with pytest.raises(SpecError, match="line 5: k"):
        read_engine_table(write(tmp_path, *lines))


def test_an_odd_shape_of_a_kernel_is_refused(tmp_path: Path) -> None:
    lines = ("kernel,shape,precision,cores,cycles", "gemm_ssr_frep_u8,8 by 8,fp32,8,9")
    with pytest.raises(SpecError, match="line 2: shape: found '8 by 8'"):
        read_cores_table(write(tmp_path, *lines))


def test_a_table_of_kernels_has_all_its_columns(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="precision, cores, cycles is missing"):
        read_cores_table(write(tmp_path, "kernel,shape", "gemm_ssr_frep_u8,8x8.8x8"))
