"""How fast many points, long sequences and whole networks go: ``pytest -m benchmark``.

Time is that of the process, as the machine may be shared; the best of several rounds counts.
"""

import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

import hybridsim
from hybridsim import TokenParallel
from hybridsim.components.matrix_engine import MatrixEngine
from hybridsim.engines import engine, steady
from hybridsim.mapping import place
from hybridsim.schedulers import Job
from hybridsim.sweep.vectorised import evaluate

pytestmark = pytest.mark.benchmark(timer=time.process_time, disable_gc=True)

GRID = {
    "tile.integration_time": [
        k * 1_000 for k in (32, 64, 100, 128, 192, 256, 320, 384, 512, 1000)
    ],
    "cluster.clock.frequency": [k * 10**6 for k in (250, 400, 500, 750, 1000)],
    "cluster.matrix_engine.array_width": [4, 8, 12],
    "cluster.dma.bytes_per_cycle": [8, 32, 64],
    "link.width": [16, 64],
    "cluster.tcdm.size": [64 * 1024, 128 * 1024, 256 * 1024],
    "adapters.rank": [2, 4, 8, 16, 32, 64],
    "scheduler.batch": [1, 2, 4, 8, 12, 16, 32, 64],
    "tokens": [64, 128, 320, 512, 1000],
    "layer.in_features": [128, 256, 384, 512],
    "layer.out_features": [128, 512],
}
"""5,184,000 design points of one layer, most of them bound by the cluster."""


def grid(points: int | None = None) -> dict[str, Any]:
    shape = [len(values) for values in GRID.values()]
    chosen: Any = np.arange(np.prod(shape))
    if points is not None:
        chosen = np.random.default_rng(0).choice(chosen, points, replace=False)
    places = np.unravel_index(chosen, shape)
    return {path: np.array(v)[i] for (path, v), i in zip(GRID.items(), places, strict=True)}


def measure_points(benchmark: Any, columns: dict[str, Any], unit: Any, rounds: int) -> None:
    network, machine = hybridsim.load("layer_128x128", "ahwa_lora_2026")
    strategy = TokenParallel(batch=8, unit=unit)
    evaluate({path: c[:100] for path, c in columns.items()}, network, machine, strategy, 128)
    arguments = (columns, network, machine, strategy, 128)
    benchmark.pedantic(evaluate, arguments, rounds=rounds, warmup_rounds=1)
    if benchmark.stats:
        points = len(columns["tokens"])
        benchmark.extra_info["points_per_s"] = round(points / benchmark.stats.stats.min)


@pytest.mark.parametrize("unit", ["matrix_engine", "cores"])
def test_points_of_a_grid(benchmark: Any, unit: str) -> None:
    """In the order of the grid, as a sweep gives them; aim 5 M/s, least 1 M/s."""
    measure_points(benchmark, grid(), unit, rounds=3)


def test_points_of_a_grid_in_random_order(benchmark: Any) -> None:
    """The same points, a million of them shuffled: memory and branches are not predictable."""
    measure_points(benchmark, grid(1_000_000), "matrix_engine", rounds=3)


def test_points_off_the_grid(benchmark: Any) -> None:
    """Random shapes, so that hardly two points share a cost: the cost equations are the time."""
    rng, points = np.random.default_rng(0), 100_000
    columns = {
        "tile.integration_time": rng.integers(20_000, 1_000_000, points),
        "cluster.dma.bytes_per_cycle": rng.integers(1, 65, points),
        "adapters.rank": rng.integers(1, 65, points),
        "scheduler.batch": rng.integers(1, 65, points),
        "tokens": rng.integers(64, 1024, points),
        "layer.in_features": rng.integers(64, 513, points),
    }
    measure_points(benchmark, columns, "matrix_engine", rounds=2)


def test_cost_equations_of_the_matrix_engine_alone(benchmark: Any) -> None:
    """What two products of each point cost in NumPy, for comparison with the last one."""
    parts = MatrixEngine(array_height=4, array_width=12, pipe_regs=3, port_width="256 bit")  # type: ignore[arg-type]
    m, n, k = np.random.default_rng(0).integers(1, 512, (3, 100_000))

    def both() -> None:
        parts.gemm_cycles(m, n, k)
        parts.gemm_cycles(m, k, n)

    benchmark.pedantic(both, rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(group="one layer, steady-state path")
@pytest.mark.parametrize("tokens", [128, 131_072])
def test_a_long_sequence_costs_no_more(benchmark: Any, tokens: int) -> None:
    """From network to latency; 131,072 tokens must take less than twice what 128 take."""
    network, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026")
    strategy, mapping = TokenParallel(batch=8), place(network, machine)

    def run() -> steady.Extent:
        return steady.run(strategy.outline(Job(mapping, tokens))[0])

    found = benchmark.pedantic(run, rounds=50, warmup_rounds=2)
    benchmark.extra_info.update(tasks=found.tasks, executed=found.executed)


@pytest.mark.benchmark(group="one layer, full expansion")
@pytest.mark.parametrize("tokens", [128, 131_072])
def test_a_long_sequence_laid_out(benchmark: Any, tokens: int) -> None:
    network, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026")
    strategy, mapping, run = TokenParallel(batch=8), place(network, machine), engine("fast")
    benchmark.pedantic(
        lambda: run(strategy.schedule(Job(mapping, tokens)).plan), rounds=5, warmup_rounds=1
    )


@pytest.mark.benchmark(group="MobileBERT, 128 tokens, batch 8")
@pytest.mark.parametrize("path", ["fast", "des", "steady"])
def test_whole_mobilebert(benchmark: Any, path: str) -> None:
    """Plan and run of 24 blocks; aim 20 ms compiled."""
    network, machine = hybridsim.load("mobilebert", "ahwa_lora_2026")
    strategy, mapping = TokenParallel(batch=8), place(network, machine)

    def run() -> int:
        job = Job(mapping, 128)
        if path == "steady":
            return steady.run(strategy.outline(job)[0]).makespan_ps
        return engine(path)(strategy.schedule(job).plan).makespan

    benchmark.pedantic(run, rounds=3 if path == "des" else 20, warmup_rounds=1)


@pytest.mark.benchmark(group="BERT-base, 128 tokens")
@pytest.mark.parametrize("name", ["fast", "des"])
def test_bert_base(benchmark: Any, name: str) -> None:
    """Plan and run of 12 blocks; aim 0.1 s compiled and 5 s on SimPy (3D-CiM: 139.9 s)."""
    network, machine = hybridsim.load("bert_base", "ahwa_lora_2026")
    strategy, mapping, run = TokenParallel(), place(network, machine), engine(name)
    benchmark.pedantic(
        lambda: run(strategy.schedule(Job(mapping, 128)).plan), rounds=3, warmup_rounds=1
    )


def test_memory_of_bert_base(benchmark: Any) -> None:
    """Peak of a whole process, from import to result; aim 300 MB (3D-CiM: 5.3 GB).

    The kernel's count of this process alone: that of a child also holds what its parent had.
    """
    program = (
        "import hybridsim; n, m = hybridsim.load('bert_base', 'ahwa_lora_2026');"
        "hybridsim.simulate(n, m, tokens=128);"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    command = [sys.executable, "-c", program]
    found = benchmark.pedantic(
        subprocess.run, (command,), {"capture_output": True, "text": True, "check": True}, rounds=1
    )
    benchmark.extra_info["peak_MB"] = round(int(found.stdout) / 1024)
