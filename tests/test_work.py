"""Works and their prices: who prices what, what is no price, and many machines at once."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.arch import load_machine
from hybridsim.components.interconnect import Flow
from hybridsim.errors import PlanError, SpecError, TooLongError, UnsupportedError
from hybridsim.programs.attention import Attention
from hybridsim.work import MOST_PS, Pricing, Work, delay, mvm, price

AHWA = load_machine("ahwa_lora_2026")
MESH = load_machine("llm_2026:mesh")
"""A machine with every part outside of a cluster."""
ANALOG = load_machine("ahwa_lora_2026", {"cluster": None})
ATTENTION = Attention(AHWA.cluster, tokens=8, keys=8, head_dim=16, heads=1)
MVM = Work("tile", "mvm", "mvm", (((512, 128),), 8))


# ---- what a part cannot price


@pytest.mark.parametrize(
    ("where", "work"),
    [
        (AHWA, Work("tile", "hop", "jump", (8,))),
        (AHWA, Work("link", "mvm", "multiply", (8,))),
        (AHWA, Work("cores", "softmax", "sort", (8, 8))),
        (AHWA, Work("oven", "bake", "bread", (8,))),
        (AHWA, Work("chip_link", "hop", "to chip 1", (8,))),
        (AHWA, Work("dram", "fetch", "tables", (8,))),
        (AHWA, Work("edge", "move", "around", (8, 1, 1, None))),
        (MESH, Work("chip_link", "fetch", "tables", (8,))),
        (MESH, Work("dram", "hop", "to chip 1", (8,))),
        (MESH, Work("edge", "hop", "to chip 1", (8,))),
        (ANALOG, Work("cores", "cycles", "add", (8,))),
        (ANALOG, Work("dma", "transfer", "load x", (8,))),
        (ATTENTION, Work("cores", "gemm", "multiply", (8, 8, 8))),
    ],
)
def test_what_no_part_can_price_is_refused_with_both_names(where: Pricing, work: Work) -> None:
    names = f"'{work.label}': its part {work.part} does not know the work {work.kind}"
    with pytest.raises(UnsupportedError, match=f"no price for {names}"):
        price([work], where)


# ---- what is no price


class Fixed:
    """Prices every work the same."""

    def __init__(self, time_ps: Any) -> None:
        self._time_ps = time_ps

    def time_ps(self, work: Work) -> Any:
        return self._time_ps


ONE_BY_ONE = [0, -1, -(2**70), 2.0, np.float64(2), True, np.True_, None, "2"]
TOGETHER = [
    np.array([3, 0]),
    np.array([-1, 3]),
    np.array([3.0, 4.0]),
    np.array([True, True]),
    np.array([3, 2**70]),  # of objects
]


@pytest.mark.parametrize("time_ps", ONE_BY_ONE, ids=repr)
@pytest.mark.parametrize("machines", [None, 2])
def test_what_is_no_price_is_refused_with_its_part(time_ps: Any, machines: int | None) -> None:
    with pytest.raises(PlanError, match=r"part tile: prices 'mvm' at .* ps; a price is a whole"):
        price([MVM], Fixed(time_ps), machines)


@pytest.mark.parametrize("time_ps", TOGETHER, ids=repr)
def test_one_that_is_no_price_spoils_those_of_all_machines(time_ps: Any) -> None:
    with pytest.raises(PlanError, match=r"part tile: prices 'mvm' at .* ps; a price is a whole"):
        price([MVM], Fixed(time_ps), 2)


@pytest.mark.parametrize("time_ps", [1, np.int32(1), np.uint64(7), MOST_PS - 1])
def test_every_other_whole_number_is_a_price(time_ps: Any) -> None:
    for machines in (None, 3):
        found = price([MVM], Fixed(time_ps), machines)
        assert found.time_ps.dtype == np.int64
        assert (found.time_ps == int(time_ps)).all()
        assert found.time_ps.shape == ((1,) if machines is None else (1, 3))


def test_a_tile_that_takes_no_time_is_refused() -> None:
    with pytest.raises(SpecError, match="integration_time: found '0 ns'; at least 1 ps would do"):
        load_machine("ahwa_lora_2026", {"tile.integration_time": "0 ns"})


BEYOND = (MOST_PS, 2**70, np.array([3, MOST_PS]), np.array([3, 2**63], np.uint64))


@pytest.mark.parametrize("time_ps", BEYOND, ids=repr)
def test_a_work_beyond_64_bits_is_the_users_error(time_ps: Any) -> None:
    with pytest.raises(TooLongError, match=r"'mvm' takes 2\^62 ps \(53 days\) or more"):
        price([MVM], Fixed(time_ps), 2)


def test_a_delay_takes_its_time_whatever_the_machine() -> None:
    works = [delay("wait", 7), delay("wait", 8)]
    for machine in (AHWA, MESH):
        found = price(works, machine)
        assert [found.of(work) for work in works] == found.time_ps.tolist() == [7, 8]


# ---- many machines at once

FIELDS: dict[str, tuple[int, int]] = {
    "tile.integration_time": (1, 10**7),
    "link.width": (1, 512),
    "link.latency": (0, 100),
    "network_on_chip.width": (1, 512),
    "network_on_chip.hop": (0, 20),
    "chips.link.bandwidth": (10**6, 10**12),
    "chips.link.latency": (0, 10**6),
    "memory.dram.bandwidth": (10**6, 10**12),
}
"""Fields of a machine that may be arrays, and the values that are tried."""

sizes = st.integers(1, 10**6)
members = st.lists(st.tuples(st.integers(1, 4096), st.integers(1, 4096)), min_size=1, max_size=3)


@st.composite
def works(draw: st.DrawFn) -> Work:
    """A work of a part outside of a cluster, on a machine of a mesh."""
    label, kind = "work", draw(st.sampled_from(["mvm", "add", "move", "route", "fetch", "hop"]))
    if kind == "mvm":
        return Work("tile", kind, label, (tuple(draw(members)), draw(st.integers(1, 999))))
    if kind == "add":
        rows = (draw(st.integers(1, 4)), draw(st.integers(1, 4096)), draw(st.booleans()))
        return Work("periphery", kind, label, (*rows, draw(st.integers(1, 999))))
    if kind == "move":
        return Work("link", kind, label, (draw(sizes), draw(st.integers(1, 9))))
    if kind == "route":
        return Work("edge", "move", label, draw(routes()))
    return Work("dram" if kind == "fetch" else "chip_link", kind, label, (draw(sizes),))


@st.composite
def routes(draw: st.DrawFn) -> tuple[Any, ...]:
    """The shape of a move from some nodes to others; nothing moves from a node to itself."""
    network = MESH.network_on_chip
    assert network is not None
    nodes = st.integers(0, network.nodes - 1)
    sources = draw(st.lists(nodes, min_size=1, max_size=3, unique=True))
    targets = tuple(draw(st.lists(nodes, min_size=1, max_size=3, unique=True)))
    passage = network.passage([Flow(source, targets, 1) for source in sources])
    return draw(sizes), draw(st.integers(1, 9)), len(sources), passage


@st.composite
def machines(draw: st.DrawFn) -> dict[str, list[int]]:
    """Values of some fields, one for each of a few machines."""
    count = draw(st.integers(1, 4))
    chosen = draw(st.lists(st.sampled_from(sorted(FIELDS)), min_size=1, unique=True))
    each = {path: st.integers(*FIELDS[path]) for path in chosen}
    return {
        path: draw(st.lists(values, min_size=count, max_size=count))
        for path, values in each.items()
    }


def changed(spec: Any, path: str, value: Any) -> Any:
    """Return a machine, or a part of one, with another value at a dotted path."""
    name, _, rest = path.partition(".")
    return spec.model_copy(
        update={name: changed(getattr(spec, name), rest, value) if rest else value}
    )


@given(asked=st.lists(works(), min_size=1, max_size=4), fields=machines())
def test_prices_of_many_machines_are_those_of_each_alone(
    asked: list[Work], fields: dict[str, list[int]]
) -> None:
    many: Pricing = MESH
    for path, values in fields.items():
        many = changed(many, path, np.array(values))
    count = len(next(iter(fields.values())))
    found = price(asked, many, count).time_ps
    assert found.shape == (len(asked), count)
    for column in range(count):
        one: Pricing = MESH
        for path, values in fields.items():
            one = changed(one, path, values[column])
        assert found[:, column].tolist() == price(asked, one).time_ps.tolist()


@pytest.mark.parametrize("path", FIELDS)
def test_every_field_changes_some_price(path: str) -> None:
    """Without that, the law above would hold for a field that nobody reads."""
    network = MESH.network_on_chip
    assert network is not None
    far = network.passage([Flow(0, (network.nodes - 1,), 1)])
    asked = [
        MVM,
        Work("link", "move", "move", (10**6, 1)),
        Work("edge", "move", "move", (10**6, 1, 1, far)),
        Work("chip_link", "hop", "hop", (10**6,)),
        Work("dram", "fetch", "fetch", (10**6,)),
    ]
    low, high = FIELDS[path]
    found = price(asked, changed(MESH, path, np.array([low, high])), 2).time_ps
    assert (found[:, 0] != found[:, 1]).any()


# ---- copies of weights


@given(st.integers(1, 500), st.integers(1, 9))
def test_the_largest_share_of_the_tokens_sets_the_pace_of_copies(tokens: int, copies: int) -> None:
    members = ((512, 128), (512, 64))
    assert mvm(members, tokens) == mvm(members, tokens, 1)
    shares = [len(range(copy, tokens, copies)) for copy in range(copies)]
    assert mvm(members, tokens, copies).shape == (members, max(shares))
    assert mvm(members, tokens, copies).tokens == tokens
