"""Which layers clusters compute where the chip is too small, and what is too much to place."""

import pytest

import hybridsim
from hybridsim.errors import CapacityError
from hybridsim.mapping import place, placement
from hybridsim.mapping.overflow import digital_layers
from hybridsim.workload import Linear, Network


def made(**sizes: tuple[int, int]) -> Network:
    """Layers of some inputs and outputs, each by itself."""
    ops = tuple(
        Linear(name=name, in_features=inputs, out_features=outputs)
        for name, (inputs, outputs) in sizes.items()
    )
    return Network(name="made", source="here", ops=ops, sequence_length=4)


def chip(crossbars: int, sharing: str = "exclusive") -> hybridsim.Machine:
    tiles = {"tile.rows": 256, "tile.columns": 256, "tile.tiers": 1, "tile.count": crossbars}
    return hybridsim.load_machine("ahwa_lora_2026", {**tiles, "tile.sharing": sharing})


def test_layers_that_save_the_fewest_products_per_crossbar_go_first() -> None:
    """300 x 100 weights on two crossbars are 15,000 each, 200 x 100 on one are 20,000."""
    network = made(long=(300, 100), short=(200, 100))
    names, note = digital_layers(network, chip(2))
    assert names == ["long"]
    assert "3 crossbars on 2, so clusters compute 1 of 2 layers, 60 % of the weights" in note


def test_of_equal_layers_the_first_goes_and_no_more_than_must() -> None:
    network = made(a=(200, 100), b=(200, 100), c=(200, 100), d=(100, 100))
    assert digital_layers(network, chip(3))[0] == ["d"]
    assert digital_layers(network, chip(2))[0] == ["d", "a"]


@pytest.mark.parametrize("sharing", ["exclusive", "packed"])
def test_as_many_pieces_as_are_placed_and_not_one_more(
    sharing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, machine = made(long=(300, 300), short=(200, 100)), chip(8, sharing)
    limit = "MOST_PACKED" if sharing == "packed" else "MOST_PIECES"
    monkeypatch.setattr(placement, limit, 5)
    assert len(place(network, machine).layers) == 2
    monkeypatch.setattr(placement, limit, 4)
    with pytest.raises(CapacityError, match="into 5 pieces of 256 x 256; at most 4 are placed"):
        place(network, machine)
