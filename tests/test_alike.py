"""Rows of columns that agree, against a look at each pair of rows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.alike import alike, groups
from hybridsim.units import Ints


@st.composite
def columns(draw: st.DrawFn) -> list[Ints]:
    """Few and many rows, next to each other or not, of few values or of extreme ones."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows, most = draw(st.integers(0, 300)), draw(st.sampled_from([1, 2, 9, 2**62]))
    often = draw(st.sampled_from([1, 7]))
    count = draw(st.integers(1, 4))
    return [np.repeat(rng.integers(-most, most, rows), often)[:rows] for _ in range(count)]


@given(own=columns())
def test_rows_are_numbered_as_they_first_appear(own: list[Ints]) -> None:
    each = list(zip(*(column.tolist() for column in own), strict=True))
    first, which = alike(own, len(each))
    known = list(dict.fromkeys(each))
    assert [each[at] for at in first.tolist()] == known
    assert first.tolist() == [each.index(row) for row in known]
    assert [known[number] for number in which.tolist()] == each


@given(own=columns())
def test_groups_are_the_places_of_each_different_row(own: list[Ints]) -> None:
    each = list(zip(*(column.tolist() for column in own), strict=True))
    found = [at.tolist() for at in groups(own)]
    assert sorted(place for at in found for place in at) == list(range(len(each)))
    assert all(at == sorted(at) for at in found)
    assert [{each[place] for place in at} for at in found] == [
        {row} for row in dict.fromkeys(each)
    ]


def test_rows_without_columns_are_all_alike() -> None:
    first, which = alike([], 3)
    assert (first.tolist(), which.tolist()) == ([0], [0, 0, 0])
