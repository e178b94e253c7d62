"""Answers from the parts of shards, as of a sweep whose table nobody could hold."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hybridsim.errors import InputError
from hybridsim.sweeps import large
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.large import merge_large
from hybridsim.sweeps.run import SweepResult, run_shard, run_study

AXES: dict[str, Any] = {
    "tile.integration_time": ["64 ns", "128 ns", "256 ns"],
    "strategy.batch": [1, 4, 16, 128],
    "adapters.rank": [4, 8],
    "cluster.tcdm.size": ["8 KiB", "128 KiB"],
}


def shards(inputs: Inputs, folder: Path, count: int) -> list[Path]:
    found = []
    for number in range(1, count + 1):
        found.append(folder / f"shard{number}")
        run_shard(inputs, (number, count), found[-1])
    return found


def same_but_for_totals(one: SweepResult, other: SweepResult) -> None:
    """Compare all answers; shares are added up in another order."""
    mine, theirs = one.summary(), other.summary()
    assert mine.pop("total_effect_share") == {}
    theirs.pop("total_effect_share")
    for name, own in theirs.pop("variance_share").items():
        assert mine["variance_share"][name] == pytest.approx(own, abs=1e-9)
    mine.pop("variance_share")
    assert mine == theirs


@pytest.mark.parametrize("changes", [
    {},
    {"per": ["adapters.rank"], "constraints": ["overhead_percent <= 100"]},
    {"constraints": ["latency_ps <= 1 ps", "tcdm_bytes <= 64 KiB"]},
    {"objectives": {"adapters.rank": "maximise", "latency_ps": "minimise"}},
])  # fmt: skip
def test_the_answers_are_those_of_the_whole_table(
    studies, tmp_path: Path, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large, "MOST_KEPT", 5)  # looked through again and again
    inputs = studies.inputs(tokens=128, axes=AXES, **changes)
    parts = shards(inputs, tmp_path, 5)
    found = merge_large(inputs, parts, tmp_path / "out")
    same_but_for_totals(found, run_study(inputs))
    assert found.counts.with_result < found.counts.points == 48
    front = pd.read_csv(tmp_path / "out" / "answers_pareto.csv")
    assert len(front) == len(found.summary()["pareto"])


def test_shards_that_make_no_whole_are_refused(studies, tmp_path: Path) -> None:
    inputs, out = studies.inputs(), tmp_path / "out"
    first, second, third = shards(inputs, tmp_path, 3)
    for given, says in (
        ([first, third], r"4 of 12 points are missing before those of .*shard3"),
        ([first, second], "4 of 12 points are missing at the end"),
        ([first, second, second, third], r"4 of 12 points are there twice with those of .*shard2"),
    ):
        with pytest.raises(InputError, match=says):
            merge_large(inputs, given, out)
    run_shard(inputs, (1, 12), third)
    with pytest.raises(InputError, match=r"shard3 lacks points of its share"):
        merge_large(inputs, [first, second, third], out)
    with pytest.raises(InputError, match="is one of the shards"):
        merge_large(inputs, [first], first)
    assert not out.exists()


def test_the_command_tells_them(cli, studies, tmp_path: Path, monkeypatch) -> None:
    study, out = str(studies.write()), str(tmp_path / "out")
    folders = [str(tmp_path / str(number)) for number in (1, 2)]
    for number, folder in enumerate(folders, 1):
        cli("sweep", study, "--out", folder, "--shard", f"{number}/2")
    monkeypatch.setattr("hybridsim.cli.sweep.MOST_POINTS", 10)
    done = cli("sweep", "merge", out, *folders)
    assert done.exit_code == 0, done.stderr
    for text in ("12 points, 0 without a result", "Pareto front", "each axis alone"):
        assert text in done.stdout
    assert cli.json("sweep", "merge", out, *folders)["points"] == 12
    assert "are of a table" in cli.refused("sweep", "merge", out, *folders, "--csv")


def test_answers_can_be_had_without_a_table(cli, studies, tmp_path: Path) -> None:
    study, shard, out = str(studies.write()), str(tmp_path / "1"), tmp_path / "out"
    cli("sweep", study, "--out", shard, "--shard", "1/1")
    found = cli.json("sweep", "merge", str(out), shard, "--answers")
    assert (out / "answers.json").is_file()
    assert not (out / "sweep.parquet").exists()
    whole = cli.json("sweep", "merge", str(tmp_path / "whole"), shard)
    assert (found["pareto"], found["best"]) == (whole["pareto"], whole["best"])
