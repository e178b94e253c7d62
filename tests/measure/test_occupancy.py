import numpy as np
import pandas as pd
import pytest

from hybridsim import load
from hybridsim.measure.occupancy import POOL, tcdm_buffers, tcdm_occupancy
from hybridsim.simulation import Run, execute
from hybridsim.strategies import ADAPTER_STRATEGIES, make_strategy

TOKENS = 97
"""Odd, so that the last batch is smaller than the others."""


def run_of(network: str, strategy: str, machine: str = "ahwa_lora_2026", **options) -> Run:
    return execute(*load(network, machine), make_strategy(strategy, options), TOKENS)


def naive_level(buffers: pd.DataFrame, cluster: str, now: int) -> int:
    """The definition, buffer by buffer."""
    return sum(
        row.bytes
        for row in buffers.itertuples()
        if row.cluster == cluster and row.from_ps <= now < row.until_ps
    )


OPTIONS = [
    ("layer_512x128", "token_parallel", {}),
    ("layer_512x128", "token_parallel", {"unit": "cores"}),
    ("layer_512x128", "token_parallel", {"unit": "both"}),
    ("layer_512x128", "early_xa", {"unit": "balanced"}),
    ("layer_512x128", "token_parallel", {"first_batch": 4, "last_batch": 2, "batch": 16}),
    ("layer_128x128", "separate_add", {"early_xa": True}),
    ("layer_128x128", "separate_add", {"unit": "cores"}),
    ("layer_512x128", "swapped", {}),
    ("layer_512x128", "layer_serial", {}),
    ("bert_base", "token_parallel", {"batch": 8}),  # wider than a tile: slice by slice
    ("minilm_l6", "cross_layer", {}),
    ("minilm_l6", "cross_layer", {"prefetch_weights": True}),
]


@pytest.mark.parametrize(("network", "strategy", "options"), OPTIONS)
def test_a_scratchpad_never_holds_more_than_was_reserved(
    network: str, strategy: str, options: dict[str, object]
) -> None:
    run = run_of(network, strategy, **options)
    table, size = tcdm_occupancy(run), run.job.machine.cluster.tcdm.size
    together = strategy == "cross_layer"  # layers that run at once reserve side by side
    assert 0 < table["bytes"].max() <= (size if together else run.result.tcdm_bytes)
    assert (table["bytes"] >= 0).all()
    assert table["bytes"].iloc[-1] == 0


@pytest.mark.parametrize("strategy", ["token_parallel", "separate_add"])
def test_a_pipeline_fills_all_that_it_reserves(strategy: str) -> None:
    """The cluster is slower than the tile here, so both buffers of each batch fill up."""
    run = run_of("layer_512x128", strategy, batch=16)
    assert tcdm_occupancy(run)["bytes"].max() == run.result.tcdm_bytes


def test_steps_are_the_sum_of_the_buffers() -> None:
    run = run_of("layer_512x128", "separate_add")
    buffers, table = tcdm_buffers(run), tcdm_occupancy(run)
    assert set(buffers["buffer"]) == {"a", "b", "x", "u", "y", "v"}
    instants = np.unique(np.concatenate((buffers["from_ps"], buffers["until_ps"])))
    for now in instants:
        told = table[table["time_ps"] <= now]["bytes"].iloc[-1]
        assert told == naive_level(buffers, "cluster0", now)
    assert set(table["time_ps"]) <= {0, *instants}


def test_bytes_are_those_of_the_operands() -> None:
    """97 tokens at 32 per batch: X of 512, U of 8 and Y of 128 numbers per token, 2 B each."""
    run = run_of("layer_512x128", "token_parallel", batch=32)
    sizes = tcdm_buffers(run).groupby("buffer")["bytes"].agg(list)
    assert sizes["a"] == [512 * 8 * 2]
    assert sizes["b"] == [8 * 128 * 2]
    assert sizes["x"] == [32 * 1024] * 3 + [1024]
    # the engine is 8 rows high: 32 for 32 tokens, 8 for one
    assert sizes["u"] == [32 * 16] * 3 + [8 * 16]
    assert sizes["y"] == [32 * 256] * 3 + [8 * 256]


def test_each_cluster_has_rows_of_its_own() -> None:
    network, machine = load("layer_512x128", "ahwa_lora_2026", {"cluster.count": 3})
    run = execute(network, machine, make_strategy("multi_cluster", {"batch": 8}), TOKENS)
    table = tcdm_occupancy(run)
    assert sorted(table["cluster"].unique()) == ["cluster0", "cluster1", "cluster2"]
    assert (table.groupby("cluster")["bytes"].max() <= run.result.tcdm_bytes).all()
    assert (tcdm_buffers(run)["buffer"] == "a").sum() == 3


def test_a_pool_holds_what_its_tasks_hold() -> None:
    run = run_of("mobilebert", "xb_pipe", "harp_2026", batch=32)
    table, cluster = tcdm_occupancy(run), run.job.machine.cluster
    assert set(table["cluster"]) == {POOL}
    assert 0 < table["bytes"].max() <= cluster.total * cluster.tcdm.size
    assert table["bytes"].iloc[-1] == 0


def test_adapters_that_stay_are_there_all_the_time() -> None:
    machine = {"cluster.tcdm.size": "4 MiB"}
    network, machine = load("minilm_l6", "harp_2026", machine)
    strategy = make_strategy("xb_pipe", {"batch": 32, "keep_adapters": "network"})
    run = execute(network.with_adapters(rank=4), machine, strategy, TOKENS)
    kept = 2 * run.job.mapping.network.adapter_parameters * machine.cluster.total
    table = tcdm_occupancy(run)
    assert table["bytes"].iloc[:-1].min() >= kept
    assert tcdm_buffers(run).query("buffer == 'adapters'")["bytes"].tolist() == [kept]
    assert table["bytes"].max() <= run.job.machine.cluster.total * run.result.tcdm_bytes


def test_adapters_with_homes_stay_while_their_batchs_pass() -> None:
    network, machine = load("minilm_l6", "harp_2026")
    strategy = make_strategy("xb_pipe", {"batch": 8, "keep_adapters": "layer"})
    run = execute(network, machine, strategy, TOKENS)
    kept = tcdm_buffers(run).query("buffer == 'adapters'").set_index("op")
    homed = {layer.layer.name: layer for layer in run.schedule.layers if layer.homes}
    assert set(kept.index) == set(homed)
    for name, layer in homed.items():
        adapter = network.adapter(layer.layer.op)
        assert kept.loc[name, "bytes"] == layer.homes * 2 * adapter.parameters
        ends = [op.latency_ps for op in run.result.layers if op.name == name]
        stayed = kept.loc[name, "until_ps"] - kept.loc[name, "from_ps"]
        assert 0 < stayed <= ends[0]
    size = machine.cluster.tcdm.size * machine.cluster.total
    assert tcdm_occupancy(run)["bytes"].max() <= size


@pytest.mark.parametrize("strategy", sorted(ADAPTER_STRATEGIES))
def test_every_strategy_has_an_occupancy(strategy: str) -> None:
    table = tcdm_occupancy(run_of("layer_128x128", strategy))
    assert table.columns.tolist() == ["cluster", "time_ps", "bytes"]
    assert (table["time_ps"].diff().dropna() > 0).all()


def test_a_run_without_adapters_leaves_the_scratchpad_empty() -> None:
    assert tcdm_occupancy(run_of("layer_128x128", "all_analog"))["bytes"].tolist() == [0]
