"""Axes: lists, ranges, geometric ranges and groups, and what they refuse."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.errors import SpecError
from hybridsim.sweeps.axes import Axis, expand_axes


def axis(given_: Any, name: str = "strategy.batch") -> Axis:
    return expand_axes({name: given_}, "study")[0]


@pytest.mark.parametrize(
    ("given_", "labels"),
    [
        ([8, 16, 32], ("8", "16", "32")),
        ({"from": 8, "to": 20, "step": 4}, ("8", "12", "16", "20")),
        ({"from": 8, "to": 21, "step": 4}, ("8", "12", "16", "20")),
        ({"from": 1, "to": 8, "factor": 2}, ("1", "2", "4", "8")),
        ({"from": 2, "to": 9, "factor": 1.5}, ("2", "3", "4", "7")),
        ({"from": 1, "to": 1000, "points": 4}, ("1", "10", "100", "1000")),
        ({"from": "0.5 us", "to": "1.5 us", "step": "0.25 us"},
         ("0.5 us", "0.75 us", "1 us", "1.25 us", "1.5 us")),
        ({"from": "128 ns", "to": "512 ns", "factor": 2}, ("128 ns", "256 ns", "512 ns")),
    ],
)  # fmt: skip
def test_values_are_in_the_order_of_the_file(given_: Any, labels: tuple[str, ...]) -> None:
    assert axis(given_).labels == labels


@given(first=st.integers(1, 50), count=st.integers(1, 40), step=st.integers(1, 9))
def test_a_range_of_whole_numbers_is_pythons(first: int, count: int, step: int) -> None:
    expected = range(first, first + count * step, step)
    found = axis({"from": first, "to": expected[-1], "step": step})
    assert found.numbers is not None
    assert found.numbers.tolist() == list(expected)


@pytest.mark.parametrize(
    ("values", "column", "numbers"),
    [
        (["128 ns", "1 us"], "tile.x_ps", [128_000, 1_000_000]),
        (["500 MHz", "1 GHz"], "tile.x_hz", [500_000_000, 1_000_000_000]),
        (["64 KiB", "1 B"], "tile.x_bytes", [65_536, 1]),
        (["256 bit"], "tile.x_bits", [256]),
        (["8 B/cycle"], "tile.x_bytes_per_cycle", [8]),
        (["3 cycles"], "tile.x_cycles", [3]),
        ([3, 4], "tile.x", [3, 4]),
    ],
)
def test_quantities_become_base_units_with_the_unit_in_the_column(
    values: list[Any], column: str, numbers: list[int]
) -> None:
    found = axis(values, "tile.x")
    assert found.column == column
    assert np.array_equal(found.numbers, numbers)


def test_text_and_mixed_values_stay_text() -> None:
    assert axis(["cores", "both"], "strategy.unit").numbers is None
    assert axis([None, 8]).labels == ("null", "8")


def test_a_group_sets_several_paths_at_once() -> None:
    found = axis({"small": {"tile.rows": 256, "tile.columns": 256}, "tall": {"tile.rows": 1024}})
    assert found.labels == ("small", "tall")
    assert found.paths == ("tile.rows", "tile.columns")


@pytest.mark.parametrize(
    ("axes", "says"),
    [
        ({"strategy.batch": []}, "has no values"),
        ({"strategy.batch": 8}, "write a list"),
        ({"strategy.batch": {}}, "write a list"),
        ({"strategy.batch": [8, 8]}, "value '8' is given twice"),
        ({"tile.x": ["1 us", "1000 ns"]}, "value '1000 ns' is given twice"),
        ({"strategy.batch": [[8]]}, "found a list"),
        ({"batch": [8]}, "'batch' is no path"),
        ({"token": [8]}, "did you mean 'tokens'"),
        ({"strategy.batch": {"from": 1, "to": 4}}, "the keys from, to;"),
        ({"strategy.batch": {"from": 1, "to": 4, "step": 1, "factor": 2}}, "one of step, factor"),
        ({"strategy.batch": {"from": 4, "to": 1, "step": 1}}, "rising order"),
        ({"strategy.batch": {"from": 1, "to": 4, "step": 0}}, "above 0"),
        ({"strategy.batch": {"from": 1, "to": 4, "step": 0.5}}, "whole numbers"),
        ({"strategy.batch": {"from": 1, "to": 4, "factor": 1}}, "above 1"),
        ({"strategy.batch": {"from": 1, "to": 4, "points": 1}}, "2 or more"),
        ({"strategy.batch": {"from": 1, "to": 10**9, "step": 1}}, "at most 1,000,000"),
        ({"tile.x": {"from": "1 ns", "to": "1 us", "step": "1 ns"}}, "in the same unit"),
        ({"tile.x": {"from": "x", "to": "1 us", "step": "1 ns"}}, "found 'x'"),
        ({"strategy.batch": [1], "g": {"a": {"strategy.batch": 2}}}, "sets already"),
        ({"g": {"a": {}}}, "write the settings"),
        ({"g": {"a": {"nothing": 2}}}, "no path"),
    ],
)
def test_an_axis_without_sense_is_refused(axes: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        expand_axes(axes, "study")
