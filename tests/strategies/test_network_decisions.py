"""What the plan of a network depends on: decisions, and what these read of a machine."""

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import hybridsim
from hybridsim.arch import Machine, load_machine
from hybridsim.engines import engine
from hybridsim.errors import CapacityError
from hybridsim.mapping import place
from hybridsim.plan import Plan
from hybridsim.strategies import NETWORK_STRATEGIES, Job, carry_out, make_strategy
from hybridsim.strategies.networks import NetworkStrategy, reads
from hybridsim.strategies.networks.plans import _laid_out, _planned
from hybridsim.work import price
from hybridsim.workload import Network

PRICES: dict[str, tuple[str, ...]] = {
    "tile.integration_time": ("10 ns", "3 us"),
    "tile.periphery.clock.frequency": ("200 MHz", "1 GHz"),
    "link.clock.frequency": ("200 MHz", "1 GHz"),
    "link.width": ("4 B/cycle", "64 B/cycle"),
    "memory.dram.bandwidth": ("200 MiB/s", "8 GiB/s"),
}
"""Fields that no decision reads, unless two parts are compared."""
READ: dict[str, tuple[str, ...]] = {
    "cluster.clock.frequency": ("333 MHz", "500 MHz", "1 GHz"),
    "cluster.tcdm.size": ("64 KiB", "128 KiB", "1 MiB"),
    "cluster.dma.bytes_per_cycle": ("1 B/cycle", "64 B/cycle"),
    "memory.sram.size": ("16 KiB", "2 MiB"),
}
OPTIONS: dict[str, tuple[Any, ...]] = {
    "batch": (4, 16, "all"),
    "keep_adapters": ("layer", "batch", "best"),
    "unit": ("matrix_engine", "cores", "best"),
    "share_adapters": ("never", "best"),
    "early_xa": (False, True),
    "where.add": ("periphery", "cores", "best"),
    "where.attention": ("matrix_engine", "cores", "best"),
    "flash": ("needed", "always"),
}
TOKENS = 24


@lru_cache
def network(adapters: bool) -> Network:
    found, _ = hybridsim.load("mobilebert", "harp_2026")
    return found.with_adapters(rank=8) if adapters else found.without_adapters()


def job(machine: Machine, adapters: bool = True, tokens: int = TOKENS) -> Job:
    return Job(place(network(adapters), machine), tokens)


def changed(draw: st.DrawFn, fields: dict[str, tuple[str, ...]]) -> dict[str, str]:
    names = draw(st.lists(st.sampled_from([*fields]), unique=True, max_size=4))
    return {name: draw(st.sampled_from(fields[name])) for name in names}


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    """Return a machine of one shape: of other prices, clocks and sizes."""
    return load_machine("harp_2026", changed(draw, PRICES | READ))


@st.composite
def strategies(draw: st.DrawFn) -> NetworkStrategy:
    options = {name: draw(st.sampled_from(values)) for name, values in OPTIONS.items()}
    return make_strategy(draw(st.sampled_from([*NETWORK_STRATEGIES])), options)  # type: ignore[return-value]


def assert_equal(plan: Plan, other: Plan) -> None:
    columns = ("work", "use_first", "use", "need_first", "need", "room", "op", "item")
    for name in columns:
        assert np.array_equal(getattr(plan, name), getattr(other, name)), name
    assert (plan.works, plan.ops, plan.resources) == (other.works, other.ops, other.resources)


@given(strategy=strategies(), adapters=st.booleans(), pair=st.tuples(machines(), machines()))
@settings(max_examples=15, deadline=None)
def test_equal_decisions_give_equal_plans(
    strategy: NetworkStrategy, adapters: bool, pair: tuple[Machine, Machine]
) -> None:
    """Decided for one machine and laid out for another, every column of the plan is the same."""
    jobs = [job(machine, adapters) for machine in pair]
    assert jobs[0].structure == jobs[1].structure
    try:
        decisions = [strategy.decide(own) for own in jobs]
    except CapacityError:
        assume(False)
    for own in decisions:
        plans = []
        for each in jobs:
            for remembered in (_laid_out, _planned):
                remembered.cache_clear()
            plans.append(own.lay_out(each).plan)
        assert_equal(*plans)
    if decisions[0] == decisions[1]:
        assert hash(decisions[0]) == hash(decisions[1])


@given(strategy=strategies(), adapters=st.booleans(), data=st.data())
@settings(max_examples=25, deadline=None)
def test_what_is_not_read_decides_nothing(
    strategy: NetworkStrategy, adapters: bool, data: st.DataObject
) -> None:
    """One and the same decisions, where they are decided anew as well."""
    base = data.draw(st.fixed_dictionaries({name: st.sampled_from(READ[name]) for name in READ}))
    own = job(load_machine("harp_2026", base), adapters)
    choice = strategy.candidates(own)[0]
    options = strategy.deciding(own, choice)
    compared = options.adapters.share or options.where.add == "best"
    other = data.draw(st.composite(lambda draw: changed(draw, PRICES))())
    assume(not (compared and any(name.startswith(("tile", "link")) for name in other)))
    twin = job(load_machine("harp_2026", base | other), adapters)
    try:
        first = strategy.decide_for(own, choice)
    except CapacityError:
        assume(False)
    reads._decided.cache_clear()  # decided anew, not remembered
    reads._ops_decided.cache_clear()
    assert strategy.decide_for(twin, choice) == first


