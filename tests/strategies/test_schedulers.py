"""Strategies: the order of work, its closed forms, and what they refuse."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridsim
from hybridsim.arch import Machine, load_machine
from hybridsim.errors import CapacityError, SpecError, UnknownNameError, UnsupportedError
from hybridsim.mapping import place
from hybridsim.plan import Plan
from hybridsim.strategies import (
    STRATEGIES,
    AllAnalog,
    Job,
    LayerSerial,
    Schedule,
    TokenParallel,
    make_strategy,
)
from hybridsim.workload import Network
from tests.carried_out import carried_out, durations


@pytest.fixture(scope="module")
def machine() -> Machine:
    return load_machine("ahwa_lora_2026")


@cache
def layer(name: str = "layer_512x128") -> Network:
    return hybridsim.load(name, "ahwa_lora_2026")[0]


def of(plan: Plan, label: str) -> np.ndarray:
    """Return for each task whether it has a label."""
    return plan.label == plan.labels.index(label)


def times(schedule: Schedule, machine: Machine, label: str) -> int:
    """Return the duration of one task of a plan with that label [ps]."""
    return int(durations(schedule.plan, machine)[of(schedule.plan, label)][0])


def test_all_analog_takes_one_mvm_per_token(engine, machine: Machine) -> None:
    net, _ = hybridsim.load("mobilebert", "ahwa_lora_2026")
    schedule = AllAnalog().schedule(Job(place(net, machine), 128))
    assert carried_out(schedule.plan, machine, engine).makespan == 361 * 128 * 256_000


@pytest.mark.parametrize("batch", [1, 8, 32])
def test_serial_is_the_sum_of_all_its_work(engine, machine: Machine, batch: int) -> None:
    """Nothing overlaps, so the makespan is the time of every task together."""
    schedule = LayerSerial(batch=batch).schedule(Job(place(layer(), machine), 64))
    plan, timeline = schedule.plan, carried_out(schedule.plan, machine, engine)
    weights = times(schedule, machine, "load a") + times(schedule, machine, "load b")
    first = min(times(schedule, machine, "load a"), times(schedule, machine, "load b"))
    beside = int(timeline.duration[of(plan, "zero u")].sum())
    assert timeline.makespan == timeline.duration.sum()
    assert weights > first
    assert beside > 0


@pytest.mark.parametrize("buffers", [1, 2, 3])
@pytest.mark.parametrize("batch", [4, 8, 16])
def test_a_pipeline_lies_between_its_slowest_stage_and_no_overlap(
    engine, machine: Machine, batch: int, buffers: int
) -> None:
    job = Job(place(layer("layer_128x128"), machine), 128)
    pipelined = TokenParallel(batch=batch, buffers=buffers).schedule(job)
    serial = LayerSerial(batch=batch).schedule(job)
    plan, timeline = pipelined.plan, carried_out(pipelined.plan, machine, engine)
    busiest = max(
        int(timeline.duration[plan.use[plan.use_first[:-1]] == r].sum())
        for r in range(len(plan.resources))
    )
    assert busiest <= timeline.makespan
    assert timeline.makespan < carried_out(serial.plan, machine, engine).makespan


def test_where_the_tile_is_slowest_only_one_batch_shows(engine) -> None:
    """All-analog time, then the cluster's work on the last batch while its outputs are fetched."""
    machine = load_machine("ahwa_lora_2026", {"tile.integration_time": "100 us"})
    schedule = TokenParallel(batch=8).schedule(Job(place(layer(), machine), 128))
    tail = max(times(schedule, machine, "load y"), times(schedule, machine, "xa"))
    tail += times(schedule, machine, "ub+y") + times(schedule, machine, "store z")
    found = carried_out(schedule.plan, machine, engine)
    assert found.makespan == 128 * 100_000_000 + tail


def test_where_the_engine_is_slowest_it_never_waits(engine) -> None:
    """After the first batch has arrived the matrix engine is busy to the end."""
    machine = load_machine("ahwa_lora_2026", {"tile.integration_time": "1 ns"})
    schedule = TokenParallel(batch=16).schedule(Job(place(layer(), machine), 128))
    plan, timeline = schedule.plan, carried_out(schedule.plan, machine, engine)
    on_engine = of(plan, "xa") | of(plan, "ub+y")
    first, last = timeline.start[on_engine].min(), timeline.end[on_engine].max()
    assert timeline.duration[on_engine].sum() == last - first


