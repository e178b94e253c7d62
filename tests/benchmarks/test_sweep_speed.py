"""Points per second of sweeps, and what workers add; run with ``pytest -m benchmark``.

Every benchmark says its points in ``extra_info``; points per second are those over the mean.
``-s`` shows what layers reach as they go; all of them take less than a minute on a quiet core.
"""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import hybridsim
from hybridsim import make_strategy
from hybridsim.mapping import place
from hybridsim.sweeps.chunks import evaluate_all
from hybridsim.sweeps.evaluate import work_on
from hybridsim.sweeps.executors import open_executor
from hybridsim.sweeps.inputs import Inputs, read_inputs
from hybridsim.sweeps.layer_points import LayerPointsOf, Together
from hybridsim.sweeps.left import Listed
from hybridsim.sweeps.plan_points import PlanPoints
from hybridsim.sweeps.study import read_study

pytestmark = pytest.mark.benchmark(disable_gc=True)

GRID: dict[str, list[int]] = {
    "cluster.clock.frequency": [333_000_000, 500_000_000, 800_000_000, 10**9],
    "cluster.dma.bytes_per_cycle": [8, 16, 64],
    "link.width": [8, 64],
    "cluster.tcdm.size": [64 << 10, 128 << 10],
    "adapters.rank": [2, 4, 8, 16],
    "strategy.batch": [1, 4, 8, 12, 16, 24, 32, 64],
    "tokens": [128, 200, 320],
    "tile.integration_time": np.linspace(64_000, 512_000, 35).astype(int).tolist(),
}
"""161,280 points of one layer."""


def random_shapes(points: int) -> dict[str, Any]:
    """Points of which hardly two share a cost."""
    rng = np.random.default_rng(1)
    ranges = {
        "layer.in_features": (16, 1025),
        "layer.out_features": (16, 513),
        "adapters.rank": (1, 17),
        "strategy.batch": (1, 65),
        "tokens": (64, 1025),
    }
    columns = {name: rng.integers(*span, points) for name, span in ranges.items()}
    return columns | {"tile.integration_time": rng.integers(64, 513, points) * 1000}


OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "token_parallel": ("token_parallel", {}),
    "early_xa": ("early_xa", {}),
    "two clusters": ("early_xa", {"clusters": 2}),
    "separate_add": ("separate_add", {}),
    "cores": ("token_parallel", {"unit": "cores"}),
    "either": ("split_cores", {}),
    "both": ("token_parallel", {"unit": "both"}),
    "balanced": ("token_parallel", {"unit": "balanced"}),
    "ramps": ("early_xa", {"first_batch": 2, "last_batch": 4}),
    "layer_serial": ("layer_serial", {}),
    "open batch": ("token_parallel", {}),
    "open batch, either, ramp": ("early_xa", {"unit": "either", "last_batch": 4}),
}
"""The batch is a column unless it is left open."""
SLOW_ON_RANDOM_SHAPES = {
    "both", "balanced", "two clusters", "open batch", "open batch, either, ramp",
}  # fmt: skip
"""A tenth of the points: each of their shares of rows or batches is tried, or they share few
states."""


@pytest.mark.benchmark(group="one layer, one core", timer=time.process_time)
@pytest.mark.parametrize("kind", ["grid", "random shapes"])
@pytest.mark.parametrize("name", [*OPTIONS])
def test_layers(benchmark: Any, name: str, kind: str) -> None:
    """The aim is 1,000,000 points per second on grids and 300,000 on random shapes.

    ``extra_info`` has them, and how they are to the aim; the first time as well as the second.
    """
    network, machine = hybridsim.load(
        "layer_512x128", "ahwa_lora_2026", {"tile.count": "as_needed", "cluster.count": 2}
    )
    if kind == "grid":
        axes = np.meshgrid(*GRID.values(), indexing="ij")
        columns = {name: axis.ravel() for name, axis in zip(GRID, axes, strict=True)}
    else:
        columns = random_shapes(6_000 if name in SLOW_ON_RANDOM_SHAPES else 60_000)
    strategy, options = OPTIONS[name]
    if "open" in name:
        del columns["strategy.batch"]
    points = len(columns["tokens"])
    own = LayerPointsOf(place(network, machine), make_strategy(strategy, options), 128)

    def run() -> int:
        found = 0
        for first in range(0, points, 65_536):
            part = {n: c[first : first + 65_536] for n, c in columns.items()}
            (own_points,) = Together([own], [part], [min(65_536, points - first)]).evaluate()
            found += int((~own_points.unfit).sum())
        return found

    start = time.process_time()
    run()
    cold = points / (time.process_time() - start)
    assert benchmark.pedantic(run, rounds=1) > 0.5 * points
    warm, aim = points / benchmark.stats["mean"], 1e6 if kind == "grid" else 3e5
    benchmark.extra_info["points"] = points
    benchmark.extra_info["points per second"] = {"cold": round(cold), "warm": round(warm)}
    benchmark.extra_info["to the aim"] = round(warm / aim, 2)
    print(f"{name}, {kind}: {cold / 1e3:,.0f} k/s cold, {warm / 1e3:,.0f} k/s warm, "
          f"{warm / aim:.2f} of the aim")  # fmt: skip


