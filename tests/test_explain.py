"""Why a run took as long: shares that add up, and gains that running again confirms."""

import shlex
from functools import cache

import pytest
import yaml
from typer.testing import CliRunner

import hybridsim
from hybridsim import Explanation, InputError, Result, explain, make_strategy, simulate
from hybridsim.cli import app
from hybridsim.explanation import MOST_HELPFUL, changed_machine, changes_of


def run(network: str, machine: str, strategy: str = "token_parallel") -> Result:
    fewer = {"cluster.count": 2} if machine.startswith("harp") else {}
    net, parts = hybridsim.load(network, machine, fewer)
    return simulate(net, parts, make_strategy(strategy), 64)


@cache
def explained(network: str, machine: str, strategy: str = "token_parallel") -> Explanation:
    return explain(run(network, machine, strategy))


CASES = [
    ("layer_512x128", "ahwa_lora_2026:128ns", "token_parallel"),
    ("layer_128x128", "ahwa_lora_2026:512ns", "separate_add"),
    # two clusters and a stream by default: below, in tests/cli and in tests/digest
    pytest.param(("minilm_l6", "ahwa_lora_2026", "cross_layer"), marks=pytest.mark.slow),
    pytest.param(("layer_512x128", "harp_2026", "multi_cluster"), marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(case).replace(":", "_"))
def found(request: pytest.FixtureRequest) -> Explanation:
    return explained(*request.param)


def test_the_critical_path_fills_the_run(found: Explanation) -> None:
    assert found.path["time_ps"].sum() == found.result.latency_ps
    assert found.path["share"].sum() == pytest.approx(1)
    assert found.path["time_ps"].is_monotonic_decreasing


def test_every_layer_is_of_one_kind(found: Explanation) -> None:
    assert found.kinds["layers"].sum() == len(found.result.layers)
    assert found.kinds["share"].sum() == pytest.approx(1)


def test_each_part_is_busy_or_idle_for_one_reason(found: Explanation) -> None:
    shares = found.stalls[["busy", "waiting", "blocked", "starved", "finished"]]
    assert shares.sum(axis=1).to_list() == pytest.approx([1] * len(shares))


def arguments_of(row: dict[str, object]) -> tuple[str, dict[str, str], dict[str, str]]:
    """Return the strategy, its options and the fields of the machine that a row asks for."""
    words = shlex.split(str(row["arguments"]))
    strategy, groups = "", {"strategy": {}, "machine": {}}
    for option, value in zip(words[::2], words[1::2], strict=True):
        if option == "--strategy":
            strategy = value
        else:
            path, _, text = value.partition("=")
            group = "strategy" if path.startswith("strategy.") else "machine"
            groups[group][path.removeprefix("strategy.")] = text
    return strategy, groups["strategy"], groups["machine"]


@pytest.mark.parametrize("table", ["free", "changes"])
def test_a_predicted_gain_is_that_of_running_again(found: Explanation, table: str) -> None:
    """Each row as it is printed, given to the command line; changes beside what is free."""
    network, machine = (found.result.inputs[name] for name in ("network", "machine"))
    net = hybridsim.Network.model_validate(network)
    before = found.result.latency_ps
    if table == "changes":
        before = min([before, *found.free["latency_ps"]])
    rows = getattr(found, table).to_dict("records")
    for row in rows[::3]:
        kind, options, fields = arguments_of(row)
        parts = hybridsim.Machine.model_validate(machine)
        if fields:
            (change,) = (c for c in changes_of(parts) if c.name == row["change"])
            parts = changed_machine(parts, change)
        given = {key: yaml.safe_load(value) for key, value in options.items()}
        if not kind:
            kind = found.result.strategy
            given = {k: v for k, v in found.result.inputs["strategy"].items() if k != "kind"}
        again = simulate(net, parts, make_strategy(kind, given), 64)
        assert row["latency_ps"] == again.latency_ps
        assert row["overhead_percent"] == pytest.approx(again.overhead_percent)
        assert row["gain_percent"] == pytest.approx((1 - again.latency_ps / before) * 100)
    assert len(found.changes) >= 8
    assert len(found.free) >= 8


def test_no_hardware_is_sold_that_a_free_setting_equals() -> None:
    """Two clusters of which one is used: a third is not what helps."""
    network, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026", {"cluster.count": 2})
    found = explain(simulate(network, machine, make_strategy("early_xa", {"clusters": 1}), 64))
    best = min(found.free["latency_ps"])
    assert best < found.result.latency_ps
    assert "one more cluster" not in found.best_changes["change"].to_list()
    assert (found.best_changes["latency_ps"] < best).all()
    clusters = found.free[found.free["change"] == "clusters=best"].iloc[0]
    assert clusters["latency_ps"] < found.result.latency_ps


def test_the_most_helpful_changes_come_first(found: Explanation) -> None:
    best = found.best_changes
    assert 1 <= len(best) <= MOST_HELPFUL
    assert found.changes["latency_ps"].is_monotonic_increasing
    assert (best["gain_percent"] > 0).all()
    assert best["change"].to_list() == found.changes["change"].head(len(best)).to_list()
    assert found.free["latency_ps"].is_monotonic_increasing


def test_the_arguments_of_a_change_work_on_the_command_line() -> None:
    found = explained("layer_512x128", "ahwa_lora_2026:128ns")
    for row in (*found.best_free.to_dict("records"), *found.best_changes.to_dict("records")):
        line = f"run layer_512x128 ahwa_lora_2026:128ns --tokens 64 --json {row['arguments']}"
        done = CliRunner().invoke(app, shlex.split(line), catch_exceptions=False)
        assert done.exit_code == 0, done.stderr
        assert Result.from_json(done.stdout).latency_ps == row["latency_ps"]


def test_where_the_engine_is_slowest_a_faster_cluster_helps_most() -> None:
    found = explained("layer_512x128", "ahwa_lora_2026:128ns")
    assert found.path.iloc[0]["on"] == "matrix_engine"
    assert "cluster clock x 2" in found.best_changes["change"].to_list()


def test_where_the_tile_is_slowest_a_faster_tile_helps_most() -> None:
    found = explained("layer_128x128", "ahwa_lora_2026:512ns", "separate_add")
    assert found.best_changes["change"].iloc[0] == "integration time / 2"


def test_a_result_that_its_inputs_do_not_give_is_refused() -> None:
    result = run("layer_128x128", "ahwa_lora_2026")
    other = result.model_copy(update={"latency_ps": result.latency_ps + 1})
    with pytest.raises(InputError, match="its inputs now give"):
        explain(other)
    with pytest.raises(InputError, match="carries no inputs"):
        explain(result.model_copy(update={"inputs": {}}))


def test_a_machine_without_clusters_can_be_explained() -> None:
    network, machine = hybridsim.load("layer_128x128", "ahwa_lora_2026", {"cluster": None})
    found = explain(simulate(network.without_adapters(), machine, tokens=64))
    helpful = {"integration time / 2", "one more copy of each layer"}
    assert set(found.best_changes["change"]) == helpful


def test_a_change_makes_a_part_twice_as_large() -> None:
    _, machine = hybridsim.load("layer_128x128", "ahwa_lora_2026")
    changed = {c.name: changed_machine(machine, c) for c in changes_of(machine)}
    parts = {
        "integration time / 2": lambda m: (
            4 * machine.tile.integration_time / m.tile.integration_time
        ),
        "output buffers x 2": lambda m: 2 * m.tile.output_buffers / machine.tile.output_buffers,
        "link width x 2": lambda m: 2 * m.link.width / machine.link.width,
        "cluster clock x 2": lambda m: 2 * m.cluster.clock.frequency / 500_000_000,
        "cores x 2": lambda m: 2 * m.cluster.cores.count / 8,
        "DMA width x 2": lambda m: 2 * m.cluster.dma.bytes_per_cycle / 64,
        "TCDM x 2": lambda m: 2 * m.cluster.tcdm.size / 2**17,
        "matrix engine twice as high": lambda m: 2 * m.cluster.matrix_engine.array_height / 4,
        "matrix engine twice as wide": lambda m: 2 * m.cluster.matrix_engine.array_width / 8,
    }
    for name, ratio in parts.items():
        expected = 8 if name == "integration time / 2" else 4
        assert ratio(changed[name]) == expected, name
    assert changed["one more link"].link.count == 2
    assert changed["one more cluster"].cluster.count == 2
    assert changed["one more copy of each layer"].mapping.copies == 2
    assert len(changed) == 12
