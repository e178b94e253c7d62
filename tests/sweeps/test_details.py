"""Columns that are read off a whole result, also those that not every machine has."""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from hybridsim import TokenParallel, load, simulate
from hybridsim.errors import InputError
from hybridsim.sweeps import columns, run_study, sweep
from hybridsim.sweeps.whole_runs import DETAILS, WholeRuns, detail


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
            keep=[*columns.INTERVALS, *names, "latency_width_ps"],
            axes={"strategy.batch": [8, 16]},
        )
    )
    for name, (low, high) in columns.INTERVALS.items():
        assert (table[low] <= table[name]).all()
        assert (table[name] <= table[high]).all()
    assert (table["latency_width_ps"] > 0).all()
    assert table["latency_width_ps"].equals(table["latency_high_ps"] - table["latency_low_ps"])


def test_energies_and_areas_of_a_study_are_those_of_a_run(studies) -> None:
    names = ["energy_pj", "area_mm2", "occupancy", "throughput_tokens_per_s", "edp_js"]
    table = sweep(
        studies.write(keep=names, constraints=["energy_pj < 1 J"], axes={"strategy.batch": [8]})
    )
    result = simulate(*load("layer_128x128", "ahwa_lora_2026"), TokenParallel(batch=8), 16)
    assert result.energy is not None
    assert result.area is not None
    told = (
        result.energy.total_pj, result.area.total_um2 / 1e6, result.occupancy,
        result.throughput_tokens_per_s, pytest.approx(result.energy.edp_js),
    )  # fmt: skip
    assert tuple(table.loc[0, names]) == told
    assert table["feasible"].all()


def test_a_machine_without_energies_says_what_is_missing(studies) -> None:
    inputs = studies.inputs(keep=["energy_pj"], axes={"strategy.batch": [8]})
    poor = inputs.machines["ahwa_lora_2026"].model_copy(update={"energy": None})
    inputs = replace(inputs, machines={"ahwa_lora_2026": poor})
    (said,) = run_study(inputs).table["problem"]
    assert said.startswith("energy_pj: machine ahwa_lora_2026 does not give")
    assert WholeRuns(inputs).evaluate(np.array([0]))["problem"] == [said]


class TestAccuracy:
    """Accuracy is read from what ``hybridsim adapt`` wrote, by the value of an axis."""

    AXES: ClassVar[dict[str, Any]] = {"adapters.rank": [4, 8]}
    GIVEN: ClassVar[dict[str, Any]] = {
        "results": "adapted", "after": "1y", "axis": "adapters.rank", "arms": {"4": "small"}
    }  # fmt: skip

    @pytest.fixture
    def results(self, tmp_path: Path) -> Path:
        table = tmp_path / "adapted" / "accuracy.csv"
        table.parent.mkdir()
        rows = "arm,time,accuracy_percent\nsmall,digital,90\nsmall,1y,81.5\nlarge,1y,83\n"
        table.write_text(rows, encoding="utf-8")
        return table

    def test_it_is_a_column_and_a_constraint(self, studies, results: Path) -> None:
        objectives = {"accuracy_percent": "maximise", "latency_ps": "minimise"}
        given = self.GIVEN | {"arms": {"4": "small", "8": "large"}}
        table = sweep(
            studies.write(
                axes=self.AXES, objectives=objectives, accuracy=given,
                constraints=["accuracy_percent >= 82 %"],
            )
        )  # fmt: skip
        assert table["accuracy_percent"].tolist() == [81.5, 83]
        assert table["feasible"].tolist() == [False, True]

    def test_a_value_without_an_arm_has_none(self, studies, results: Path) -> None:
        names = ["latency_ps", "accuracy_percent"]
        table = sweep(studies.write(axes=self.AXES, keep=names, accuracy=self.GIVEN))
        assert table["accuracy_percent"].isna().tolist() == [False, True]

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            (None, "key 'accuracy' is missing"),
            ({"axis": "adapters.alpha"}, "accuracy.axis: found 'adapters.alpha'"),
            ({"arms": {"5": "small"}}, "has no value '5'"),
            ({"arms": {"4": "tiny"}}, "has no arm 'tiny' at 1y; one of small, large would do"),
            ({"after": "2y"}, "has no row for 2y"),
            ({"results": "elsewhere"}, "does not exist"),
        ],
    )
    def test_what_makes_no_sense_is_one_sentence(
        self, cli, studies, results: Path, given: Any, says: str
    ) -> None:
        accuracy = None if given is None else self.GIVEN | given
        study = studies.write(axes=self.AXES, keep=["accuracy_percent"], accuracy=accuracy)
        assert says in cli.refused("sweep", str(study))