@pytest.mark.benchmark(group="whole MobileBERT with adapters, one core", timer=time.process_time)
@pytest.mark.parametrize("spread", ["orders hold", "orders do not hold"])
@pytest.mark.parametrize("name", ["xb_pipe", "token_parallel"])
def test_whole_networks(benchmark: Any, name: str, spread: str) -> None:
    """The aim is 1,000 points per second where orders hold, and 200 where they do not."""
    network, machine = hybridsim.load("mobilebert", "ahwa_lora_2026")
    points, rng = 2_000, np.random.default_rng(0)
    wide = spread != "orders hold"
    columns = {
        "tile.integration_time": rng.integers(64, 512, points) * 1000 if wide
        else rng.integers(250, 260, points) * 1000,
        "cluster.dma.bytes_per_cycle": rng.choice([8, 16, 32, 64], points) if wide
        else np.full(points, 64),
        "link.width": rng.choice([8, 16, 32, 64], points) if wide else np.full(points, 64),
    }  # fmt: skip
    own = PlanPoints(place(network, machine), make_strategy(name, {"batch": 8}), 128)
    benchmark.extra_info["points"] = points
    found = benchmark.pedantic(own.evaluate, (columns, points), rounds=1, warmup_rounds=1)
    assert found.latency_ps.min() > 0


def study(folder: Path, **changes: Any) -> Inputs:
    """A study whose points take some milliseconds each on the compiled engine."""
    content = {
        "name": "speed",
        "machine": "ahwa_lora_2026",
        "network": "minilm_l6",
        "axes": {
            "strategy.batch": [4, 8],
            "adapters.rank": [4, 8],
            "tile.integration_time": {"from": "64 ns", "to": "512 ns", "points": 100},
        },
        "objectives": {"latency_ps": "minimise"},
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(content | changes, sort_keys=False), encoding="utf-8")
    return read_inputs(read_study(path), str(path))


@pytest.mark.benchmark(group="workers")
@pytest.mark.parametrize("executor", ["processes:1", "processes:2", "dask:2"])
def test_workers(benchmark: Any, executor: str, tmp_path: Path) -> None:
    """The same points with one and two workers; start and warm-up of workers do not count."""
    if executor.startswith("dask"):
        pytest.importorskip("distributed", reason="needs Dask (extra 'dask')")
    inputs = study(tmp_path)
    benchmark.extra_info["points"] = len(inputs)
    benchmark.extra_info["cores"] = os.cpu_count()
    everything = np.arange(len(inputs), dtype=np.int64)
    with open_executor(executor) as (pool, workers):

        def run() -> bool:
            return evaluate_all(
                work_on(inputs), Listed(everything), pool, workers, lambda *_: None, lambda: False
            )

        assert benchmark.pedantic(run, rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(group="HARP's chunk search, ten pairs, 11 chunks each")
def test_chunk_search(benchmark: Any) -> None:
    """The target is 60 s on two cores, start of the processes included."""
    inputs = read_inputs(read_study(Path("reports/harp_chunks")), "harp_chunks")
    benchmark.extra_info["points"] = len(inputs)

    def run() -> int:
        return len(hybridsim.sweep("reports/harp_chunks", executor="processes:2"))

    assert benchmark.pedantic(run, rounds=1) == 110
