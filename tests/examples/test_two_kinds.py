"""The chip with two kinds of tiles and of clusters: what they change for MobileBERT, and why."""

from pathlib import Path

import pytest

import hybridsim
from hybridsim.arch import load_machine

FILE = Path(__file__).parents[2] / "examples" / "two_kinds.yaml"
TOKENS = 32


def run(machine: str, **overrides: object) -> hybridsim.Result:
    network, on = hybridsim.load("mobilebert", machine, overrides)
    return hybridsim.simulate(network, on, tokens=TOKENS)


@pytest.fixture(scope="module")
def paper() -> hybridsim.Result:
    return run("ahwa_lora_2026")


@pytest.fixture(scope="module")
def mine() -> hybridsim.Result:
    return run(str(FILE))


def test_layers_on_small_tiles_and_the_usual_cluster_take_as_long_as_before(
    paper: hybridsim.Result, mine: hybridsim.Result
) -> None:
    """A vector takes as long on a small tile, and their adapters are where they were."""
    small = [layer for layer in mine.layers if layer.placed_on == "small"]
    assert len(small) == 24 * 3
    before = {layer.name: layer for layer in paper.layers}
    for layer in small:
        assert (layer.adapter_on, layer.occupancy) == ("cluster", 1.0)
        assert layer.latency_ps == before[layer.name].latency_ps
        assert before[layer.name].occupancy == 1 / 16


def test_all_others_are_faster_as_their_adapters_bind_them(
    paper: hybridsim.Result, mine: hybridsim.Result
) -> None:
    before = {layer.name: layer for layer in paper.layers}
    for layer in mine.layers:
        if layer.adapter_on == "fast":
            assert layer.latency_ps < before[layer.name].latency_ps
    assert mine.yardstick_ps == paper.yardstick_ps
    assert mine.latency_ps < paper.latency_ps
    fast = run("ahwa_lora_2026", **{"cluster.clock.frequency": "1 GHz"})
    assert fast.latency_ps < mine.latency_ps


def test_silicon_is_that_of_289_and_72_sixteenths_of_a_tile_and_of_two_clusters(
    paper: hybridsim.Result, mine: hybridsim.Result
) -> None:
    assert paper.area is not None
    assert mine.area is not None
    tile, cluster = 1_500_000, 1_920_000
    assert paper.area.component_um2 == {"tile": 361 * tile, "cluster": cluster}
    assert mine.area.component_um2 == {
        "tile": 289 * tile, "tile:small": 72 * tile // 16,
        "cluster": cluster, "cluster:fast": cluster,
    }  # fmt: skip
    assert mine.occupancy > paper.occupancy


def test_the_analog_energy_is_the_same_as_it_is_counted_by_the_weight(
    paper: hybridsim.Result, mine: hybridsim.Result
) -> None:
    assert paper.energy is not None
    assert mine.energy is not None
    assert mine.energy.analog_pj == pytest.approx(paper.energy.analog_pj)
    assert mine.energy.component_aj["tile:small"] > 0


def test_the_file_says_what_differs_in_fewer_than_twenty_lines() -> None:
    lines = FILE.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 20
    machine = load_machine(str(FILE))
    assert machine.tile_of("small").integration_time == machine.tile.integration_time
