"""Shares from samples: against closed forms, and against whole grids."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hybridsim.errors import InputError
from hybridsim.sweeps.run import run_study
from hybridsim.sweeps.samples import Design, sample_study, shares_of
from hybridsim.sweeps.sensitivity import total_shares, variance_shares
from tests.sweeps.random_studies import NETWORKS, inputs_of

Reals = NDArray[np.float64]
ROWS = 4096


def ishigami(x: Reals) -> Reals:
    """sin x1 + 7 sin^2 x2 + 0.1 x3^4 sin x1 on (-pi, pi)^3; Ishigami and Homma, 1990."""
    x = np.pi * (2 * x - 1)
    found: Reals = np.sin(x[0]) + 7 * np.sin(x[1]) ** 2 + 0.1 * x[2] ** 4 * np.sin(x[0])
    return found


def ishigami_shares() -> tuple[list[float], list[float]]:
    first = 0.1 * np.pi**4 / 5 + 0.1**2 * np.pi**8 / 50 + 1 / 2
    second = 7**2 / 8
    both = 0.1**2 * np.pi**8 * (1 / 18 - 1 / 50)
    total = first + second + both
    return [first / total, second / total, 0.0], [
        (first + both) / total, second / total, both / total,
    ]  # fmt: skip


G = np.array([0.0, 1.0, 4.5, 9.0, 99.0])


def sobol_g(x: Reals) -> Reals:
    """prod (|4 x_i - 2| + a_i) / (1 + a_i); Sobol', 1993."""
    found: Reals = np.prod((np.abs(4 * x - 2) + G[:, None]) / (1 + G[:, None]), axis=0)
    return found


def sobol_g_shares() -> tuple[list[float], list[float]]:
    own = 1 / (3 * (1 + G) ** 2)
    total = np.prod(1 + own) - 1
    with_others = [own[i] * np.prod(np.delete(1 + own, i)) / total for i in range(len(G))]
    return (own / total).tolist(), with_others


def sampled(function: Callable[[Reals], Reals], axes: int, seed: int) -> tuple[Reals, Reals]:
    a, b = np.random.default_rng(seed).random((2, axes, ROWS))
    mixed = []
    for axis in range(axes):
        x = a.copy()
        x[axis] = b[axis]
        mixed.append(function(x))
    shares, error = shares_of(
        function(a)[:, None], function(b)[:, None], np.stack(mixed)[..., None]
    )
    return shares[..., 0], error[..., 0]


@pytest.mark.parametrize(
    ("function", "expected"),
    [(ishigami, ishigami_shares()), (sobol_g, sobol_g_shares())],
    ids=["ishigami", "sobol_g"],
)
def test_shares_are_those_of_closed_forms_as_often_as_their_intervals_say(
    function: Callable[[Reals], Reals], expected: tuple[list[float], list[float]]
) -> None:
    """Of 90 % intervals more than eight in ten hold the truth, and none is far from it."""
    truth = np.array(expected)
    hits = []
    for seed in range(6):
        found, error = sampled(function, truth.shape[1], seed)
        assert np.abs(found - truth).max() < 0.08
        assert error.max() < 0.06
        hits += (np.abs(found - truth) <= error + 1e-12).ravel().tolist()
    assert np.mean(hits) > 0.8


def test_what_does_not_vary_has_no_shares() -> None:
    found, error = shares_of(np.ones((9, 1)), np.ones((9, 1)), np.ones((2, 9, 1)))
    assert found.tolist() == error.tolist() == [[[0.0]] * 2] * 2


def test_a_sample_of_a_study_comes_to_what_its_grid_says(studies, tmp_path: Path) -> None:
    inputs = studies.inputs(axes={
        "tile.integration_time": {"from": "128 ns", "to": "640 ns", "step": "64 ns"},
        "strategy.batch": [1, 2, 4, 8, 16],
        "adapters.rank": [4, 8, 16, 32],
    })  # fmt: skip
    grid = run_study(inputs).table
    result = sample_study(inputs, 2000, tmp_path)
    own = result.sampled
    assert own is not None
    for shares, found, error in (
        (variance_shares(inputs, grid), own.alone, own.alone_error),
        (total_shares(inputs, grid), own.with_others, own.with_others_error),
    ):
        assert (np.abs(found - shares) <= 2 * error + 1e-9).all(axis=None)
    again = sample_study(inputs, 2000, tmp_path)
    assert again.recorded_before == len(result.table)
    assert again.summary() == result.summary()
    swept = run_study(inputs, tmp_path)  # finds what the sample has recorded
    assert swept.recorded_before == len(result.table)
    assert swept.table.equals(grid)


def test_points_of_a_sample_differ_in_one_axis(studies) -> None:
    inputs = studies.inputs()
    design = Design.of(inputs, 50, seed=1)
    a, b = (np.stack(inputs.coordinates(own)) for own in (design.a, design.b))
    for axis, own in enumerate(design.mixed):
        places = np.stack(inputs.coordinates(own))
        assert (places[axis] == b[axis]).all()
        assert (np.delete(places, axis, 0) == np.delete(a, axis, 0)).all()


def test_a_grid_of_any_size_is_sampled_without_a_list_of_its_points(tmp_path: Path) -> None:
    many = {"tile.integration_time": {"from": "1 ns", "to": "100000 ns", "step": "1 ns"},
            "link.latency": [f"{n} cycles" for n in range(100)],
            "tokens": [*range(1, 101)]}  # fmt: skip
    inputs = inputs_of(
        NETWORKS["small_bert"], "one", {"kind": "all_analog"}, many, 5, ["latency_ps"]
    )
    assert len(inputs) == 10**9
    inputs.keys(np.array([0]))  # hashes of all values of all axes
    tracemalloc.start()
    result = sample_study(inputs, 16, tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    tracemalloc.stop()
    assert result.sampled is not None
    assert result.sampled.alone.index.tolist() == [*many]


def test_a_row_without_a_result_is_left_out_and_told(studies) -> None:
    axes = {"cluster.tcdm.size": ["1 KiB", "128 KiB"], "adapters.rank": [4, 8], "tokens": [8, 16]}
    result = sample_study(studies.inputs(tokens=None, axes=axes), 64)
    own = result.sampled
    assert own is not None
    assert 8 <= own.complete < own.rows == 64
    assert result.summary()["sample"] == {"rows": 64, "complete": own.complete, "grid": 8}


@pytest.mark.parametrize("rows", [0, 7, 10**9])
def test_too_few_rows_and_too_many_are_refused(studies, rows: int) -> None:
    with pytest.raises(InputError, match=f"--sample: found {rows} rows; 8 to"):
        sample_study(studies.inputs(), rows)


def test_the_command_tells_shares_with_their_errors(cli, studies, tmp_path: Path) -> None:
    study, out = str(studies.write()), str(tmp_path / "out")
    done = cli("sweep", study, "--sample", "64", "--out", out)
    assert done.exit_code == 0, done.stderr
    assert "alone / with others, with half of the 90 % interval" in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 80
    told = cli.json("sweep", study, "--sample", "64", "--executor", "processes:1")
    assert told["sample"] == {"rows": 64, "complete": 64, "grid": 12}
    assert set(told["total_effect_share_error"]["latency_ps"]) == set(
        told["variance_share"]["latency_ps"]
    )
    assert "are for whole sweeps" in cli.refused("sweep", study, "--sample", "8", "--shard", "1/2")
    assert not {"sample.parquet", "sample.json"} - {p.name for p in Path(out).iterdir()}
