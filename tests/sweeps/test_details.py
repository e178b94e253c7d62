"""Columns that are read off a whole result, also those that not every machine has."""

import pytest

from hybridsim import TokenParallel, load, simulate
from hybridsim.errors import InputError
from hybridsim.sweeps import columns, sweep
from hybridsim.sweeps.whole_runs import DETAILS, detail


def test_every_detailed_column_can_be_read() -> None:
    assert set(DETAILS) == set(columns.DETAILED)
    result = simulate(*load("layer_128x128", "ahwa_lora_2026"), TokenParallel(batch=8), 16)
    assert detail("bound", result) == result.bound


def test_what_a_machine_does_not_give_is_one_sentence(monkeypatch) -> None:
    monkeypatch.setitem(DETAILS, "bound", lambda result: None)
    result = simulate(*load("layer_128x128", "ahwa_lora_2026"), TokenParallel(batch=8), 16)
    with pytest.raises(InputError, match="bound: machine ahwa_lora_2026 does not give"):
        detail("bound", result)


def test_a_point_without_such_a_column_says_so(studies, monkeypatch) -> None:
    monkeypatch.setitem(DETAILS, "bound", lambda result: None)
    table = sweep(studies.write(keep=["latency_ps", "bound"], axes={"strategy.batch": [8]}))
    assert "leave bound out of the study" in table["problem"].iloc[0]


def test_the_command_says_why_points_have_no_result(cli, studies) -> None:
    axes = {"strategy.batch": [8, 128]}
    done = cli("sweep", str(studies.write(network="layer_512x128", tokens=128, axes=axes)))
    assert "1 times: does not fit the TCDM of a cluster" in done.stdout


def test_ends_of_intervals_are_columns_where_a_study_asks_for_them(studies) -> None:
    names = [end for ends in columns.INTERVALS.values() for end in ends]
    table = sweep(
        studies.write(
            keep=["latency_ps", "overhead_percent", *names], axes={"strategy.batch": [8, 16]}
        )
    )
    for name, (low, high) in columns.INTERVALS.items():
        assert (table[low] <= table[name]).all()
        assert (table[name] <= table[high]).all()
    assert (table["latency_low_ps"] < table["latency_high_ps"]).all()
