"""Intervals cover nine of ten rows that they did not come from, and are not wide."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from hybridsim.certainty.residuals import FILE
from hybridsim.validation.certainty import Judged, calibrated, coverage, judged
from hybridsim.validation.rtl import Comparison, compare_with_rtl


@cache
def compared() -> Comparison:
    return compare_with_rtl()


@cache
def rows() -> tuple[Judged, ...]:
    return judged(compared(), calibrated(compared()))


def held_back(by: str) -> pd.DataFrame:
    table = coverage(rows(), by)
    return table[table["half"] == "held back"].set_index(by)


def test_the_committed_table_is_what_the_fitted_half_gives() -> None:
    """If models or rows changed: ``python docs/generate_trust.py`` writes it anew."""
    assert FILE.read_text(encoding="utf-8") == calibrated(compared()).to_json()


@pytest.mark.parametrize("group", ["all rows", "RedMulE 4x12", "RedMulE 4x8", "gemm", "lora"])
def test_nine_of_ten_held_back_rows_are_covered(group: str) -> None:
    """Whole adapter programs included, on which nothing was fitted."""
    assert held_back("group").loc[group, "covered_percent"] >= 90


@pytest.mark.parametrize("group", ["all rows", "RedMulE 4x12", "RedMulE 4x8", "dma"])
def test_intervals_are_no_wider_than_three_median_errors(group: str) -> None:
    """Where errors have no long tail; ``docs/trust.md`` tells the others."""
    told = held_back("group").loc[group]
    assert told["median_half_width_percent"] <= 3 * told["median_error_percent"]


@pytest.mark.parametrize("by", ["group", "regime"])
def test_nine_of_ten_are_covered_wherever_there_are_enough_rows(by: str) -> None:
    """From 19 rows on, of which a tenth is more than one."""
    table = held_back(by)
    enough = table[table["rows"] >= 19]
    assert len(enough) >= 5
    assert (enough["covered_percent"] >= 90).all(), enough


@pytest.mark.parametrize(
    ("regime", "times"), [("cores.bank conflicts", 5), ("adapter program", 4)]
)
def test_where_cores_meet_intervals_are_a_few_median_errors_wide(regime: str, times: int) -> None:
    """2.4 would be the least for normal errors, and three are aimed at."""
    told = held_back("regime").loc[regime]
    assert told["median_half_width_percent"] <= times * told["median_error_percent"]


def test_scores_are_as_large_as_errors_of_rows_that_no_constant_was_fitted_to() -> None:
    """One program again and again: its two constants for each format are fitted to the fitted
    half of its rows by least squares, and then tried on as many new measurements."""
    rows = [
        one
        for one in compared().rows
        if one.half == "fitted" and one.row.cells.get("kernel") == "gemm_packedSIMD_noSSR"
    ]
    shapes = [one.row.cells["shape"].split("x") for one in rows]
    blocks = [int(shape[-1]) * int(shape[0]) for shape in shapes]
    formats = np.array(
        [[one.row.cells["precision"] == name for name in ("fp32", "fp16")] for one in rows]
    )
    design = np.hstack([formats, formats * np.array(blocks)[:, None]]).astype(float)
    hat = design @ np.linalg.pinv(design)
    random, scores, plain, new = np.random.default_rng(0), [], [], []
    for _ in range(200):
        noise, again = random.normal(0, 1e6, (2, len(rows)))
        missed = np.rint(noise - hat @ noise).astype(int)
        measured = tuple(
            replace(one, measured=one.simulated + int(miss))
            for one, miss in zip(rows, missed, strict=True)
        )
        told = calibrated(Comparison(compared().columns, measured))
        scores += told.scores["cores.starts and ends"].tolist()
        plain += np.abs(missed).tolist()
        new += np.abs(again - hat @ noise).tolist()
    level = np.quantile(new, 0.9)
    assert 0.95 <= np.quantile(scores, 0.9) / level <= 1.15
    assert np.quantile(plain, 0.9) / level < 0.8


def test_programs_that_gave_all_their_rows_to_constants_say_nothing() -> None:
    rows = [one for one in compared().rows if "vadd_scalar" in one.row.cells.get("kernel", "")]
    assert rows
    assert not calibrated(Comparison(compared().columns, tuple(rows))).scores


def test_exact_models_have_no_width() -> None:
    for one in rows():
        if one.regime in ("engine.few tiles", "engine.long reduction", "dma.strided"):
            assert one.half_width_percent == 0


def test_adapter_programs_are_within_a_few_percent() -> None:
    widths = [one.half_width_percent for one in rows() if one.group == "lora"]
    assert max(widths) < 4
