"""Request traces: what is read, and what is refused with file and line."""

import pytest

from hybridsim.errors import InputError, SpecError
from hybridsim.service import Request, poisson_requests, read_requests


def _read(tmp_path, text):
    file = tmp_path / "trace.csv"
    file.write_text(text)
    return read_requests(file)


def test_times_have_units_or_are_seconds(tmp_path):
    found = _read(tmp_path, "arrival,task,prompt,output\n0.5,qa,128,0\n750 ms,sst2,64,3\n")
    assert found == (Request(5 * 10**11, "qa", 128), Request(75 * 10**10, "sst2", 64, 3))


def test_output_may_be_missing(tmp_path):
    assert _read(tmp_path, "task,prompt,arrival\nqa,1,0\n")[0].output == 0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("-1,qa,1,0", "line 3: arrival: found '-1'; write a time"),
        ("1 h,qa,1,0", "line 3: arrival: found '1 h'; write a time"),
        ("5 ms,qa,1,0", "line 3: arrival: found '5 ms'; the line before arrives at 0.01 s; sort"),
        ("1,,1,0", "line 3: task: found ''; write a name"),
        ("1,qa,0,0", "line 3: prompt: found '0'; write a whole number from 1"),
        ("1,qa,1,-2", "line 3: output: found '-2'; write a whole number from 0"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(tmp_path, row, message):
    with pytest.raises(SpecError, match=message):
        _read(tmp_path, f"arrival,task,prompt,output\n10 ms,qa,1,0\n{row}\n")


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(SpecError, match="column prompt is missing"):
        _read(tmp_path, "arrival,task\n0,qa\n")


def test_random_requests_repeat_with_their_seed():
    one, two = (poisson_requests(["a", "b"], 10, 50, 8, seed=3) for _ in range(2))
    assert one == two
    assert {request.task for request in one} == {"a", "b"}


def test_random_requests_need_a_task_and_a_rate():
    with pytest.raises(InputError, match="found no task"):
        poisson_requests([], 1, 1, 1)
    with pytest.raises(InputError, match="rate: found 0"):
        poisson_requests(["a"], 0, 1, 1)
