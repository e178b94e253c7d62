"""Crossbars shared under an objective: nothing lost, and who may lie beside whom."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridsim
from hybridsim.mapping import Mapping, place
from hybridsim.mapping.objectives import RULES, name_in_block
from hybridsim.workload import Linear, Network

OBJECTIVES = tuple(RULES)


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
@pytest.mark.parametrize("objective", ["latency", "balance"])
def test_who_may_share_a_crossbar(model: str, objective: str) -> None:
    """Latency: siblings and peers alone. Balance: peers never on the same columns."""
    made, machine = hybridsim.load(
        model, "harp_2026", {"tile.sharing": objective, "tile.count": "as_needed"}
    )
    on: dict[int, list[tuple[Linear, range]]] = defaultdict(list)
    for layer in place(made, machine).layers:
        for b in layer.blocks:
            columns = range(b.first_column, b.first_column + b.columns)
            on[b.crossbar].append((layer.op, columns))
    for ops in on.values():
        for i, (one, its) in enumerate(ops):
            for other, theirs in ops[:i]:
                peers = name_in_block(one) == name_in_block(other)
                if objective == "balance":
                    assert not (peers and set(its) & set(theirs))
                elif one.block == other.block:
                    assert one.inputs == other.inputs
                    assert not set(its) & set(theirs)


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
