"""Why a run took as long: shares that add up, and gains that running again confirms."""

import shlex

import pytest
from typer.testing import CliRunner

import hybridsim
from hybridsim import InputError, Result, explain, make_strategy, simulate
from hybridsim.cli import app
from hybridsim.explanation import MOST_HELPFUL, changed_machine, changes_of


def run(network: str, machine: str, strategy: str = "token_parallel", **options: object) -> Result:
    net, parts = hybridsim.load(network, machine)
    return simulate(net, parts, make_strategy(strategy, options), 64)


CASES = [
    ("layer_512x128", "ahwa_lora_2026:128ns", "token_parallel"),
    ("layer_128x128", "ahwa_lora_2026:512ns", "separate_add"),
    ("minilm_l6", "ahwa_lora_2026", "cross_layer"),
    ("layer_512x128", "harp_2026", "multi_cluster"),
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(case).replace(":", "_"))
def found(request: pytest.FixtureRequest) -> hybridsim.Explanation:
    return explain(run(*request.param))


def test_the_critical_path_fills_the_run(found: hybridsim.Explanation) -> None:
    assert found.path["time_ps"].sum() == found.result.latency_ps
    assert found.path["share"].sum() == pytest.approx(1)
    assert found.path["time_ps"].is_monotonic_decreasing


def test_every_layer_is_of_one_kind(found: hybridsim.Explanation) -> None:
    assert found.kinds["layers"].sum() == len(found.result.layers)
    assert found.kinds["share"].sum() == pytest.approx(1)


def test_each_part_is_busy_or_idle_for_one_reason(found: hybridsim.Explanation) -> None:
    shares = found.stalls[["busy", "waiting", "blocked", "starved", "finished"]]
    assert shares.sum(axis=1).to_list() == pytest.approx([1] * len(shares))


def test_a_predicted_gain_is_that_of_running_again(found: hybridsim.Explanation) -> None:
    """Each change as it is printed, given to the command line."""
    inputs = found.result.inputs
    network = hybridsim.Network.model_validate(inputs["network"])
    machine = hybridsim.Machine.model_validate(inputs["machine"])
    for change in changes_of(machine):
        rows = found.changes[found.changes["change"] == change.name]
        if rows.empty:
            continue
        options = {k: v for k, v in inputs["strategy"].items() if k != "kind"}
        strategy = make_strategy(inputs["strategy"]["kind"], options | dict(change.options))
        again = simulate(network, changed_machine(machine, change), strategy, 64)
        row = rows.iloc[0]
        assert row["latency_ps"] == again.latency_ps
        gain = (1 - again.latency_ps / found.result.latency_ps) * 100
        assert row["gain_percent"] == pytest.approx(gain)
    assert len(found.changes) >= 8


def test_the_most_helpful_changes_come_first(found: hybridsim.Explanation) -> None:
    best = found.best_changes
    assert 1 <= len(best) <= MOST_HELPFUL
    assert found.changes["latency_ps"].is_monotonic_increasing
    assert (best["gain_percent"] > 0).all()
    assert best["change"].to_list() == found.changes["change"].head(len(best)).to_list()


def test_the_arguments_of_a_change_work_on_the_command_line() -> None:
    found = explain(run("layer_512x128", "ahwa_lora_2026"))
    for row in found.best_changes.to_dict("records"):
        line = f"run layer_512x128 ahwa_lora_2026 --tokens 64 --json {row['arguments']}"
        done = CliRunner().invoke(app, shlex.split(line), catch_exceptions=False)
        assert done.exit_code == 0, done.stderr
        assert Result.from_json(done.stdout).latency_ps == row["latency_ps"]


def test_where_the_engine_is_slowest_a_faster_cluster_helps_most() -> None:
    found = explain(run("layer_512x128", "ahwa_lora_2026:128ns"))
    assert found.path.iloc[0]["on"] == "matrix_engine"
    assert "cluster clock x 2" in found.best_changes["change"].to_list()


def test_where_the_tile_is_slowest_a_faster_tile_helps_most() -> None:
    found = explain(run("layer_128x128", "ahwa_lora_2026:512ns", "separate_add"))
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
    assert found.best_changes["change"].to_list() == ["integration time / 2"]


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
    assert len(changed) == 11
