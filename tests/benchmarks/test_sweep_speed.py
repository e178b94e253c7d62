"""Points per second of sweeps, and what workers add; run with ``pytest -m benchmark``.

Every benchmark says its points in ``extra_info``; points per second are those over the mean.
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
from hybridsim.sweeps.layer_points import LayerPointsOf
from hybridsim.sweeps.plan_points import PlanPoints
from hybridsim.sweeps.study import read_study

pytestmark = pytest.mark.benchmark(disable_gc=True)

GRID: dict[str, list[int]] = {
    "cluster.clock.frequency": [333_000_000, 500_000_000, 800_000_000, 10**9],
    "cluster.matrix_engine.array_width": [4, 8, 12],
    "cluster.dma.bytes_per_cycle": [8, 16, 32, 64],
    "cluster.tcdm.size": [32 << 10, 64 << 10, 128 << 10, 256 << 10],
    "adapters.rank": [2, 4, 8, 16, 32, 64],
    "strategy.batch": [1, 2, 4, 6, 8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 96, 128],
    "strategy.buffers": [1, 2],
    "tokens": [128, 200, 320, 512],
    "tile.integration_time": np.linspace(64_000, 512_000, 35).astype(int).tolist(),
}
"""5,160,960 points of one layer."""


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


OPTIONS: dict[str, dict[str, Any]] = {
    "token_parallel": {"batch": 8},
    "early_xa": {"batch": 8, "clusters": 2},
    "separate_add": {"batch": 8},
    "layer_serial": {"batch": 8},
}


@pytest.mark.benchmark(group="one layer, one core", timer=time.process_time)
@pytest.mark.parametrize("kind", ["grid", "random shapes"])
@pytest.mark.parametrize("name", [*OPTIONS])
def test_layers(benchmark: Any, name: str, kind: str) -> None:
    """The aim is 1,000,000 points per second on grids and 300,000 on random shapes."""
    network, machine = hybridsim.load(
        "layer_512x128", "ahwa_lora_2026", {"tile.count": "as_needed", "cluster.count": 2}
    )
    if kind == "grid":
        axes = np.meshgrid(*GRID.values(), indexing="ij")
        columns = {name: axis.ravel() for name, axis in zip(GRID, axes, strict=True)}
    else:
        columns = random_shapes(300_000)
    points = len(columns["tokens"])
    own = LayerPointsOf(place(network, machine), make_strategy(name, OPTIONS[name]), 128)

    def run() -> int:
        return sum(
            int((~own.evaluate({n: c[first : first + 65_536] for n, c in columns.items()},
                               min(65_536, points - first)).unfit).sum())
            for first in range(0, points, 65_536)
        )  # fmt: skip

    benchmark.extra_info["points"] = points
    assert benchmark.pedantic(run, rounds=1, warmup_rounds=1) > 0.5 * points


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
                work_on(inputs), everything, pool, workers, lambda *_: None, lambda: False
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
