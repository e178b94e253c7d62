"""What a plan depends on: equal structures and equal decisions give equal plans."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import hybridsim
from hybridsim.arch import Machine, load_machine
from hybridsim.engines import engine as engine_by_name
from hybridsim.errors import CapacityError
from hybridsim.mapping import place
from hybridsim.plan import Plan
from hybridsim.strategies import ADAPTER_STRATEGIES, Job, LayerStrategy, make_strategy
from hybridsim.validation.strategies import layer
from tests.strategies.test_outlines import FIXED, OPTIONS, chain

BASE = load_machine("ahwa_lora_2026", {"cluster.count": 3})
NETWORKS = {
    "one layer": layer(512, 128),
    "wider than a tile": layer(128, 1100),
    "three": chain([512, 128, 128, 384], 8),
    "one bare": chain([100, 128, 512], 4, ("l1",)),
}
COLUMNS = (
    "work", "use_first", "use", "need_first", "need", "room", "op", "item",
)  # fmt: skip


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    """Return a machine of other prices: clocks, widths, times, room, latencies, energies."""
    choose = {
        "tile.integration_time": st.sampled_from(["10 ns", "256 ns", "3 us"]),
        "cluster.clock.frequency": st.sampled_from(["100 MHz", "500 MHz", "1333 MHz"]),
        "cluster.tcdm.size": st.sampled_from(["64 KiB", "128 KiB", "1 MiB"]),
        "cluster.dma.bytes_per_cycle": st.sampled_from(["1 B/cycle", "64 B/cycle"]),
        "cluster.dma.issue_1d": st.sampled_from(["1 cycles", "40 cycles"]),
        "cluster.offload.engine_registers": st.sampled_from([1, 40]),
        "cluster.cores.fpu_fence": st.sampled_from(["7 cycles", "90 cycles"]),
        "link.width": st.sampled_from(["2 B/cycle", "64 B/cycle"]),
        "link.clock.frequency": st.sampled_from(["200 MHz", "500 MHz"]),
        "energy.cluster.power": st.sampled_from(["1 mW", "300 mW"]),
    }
    changed = draw(st.lists(st.sampled_from([*choose]), unique=True, max_size=5))
    return load_machine(
        "ahwa_lora_2026", {"cluster.count": 3} | {key: draw(choose[key]) for key in changed}
    )


@st.composite
def strategies(draw: st.DrawFn) -> LayerStrategy:
    name = draw(st.sampled_from([*ADAPTER_STRATEGIES]))
    if name == "auto":
        return make_strategy(name)  # type: ignore[return-value]
    open_to = {key: value for key, value in OPTIONS.items() if key not in FIXED.get(name, set())}
    options = draw(st.fixed_dictionaries(open_to))
    if draw(st.booleans()):
        options |= {"batch": None}
    return make_strategy(name, options)  # type: ignore[return-value]


def assert_equal(plan: Plan, other: Plan) -> None:
    for name in COLUMNS:
        assert np.array_equal(getattr(plan, name), getattr(other, name)), name
    assert (plan.works, plan.ops, plan.resources) == (other.works, other.ops, other.resources)


@given(
    strategy=strategies(),
    network=st.sampled_from([*NETWORKS]),
    tokens=st.integers(1, 70),
    pair=st.tuples(machines(), machines()),
)
@settings(max_examples=30, deadline=None)
def test_equal_decisions_share_a_plan_whatever_the_prices(
    strategy: LayerStrategy, network: str, tokens: int, pair: tuple[Machine, Machine]
) -> None:
    """Decided for one machine and laid out for another, every column of the plan is the same."""
    jobs = [Job(place(NETWORKS[network], machine), tokens) for machine in pair]
    assert jobs[0].structure == jobs[1].structure
    assert hash(jobs[0].structure) == hash(jobs[1].structure)
    try:
        decided = [strategy.decide(job) for job in jobs]
    except CapacityError:
        assume(False)
    for own in decided:
        assert_equal(own.lay_out(jobs[0]).plan, own.lay_out(jobs[1]).plan)
    if decided[0] == decided[1]:
        assert hash(decided[0]) == hash(decided[1])


def test_a_machine_with_other_prices_leads_to_the_same_decisions() -> None:
    """With a given batch nothing is left open: a sweep over clocks lays out a single plan."""
    network, strategy = NETWORKS["three"], make_strategy("early_xa", {"batch": 8})
    known = set()
    for time in ("10 ns", "256 ns", "3 us"):
        for clock in ("100 MHz", "500 MHz"):
            machine = load_machine(
                "ahwa_lora_2026",
                {"tile.integration_time": time, "cluster.clock.frequency": clock},
            )
            job = Job(place(network, machine), 64)
            known.add((job.structure, strategy.decide(job)))
    assert len(known) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"cluster.count": 2},
        {"cluster.precision": "int8"},
        {"link.count": 2},
        {"tile.output_buffers": 1},
        {"cluster.matrix_engine": None},
    ],
)
def test_what_the_structure_is_made_of_tells_jobs_apart(changed: dict[str, Any]) -> None:
    jobs = [
        Job(place(NETWORKS["one layer"], load_machine("ahwa_lora_2026", own)), 8)
        for own in ({}, changed)
    ]
    assert jobs[0].structure != jobs[1].structure


def test_a_decision_holds_no_machine() -> None:
    """Nor a network: what it says is numbers and names."""
    network, machine = hybridsim.load("mobilebert", "ahwa_lora_2026")
    job = Job(place(network, machine), 32, engine_by_name("compiled"))
    for name in ("token_parallel", "cross_layer", "auto"):
        text = repr(make_strategy(name).decide(job))
        assert "integration_time" not in text
        assert "frequency" not in text
        assert "Linear(" not in text
