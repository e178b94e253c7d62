"""Adapters of experts: a program for each expert with its own vectors, counted by hand."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hybridsim import make_strategy
from hybridsim.arch import Cluster, load_machine
from hybridsim.mapping import PlacedLayer, place
from hybridsim.measure.cluster_work import _adapting
from hybridsim.programs import CHOICES, LoraProgram
from hybridsim.programs.adapting import AdapterWork, Shares
from hybridsim.simulation import execute, job_of
from hybridsim.strategies import NetworkStrategy
from hybridsim.strategies.networks.adapters import NetworkAdapters
from hybridsim.strategies.networks.dataflow import Batches
from hybridsim.strategies.networks.options import AdapterOptions
from hybridsim.strategies.networks.running import makespan_of
from hybridsim.validation.strategies import layer
from hybridsim.workload import Combine, Convolution, Experts, Input, Network, Router, Select

MACHINE = load_machine("ahwa_lora_2026")
WEIGHTS = 2 * 8 * (96 + 160)
"""Bytes of one A and B of rank 8 of the experts below, in fp16."""
LOADS = st.lists(st.integers(0, 40), min_size=2, max_size=9).filter(any)


def routed(experts: int, active: int, load: Sequence[float] = ()) -> Network:
    """Return a bank of experts of 96 x 160 with adapters of rank 8, and what it takes to run."""
    sides: Any = {"in_features": 96, "out_features": 160, "bias": False}
    bank: Any = {"experts": experts, "active": active, "load": tuple(load)}
    ops = (
        Input(name="x", features=96),
        Router(name="router", inputs=("x",), **sides | {"out_features": experts}),
        Select(name="choice", inputs=("router",), features=experts, active=active),
        Experts(name="bank", inputs=("x", "choice"), **sides, **bank),
        Combine(name="sum", inputs=("bank", "choice"), features=160, experts=experts,
                active=active),
    )  # fmt: skip
    network = Network(name="routed", source="made up", ops=ops)
    return network.with_adapters(targets=("bank",), rank=8)


def bank_of(network: Network) -> tuple[PlacedLayer, Experts]:
    """Return the bank of a network as it is placed, and as it is."""
    placed = next(own for own in place(network, MACHINE).layers if own.name == "bank")
    assert isinstance(placed.op, Experts)
    return placed, placed.op


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Networks of two to nine experts, with shares of the tokens or all alike."""
    experts = draw(st.integers(2, 9))
    active = draw(st.integers(1, experts))
    load = draw(st.lists(st.integers(0, 9), min_size=experts, max_size=experts))
    return routed(experts, active, load if sum(each > 0 for each in load) >= active else ())


@pytest.mark.parametrize("unit", ["matrix_engine", "cores"])
def test_five_vectors_of_four_experts_are_four_programs(unit: str) -> None:
    """One of two vectors, three of one, and A and B of all four."""
    plan = plan_of(routed(4, 1), tokens=5, unit=unit)
    (adapted,) = works(plan, "adapt")
    assert (adapted.loads, adapted.fetches) == ((2, 1, 1, 1), 4)
    assert adapted.batches == {2: 1, 1: 3}
    assert loaded(plan) == [4 * WEIGHTS]


def plan_of(network: Network, tokens: int, clusters: int = 1, **options: Any) -> Any:
    machine = load_machine("ahwa_lora_2026", {"cluster.count": clusters})
    strategy = make_strategy("network", {"keep_adapters": "batch"} | options)
    return execute(network, machine, strategy, tokens).schedule.plan


def tasks(plan: Any, label: str, op: str = "bank") -> list[Any]:
    """Return the works of an op's tasks of a label, batch after batch."""
    own = (plan.op == plan.ops.index(op)) & (plan.label == plan.labels.index(label))
    order = np.argsort(plan.item[own], kind="stable")
    return [plan.works[number] for number in plan.work[own][order].tolist()]


def works(plan: Any, label: str) -> list[AdapterWork]:
    return [work.shape[0] for work in tasks(plan, label)]


