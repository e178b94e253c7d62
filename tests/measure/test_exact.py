"""Whole numbers stay exact: cycles of odd clocks, energies beyond 64 bits, counts of ops."""

from collections import Counter
from dataclasses import astuple, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import hybridsim
from hybridsim.engines import compiled
from hybridsim.measure.charge import exact_sum, integers, over_time
from hybridsim.measure.cluster_work import ClusterWork, _adapting
from hybridsim.measure.elasticity import bound_of
from hybridsim.measure.measure import _kinds_on_path
from hybridsim.measure.work import task_work
from hybridsim.plan import PlanBuilder, Resource
from hybridsim.programs.adapting import AdapterWork
from hybridsim.work import NOTHING, delay
from tests.random_inputs import times


@given(st.lists(st.integers(0, 2**70), max_size=5))
@example([1, 2**64])
@example([2**63])
def test_integers_are_what_they_were_however_large_one_of_them_is(values: list[int]) -> None:
    assert integers(values).tolist() == values
    assert exact_sum(integers(values)) == sum(values)


@pytest.mark.parametrize("hertz", [333_333_333, 500_000_000, 999_999_937])
def test_cycles_are_those_of_the_parts_clock_rounded_down(hertz: int) -> None:
    set_ = {"cluster.clock.frequency": f"{hertz} Hz", "cluster.count": 1}
    network, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026", set_)
    run = hybridsim.simulation.execute(network, machine, tokens=40)
    plan, found = run.schedule.plan, task_work(run)["cycles"].tolist()
    kinds = [plan.resources[plan.uses_of(task)[0]].kind for task in range(len(plan))]
    exact = [int(ps) * hertz // 10**12 for ps in run.timeline.duration]
    cores = [task for task, kind in enumerate(kinds) if kind in ("cores", "matrix_engine")]
    assert cores
    assert [found[task] for task in cores] == [exact[task] for task in cores]
    tiles = [found[task] for task, kind in enumerate(kinds) if kind == "tile"]
    assert set(tiles) == {NOTHING}


@pytest.mark.parametrize(("network", "strategy"), [("minilm_l6", "token_parallel"),
                         ("minilm_l6", "xb_pipe"), ("gpt2", "token_parallel")])  # fmt: skip
def test_a_latency_covers_each_op_once_or_says_that_it_does_not(
    network: str, strategy: str
) -> None:
    ops, machine = hybridsim.load(network, "ahwa_lora_2026")
    found = hybridsim.simulate(ops, machine, hybridsim.make_strategy(strategy), 8).covers
    told = Counter(found.timed) + Counter(found.left_out) + Counter(found.free)
    every = Counter(op.kind for op in ops.ops)
    assert told["linear"] == every["linear"] == len(ops.static_linear_layers)
    assert told == {kind: count for kind, count in every.items() if kind != "slice"}  # a view
    assert (found.left_out == {}) == (strategy == "xb_pipe")
    assert ("; not " in found.text) == bool(found.left_out)
    assert found.text.partition("free ")[2] == f"{found.free['embedding']} embeddings"


@pytest.mark.parametrize("machine", ["ahwa_lora_2026", "harp_2026", "llm_2026:mesh"])
def test_energy_is_what_analog_digital_and_waiting_parts_draw(machine: str) -> None:
    network, parts = hybridsim.load("layer_512x128", machine)
    found = hybridsim.simulate(network, parts, tokens=8).energy
    static = sum(found.static_aj.values()) / 1e6
    assert found.static_pj == pytest.approx(static)
    assert found.total_pj == pytest.approx(found.analog_pj + found.digital_pj + static)
    assert found.total_pj == pytest.approx(sum(found.component_aj.values()) / 1e6 + static)
    assert found.per_token_pj == pytest.approx(found.total_pj / 8)
    assert sum(found.op_aj.values()) == sum(found.component_aj.values())
    more = found.total_pj / found.yardstick_pj - 1
    assert found.overhead_percent == pytest.approx(100 * more)


@given(st.integers(0, 2**40), st.lists(st.integers(0, 2**40), max_size=4))
def test_power_over_time_is_exact_however_long(power: int, lasting: list[int]) -> None:
    assert over_time(power, np.array(lasting, np.int64)).tolist() == [power * t for t in lasting]


def test_work_done_several_times_is_that_many_times_the_work() -> None:
    tasks, others = np.arange(2), np.arange(6)
    once = ClusterWork(tasks, 2, 3, 5, 7, 11, 13)
    assert astuple(once.times(others, 3))[1:] == (6, 9, 15, 21, 33, 39)
    assert once.times(others, 3).tasks is others


def adapted(cluster: Any, work: AdapterWork, rows: int, **other: Any) -> Any:
    """What a task does that adapts so many tokens whose A and B are there: ps, slots, bytes."""
    own = replace(work, loads=(rows,), weights=False, **other)
    return np.array(astuple(_adapting(cluster, own))[1:6])


@pytest.mark.parametrize("unit", ["cores", "matrix_engine"])
def test_many_tokens_are_adapted_batch_by_batch_and_half_by_half(unit: str) -> None:
    network, machine = hybridsim.load("layer_512x128", "harp_2026")
    strategy = hybridsim.make_strategy("xb_pipe", {"unit": unit})
    plan = hybridsim.simulation.execute(network, machine, strategy, tokens=16).schedule.plan
    programs = [work.shape[0] for work in plan.works if work.kind == "program"]
    work = next(own for own in programs if isinstance(own, AdapterWork))
    work, cluster = replace(work, half="both"), machine.cluster
    size = work.program.tokens
    each = [adapted(cluster, work, rows) for rows in (size, size, 1)]
    assert adapted(cluster, work, 2 * size + 1).tolist() == sum(each).tolist()
    # U goes out of the cluster of the first half, and comes into that of the second one
    first, second = (adapted(cluster, work, size, half=half) for half in ("first", "second"))
    *does, moves = (first + second - each[0]).tolist()
    assert does == [0] * len(does)
    assert moves == 2 * size * work.program.rank * cluster.element_bytes


def test_time_on_the_critical_path_is_that_of_the_first_part_or_of_none() -> None:
    builder = PlanBuilder((Resource("t", "tile"), Resource("l", "link")))
    last = builder.add("a", delay("mvm", 5), [0])
    for op, time, uses in (("a", 7, []), ("b", 11, [1, 0]), ("b", 13, []), ("a", 17, [0])):
        last = builder.add(op, delay("next", time), uses, needs=[last])
    plan = builder.build()
    found = _kinds_on_path(plan, compiled.run(plan, times(plan)))
    assert found == {"a": {"tile": 22, "delay": 7}, "b": {"link": 11, "delay": 13}}


def test_a_run_is_bound_by_what_gains_most_and_else_by_what_takes_longest() -> None:
    path = {"dma": 5.0, "tile": 3.0}
    assert bound_of({"tile": 0.4, "dma": 0.1}, path) == "tile"
    assert bound_of({"tile": 0.0, "dma": 0.0}, path) == "dma"
    assert bound_of({}, path) == "dma"
