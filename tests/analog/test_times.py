import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.analog import STANDARD_TIMES, format_time, parse_time
from hybridsim.analog.times import SECONDS, in_order


def test_the_standard_times_are_those_of_the_papers_code():
    seconds = [parse_time(t) for t in STANDARD_TIMES]
    assert seconds == [0, 3600, 86400, 2592000, 31536000, 315360000]


@given(st.integers(0, 900), st.sampled_from(sorted(SECONDS)))
def test_what_is_written_reads_back(number, unit):
    seconds = float(number * SECONDS[unit])
    assert parse_time(format_time(seconds)) == seconds


@pytest.mark.parametrize(
    "text", ["", "1", "y", "1 year", "-1y", "1e3s", "2000y", "1Y", "nan s", None, 5, "1ns"]
)
def test_anything_else_is_refused_in_one_sentence(text):
    with pytest.raises(ValueError, match=r"would do|as in '1y'"):
        parse_time(text)


def test_times_are_put_in_their_order():
    found = in_order(["digital", "0s", "10y", "1h", "1mo", "1h", "1y"])
    assert found == ["digital", "0s", "1h", "1mo", "1y", "10y"]
