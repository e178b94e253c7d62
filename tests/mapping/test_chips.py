"""Layers on several chips: in order, whole, on crossbars of their own."""

import pytest

import hybridsim
from hybridsim.errors import CapacityError, SpecError
from hybridsim.mapping import Mapping, place


def placed(network: str, **changes: object) -> Mapping:
    overrides = {name.replace("__", "."): value for name, value in changes.items()}
    return place(*hybridsim.load(network, "llm_2026", overrides))


def test_eight_chips_hold_the_blocks_of_the_8b_to_the_last_crossbar() -> None:
    mapping = placed("llama_3_1_8b")
    assert (mapping.crossbars, mapping.tiles, mapping.occupancy) == (26_624, 8 * 416, 1.0)
    blocks = {layer.op.block: layer.chip for layer in mapping.layers}
    assert blocks == {block: block // 4 for block in range(32)}


def test_a_layer_is_on_one_chip_with_its_adapter() -> None:
    mapping = placed("llama_3_2_1b_lm", tile__count=200, chips__count=4)
    machine = mapping.machine
    assert machine.cluster is not None
    assert {layer.chip for layer in mapping.layers} == {0, 1, 2}
    for layer in mapping.layers:
        assert {tile // 200 for tile in layer.tiles} == {layer.chip}
        if layer.cluster is not None:
            assert layer.cluster // machine.cluster.count == layer.chip


def test_no_crossbar_is_given_twice_and_none_beyond_the_chips() -> None:
    mapping = placed("llama_3_2_1b_lm", tile__count=200, chips__count=4)
    used = [block.crossbar for layer in mapping.layers for block in layer.blocks]
    assert len(used) == len(set(used)) == mapping.crossbars
    assert max(used) < 4 * 200 * 8


def test_chips_follow_the_order_of_the_network() -> None:
    chips = [layer.chip for layer in placed("llama_3_1_8b_lm").layers]
    assert chips == sorted(chips)


@pytest.mark.parametrize("chips", [5, 7])
def test_too_few_chips(chips: int) -> None:
    said = rf"is 8 chips of 3328 .*; llm_2026 has {chips}; raise chips"
    with pytest.raises(CapacityError, match=said):
        placed("llama_3_1_8b", chips__count=chips)


def test_a_layer_larger_than_a_chip() -> None:
    with pytest.raises(CapacityError, match=r"gate_proj: needs 64 crossbars.*tile.count to 8"):
        placed("llama_3_2_1b", tile__count=7, chips__count=99)


def test_one_chip_is_a_machine_as_before() -> None:
    one = placed("minilm_l6", chips=None)
    many = placed("minilm_l6")
    assert [layer.tiles for layer in one.layers] == [layer.tiles for layer in many.layers]
    assert "chips" not in one.machine.to_text()


def test_layers_share_no_crossbar_across_chips() -> None:
    with pytest.raises(SpecError, match=r"tile.sharing: found packed; on several chips excl"):
        placed("minilm_l6", tile__sharing="packed")
