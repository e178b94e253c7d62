"""Crossbars shared under an objective: nothing lost, and who may lie beside whom."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridsim
from hybridsim.mapping import Block, Mapping, place
from hybridsim.mapping.objectives import OBJECTIVES
from hybridsim.strategies.job import Job
from hybridsim.strategies.networks.structure import structure_of
from hybridsim.workload import Input, Linear, Network


def network(shapes: list[list[tuple[int, int]]]) -> Network:
    """Return blocks of a layer from 32 features to each size, and back; all widths differ."""
    ops: list[Linear] = []
    before: tuple[str, ...] = ()
    for block, sizes in enumerate(shapes):
        for index, (wide, count) in enumerate(sizes):
            reads = before
            for sibling in range(count):
                name = f"block{block}.up{index}.{sibling}"
                ops.append(
                    Linear(name=name, inputs=reads, block=block, in_features=32, out_features=wide)
                )
            down = f"block{block}.down{index}"
            ops.append(
                Linear(name=down, inputs=(name,), block=block, in_features=wide, out_features=32)
            )
            before = (down,)
    return Network(name="made", source="here", ops=tuple(ops))


def placed(made: Network, objective: str, rows: int = 48, columns: int = 40) -> Mapping:
    machine = hybridsim.load_machine(
        "harp_2026",
        {
            "tile.rows": rows,
            "tile.columns": columns,
            "tile.count": "as_needed",
            "tile.sharing": objective,
        },
    )
    return place(made, machine)


sizes = st.lists(st.tuples(st.integers(1, 90), st.integers(1, 3)), min_size=1, max_size=3)


@given(block=sizes, count=st.integers(1, 4), objective=st.sampled_from(OBJECTIVES))
@settings(deadline=None)
def test_every_weight_has_exactly_one_device(
    block: list[tuple[int, int]], count: int, objective: str
) -> None:
    mapping = placed(network([block] * count), objective)
    taken: dict[int, np.ndarray] = defaultdict(lambda: np.zeros((48, 40), int))
    for layer in mapping.layers:
        assert sum(b.devices for b in layer.blocks) == layer.op.weights
        assert len({b.crossbar for b in layer.blocks}) == len(layer.blocks)
        for b in layer.blocks:
            area = taken[b.crossbar][
                b.first_row : b.first_row + b.rows, b.first_column : b.first_column + b.columns
            ]
            assert area.size == b.devices
            area += 1
    assert all(devices.max() == 1 for devices in taken.values())
    assert sorted(taken) == list(range(mapping.crossbars))


@pytest.mark.parametrize("model", ["mobilebert", "bert_base"])
def test_who_may_share_a_crossbar_for_latency(model: str) -> None:
    """Siblings beside each other, and peers alone."""
    made, machine = hybridsim.load(
        model, "harp_2026", {"tile.sharing": "latency", "tile.count": "as_needed"}
    )
    for one, other, same_columns in pairs(place(made, machine)):
        if one.block == other.block:
            assert one.inputs == other.inputs
            assert not same_columns


def pairs(mapping: Mapping) -> Iterator[tuple[Linear, Linear, bool]]:
    """Yield the layers that share a crossbar, two by two, and whether they share columns there."""
    on: dict[int, list[tuple[Linear, Block]]] = defaultdict(list)
    for layer in mapping.layers:
        for block in layer.blocks:
            on[block.crossbar].append((layer.op, block))
    for held in on.values():
        for (one, its), (other, theirs) in combinations(held, 2):
            apart = (
                its.first_column >= theirs.first_column + theirs.columns
                or theirs.first_column >= its.first_column + its.columns
            )
            yield one, other, not apart


def siblings(one: Linear, other: Linear) -> bool:
    """Whether two layers read the same inputs, so that they may work at the same time."""
    return one.block == other.block and one.inputs == other.inputs != ()


@given(block=sizes, count=st.integers(1, 4))
@settings(deadline=None)
def test_balanced_siblings_are_never_in_each_others_way(
    block: list[tuple[int, int]], count: int
) -> None:
    """What balance is for, as far as it is about latency: layers that read the same inputs work
    at the same time where they share a crossbar."""
    mapping = placed(network([block] * count), "balance")
    assert not any(siblings(a, b) and same for a, b, same in pairs(mapping))


@given(block=sizes, count=st.integers(1, 4), objective=st.sampled_from(OBJECTIVES))
@settings(deadline=None)
def test_no_tier_works_for_two_on_the_same_columns(
    block: list[tuple[int, int]], count: int, objective: str
) -> None:
    """Layers that are one task lie on one tier of each tile that they share, side by side."""
    mapping = placed(network([block] * count), objective)
    tiles = mapping.tiles
    structure = structure_of(Job(mapping, 8))
    for name, together in structure.together.items():
        for other in set(together.members) - {name}:
            for one, two in product(structure.layers[name].blocks, structure.layers[other].blocks):
                if one.crossbar % tiles == two.crossbar % tiles:
                    assert one.crossbar == two.crossbar
                    assert (
                        one.first_column >= two.first_column + two.columns
                        or two.first_column >= one.first_column + one.columns
                    )


@given(block=sizes, count=st.integers(1, 4))
@settings(deadline=None)
def test_balance_never_takes_more_crossbars_than_blocks_there_are(
    block: list[tuple[int, int]], count: int
) -> None:
    """What balance is for, as far as it is about area: it never takes more than `exclusive`."""
    made = network([block] * count)
    assert placed(made, "balance").crossbars <= placed(made, "exclusive").crossbars


@given(block=sizes, count=st.integers(2, 4), objective=st.sampled_from(OBJECTIVES))
@settings(deadline=None)
def test_blocks_that_come_later_move_nothing(
    block: list[tuple[int, int]], count: int, objective: str
) -> None:
    """Layers are placed one after the other, and what is placed stays there."""
    fewer = placed(network([block] * (count - 1)), objective)
    more = placed(network([block] * count), objective)
    assert [a.blocks for a in fewer.layers] == [b.blocks for b in more.layers[: len(fewer.layers)]]


def of_mobilebert(objective: str) -> Mapping:
    made, machine = hybridsim.load("mobilebert", "harp_2026", {"tile.sharing": objective})
    return place(made, machine)


def test_balanced_siblings_go_together_or_row_by_row() -> None:
    """The three layers that read a block's input: side by side with those of an earlier block, or
    each at the row of another one, on a crossbar that no other layer of this block has."""
    found = {layer.name: layer.blocks[0] for layer in of_mobilebert("balance").layers}
    names = ("bottleneck.input", "bottleneck.attention", "attention.self.value")
    for block in range(24):
        own = [found[f"block{block}.{name}"] for name in names]
        by_crossbar = defaultdict(set)
        for each in own:
            by_crossbar[each.crossbar].add(each.first_row)
        assert all(len(rows) == 1 for rows in by_crossbar.values())


def lying(
    blocks: int, *widths: int, objective: str = "balance", columns: int = 96, inputs: int = 64
) -> list[tuple[int, int, int]]:
    """Return where layers with 64 inputs and so many outputs lie, block after block: crossbar,
    row and column of crossbars of 128 x ``columns``. Layers of a block are siblings."""
    read = Input(name="x", features=inputs)
    layers = [
        Linear(
            name=f"block{block}.layer{index}",
            inputs=("x",),
            block=block,
            in_features=inputs,
            out_features=width,
        )
        for block in range(blocks)
        for index, width in enumerate(widths)
    ]
    made = Network(name="made", source="here", ops=(read, *layers))
    mapping = placed(made, objective, rows=128, columns=columns)
    found = [layer.blocks[0] for layer in mapping.layers]
    return [(block.crossbar, block.first_row, block.first_column) for block in found]


def test_balance_goes_below_the_same_layer_of_the_block_before() -> None:
    """While there is room; then to a crossbar of its own, which the next one joins."""
    assert lying(4, 64) == [(0, 0, 0), (0, 64, 0), (1, 0, 0), (1, 64, 0)]


def test_balance_goes_beside_the_same_layer_where_there_is_no_room_below() -> None:
    """At the rows of the latest one; from there again down its columns."""
    left = [(0, 0, 0), (0, 64, 0)]
    assert lying(6, 32) == [*left, (0, 64, 32), (0, 0, 32), (0, 0, 64), (0, 64, 64)]


def test_balanced_siblings_go_as_one() -> None:
    """There would be room for one of the third block beside the others, not for both."""
    first = [(0, 0, 0), (0, 0, 32), (0, 64, 0), (0, 64, 32)]
    assert lying(3, 32, 32) == [*first, (1, 0, 0), (1, 0, 32)]


def test_balanced_siblings_as_high_as_a_crossbar_go_as_one() -> None:
    """The second block has room for one of them beside the first block's, not for both."""
    first = [(0, 0, 0), (0, 0, 32)]
    assert lying(2, 32, 32, inputs=128) == [*first, (1, 0, 0), (1, 0, 32)]


