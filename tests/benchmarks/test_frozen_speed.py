"""Points per second of frozen orders and of tables of states, beside executing each point.

Ways of one group evaluate the same points, so the table of pytest-benchmark shows their ratio.
``spread`` is how far the prices of points lie apart: with 0.001 one order serves nearly all, with
1.0 hardly two points share one. ``refused`` is the share of points that had to be executed.
"""

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

import hybridsim
from hybridsim.engines import compiled
from hybridsim.engines.frozen import Frozen
from hybridsim.engines.looped import Looped
from hybridsim.engines.reservation import ReservedPiece, reserve, visiting
from hybridsim.mapping import place
from hybridsim.plan import Outline, Plan
from hybridsim.strategies import Job, TokenParallel, make_strategy
from hybridsim.units import Ints
from hybridsim.work import price
from tests.engines.proofs import Proof, point_of, proof, queues

pytestmark = pytest.mark.benchmark(timer=time.process_time, disable_gc=True)

POINTS = 2048


@cache
def outline(network: str) -> tuple[Outline, Ints]:
    """Return the outline of a network, and the time of each of its works [ps]."""
    loaded, machine = hybridsim.load(network, "ahwa_lora_2026")
    assert loaded.sequence_length is not None
    batch = 16 if network == "layer_512x128" else 8
    drawn = TokenParallel(batch=batch).outline(Job(place(loaded, machine), loaded.sequence_length))
    return drawn.outline, price(drawn.outline.works, machine).time_ps


def prices(works: Ints, spread: float, seed: int) -> Ints:
    rng = np.random.default_rng(seed)
    changed = works[:, None] * np.exp(rng.normal(0, spread, (len(works), POINTS)))
    return np.maximum(1, changed).astype(np.int64)


def note_points(benchmark: Any, points: int) -> None:
    if benchmark.stats:
        benchmark.extra_info["points_per_s"] = round(points / benchmark.stats.stats.min)


def measure_frozen(benchmark: Any, frozen: Frozen, known: Ints, time_ps: Ints) -> None:
    """Measure points after others have been asked for, and note how many were executed."""
    frozen.makespans(known)
    before = frozen.executed + frozen.proven, frozen.executed
    benchmark.pedantic(frozen.makespans, (time_ps,), rounds=1)
    asked = frozen.executed + frozen.proven - before[0]
    benchmark.extra_info["refused"] = round((frozen.executed - before[1]) / asked, 4)
    note_points(benchmark, POINTS)


def measure_executed(benchmark: Any, run: Callable[[Plan, Ints], Any], plan: Plan, own: Ints):
    """Measure executing some of the points, each for itself."""
    some = [point_of(own, point) for point in range(16)]
    benchmark.pedantic(lambda: [run(plan, each) for each in some], rounds=3, warmup_rounds=1)
    note_points(benchmark, len(some))


@pytest.mark.benchmark(group="points of one structure")
@pytest.mark.parametrize("spread", [0.001, 1.0])
@pytest.mark.parametrize("way", ["executed", "frozen", "looped"])
@pytest.mark.parametrize("network", ["layer_512x128", "mobilebert"])
def test_points(benchmark: Any, network: str, way: str, spread: float) -> None:
    drawn, works = outline(network)
    known, time_ps = prices(works, spread, 0), prices(works, spread, 1)
    if way == "looped":
        looped = Looped(drawn)
        looped.makespans(known)
        benchmark.pedantic(looped.makespans, (time_ps,), rounds=3)
        note_points(benchmark, POINTS)
        return
    plan = drawn.expand()
    rows = [drawn.works.index(work) for work in plan.works]
    benchmark.extra_info["tasks"] = len(plan)
    if way == "frozen":
        measure_frozen(benchmark, Frozen(plan), known[rows], time_ps[rows])
    else:
        measure_executed(benchmark, compiled.run, plan, time_ps[rows])


@pytest.mark.benchmark(group="points of a reserved network")
@pytest.mark.parametrize("spread", [0.001, 1.0])
@pytest.mark.parametrize("way", ["by itself", "side by side"])
def test_reserved_points(benchmark: Any, way: str, spread: float) -> None:
    """MobileBERT on the HARP machine, in batches of 8 tokens."""
    loaded, machine = hybridsim.load("mobilebert", "harp_2026")
    job = Job(place(loaded.without_adapters(), machine), 128)
    plan = visiting(make_strategy("xb_pipe", {"batch": 8}).schedule(job).plan)
    works = price(plan.works, machine).time_ps
    known, time_ps = prices(works, spread, 0), prices(works, spread, 1)
    if way == "side by side":
        measure_frozen(benchmark, Frozen(plan, ReservedPiece, 0.5), known, time_ps)
    else:
        visited = np.arange(len(plan))
        measure_executed(benchmark, lambda plan, own: reserve(plan, own, visited), plan, time_ps)


@pytest.mark.benchmark(group="points of a layer in batches of 16 tokens")
@pytest.mark.parametrize("tokens", [128, 131_072])
def test_cost_does_not_grow_with_tokens(benchmark: Any, tokens: int) -> None:
    drawn, works = outline("layer_512x128")
    looped, time_ps = Looped(drawn), prices(works, 0.1, 0)
    counts = np.full((len(looped.lengths), POINTS), tokens // 16, np.int64)
    looped.makespans(time_ps, counts)
    benchmark.pedantic(looped.makespans, (time_ps, counts), rounds=5)
    note_points(benchmark, POINTS)


@pytest.mark.benchmark(group="refused without need")
@pytest.mark.parametrize("units", [1, 2, 3])
def test_share_of_needless_refusals(benchmark: Any, units: int) -> None:
    """Of the points of random plans that one order serves, the share that is refused it."""

    def prove() -> Proof:
        return sum((proof(queues(seed, units), seed) for seed in range(20)), Proof())

    found = benchmark.pedantic(prove, rounds=1)
    served = found.points - found.refused + found.needless
    benchmark.extra_info.update(
        refused=round(found.refused / found.points, 4), needless=round(found.needless / served, 4)
    )
    assert found.needless <= 0.1 * served
