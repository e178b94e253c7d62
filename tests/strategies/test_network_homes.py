"""Adapters that stay in clusters while batches pass: room, traffic, and never slower by choice."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridsim
from hybridsim.errors import CapacityError
from hybridsim.mapping import place
from hybridsim.plan import Plan
from hybridsim.programs import CHOICES, LoraProgram
from hybridsim.strategies import Job, NetworkStrategy, Schedule, make_strategy
from hybridsim.strategies.networks.adapters import Adapter
from hybridsim.strategies.networks.dataflow import FlowOp
from hybridsim.strategies.networks.decisions import AdapterDecision
from hybridsim.strategies.networks.homes import AdapterHomes
from hybridsim.strategies.networks.running import Running, makespan_of
from hybridsim.workload import Linear
from tests.carried_out import assert_engines_agree, dispatched, durations

CLUSTER = hybridsim.load_machine("harp_2026").cluster
assert CLUSTER is not None
PROGRAM = LoraProgram(8, 8, 8, 8, CHOICES[0])


def decision(pieces: int, tcdm_bytes: int) -> AdapterDecision:
    return AdapterDecision(
        program=PROGRAM,
        pieces=pieces,
        homes=(),
        fetched=True,
        fetched_again=False,
        early=False,
        from_dram=False,
        load_bytes=1,
        last_load_bytes=1,
        weight_bytes=1,
        kept_bytes=0,
        tcdm_bytes=tcdm_bytes,
    )


def job(**overrides: Any) -> Job:
    return Job(place(*hybridsim.load("mobilebert", "harp_2026", overrides)), 64)


def schedule(keep: str, strategy: str = "xb_pipe", batch: int = 16, **more: Any) -> Schedule:
    overrides = more.pop("overrides", {})
    options = {"batch": batch, "keep_adapters": keep} | more
    return make_strategy(strategy, options).schedule(job(**overrides))


def tasks(plan: Plan, label: str) -> np.ndarray:
    return np.flatnonzero(plan.label == plan.labels.index(label))


@pytest.mark.parametrize("early", [False, True])
def test_what_stays_is_fetched_once(early: bool) -> None:
    kept = schedule("layer", early_xa=early).plan
    again = schedule("batch", early_xa=early).plan
    assert len(tasks(kept, "load a b")) == 361
    assert len(tasks(again, "load a b")) == 361 * 4
    work = "x a" if early else "adapt"
    assert len(tasks(kept, work)) == len(tasks(again, work))
    # later batches are spared A and B, the first one is not
    machine = job().machine
    busy = [durations(plan, machine)[tasks(plan, work)].sum() for plan in (kept, again)]
    assert busy[0] < busy[1]


def test_a_layer_is_adapted_at_home() -> None:
    plan = schedule("layer").plan
    homes = {i for i, resource in enumerate(plan.resources) if resource.kind == "adapter_home"}
    assert len(homes) == 4
    where: dict[int, set[frozenset[int]]] = {}
    for task in tasks(plan, "adapt"):
        where.setdefault(int(plan.op[task]), set()).add(
            frozenset(homes.intersection(plan.uses_of(task).tolist()))
        )
    assert all(len(home) == 1 for homes in where.values() for home in homes)
    # two pieces of 8 rows, each always on the same cluster
    assert all(len(homes) == 2 for homes in where.values())


@pytest.mark.parametrize("batch", [8, 16, 32])
@pytest.mark.parametrize("strategy", ["xl_pipe", "xb_pipe", "network"])
def test_the_best_is_the_fastest_that_fits(strategy: str, batch: int) -> None:
    machine = job().machine
    times = {
        keep: dispatched(schedule(keep, strategy, batch), machine).makespan
        for keep in ("best", "layer", "batch")
    }
    assert times["best"] == min(times["layer"], times["batch"])


def test_what_finds_no_room_is_fetched_for_every_batch() -> None:
    small = {"cluster.tcdm.size": "48 KiB"}
    found = schedule("layer", batch=8, overrides=small)
    assert "for every batch" in found.notes[-1]
    loads = len(tasks(found.plan, "load a b"))
    assert 361 < loads < 361 * 8


def test_one_batch_keeps_nothing() -> None:
    assert len(schedule("layer", batch=64).plan) == len(schedule("batch", batch=64).plan)


def test_the_engines_agree_on_homes() -> None:
    assert_engines_agree(schedule("layer"), job().machine)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_no_cluster_keeps_more_than_it_has_room_for(data: st.DataObject) -> None:
    blocks = data.draw(st.lists(st.sampled_from([None, 0, 1, 2]), min_size=1, max_size=20))
    works, ways, chips = [], {}, {}
    for index, block in enumerate(blocks):
        op = Linear(name=f"layer{index}", in_features=8, out_features=8, block=block)
        kept = data.draw(st.integers(0, 60_000))
        buffers = data.draw(st.integers(0, 60_000))
        pieces = data.draw(st.integers(1, 4))
        time = data.draw(st.integers(1, 1000))
        works.append(FlowOp(op.name, op, (), 8))
        ways[op.name] = Adapter(decision(pieces, kept + buffers), time, kept)
        chips[op.name] = data.draw(st.integers(0, 1))
    found = AdapterHomes.find(works, CLUSTER, chips, ways)
    most = max(way.decision.tcdm_bytes - way.room_bytes for way in ways.values())
    assert set(found.of) | set(found.without) == set(ways)
    for chip in (0, 1):
        for block in {0, 1, 2, None}:
            for cluster in range(4):
                there = [
                    ways[work.name].room_bytes
                    for work in works
                    if cluster in found.of.get(work.name, ())
                    and chips[work.name] == chip
                    and work.op.block in (block, None)
                ]
                assert sum(there) + (most if there else 0) <= CLUSTER.tcdm.size
    for name, homes in found.of.items():
        assert len(set(homes)) == ways[name].decision.pieces


@given(
    tcdm=st.sampled_from(("24 KiB", "32 KiB", "64 KiB", "128 KiB")),
    batch=st.integers(1, 40),
    name=st.sampled_from(("xl_pipe", "xb_pipe", "network")),
    machine=st.sampled_from(("harp_2026", "llm_2026")),
)
@settings(max_examples=12, deadline=None)
def test_where_none_finds_a_home_adapters_are_fetched_for_every_batch(
    tcdm: str, batch: int, name: str, machine: str
) -> None:
    """What is taken over from the candidate with homes is what is decided, laid out and run."""
    network, own = hybridsim.load("minilm_l6", machine, {"cluster.tcdm.size": tcdm})
    here, strategy = Job(place(network, own), 64), make_strategy(name, {"batch": batch})
    assert isinstance(strategy, NetworkStrategy)
    ways = strategy.candidates(here)[0][2]
    running = Running(here)
    both = [strategy.deciding(here, (batch, keep, ways)) for keep in ("layer", "batch")]
    try:
        stays, again = map(running.decide, both)
    except CapacityError:
        return  # not a token fits
    anew = strategy.decide_for(here, (batch, "batch", ways))
    assert again == anew
    if not stays.has_homes:
        assert stays.planned == again.planned
        assert makespan_of(here, stays) == makespan_of(here, anew)
    assert [running.run(own)[0] for own in both] == [makespan_of(here, d) for d in (stays, anew)]