@pytest.mark.parametrize("clock", ["100 MHz", "1 GHz"])
def test_clocks_of_whole_periods_share_decisions(clock: str) -> None:
    """With a given batch no decision compares times of two clocks."""
    strategy = make_strategy("xb_pipe", {"batch": 8, "keep_adapters": "layer"})
    own = {"cluster.kernel_costs": None}
    first, other = (
        job(load_machine("harp_2026", own | {"cluster.clock.frequency": each}))
        for each in ("500 MHz", clock)
    )
    assert isinstance(strategy, NetworkStrategy)
    found = strategy.decide(first)
    assert strategy.decide(other) == found
    structure = first.structure
    assert other.structure == structure


def test_decisions_are_found_once_for_machines_that_read_alike() -> None:
    strategy = make_strategy("xb_pipe", {"batch": 8, "keep_adapters": "layer"})
    placed = job(load_machine("harp_2026")).mapping
    first = strategy.decide(Job(placed, TOKENS))
    for field, values in PRICES.items():
        for value in values:
            machine = load_machine("harp_2026", {field: value})
            assert strategy.decide(Job(place(placed.network, machine), TOKENS)) is first


def test_a_decision_that_does_not_fit_is_not_remembered() -> None:
    strategy = make_strategy("xb_pipe", {"batch": 8})
    assert isinstance(strategy, NetworkStrategy)
    tiny = job(load_machine("harp_2026", {"cluster.tcdm.size": "1 KiB"}))
    for _ in range(2):
        with pytest.raises(CapacityError, match="TCDM"):
            strategy.decide(tiny)


@pytest.mark.parametrize("dispatch", ["online", "reserved"])
@pytest.mark.parametrize("batch", [8, "best"])
def test_what_is_chosen_is_never_worse_than_what_it_was_chosen_from(
    dispatch: str, batch: int | str
) -> None:
    machine = load_machine("harp_2026")
    own, strategy = job(machine), make_strategy("network", {"batch": batch, "dispatch": dispatch})
    assert isinstance(strategy, NetworkStrategy)
    run = engine("compiled")
    times = []
    for choice in strategy.candidates(own):
        schedule = strategy.decide_for(own, choice).lay_out(own)
        times.append(carry_out(schedule, machine, run).makespan)
    assert carry_out(strategy.schedule(own), machine, run).makespan == min(times)


@pytest.mark.parametrize("network_options", [
    {"batch": 8, "early_xa": True},
    {"batch": 8, "flash": "always"},
    {"batch": "all", "share_adapters": "best"},
    {"batch": "all", "unit": "both", "where.attention": "cores"},
])  # fmt: skip
@pytest.mark.parametrize("costs", [True, False])
def test_many_machines_are_priced_as_one_by_one(
    network_options: dict[str, Any], costs: bool
) -> None:
    """Columns of clocks, widths and times give the integers of every single machine."""
    base = {} if costs else {"cluster.kernel_costs": None}
    machine = load_machine("harp_2026", base)
    own = job(machine)
    works = make_strategy("network", network_options).schedule(own).plan.works
    rng = np.random.default_rng(5)
    count = 6
    hertz = rng.choice([100_000_000, 333_000_000, 500_000_000, 1_000_000_000], count)
    fields = {
        "cluster.clock.frequency": hertz,
        "cluster.dma.bytes_per_cycle": rng.choice([1, 8, 64], count),
        "link.clock.frequency": rng.permutation(hertz),
        "link.width": rng.choice([4, 8, 64], count),
        "tile.integration_time": rng.integers(1_000, 300_000, count),
    }
    whole = rng.choice([100_000_000, 250_000_000, 1_000_000_000], count)  # periods of whole ps
    clock = "cluster.clock.frequency"
    for columns in ({clock: whole}, {clock: hertz}, fields):
        found = price(works, _with(machine, columns), count).time_ps
        for point in range(count):
            single = {name: int(column[point]) for name, column in columns.items()}
            expected = price(works, _with(machine, single)).time_ps
            assert (found[:, point] == expected).all()


def _with(machine: Any, fields: dict[str, Any]) -> Any:
    """Return a machine with fields that nothing has checked: columns as well."""
    for path, value in fields.items():
        machine = _set(machine, path.split("."), value)
    return machine


def _set(spec: Any, path: list[str], value: Any) -> Any:
    inner = value if len(path) == 1 else _set(getattr(spec, path[0]), path[1:], value)
    return spec.model_copy(update={path[0]: inner})
