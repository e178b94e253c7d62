"""Intervals cover nine of ten rows that they did not come from, and are not wide."""

from functools import cache

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


def test_no_regime_misses_more_than_its_few_rows_explain() -> None:
    """At most two rows more than a tenth of a regime, or a twentieth of them."""
    for name, told in held_back("regime").iterrows():
        missed = told["rows"] * (1 - told["covered_percent"] / 100)
        assert missed <= 0.1 * told["rows"] + max(2, 0.05 * told["rows"]), name


def test_exact_models_have_no_width() -> None:
    for one in rows():
        if one.regime in ("engine.few tiles", "engine.long reduction", "dma.strided"):
            assert one.half_width_percent == 0


def test_adapter_programs_are_within_a_few_percent() -> None:
    widths = [one.half_width_percent for one in rows() if one.group == "lora"]
    assert max(widths) < 5
