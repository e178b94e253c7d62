"""A strategy in outline is the plan it lays out, and takes as long however it is executed."""

from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridsim
from hybridsim.arch import Machine, load_machine
from hybridsim.engines.looped import Looped
from hybridsim.errors import CapacityError
from hybridsim.mapping import place
from hybridsim.plan import Outline
from hybridsim.strategies import ADAPTER_STRATEGIES, Job, make_strategy
from hybridsim.validation.strategies import layer
from hybridsim.work import price
from hybridsim.workload import Linear, Network
from tests.carried_out import carried_out
from tests.sampling import every

NAMES = [name for name in ADAPTER_STRATEGIES if name != "auto"]
MACHINES = {
    (count, time): load_machine(
        "ahwa_lora_2026", {"cluster.count": count, "tile.integration_time": f"{time} ns"}
    )
    for count in (1, 3)
    for time in (10, 128, 1000)
}
OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "batch": st.integers(1, 20),
    "unit": st.sampled_from(["matrix_engine", "cores", "both", "balanced"]),
    "buffers": st.integers(1, 3),
    "first_batch": st.none() | st.integers(1, 4),
    "last_batch": st.none() | st.integers(1, 4),
    "early_xa": st.booleans(),
    "clusters": st.sampled_from([1, "all"]),
    "prefetch_weights": st.booleans(),
}
FIXED = {
    "layer_serial": {*OPTIONS} - {"batch", "unit"},
    "early_xa": {"early_xa"},
    "multi_cluster": {"clusters"},
    "separate_add": {"early_xa", "unit"},
    "swapped": {"unit"},
    "split_cores": {"unit"},
}
"""Options that a strategy does not leave open."""


@st.composite
def strategies(draw: st.DrawFn) -> Any:
    name = draw(st.sampled_from(NAMES))
    open_to = {key: value for key, value in OPTIONS.items() if key not in FIXED.get(name, set())}
    return make_strategy(name, draw(st.fixed_dictionaries(open_to)))


def chain(widths: list[int], rank: int, bare: tuple[str, ...] = ()) -> Network:
    """Static linear layers, each of which reads the one before."""
    ops = [
        Linear(
            name=f"l{i}",
            inputs=(f"l{i - 1}",) if i else (),
            in_features=before,
            out_features=after,
        )
        for i, (before, after) in enumerate(pairwise(widths))
    ]
    network = Network(name="chain", source="assumed", ops=tuple(ops))
    return network.with_adapters(rank=rank, exclude=bare)


def assert_same(outline: Outline, machine: Machine) -> Looped:
    """Compare tables of states with the full expansion on a machine, and return them."""
    found = Looped(outline)
    makespan = found.makespans(price(found.works, machine).time_ps[:, None])
    assert makespan.tolist() == [carried_out(outline.expand(), machine).makespan]
    return found


widths = st.lists(st.sampled_from([16, 100, 128, 384, 512]), min_size=2, max_size=5)


@given(
    strategy=strategies(),
    widths=widths,
    rank=st.sampled_from([1, 8, 12]),
    tokens=st.integers(1, 400),
    machine=st.sampled_from([*MACHINES]),
    bare=st.sampled_from([(), (), ("l1",)]),
)
@settings(max_examples=30, deadline=None)
def test_random_layers_end_where_full_expansion_ends(
    strategy: Any, widths: list[int], rank: int, tokens: int, machine: tuple[int, int], bare: Any
) -> None:
    """Also where a layer without adapter is streamed, which nothing but its input holds back.

    Such a layer may run further behind than a state holds; then the plan is laid out.
    """
    network = chain(widths, rank, bare if len(widths) > 2 else ())
    job = Job(place(network, MACHINES[machine]), tokens)
    try:
        draft = strategy.outline(job)
    except CapacityError:
        return
    found = assert_same(draft.outline, MACHINES[machine])
    assert bare or not found.why_not


@pytest.mark.parametrize("name", NAMES)
def test_the_size_of_an_outline_does_not_grow_with_tokens(name: str) -> None:
    strategy = make_strategy(name, {"batch": 8})
    mapping = place(chain([512, 128, 128], 8), MACHINES[3, 128])
    short, long = (strategy.outline(Job(mapping, tokens)).outline for tokens in (2_400, 240_000))
    assert len(long) > 90 * len(short)
    assert len(long.templates) == len(short.templates)
    assert [len(t.steps) for t in long.templates] == [len(t.steps) for t in short.templates]
    found = assert_same(long, MACHINES[3, 128])
    assert sum(piece.states for piece in found.pieces) < 2_000
    assert not found.why_not


@pytest.mark.parametrize("name", ["token_parallel", "layer_serial", "cross_layer"])
def test_layers_alike_are_laid_out_once(name: str) -> None:
    """All behind the first, which waits for nothing, share the steps of one of them."""
    strategy = make_strategy(name, {"batch": 8})
    few, many = (
        strategy.outline(Job(place(chain([128] * layers, 8), MACHINES[1, 128]), 64)).outline
        for layers in (4, 10)
    )
    assert len(many.templates) == 3 * len(few.templates)
    assert len({id(t.steps) for t in many.templates}) == len({id(t.steps) for t in few.templates})


@pytest.mark.parametrize(
    ("shape", "name"), every(3, product([(128, 128), (512, 128), (128, 512)], NAMES))
)
def test_the_layers_of_the_paper(shape: tuple[int, int], name: str) -> None:
    for machine in MACHINES.values():
        mapping = place(layer(*shape), machine)
        for tokens in (1, 128, 1001):
            for batch in (1, 8):
                job = Job(mapping, tokens)
                draft = make_strategy(name, {"batch": batch}).outline(job)
                found = assert_same(draft.outline, machine)
                assert not found.why_not


@pytest.mark.parametrize("name", ["token_parallel", "layer_serial", "cross_layer", "auto"])
@pytest.mark.parametrize("network", ["mobilebert", "minilm_l6"])
def test_bundled_networks(network: str, name: str) -> None:
    net, machine = hybridsim.load(network, "ahwa_lora_2026")
    draft = make_strategy(name).outline(Job(place(net, machine), 100))  # type: ignore[attr-defined]
    assert_same(draft.outline, machine)
