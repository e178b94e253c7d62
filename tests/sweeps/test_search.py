"""Searching: the front of a small study, going on, and what it refuses."""

from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="searching needs Optuna (extra 'search')")
pytest.importorskip("pyarrow", reason="recording needs pyarrow (extra 'sweep')")

from hybridsim.sweeps import run_study
from hybridsim.sweeps.search import search

AXES = {
    "tile.integration_time": ["128 ns", "512 ns"],
    "strategy.batch": {"from": 1, "to": 16, "step": 1},
    "adapters.rank": [4, 8],
    "strategy.unit": ["matrix_engine", "cores"],
}


def front(table) -> set[tuple[int, int]]:
    best = table[table["pareto"]]
    return set(zip(best["latency_ps"], best["tcdm_bytes"], strict=True))


def test_all_points_give_the_exhaustive_front(studies) -> None:
    inputs = studies.inputs()
    assert search(inputs, trials=12).table.equals(run_study(inputs).table)


@pytest.mark.slow
def test_a_third_of_the_points_give_most_of_the_exhaustive_front(studies) -> None:
    """Every point that is found is no better than the front, and most of the front is found."""
    inputs = studies.inputs(axes=AXES)
    whole = front(run_study(inputs).table)
    found = front(search(inputs, trials=len(inputs) // 3).table)
    assert len(found & whole) >= 0.6 * len(whole)
    for latency, memory in found:
        assert any(x <= latency and y <= memory for x, y in whole)


def test_each_case_is_searched(studies) -> None:
    inputs = studies.inputs(per=["tile.integration_time"])
    table = search(inputs, trials=3).table
    assert table["tile.integration_time_ps"].value_counts().tolist() == [3, 3]


def test_constraints_and_points_that_do_not_fit_are_no_obstacle(studies) -> None:
    inputs = studies.inputs(
        network="layer_512x128",
        tokens=128,
        axes={"strategy.batch": [4, 8, 16, 64, 128]},
        constraints=["tcdm_bytes <= 60 KiB"],
        objectives={"latency_ps": "minimise"},
    )
    table = search(inputs, trials=5).table
    assert table["feasible"].tolist() == [True, True, True, False, False]


def test_a_search_goes_on_where_it_ended(studies, tmp_path: Path) -> None:
    inputs = studies.inputs(axes=AXES)
    first = search(inputs, 5, tmp_path / "out")
    second = search(inputs, 9, tmp_path / "out")
    assert (first.recorded_before, second.recorded_before) == (0, 5)
    assert len(second.table) == 9
    known = set(map(tuple, first.table[["latency_ps", "tcdm_bytes"]].to_numpy()))
    assert known <= set(map(tuple, second.table[["latency_ps", "tcdm_bytes"]].to_numpy()))


@pytest.mark.parametrize("log", [None, "", '{"op_code": 0, "worker'])
def test_a_search_that_goes_on_finds_what_it_finds_in_one_go(
    studies, tmp_path: Path, log: str | None
) -> None:
    """Whatever became of the log of trials meanwhile; more trials than the sampler begins with."""
    inputs, out = studies.inputs(axes=AXES), tmp_path / "out"
    whole = search(inputs, 14, tmp_path / "whole").table
    for trials in (3, 12, 14):
        found = search(inputs, trials, out).table
        if log is not None:
            (out / "optuna.log").write_text(log)
    assert found.equals(whole)


def test_a_sweep_uses_what_a_search_recorded(studies, tmp_path: Path) -> None:
    inputs = studies.inputs()
    search(inputs, 5, tmp_path / "out")
    result = run_study(inputs, tmp_path / "out")
    assert result.recorded_before == 5
    assert result.table.equals(run_study(inputs).table)


def test_the_command_prints_the_front(cli, studies) -> None:
    done = cli("search", str(studies.write()), "--trials", "4")
    assert done.exit_code == 0
    assert "Pareto front" in done.stdout
    assert "variance" not in done.stdout  # a sample is no grid
    assert cli.json("search", str(studies.write()), "--trials", "4")["points"] == 4


def test_no_trials_are_refused(cli, studies) -> None:
    assert "--trials: found 0" in cli.refused("search", str(studies.write()), "--trials", "0")
