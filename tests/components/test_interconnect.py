"""Networks on chip: ways, hops and contention, against a search that knows only neighbours."""

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hybridsim.components.interconnect import ChipLink, Flow, Mesh, Tree
from hybridsim.work import Work

CLOCK = {"clock": {"frequency": "500 MHz"}, "width": "64 B/cycle", "hop": "2 cycles"}


def mesh(rows: int, columns: int) -> Mesh:
    return Mesh.model_validate({"kind": "mesh", "rows": rows, "columns": columns, **CLOCK})


def tree(arity: int, levels: int) -> Tree:
    return Tree.model_validate({"kind": "tree", "arity": arity, "levels": levels, **CLOCK})


meshes = st.builds(mesh, st.integers(1, 5), st.integers(1, 5))
trees = st.builds(tree, st.integers(2, 4), st.integers(1, 3))
networks = st.one_of(meshes, trees)


def neighbours(network: Mesh | Tree) -> dict[tuple[int, ...], list[tuple[int, ...]]]:
    """Routers as tuples of digits, joined to the ones beside or above them."""
    if isinstance(network, Mesh):
        nodes = [(r, c) for r in range(network.rows) for c in range(network.columns)]
        return {
            (r, c): [n for n in ((r, c + 1), (r, c - 1), (r + 1, c), (r - 1, c)) if n in nodes]
            for r, c in nodes
        }
    levels = [[()]]
    for _ in range(network.levels):
        levels.append([(*above, i) for above in levels[-1] for i in range(network.arity)])
    joined: dict[tuple[int, ...], list[tuple[int, ...]]] = {n: [] for each in levels for n in each}
    for node in joined:
        if node:
            joined[node].append(node[:-1])
            joined[node[:-1]].append(node)
    return joined


def name(network: Mesh | Tree, node: int) -> tuple[int, ...]:
    if isinstance(network, Mesh):
        return divmod(node, network.columns)
    digits = []
    for _ in range(network.levels):
        node, digit = divmod(node, network.arity)
        digits.append(digit)
    return tuple(reversed(digits))


def distance(network: Mesh | Tree, source: int, target: int) -> int:
    """Breadth first, knowing nothing of rows, columns or ancestors."""
    joined = neighbours(network)
    start, end = name(network, source), name(network, target)
    seen, queue = {start: 0}, deque([start])
    while queue:
        here = queue.popleft()
        for there in joined[here]:
            if there not in seen:
                seen[there] = seen[here] + 1
                queue.append(there)
    return seen[end]


@given(network=networks, data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_way_is_as_short_as_any_and_crosses_no_edge_twice(
    network: Mesh | Tree, data: st.DataObject
) -> None:
    nodes = st.integers(0, network.nodes - 1)
    source, target = data.draw(nodes), data.draw(nodes)
    way = network.route(source, target)
    assert len(way) == len(set(way)) == distance(network, source, target)
    assert all(0 <= edge < network.edges for edge in way)
    ends = network.ends(source, target)
    assert all(network.edges <= port < network.edges + network.ports for port in ends)


@given(network=networks, data=st.data())
@settings(max_examples=100, deadline=None)
def test_there_and_back_are_different_edges(network: Mesh | Tree, data: st.DataObject) -> None:
    nodes = st.integers(0, network.nodes - 1)
    source, target = data.draw(nodes), data.draw(nodes)
    assert not set(network.route(source, target)) & set(network.route(target, source))


@pytest.mark.parametrize("network", [mesh(3, 4), mesh(4, 3), mesh(1, 5), tree(2, 3), tree(3, 2)])
def test_every_edge_has_a_number_of_its_own(network: Mesh | Tree) -> None:
    """All ways together cross as many numbers as there are pairs of neighbours, both ways."""
    nodes = range(network.nodes)
    crossed = {edge for one in nodes for other in nodes for edge in network.route(one, other)}
    assert len(crossed) == sum(len(beside) for beside in neighbours(network).values())


@given(network=networks, data=st.data())
@settings(max_examples=100, deadline=None)
def test_the_busiest_edge_carries_what_a_count_by_hand_says(
    network: Mesh | Tree, data: st.DataObject
) -> None:
    nodes = st.integers(0, network.nodes - 1)
    flows = data.draw(
        st.lists(
            st.builds(
                Flow, nodes, st.lists(nodes, min_size=1, max_size=4).map(tuple), st.integers(1, 99)
            ),
            max_size=4,
        )
    )
    passage = network.passage(flows)

    def way(source: int, target: int) -> tuple[int, ...]:
        edges = network.route(source, target)
        return edges + network.ends(source, target) if edges else ()

    every = {e for flow in flows for t in flow.targets for e in way(flow.source, t)}
    loads = [
        sum(flow.size for flow in flows if any(edge in way(flow.source, t) for t in flow.targets))
        for edge in every
    ]
    assert passage.edges == tuple(sorted(every))
    assert passage.busiest == max(loads, default=0)
    assert passage.hops == max(
        (len(network.route(flow.source, t)) for flow in flows for t in flow.targets), default=0
    )


def test_time_of_a_passage() -> None:
    """Two hops of 2 cycles, and 128 B at 64 B per cycle: 6 cycles of 2 ns."""
    grid = mesh(2, 2)
    across, at_home = grid.passage([Flow(0, (3,), 1)]), grid.passage([Flow(1, (1,), 1)])
    assert grid.time_ps(Work("edge", "move", "", (128, 1, 1, across))) == 6 * 2000
    assert grid.time_ps(Work("edge", "keep", "", (128, 1, 1, at_home))) == 1


def test_two_flows_over_one_edge_take_turns_and_a_copy_goes_once() -> None:
    row = mesh(1, 3)
    assert row.passage([Flow(0, (2,), 64), Flow(1, (2,), 64)]).busiest == 128
    assert row.passage([Flow(0, (1, 2), 64)]).busiest == 64


@given(network=networks, parts=st.integers(1, 60))
def test_parts_are_spread_evenly(network: Mesh | Tree, parts: int) -> None:
    found = [network.place(part, parts) for part in range(parts)]
    assert found == sorted(found)
    counts = [found.count(node) for node in set(found)]
    assert max(counts) - min(counts) <= 1
    assert max(found) < network.nodes


def test_a_link_between_chips() -> None:
    link = ChipLink.model_validate({"bandwidth": "64 GB/s", "latency": "100 ns"})
    assert link.transfer_ps(6400) == 200_000


@pytest.mark.parametrize("change", [{"rows": 0}, {"kind": "ring"}, {"hops": 1}])
def test_what_is_no_mesh_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Mesh.model_validate({"kind": "mesh", "rows": 2, "columns": 2, **CLOCK, **change})