def loaded(plan: Any, op: str = "bank") -> list[int]:
    """Return the bytes of A and B that cross the link for each batch, as they are told, too."""
    moves = tasks(plan, "load a b", op)
    assert all(work.bytes == work.shape[0] for work in moves)
    return [work.bytes for work in moves]


@given(networks(), st.integers(1, 60), st.integers(1, 25), st.integers(1, 6), st.booleans())
@settings(deadline=None)
def test_every_batch_adapts_each_vector_with_the_a_and_b_of_its_expert(
    network: Network, tokens: int, batch: int, clusters: int, early: bool
) -> None:
    """All vectors, in whatever batches on however many clusters; A and B of those called."""
    _, op = bank_of(network)
    plan = plan_of(network, tokens, clusters, batch=batch, early_xa=early)
    sizes = [min(batch, tokens - at) for at in range(0, tokens, batch)]
    calls = [[load for load in op.loads(op.active * size) if load] for size in sizes]
    assert loaded(plan) == [WEIGHTS * len(called) for called in calls]
    for half in ("x a", "u b + y") if early else ("adapt",):
        done = works(plan, half)
        pieces = len(done) // len(sizes)
        for at, called in enumerate(calls):
            own = done[at * pieces : (at + 1) * pieces]
            assert sum(work.rows for work in own) == sum(called)
            # who is at the border of two clusters is fetched by both
            assert len(called) <= sum(work.fetches for work in own) < len(called) + pieces
            assert max(work.rows for work in own) - min(work.rows for work in own) <= 1


@given(LOADS, st.integers(1, 12))
def test_vectors_of_experts_lie_in_a_row_which_is_cut_into_equal_parts(
    loads: list[int], clusters: int
) -> None:
    row = [expert for expert, load in enumerate(loads) for _ in range(load)]
    shares, at, most = Shares.cut(loads, clusters), 0, Counter[int]()
    for own in shares.of:
        part = Counter(row[at : at + sum(own)])
        assert sorted(own) == sorted(part.values())
        at, most = at + sum(own), most | part
    assert at == len(row)
    assert list(shares.largest) == [most[expert] for expert in sorted(most)]


@given(LOADS, st.integers(1, 12), st.sampled_from(CHOICES), st.booleans())
@settings(deadline=None)
def test_experts_take_what_their_batches_and_their_a_and_b_take_one_by_one(
    loads: list[int], size: int, choice: Any, sliced: bool
) -> None:
    """Each fetches A and B, in slices for every batch; then X, products, Y and Z."""
    slices = {"slice_inputs": 64, "slice_columns": 64} if sliced else {}
    program = LoraProgram(96, 160, 8, size, choice, **slices)
    called = tuple(load for load in loads if load)
    assume(not (sliced and choice.unit == "balanced"))  # which takes all inputs at once
    took = AdapterWork(program, "both", called, True).time_ps(one_ghz())
    assert took == 1000 * sum(by_hand(program, load, one_ghz()) for load in called)


def one_ghz() -> Cluster:
    cluster = load_machine("ahwa_lora_2026", {"cluster.clock.frequency": "1 GHz"}).cluster
    assert cluster is not None
    return cluster


def by_hand(program: LoraProgram, load: int, cluster: Cluster) -> int:
    """Return the cycles of one expert's vectors."""
    dma, total = cluster.dma, 0
    inputs, at = program.input_slices, 0
    outputs = program.slices if program.slice_inputs else (program.out_features,)
    weights = sum(dma.transfer_cycles(2 * 8 * each) for each in (*inputs, *outputs))
    while at < load:
        tokens = min(program.tokens, load - at)
        if program.slice_inputs is None:
            total += dma.transfer_cycles(2 * tokens * program.in_features)
        else:
            total += sum(dma.transfer_cycles(2 * tokens * each, tokens) for each in inputs)
        total += program.of_tokens(tokens).on(cluster).compute_cycles(cluster)
        for each in program.slices:
            total += dma.transfer_cycles(2 * tokens * each)
            total += dma.transfer_cycles(2 * tokens * each, source="tcdm")
        total += weights if at == 0 or program.slice_inputs else 0
        at += tokens
    return total


