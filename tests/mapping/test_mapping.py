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
from tests.workload.test_vectors import routed


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


@pytest.mark.parametrize(("first", "second"), [((40, 20), (128, 76)), ((20, 64), (108, 96))])
def test_what_a_block_leaves_of_a_crossbar_is_cut_so_that_the_larger_piece_stays_whole(
    first: tuple[int, int], second: tuple[int, int]
) -> None:
    """Beside 20 columns are 76 whole ones, below 20 rows 108 whole ones; the second takes them."""
    assert place_all(tile("packed", rows=128, columns=96), [first, second])[1] == 1


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
    net, machine = hybridsim.load("bert_base", "harp_2026", {"mapping.overflow": "refuse"})
    with pytest.raises(CapacityError, match=r"has 128 \(16 tiles x 8 tiers\), \d+ are missing"):
        place(net, machine)


def test_adapters_without_a_cluster_are_refused() -> None:
    net, machine = hybridsim.load("mobilebert", "ahwa_lora_2026", {"cluster": None})
    with pytest.raises(CapacityError, match="has no cluster"):
        place(net, machine)
    assert place(net.without_adapters(), machine).tiles == 361


def test_adapters_go_to_the_clusters_in_turn() -> None:
    made, machine = hybridsim.load("minilm_l6", "ahwa_lora_2026", {"cluster.count": 3})
    homes = [layer.cluster for layer in place(made, machine).layers if layer.adapter is not None]
    assert homes == [index % 3 for index in range(len(homes))]


def test_as_many_tiles_as_needed_hold_their_tiers_of_crossbars() -> None:
    wanted = {"tile.count": "as_needed", "tile.tiers": 4}
    mapping = place(*hybridsim.load("minilm_l6", "ahwa_lora_2026", wanted))
    assert mapping.tiles == -(-mapping.crossbars // 4)
    assert mapping.crossbars > 4


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


def test_what_would_take_minutes_to_place_is_refused_at_once() -> None:
    network, machine = hybridsim.load("llama_3_1_8b", "ahwa_lora_2026", {"tile.rows": 1})
    with pytest.raises(CapacityError, match="pieces of 1 x 512; at most 1,048,576 are placed"):
        place(network, machine)
    network, machine = hybridsim.load("bert_large", "harp_2026", {"tile.rows": 1})
    with pytest.raises(CapacityError, match=r"larger tiles or tile\.sharing=exclusive would do"):
        place(network, machine)


def test_each_of_several_matrices_has_tiles_of_its_own_and_one_alone_is_the_layers() -> None:
    """Eight experts of 512 x 512 with a router: on tiles of 256 rows two each, none shared."""
    machine = hybridsim.load_machine("ahwa_lora_2026", {"tile.rows": 256, "tile.tiers": 1})
    for layer in place(routed(), machine).layers:
        count = layer.op.matrices[0]
        assert sum(block.devices for block in layer.blocks) == layer.op.weights
        assert len(layer.blocks) == 2 * count
        assert len(layer.tiles_of) == (count if count > 1 else 0)
        if count > 1:
            assert [tile for own in layer.tiles_of for tile in own] == list(layer.tiles)
            assert {len(own) for own in layer.tiles_of} == {2}
