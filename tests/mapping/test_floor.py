"""Tiles on the floor of a chip: exchanged for short ways, and nothing else moved."""

import re
from itertools import pairwise, permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridsim
from hybridsim.components.interconnect import Mesh
from hybridsim.errors import SpecError
from hybridsim.mapping import Mapping, place
from hybridsim.mapping.floor import CLUSTERS, MEMORY, Floor, Traffic, annealed, flows_of
from hybridsim.specs import validate
from hybridsim.strategies import make_strategy
from hybridsim.workload import Network


def mesh(rows: int, columns: int) -> Mesh:
    own: dict[str, Any] = {
        "kind": "mesh", "rows": rows, "columns": columns, "clock": {"frequency": "1 GHz"},
        "width": "8 B/cycle", "hop": "1 cycles",
    }  # fmt: skip
    return validate(Mesh, own, "this test")


def chain(widths: list[int]) -> Network:
    ops = [
        {"name": f"l{i}", "kind": "linear", "in_features": n, "out_features": m,
         "inputs": [f"l{i - 1}"] if i else []}
        for i, (n, m) in enumerate(pairwise(widths))
    ]  # fmt: skip
    given: dict[str, Any] = {
        "name": "chain",
        "source": "this test",
        "sequence_length": 8,
        "ops": ops,
    }
    return validate(Network, given, "chain")


def mapped(floor: str, widths: list[int]) -> Mapping:
    changed: dict[str, object] = {"chips": None, "tile.tiers": 1, "mapping.floor": floor}
    changed |= {"network_on_chip.rows": 3, "network_on_chip.columns": 3, "tile.count": 20}
    changed |= {"energy.link": {"power": None, "byte_hop": "1 pJ/B"}}
    return place(chain(widths), hybridsim.load_machine("llm_2026:mesh", changed))


@st.composite
def floors(draw: st.DrawFn, most: int = 5) -> Floor:
    tiles = draw(st.integers(2, most))
    layers = draw(st.integers(1, 4))
    where = {
        f"l{n}": tuple(sorted(draw(st.sets(st.integers(0, tiles - 1), min_size=1))))
        for n in range(layers)
    }
    site = st.sampled_from([*where, CLUSTERS, MEMORY, "elsewhere"])
    flows = draw(
        st.lists(st.builds(Traffic, site, site, st.integers(1, 1000)), min_size=1, max_size=5)
    )
    return Floor(mesh(2, 3), tiles, draw(st.integers(1, 3)), where, tuple(flows))