@pytest.mark.parametrize("half", ["both", "first", "second"])
@given(LOADS, st.integers(1, 12), st.booleans(), st.booleans())
@settings(deadline=None)
def test_what_experts_do_is_what_each_does(
    half: Any, loads: list[int], size: int, sliced: bool, weights: bool
) -> None:
    """Times of units, slots, and bytes of the scratchpad, those of every A and B among them."""
    slices = {"slice_inputs": 64, "slice_columns": 64} if sliced else {}
    work = AdapterWork(LoraProgram(96, 160, 8, size, CHOICES[0], **slices), half, (), weights)
    called, cluster = tuple(load for load in loads if load), one_ghz()

    def done(*loads: int) -> Any:
        return np.array(astuple(_adapting(cluster, replace(work, loads=loads)))[1:6])

    assert done(*called).tolist() == sum(done(load) for load in called).tolist()
    assert done().tolist() == [0] * 5
    assert work.time_ps(cluster) == 1  # no task takes less


@given(networks(), st.integers(1, 40), st.integers(0, 40))
@settings(deadline=None)
def test_experts_take_what_layers_of_their_size_take_one_after_the_other(
    network: Network, tokens: int, last: int
) -> None:
    """Those of the largest load take what such a layer takes; A and B come for all called."""
    placed, op = bank_of(network)
    rows = op.active * tokens, op.active * min(last or tokens, tokens)
    machine, options = load_machine("ahwa_lora_2026"), AdapterOptions(CHOICES[:1])
    way = NetworkAdapters(network, machine, options).alone(placed, Batches(*rows, 3), 1)
    program, total = way.decision.program, 0
    for batch in (rows[0], *rows):
        for load in filter(None, op.loads(batch)):
            work = AdapterWork(program, "both", (load,), True)
            total += work.time_ps(machine.cluster)
    assert way.time_ps == total
    called = [sum(load > 0 for load in op.loads(batch)) for batch in rows]
    assert way.decision.load_bytes == WEIGHTS * called[0]
    assert way.decision.last_load_bytes == WEIGHTS * called[1]
    single, most = layer(96, 160), max(max(op.loads(batch)) for batch in rows)
    (alone,) = place(single, machine).layers
    own = NetworkAdapters(single, machine, options).alone(alone, Batches(most, most, 1), 1)
    assert own.time_ps == AdapterWork(program, "both", (most,), True).time_ps(machine.cluster)


@given(networks(), st.integers(2, 50), st.integers(1, 5), st.booleans(), st.booleans())
@settings(max_examples=20, deadline=None)
def test_no_batch_of_experts_beats_its_bound(
    network: Network, tokens: int, clusters: int, early: bool, stays: bool
) -> None:
    machine = load_machine("ahwa_lora_2026", {"cluster.count": clusters})
    keep = "best" if stays else "batch"
    strategy = make_strategy("xb_pipe", {"early_xa": early, "keep_adapters": keep})
    assert isinstance(strategy, NetworkStrategy)
    job = job_of(network, machine, strategy, tokens)
    choices = strategy.candidates(job)
    for choice, bound in zip(choices, strategy.bounds_ps(job, choices).tolist(), strict=True):
        assert bound <= makespan_of(job, strategy.decide_for(job, choice)), choice


def test_groups_of_a_convolution_have_adapters_like_layers() -> None:
    """All vectors meet the A and B of each group, of its share of inputs and outputs."""
    conv = Convolution(name="conv", inputs=("x",), in_features=384, out_features=640, groups=4)
    ops = (Input(name="x", features=384), conv)
    network = Network(name="conv", source="made up", ops=ops)
    network = network.with_adapters(targets=("conv",), rank=8)
    times = []
    for net in (network, layer(96, 160)):
        (placed,) = place(net, MACHINE).layers
        ways = NetworkAdapters(net, MACHINE, AdapterOptions(CHOICES[:1]))
        times.append(ways.alone(placed, Batches(16, 16, 1), 1).time_ps)
    assert times[0] == 4 * times[1]
    assert loaded(plan_of(network, 16), "conv") == [4 * WEIGHTS]
