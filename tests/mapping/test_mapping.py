"""Weights on tiles: nothing lost, nothing twice, and the published counts."""

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridsim
from hybridsim.arch import TileArray
from hybridsim.errors import CapacityError
from hybridsim.mapping import place
from hybridsim.mapping.tiling import Block, place_all


def tile(sharing: str = "exclusive", rows: int = 512, columns: int = 512) -> TileArray:
    return TileArray.model_validate(
        {
            "rows": rows,
            "columns": columns,
            "tiers": 1,
            "integration_time": "256 ns",
            "output_buffers": 2,
            "periphery": {
                "clock": {"frequency": "500 MHz"},
                "lanes": 8,
                "setup": "3 cycles",
                "accumulate": "4 cycles",
            },
            "count": "as_needed",
            "sharing": sharing,
        }
    )


matrices = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=12)


@given(matrices=matrices, sharing=st.sampled_from(["exclusive", "packed"]))
def test_every_weight_has_exactly_one_device(
    matrices: list[tuple[int, int]], sharing: str
) -> None:
    placed, crossbars = place_all(tile(sharing, rows=16, columns=12), matrices)
    devices: dict[tuple[int, int, int], int] = defaultdict(int)
    for (rows, columns), blocks in zip(matrices, placed, strict=True):
        assert sum(block.devices for block in blocks) == rows * columns
        assert len({block.crossbar for block in blocks}) == len(blocks)
        for block in blocks:
            _occupy(devices, block)
    assert set(devices.values()) == {1}
    assert max(crossbar for crossbar, _, _ in devices) == crossbars - 1


def _occupy(devices: dict[tuple[int, int, int], int], block: Block) -> None:
    for row in range(block.first_row, block.first_row + block.rows):
        for column in range(block.first_column, block.first_column + block.columns):
            assert row < 16
            assert column < 12
            devices[block.crossbar, row, column] += 1


@given(matrices=matrices)
def test_packing_takes_no_more_crossbars_than_exclusive_use(
    matrices: list[tuple[int, int]],
) -> None:
    packed = place_all(tile("packed", rows=16, columns=12), matrices)[1]
    exclusive = place_all(tile("exclusive", rows=16, columns=12), matrices)[1]
    weights = sum(rows * columns for rows, columns in matrices)
    assert -(-weights // (16 * 12)) <= packed <= exclusive


@pytest.mark.parametrize(
    ("network", "tiles"),
    [("mobilebert", 361), ("bert_base", 480), ("bert_large", 1152), ("minilm_l6", 60)],
)
def test_tiles_of_one_layer_per_tile(network: str, tiles: int) -> None:
    """512x512 tiles, one layer per tile: shapes of the published models cut by hand."""
    net, machine = hybridsim.load(network, "ahwa_lora_2026")
    assert place(net, machine).tiles == tiles


def test_packed_mobilebert_comes_close_to_the_bound() -> None:
    """20,250,624 weights fill 77.25 crossbars of 512x512, so 78 is the bound."""
    net, machine = hybridsim.load("mobilebert", "harp_2026")
    assert 78 <= place(net, machine).crossbars <= 84


def test_a_network_that_does_not_fit_says_how_many_crossbars_are_missing() -> None:
    net, machine = hybridsim.load("bert_base", "harp_2026")
    with pytest.raises(CapacityError, match=r"has 128 \(16 tiles x 8 tiers\), \d+ are missing"):
        place(net, machine)


def test_adapters_without_a_cluster_are_refused() -> None:
    net, machine = hybridsim.load("mobilebert", "ahwa_lora_2026", {"cluster": None})
    with pytest.raises(CapacityError, match="has no cluster"):
        place(net, machine)
    assert place(net.without_adapters(), machine).tiles == 361


@given(in_features=st.integers(1, 3000), out_features=st.integers(1, 3000))
@settings(max_examples=50)
def test_an_mvm_takes_as_long_however_full_the_tile_is(
    in_features: int, out_features: int
) -> None:
    """T_int + (3 + min(columns, 512) / 8) clk + 4 clk per further row block (HARP)."""
    expected = 256_000 + 2_000 * (
        3 + -(-min(out_features, 512) // 8) + 4 * (-(-in_features // 512) - 1)
    )
    assert tile().mvm_ps(in_features, out_features, tokens=7) == 7 * expected
