"""Study files: what they may say, and what is refused before anything is computed."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridsim import TokenParallel, load, simulate
from hybridsim.sweeps import inputs as inputs_module
from hybridsim.sweeps.inputs import Resolver

LAYER = {"from": 1, "to": 4, "factor": 2}


def test_points_are_in_the_order_of_nested_loops(studies) -> None:
    inputs = studies.inputs()
    expected = product(["128 ns", "256 ns"], [1, 4, 16], [4, 8])
    for index, (time, batch, rank) in enumerate(expected):
        settings = inputs.settings(index)
        assert settings["tile.integration_time"] == time
        assert settings["strategy.batch"] == batch
        assert settings["adapters.rank"] == rank


def test_a_point_is_what_run_would_build(studies) -> None:
    inputs = studies.inputs()
    point = Resolver(inputs).point(9)  # 256 ns, batch 4, rank 8
    network, machine = load("layer_128x128", "ahwa_lora_2026", {"tile.integration_time": "256 ns"})
    assert point.machine == machine
    assert point.network == network
    assert point.strategy == TokenParallel(batch=4)
    assert simulate(point.network, point.machine, point.strategy, point.tokens).tokens == 16


def test_machine_network_tokens_and_strategy_can_be_axes(studies) -> None:
    inputs = studies.inputs(
        machine=None,
        network=None,
        tokens=None,
        axes={
            "machine": ["ahwa_lora_2026:128ns", "harp_2026"],
            "network": ["layer_128x128", "layer_512x128"],
            "tokens": [8, 16],
            "strategy": ["token_parallel", "layer_serial"],
        },
    )
    last = Resolver(inputs).point(len(inputs) - 1)
    assert (last.machine.name, last.network.name) == ("harp_2026", "layer_512x128")
    assert (last.tokens, last.strategy.kind) == (16, "layer_serial")


def test_files_beside_the_study_are_found(studies, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nsource: s\nsequence_length: 8\nadapters: {rank: 4}\n"
        "ops:\n  - {name: linear, kind: linear, in_features: 64, out_features: 64}\n"
    )
    inputs = studies.inputs(network="mine.yaml")
    assert Resolver(inputs).point(0).network.name == "mine"


class TestKeys:
    def test_all_points_have_different_keys(self, studies) -> None:
        inputs = studies.inputs()
        keys = inputs.keys(np.arange(len(inputs)))
        assert len(np.unique(keys, axis=0)) == len(inputs)

    def test_a_key_does_not_depend_on_how_the_study_is_written(self, studies) -> None:
        inputs = studies.inputs()
        axes = inputs.study.axes
        swapped = studies.inputs(axes={name: axes[name] for name in reversed(axes)})
        fixed = studies.inputs(
            set={"adapters.rank": 8},
            axes={name: axes[name] for name in axes if name != "adapters.rank"},
        )
        grouped = studies.inputs(
            axes={
                "both": {"x": {"strategy.batch": 16, "adapters.rank": 8}},
                "tile.integration_time": axes["tile.integration_time"],
            }
        )
        last = inputs.keys(np.array([11]))
        assert (swapped.keys(np.array([11])) == last).all()
        assert (fixed.keys(np.array([5])) == last).all()
        assert (grouped.keys(np.array([1])) == last).all()

    def test_an_axis_over_what_is_set_replaces_it(self, studies) -> None:
        with_tokens = studies.inputs(tokens=8, axes={"tokens": [16], "strategy.batch": [4]})
        without = studies.inputs(tokens=16, axes={"strategy.batch": [4]})
        assert (with_tokens.keys(np.array([0])) == without.keys(np.array([0]))).all()

    @pytest.mark.parametrize(
        "change",
        [
            {"tokens": 17},
            {"machine": "harp_2026"},
            {"network": "layer_512x128"},
            {"strategy": "layer_serial"},
            {"set": {"strategy.order": "swapped"}},
            {"keep": ["latency_ps", "tiles"]},
        ],
    )
    def test_other_inputs_have_other_keys(self, studies, change: dict[str, Any]) -> None:
        first = np.array([0])
        assert (studies.inputs().keys(first) != studies.inputs(**change).keys(first)).any()

    def test_another_model_has_other_keys(self, studies, monkeypatch) -> None:
        before = studies.inputs().keys(np.array([0]))
        monkeypatch.setattr(inputs_module, "model_version", lambda: "another")
        assert (studies.inputs().keys(np.array([0])) != before).any()


def test_only_statements_make_another_model() -> None:
    from hybridsim.sweeps.model_version import _statements

    plain = "def f(x):\n    return x + 1\n"
    told = (
        '"""Text."""\n\n\ndef f(x):\n    """More."""\n    # why\n    return (x\n            + 1)\n'
    )
    assert _statements(told) == _statements(plain)
    assert _statements(plain.replace("1", "2")) != _statements(plain)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "a b"}, "name"),
        ({"machine": "ahwa"}, "machine 'ahwa' is not known"),
        ({"machine": None}, "key 'machine' is missing"),
        ({"network": "mobilbert"}, "did you mean 'mobilebert'"),
        ({"strategy": "token_paralel"}, "did you mean 'token_parallel'"),
        ({"strategy": {"batch": 8}}, "key 'kind' is missing"),
        ({"tokens": 0}, "tokens"),
        ({"axes": {}}, "axes"),
        ({"axes": {"tile.colums": [1]}}, "did you mean 'columns'"),
        ({"axes": {"tile.integration_time": ["128 nF"]}}, "axes.tile.integration_time: 128 nF"),
        ({"axes": {"strategy.batch": [8, 0]}}, "axes.strategy.batch: 0"),
        ({"axes": {"adapters.rnk": [8]}}, "did you mean 'rank'"),
        ({"axes": {"tokens": ["many"]}}, "tokens: found 'many'"),
        ({"axes": {"latency_ps": {"a": {"tile.rows": 8}}}}, "has the name of a result"),
        ({"axes": {f"tile.{c}": LAYER | {"to": 10**6, "points": 1000, "factor": None}
                   for c in "ab"}}, "from, to and one of step"),
        ({"set": {"rank": 8}}, "'rank' is no path"),
        ({"set": {"strategy.batch": 8}}, "which the study sets already"),
        ({"objectives": {}}, "objectives"),
        ({"objectives": {"latency": "minimise"}}, "did you mean 'latency_ps'"),
        ({"objectives": {"latency_ps": "min"}}, "minimise"),
        ({"objectives": {"volume_mm3": "minimise"}}, "objective 'volume_mm3' is not known"),
        ({"constraints": ["overhead_percent"]}, "write a comparison"),
        ({"constraints": ["overhead <= 1"]}, "did you mean 'overhead_percent'"),
        ({"constraints": ["latency_ps <= 1 KiB"]}, "ns"),
        ({"constraints": ["tiles <= 1 KiB"]}, "a plain number"),
        ({"keep": ["latency"]}, "did you mean 'latency_ps'"),
        ({"per": ["rank"]}, "axis 'rank' is not known"),
        ({"axis": {}}, "did you mean 'axes'"),
    ],
)  # fmt: skip
def test_a_study_without_sense_is_refused_in_one_sentence(
    cli, studies, changes: dict[str, Any], says: str
) -> None:
    message = cli.refused("sweep", str(studies.write(**changes)))
    assert says in message


def test_too_many_points_are_refused(cli, studies) -> None:
    many = [{"from": 1, "to": 20_000, "step": 1} for _ in range(2)]
    path = studies.write(tokens=None, axes={"tokens": many[0], "strategy.batch": many[1]})
    assert "400,000,000 points" in cli.refused("sweep", str(path))
