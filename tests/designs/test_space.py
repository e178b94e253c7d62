"""The default space: each value makes a machine, and what cannot be chosen is not offered."""

from typing import Any

import pytest

import hybridsim
from hybridsim.arch import load_machine, machine_with
from hybridsim.designs import Question, asked
from hybridsim.designs.space import default_axes
from hybridsim.whole import whole_network, why_not_whole

PAPER = "ahwa_lora_2026"


@pytest.mark.parametrize("name", hybridsim.machine_names())
@pytest.mark.parametrize("whole", [True, False])
def test_every_value_of_the_default_space_makes_a_machine(name: str, whole: bool) -> None:
    machine = load_machine(name)
    axes = default_axes(machine, whole, 128)
    assert {"strategy", "strategy.batch", "tile.integration_time"} <= set(axes)
    for axis, values in axes.items():
        if axis.startswith("strategy"):
            continue
        for value in values.values() if isinstance(values, dict) else values:
            machine_with(machine, value if isinstance(value, dict) else {axis: value})


def test_balanced_copies_are_offered_where_they_have_a_budget() -> None:
    """Without one no point with them could be run."""
    machine = load_machine(PAPER)
    assert default_axes(machine, False, 128)["mapping.copies"] == [1, 2, 4]
    for settings in ({"mapping.tiles": 100}, {"tile.count": 100}):
        own = default_axes(machine_with(machine, settings), False, 128)
        assert "balanced" in own["mapping.copies"]


def test_what_is_given_is_not_chosen() -> None:
    given = {"tile.integration_time": "128 ns", "cluster.clock.frequency": "1 GHz"}
    found = asked(Question("layer_128x128", PAPER, settings=given))
    axes = {axis.name for axis in found.inputs.axes}
    assert {"cluster.count", "engine"} <= axes
    assert not {"tile.integration_time", "clock"} & axes


def test_the_base_machine_is_a_point_of_the_default_space() -> None:
    found = asked(Question("layer_128x128", PAPER))
    axes = dict(zip((axis.name for axis in found.inputs.axes), found.base, strict=True))
    labels = {axis.name: axis.labels for axis in found.inputs.axes}
    own = {name: labels[name][place] for name, place in axes.items()}
    assert own["tile.integration_time"] == "256 ns"
    assert own["cluster.count"] == "1"
    assert (own["tile.size"], own["engine"], own["clock"]) == ("512x512", "4x8", "500 MHz")


def test_a_network_larger_than_the_chip_chooses_how_it_shares_tiles() -> None:
    few = asked(Question("minilm_l6", PAPER, settings={"tile.count": 20}, tokens=16))
    axes = {axis.name: axis.labels for axis in few.inputs.axes}
    assert axes["mapping.overflow"] == ("share", "digital")
    assert "1" in axes["mapping.sequences"]
    assert "mapping.copies" not in axes
    assert any("more tiles than there are" in note for note in few.notes)
    enough = asked(Question("minilm_l6", PAPER, settings={"tile.count": 60}, tokens=16))
    assert "mapping.overflow" not in [axis.name for axis in enough.inputs.axes]


def test_silicon_goes_with_what_is_chosen() -> None:
    """A quarter of the devices is a quarter of a tile; 192 elements are six engines of 32."""
    axes = default_axes(load_machine(PAPER), False, 128)
    assert axes["tile.size"]["256x256"]["area.tile"] == "375000 um2"
    assert axes["engine"]["8x24"]["area.cluster"] == f"{1_700_000 + 6 * 220_000} um2"
    assert axes["clock"]["1 GHz"]["energy.cluster.cores_power"] == "384000 uW"


@pytest.mark.parametrize(
    ("machine", "settings", "runs"),
    [
        (PAPER, {}, True),
        ("published_tiles", {}, True),
        (PAPER, {"cluster.tcdm.size": "2 KiB"}, False),
    ],
)
def test_whether_all_ops_can_run_is_known_without_running_them(
    machine: str, settings: dict[str, Any], runs: bool
) -> None:
    own = hybridsim.load("minilm_l6", machine, settings)
    assert (why_not_whole(*own, 16) == "") == runs
    assert why_not_whole(*own, 16) == whole_network(*own, 16).problem