@given(
    tokens=st.integers(1, 300),
    batch=st.integers(1, 64),
    buffers=st.integers(1, 3),
    unit=st.sampled_from(["matrix_engine", "cores", "both"]),
    serial=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_every_token_is_integrated_and_stored_once(
    engine, machine: Machine, tokens: int, batch: int, buffers: int, unit: str, serial: bool
) -> None:
    """Whatever the batch, the tiles are busy as long, and each batch is stored after its add."""
    options = {"batch": batch, "unit": unit} | ({} if serial else {"buffers": buffers})
    strategy = make_strategy("layer_serial" if serial else "token_parallel", options)
    schedule = strategy.schedule(Job(place(layer("layer_128x128"), machine), tokens))
    plan, timeline = schedule.plan, carried_out(schedule.plan, machine, engine)
    assert timeline.duration[of(plan, "mvm")].sum() == tokens * 256_000
    stores = of(plan, "store z")
    assert stores.sum() == -(-tokens // batch)
    assert timeline.end[stores].max() == timeline.makespan


def test_layers_run_one_after_the_other(engine, machine: Machine) -> None:
    net, _ = hybridsim.load("minilm_l6", "ahwa_lora_2026")
    schedule = TokenParallel().schedule(Job(place(net, machine), 32))
    timeline = carried_out(schedule.plan, machine, engine)
    layers = [schedule.plan.op == op for op in range(len(schedule.plan.ops))]
    latencies = [timeline.end[own].max() - timeline.ready[own].min() for own in layers]
    assert sum(latencies) == timeline.makespan


def test_without_a_batch_the_fastest_is_taken(machine: Machine) -> None:
    net = layer()
    chosen = hybridsim.simulate(net, machine, TokenParallel(), 128)
    tried = [
        hybridsim.simulate(net, machine, TokenParallel(batch=batch), 128).latency_ps
        for batch in range(1, 93)
    ]
    assert chosen.latency_ps == min(tried)


def test_fewer_buffers_are_used_where_two_do_not_fit(machine: Machine) -> None:
    """512x128, 64 tokens: 171 KiB double-buffered, 91 KiB single-buffered, 128 KiB of TCDM."""
    result = hybridsim.simulate(layer(), machine, TokenParallel(batch=64), 128)
    assert result.layers[0].buffers == 1
    assert result.layers[0].tcdm_bytes <= 128 * 1024


def test_a_batch_beyond_the_tcdm_says_what_fits(machine: Machine) -> None:
    """512x128 at 128 tokens takes 172 KiB (published), and the cluster has 128 KiB."""
    with pytest.raises(CapacityError, match=r"has 128 KiB; a batch of 92 fits"):
        hybridsim.simulate(layer(), machine, TokenParallel(batch=128), 128)
    small = load_machine("ahwa_lora_2026", {"cluster.tcdm.size": "14 KiB"})
    with pytest.raises(CapacityError, match=r"has 14 KiB; a batch of 1 fits"):
        hybridsim.simulate(layer(), small, TokenParallel(batch=2), 128)


def test_a_missing_engine_is_refused_and_cores_do() -> None:
    machine = load_machine("ahwa_lora_2026", {"cluster.matrix_engine": None})
    with pytest.raises(UnsupportedError, match="choose unit=cores"):
        hybridsim.simulate(layer(), machine)
    assert (
        hybridsim.simulate(layer(), machine, TokenParallel(unit="cores")).layers[0].unit == "cores"
    )


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_is_chosen_by_name(name: str) -> None:
    assert make_strategy(name).kind == name


def test_an_unknown_strategy_or_option_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'token_parallel'"):
        make_strategy("token_paralell")
    with pytest.raises(SpecError, match="batch"):
        make_strategy("token_parallel", {"batch": 0})
    with pytest.raises(SpecError, match="did you mean 'batch'"):
        make_strategy("token_parallel", {"bach": 4})
