"""Request traces: what is read, and what is refused with file and line."""

import pytest

from hybridsim.errors import InputError, SpecError
from hybridsim.service import Request, Store, poisson_requests, read_requests, serve
from hybridsim.service.result import requests_frame


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


@pytest.mark.parametrize(
    ("rate", "count", "seed", "message"),
    [
        (1e-7, 1000, 0, "rate: found 1e-07 requests per second; 1000 of them would take more"),
        (1e-300, 1, 0, "rate: found 1e-300 requests per second; 1 of them would take more than"),
        (float("nan"), 1, 0, "rate: found nan"),
        (1, 10**14, 0, "count: found 100000000000000; write a whole number from 1 to 10000000"),
        (1, 0, 0, "count: found 0"),
        (1, 1, -1, "seed: found -1; write a whole number from 0"),
    ],
)
def test_random_requests_that_cannot_be_are_refused(rate, count, seed, message):
    with pytest.raises(InputError, match=message):
        poisson_requests(["a"], rate, count, 1, seed=seed)


def test_random_requests_may_take_months():
    """More picoseconds than a signed number of 64 bits holds."""
    found = poisson_requests(["a"], 1e-6, 14, 1, seed=2)
    arrivals = [request.arrival_ps for request in found]
    assert arrivals == sorted(arrivals)
    assert arrivals[-1] > 2**63
    served, _ = serve(found, Store(1, {"a": 1}, "lru"), lambda batch: 5, lambda task: 0)
    assert [one.latency_ps for one in served] == [5] * 14
    assert requests_frame(served)["end_ps"].tolist() == [arrival + 5 for arrival in arrivals]