@given(floors(most=9), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_tiles_are_exchanged_and_ways_never_longer(floor: Floor, seed: int) -> None:
    slots, before, after = annealed(floor, seed)
    assert sorted(slots) == list(range(floor.tiles))
    assert after <= before + 1e-9
    assert annealed(Floor(**{n: getattr(floor, n) for n in floor.__dataclass_fields__}), seed) == (
        slots, before, after,
    )  # fmt: skip


@given(floors())
@settings(max_examples=15, deadline=None)
def test_on_a_few_tiles_no_exchange_at_all_is_shorter(floor: Floor) -> None:
    _, _, after = annealed(floor, 0)
    every = permutations(range(floor.tiles))
    least = min(sum(floor.cost(flow, slots) for flow in floor.own) for slots in every)
    assert after == pytest.approx(least)


def test_a_byte_is_copied_where_the_ways_to_its_readers_part() -> None:
    """From the left of a row of three nodes to both others: two edges, not three."""
    floor = Floor(mesh(1, 3), 3, 1, {"a": (0,), "b": (1, 2)}, (Traffic("a", "b", 10),))
    assert floor.cost(floor.flows[0], range(3)) == 20
    assert floor.cost(floor.flows[0], (1, 0, 2)) == 20
    assert floor.cost(Traffic("b", "a", 10), range(3)) == pytest.approx(10 * (1 + 2) / 2)


def test_clusters_read_a_byte_one_at_a_time_and_send_it_in_equal_shares() -> None:
    """Two clusters at the ends of a row of three nodes, and a tile in its middle."""
    floor = Floor(mesh(1, 3), 3, 3, {"a": (0,)}, ())
    ways = [[len(floor.network.route(a, b)) for b in floor.there] for a in range(3)]
    assert floor.cost(Traffic("a", CLUSTERS, 10), (2, 0, 1)) == 10 * sum(ways[2]) / 3
    assert floor.cost(Traffic(CLUSTERS, "a", 10), (2, 0, 1)) == 10 * sum(ways[2]) / 3
    readers = Floor(mesh(1, 3), 3, 3, {"a": (0,), "b": (0, 1, 2)}, ())
    assert readers.cost(Traffic("a", "b", 10), range(3)) == 10 * 2


def test_what_is_sent_follows_the_network() -> None:
    """Of MiniLM: what adapted layers make goes to the clusters, and all else comes from there."""
    network, machine = hybridsim.load("minilm_l6", "llm_2026:mesh")
    flows = list(flows_of(network, machine))
    assert {flow.target for flow in flows if flow.source == "block0.intermediate"} == {CLUSTERS}
    assert {flow.source for flow in flows if flow.target == "block0.intermediate"} == {CLUSTERS}
    made = sum(flow.size for flow in flows if flow.source == "block0.intermediate")
    tokens = network.tokens(network.op("block0.intermediate"), network.sequence_length or 0)
    assert made == tokens * 1536 * machine.activation_bits // 8


@pytest.mark.parametrize("periphery", [True, False])
def test_a_sum_is_where_its_last_operand_is_made_if_the_periphery_adds(periphery: bool) -> None:
    """a and b read x, their sum is read by c: at b's tiles, or on the clusters."""
    read: dict[str, Any] = {"kind": "linear", "in_features": 64, "out_features": 64}
    ops: list[dict[str, Any]] = [
        {"name": "a", "inputs": [], **read},
        {"name": "b", "inputs": ["a"], **read},
        {"name": "sum", "kind": "add", "features": 64, "inputs": ["a", "b"]},
        {"name": "c", "inputs": ["sum"], **read},
    ]
    given = {"name": "sum", "source": "this test", "sequence_length": 8, "ops": ops}
    changed = {} if periphery else {"tile.periphery.residual": None}
    machine = hybridsim.load_machine("llm_2026:mesh", changed)
    flows = {
        (flow.source, flow.target) for flow in flows_of(validate(Network, given, "sum"), machine)
    }
    # b reads what a makes as well
    there = {("a", "b"), ("b", "c")} if periphery else {
        ("a", "b"), ("a", CLUSTERS), ("b", CLUSTERS), (CLUSTERS, "c")
    }  # fmt: skip
    assert flows == there


def test_only_the_floor_moves_and_a_run_has_shorter_ways() -> None:
    """A chain of layers on 19 tiles of a mesh of 9 nodes: less energy in its edges."""
    widths = [512, 1500, 512, 1500, 1024, 700]
    spread, short = mapped("spread", widths), mapped("short", widths)
    assert short.crossbars == spread.crossbars
    for one, other in zip(spread.layers, short.layers, strict=True):
        assert len(one.tiles) == len(other.tiles)
        assert [b.devices for b in one.blocks] == [b.devices for b in other.blocks]
    energy = [
        hybridsim.simulate(
            own.network, own.machine, make_strategy("network", {"batch": 8})
        ).energy.component_aj["link"]
        for own in (spread, short)
    ]
    assert energy[1] < energy[0]
    (note,) = short.notes
    assert "mapping.floor=short, seed 0" in note
    found = re.search(r"([\d.]+) -> ([\d.]+) MB x edges per sequence, ([\d.]+) % less", note)
    assert found is not None
    before, after, less = map(float, found.groups())
    assert 0 < after < before
    assert less == pytest.approx(100 * (before - after) / before, abs=0.2)


def test_without_a_network_on_chip_there_is_no_floor() -> None:
    machine = hybridsim.load_machine("ahwa_lora_2026", {"mapping.floor": "short"})
    with pytest.raises(SpecError, match=r"mapping.floor: .*spread would do"):
        place(chain([512, 512]), machine)
