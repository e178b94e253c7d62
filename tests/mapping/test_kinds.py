"""Which kind of tiles holds a layer, and which kind of clusters its adapter."""

from collections import Counter

import pytest

import hybridsim
from hybridsim.errors import CapacityError, InputError
from hybridsim.mapping import Mapping, place

NARROW = {"rows": 128, "columns": 128}


def placed(**changes: object) -> Mapping:
    overrides = {name.replace("__", "."): value for name, value in changes.items()}
    return place(*hybridsim.load("mobilebert", "ahwa_lora_2026", overrides))


def kinds(mapping: Mapping) -> Counter[str]:
    return Counter(layer.sort for layer in mapping.layers)


def test_the_last_pattern_that_fits_counts_with_or_without_the_block() -> None:
    rules = {"*": "tile", "attention.*": "small", "block0.attention.self.query": "tile"}
    mapping = placed(tiles={"small": NARROW}, mapping__layers=rules)
    small = {layer.name for layer in mapping.layers if layer.sort == "small"}
    assert len(small) == 24 * 4 - 1
    assert "block1.attention.self.query" in small
    assert "block0.attention.self.query" not in small
    assert mapping.notes == ()


def test_for_latency_a_layer_goes_where_a_vector_takes_least_and_else_to_the_usual_kind() -> None:
    fast = placed(tiles={"other": {"integration_time": "255 ns"}})
    assert set(kinds(fast)) == {"other"}
    alike = placed(tiles={"other": {}})
    assert set(kinds(alike)) == {""}
    assert "361 on tile" in alike.notes[0]
    assert "mapping.objective=latency" in alike.notes[0]


def test_for_tiles_a_layer_goes_where_it_takes_fewest() -> None:
    large = {"rows": 1024, "columns": 1024, "integration_time": "1 us"}
    shapes = {"small": {**NARROW, "integration_time": "1 ns"}, "large": large}
    mapping = placed(tiles=shapes, mapping__objective="tiles")
    # one tile of either kind holds a matrix of 128 x 128: the faster one of them takes it
    assert kinds(mapping) == {"": 361 - 24 * 3, "small": 24 * 3}
    assert mapping.tiles == 361


def test_where_the_best_kind_is_full_the_next_one_takes_the_layers_that_are_left() -> None:
    mapping = placed(tiles={"fast": {"integration_time": "64 ns", "count": 100}})
    assert kinds(mapping) == {"fast": 100, "": 261}
    assert [layer.sort for layer in mapping.layers][:100] == ["fast"] * 100


def test_tiles_and_clusters_of_all_kinds_are_numbered_as_one_and_given_once() -> None:
    mapping = placed(
        tiles={"small": NARROW}, mapping__layers={"attention.self.*": "small"},
        clusters={"fast": {"count": 3}}, cluster__count=2,
        mapping__adapters={"*": "fast", "*ffn*": "cluster"},
    )  # fmt: skip
    used = [tile for layer in mapping.layers for tile in layer.tiles]
    assert len(used) == len(set(used)) == sum(own.crossbars for own in mapping.spread)
    first = {own.sort: own.first for own in mapping.spread}
    for layer in mapping.layers:
        assert (min(layer.tiles) >= first["small"]) == (layer.sort == "small")
        assert layer.cluster in ((0, 1) if "ffn" in layer.name else (2, 3, 4))


def test_adapters_go_to_the_kind_that_is_fastest_together_or_to_the_usual_one() -> None:
    def most(**kind: object) -> set[str]:
        mapping = placed(clusters={"other": kind})
        return {layer.cluster_sort for layer in mapping.layers}

    assert most() == {""}
    assert most(clock={"frequency": "1 GHz"}) == {"other"}
    assert most(clock={"frequency": "400 MHz"}) == {""}
    assert most(clock={"frequency": "400 MHz"}, count=2) == {"other"}
    # slower cores and engine, and a DMA that brings A and B of any shape at 64 times the rate
    narrow = placed(cluster__dma__bytes_per_cycle="1 B/cycle", clusters={"other": {
        "clock": {"frequency": "400 MHz"}, "dma": {"bytes_per_cycle": "64 B/cycle"}}})  # fmt: skip
    assert {layer.cluster_sort for layer in narrow.layers} == {"other"}
    twice = placed(clusters={"other": {"count": 2}})
    adapted = len(twice.network.adapted_layers)
    assert f": {adapted} on other" in twice.notes[0]
    tiles = placed(clusters={"other": {"count": 9}}, mapping__objective="tiles")
    assert {layer.cluster_sort for layer in tiles.layers} == {""}


def test_occupancy_counts_the_devices_of_each_kind() -> None:
    mapping = placed(tiles={"small": NARROW}, mapping__layers={"attention.self.key": "small"})
    own = [layer for layer in mapping.layers if layer.sort == "small"]
    assert {mapping.layer_occupancy(layer) for layer in own} == {1.0}
    weights = mapping.network.weights_on_tiles
    devices = 24 * 128 * 128 + (361 - 24) * 512 * 512
    assert mapping.occupancy == pytest.approx(weights / devices)
    assert mapping.used_tiles == {"": 361 - 24, "small": 24}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"mapping__layers": {"*fnn*": "tile"}}, r"mapping.layers: '\*fnn\*' fits no layer of m"),
        ({"mapping__adapters": {"*fnn*": "cluster"}, "clusters": {"a": {}}}, r"no adapted layer"),
    ],
)
def test_a_pattern_that_fits_nothing_is_refused(changes, sentence) -> None:
    with pytest.raises(InputError, match=sentence):
        placed(**changes)


def test_too_few_tiles_of_a_kind_are_told_with_what_would_do() -> None:
    tiles = {"small": {**NARROW, "count": 7}}
    sentence = (
        r"needs 24 crossbars of 128 x 128 of the kind small; .*raise tiles.small.count to 24"
    )
    with pytest.raises(CapacityError, match=sentence):
        placed(tiles=tiles, mapping__layers={"attention.self.key": "small"})