def test_balanced_siblings_wider_than_a_crossbar_go_each_by_itself() -> None:
    assert lying(2, 64, 64) == [(0, 0, 0), (1, 0, 0), (0, 64, 0), (1, 64, 0)]


def test_a_balanced_sibling_takes_the_columns_that_the_others_leave_to_the_last() -> None:
    assert lying(1, 64, 64, 32) == [(0, 0, 0), (1, 0, 0), (0, 0, 64)]


def test_siblings_for_latency_that_are_too_wide_together_lie_beside_at_steps_of_128() -> None:
    """At the next step after the last one, where they fit; else each begins a crossbar."""
    beside = [(0, 0, 0), (0, 0, 384), (1, 0, 0)]
    assert lying(1, 300, 100, 200, objective="latency", columns=512) == beside


def test_area_takes_least() -> None:
    made, _ = hybridsim.load("mobilebert", "harp_2026")
    taken = {
        objective: place(made, hybridsim.load_machine("harp_2026", {"tile.sharing": objective}))
        for objective in (*OBJECTIVES, "exclusive")
        if objective != "exclusive"
    }
    crossbars = {objective: mapping.crossbars for objective, mapping in taken.items()}
    assert crossbars["area"] == 78  # 20,250,624 weights fill 77.25 crossbars
    assert crossbars["area"] == min(crossbars.values())


def test_a_mapping_without_adapters_keeps_its_places() -> None:
    made, machine = hybridsim.load("mobilebert", "harp_2026")
    full = place(made, machine)
    bare = full.without_adapters()
    assert [layer.blocks for layer in bare.layers] == [layer.blocks for layer in full.layers]
    assert {layer.adapter for layer in bare.layers} == {None}
    assert bare == place(made.without_adapters(), machine)
