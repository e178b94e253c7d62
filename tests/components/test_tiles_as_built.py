"""Tiles as built: reads in phases and slices, converters in turns; tiles of published chips."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hybridsim
from hybridsim.arch import Machine, load_machine
from hybridsim.components.aimc_tile import AimcTile
from hybridsim.components.energy import TileEnergy
from hybridsim.engines import ENGINES
from hybridsim.errors import SpecError
from hybridsim.measure.area import area_of
from hybridsim.sweeps.inputs import read_inputs
from hybridsim.sweeps.run import run_study
from hybridsim.sweeps.study import Study
from hybridsim.workload import Network

PLAIN = load_machine("ahwa_lora_2026")
few = st.integers(1, 9)


def tile(**changes: Any) -> AimcTile:
    known = {k: v for k, v in PLAIN.tile.to_text().items() if k in AimcTile.model_fields}
    return AimcTile.model_validate(known | changes)


built = st.builds(
    lambda rows, columns, phases, slices, shared, conversion, devices: tile(
        rows=rows,
        columns=columns,
        read_phases=phases,
        input_slices=slices,
        columns_per_converter=shared,
        conversion_time=f"{conversion} ps",
        devices_per_weight=devices,
    ),
    few, few, few, few, few, few, few,
)  # fmt: skip


def one_by_one(own: AimcTile, out: int) -> tuple[int, int]:
    """Read a vector as it happens: return the time [ps], and the conversions of one block."""
    time = conversions = 0
    assert own.conversion_time is not None
    columns = range(min(out, own.columns))
    for _ in range(own.read_phases):
        for _ in range(own.input_slices):
            time += own.integration_time
            waiting = list(columns)
            while waiting:  # each converter takes the next of its neighbours
                taken = {column // own.columns_per_converter: column for column in waiting[::-1]}
                waiting = [column for column in waiting if column not in taken.values()]
                time += own.conversion_time
                conversions += len(taken)
    return time, conversions


@given(built, few, few)
def test_reading_is_every_read_and_every_turn_of_the_converters(
    own: AimcTile, inputs: int, out: int
) -> None:
    time, _ = one_by_one(own, out)
    assert own.reading_ps(out) == time
    assert own.mvm_ps(inputs, out, 3) == 3 * (time + own.periphery_ps(inputs, out))
    both = own.reading_ps(np.array([out, 1]))
    assert both.tolist() == [time, own.reading_ps(1)]


@given(built, few, few)
def test_energy_is_every_device_read_and_every_conversion(
    own: AimcTile, inputs: int, out: int
) -> None:
    spec = TileEnergy.model_validate({"device": "3 aJ", "conversion": "7 aJ", "mac": "1 aJ/MAC"})
    energy = inputs * out  # the weights
    for first_row in range(0, inputs, own.rows):
        for first in range(0, out, own.columns):
            rows, columns = min(own.rows, inputs - first_row), min(own.columns, out - first)
            _, conversions = one_by_one(own, columns)
            energy += 7 * conversions
            energy += 3 * rows * columns * own.devices_per_weight * own.reads
    assert spec.mvm_aj(own, inputs, out, own.crossbars_for(inputs, out)) == energy


def test_a_tile_that_says_nothing_of_it_is_read_once_and_says_nothing_of_it() -> None:
    text = PLAIN.to_text()["tile"]
    assert PLAIN.tile.reading_ps(512) == PLAIN.tile.integration_time
    assert text.keys().isdisjoint({"read_phases", "columns_per_converter", "conversion_time"})


def shared(count: int) -> Machine:
    changes = {"tile.columns_per_converter": count, "tile.conversion_time": "10 ns"}
    return load_machine("ahwa_lora_2026", {**changes, "area.converter": "300 um2"})


def test_sharing_converters_buys_area_with_time() -> None:
    areas, times = [], []
    for count in (1, 8, 512):
        machine = shared(count)
        found = area_of(machine, 2)
        assert found is not None
        areas.append(found.component_um2["converter"])
        times.append(machine.tile.reading_ps(512))
    assert areas == [300 * 2 * 512, 300 * 2 * 64, 300 * 2]
    assert times == [256_000 + 10_000, 256_000 + 80_000, 256_000 + 5_120_000]


@pytest.mark.parametrize("strategy", ["token_parallel", "auto", "serial"])
def test_all_engines_and_strategies_take_it_up(strategy: str) -> None:
    network = hybridsim.load("layer_512x128", "ahwa_lora_2026")[0]
    chosen, machine = hybridsim.make_strategy(strategy), shared(16)
    found = {
        hybridsim.simulate(network, machine, chosen, 24, engine).latency_ps for engine in ENGINES
    }
    (latency,) = found
    assert latency >= 24 * machine.tile.mvm_ps(512, 128, 1)


def test_a_sweep_over_integration_times_says_what_single_runs_say() -> None:
    """Its points are priced as columns: integration times, and turns by the width of a layer."""
    times = ["50 ns", "128 ns", "1 us"]
    study = Study.model_validate(
        {
            "name": "built", "machine": "published_tiles:hermes_4_phase", "network": "minilm_l6",
            "tokens": 16, "strategy": "token_parallel",
            "set": {"tile.columns_per_converter": 4, "tile.conversion_time": "5 ns"},
            "axes": {"tile.integration_time": times},
            "objectives": {"latency_ps": "minimise"}, "keep": ["latency_ps"],
        }
    )  # fmt: skip
    table = run_study(read_inputs(study)).table
    network = hybridsim.load("minilm_l6", "ahwa_lora_2026")[0]
    for time, latency in zip(times, table["latency_ps"], strict=True):
        changes = {**study.set, "tile.integration_time": time}
        machine = load_machine("published_tiles:hermes_4_phase", changes)
        strategy = hybridsim.make_strategy("token_parallel")
        assert hybridsim.simulate(network, machine, strategy, 16).latency_ps == latency


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tile.columns_per_converter": 2}, "tile.conversion_time: is missing: what each of the"),
        ({"tile.devices_per_weight": 4}, "tile.devices_per_weight: found 4; 2, as programming"),
        ({"tile.read_phases": 0}, "tile.read_phases: found 0"),
    ],
)
def test_what_contradicts_itself_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_machine("ahwa_lora_2026", changes)
    assert says in str(caught.value)


# --- published chips ----------------------------------------------------------------------------

CHIPS = {
    # variant: tiles, published TOPS and TOPS/W, and how far the tile is from both [%]
    "published_tiles": (64, 63.1, 9.76, 2.3, 2.3),
    "published_tiles:hermes_4_phase": (64, 16.1, 2.48, 0.2, 0.6),
    "published_tiles:ima": (1, 0.958, 6.39, 5.2, 0.0),
    "published_tiles:speech_chip": (34, None, 12.4, None, 0.0),
}
"""HERMES: 130 ns of the core's paper are 2.3 % less than the chip's throughput says (133 ns), and
its power, taken from the one-phase read, gives the four-phase one within 0.6 %. IMA: 136.8 ns per
MVM, of which 130 ns are the array's; nothing published splits the rest. No throughput is published
of the speech chip's tiles alone. Both latter efficiencies are the constant itself."""


@pytest.mark.parametrize("name", CHIPS)
def test_a_published_tile_comes_so_close_to_its_chip(name: str) -> None:
    tiles, tops, efficiency, off_tops, off_efficiency = CHIPS[name]
    machine = load_machine(name)
    own, energy = machine.tile, machine.energy and machine.energy.tile
    assert energy is not None
    operations = 2 * own.rows * own.columns
    time = own.mvm_ps(own.rows, own.columns, 1)
    found = operations / (energy.mvm_aj(own, own.rows, own.columns, 1) * 1e-18) * 1e-12
    assert 100 * (found / efficiency - 1) == pytest.approx(off_efficiency, abs=0.05)
    if tops is not None:
        assert 100 * (tiles * operations / time / tops - 1) == pytest.approx(off_tops, abs=0.06)


def test_a_mvm_of_the_ima_takes_136_ns() -> None:
    """958 GOPS are 136.8 ns per MVM of 256 x 256; the array takes 130 ns of them."""
    published_s = 2 * 256 * 256 / 0.958e12
    assert published_s == pytest.approx(136.8e-9, abs=0.05e-9)
    assert load_machine("published_tiles:ima").tile.mvm_ps(256, 256, 1) == 130_000


def test_a_network_of_one_full_layer_runs_at_the_efficiency_of_its_tile() -> None:
    layer = {"kind": "linear", "name": "fc", "in_features": 256, "out_features": 256}
    network = Network.model_validate({"name": "full", "source": "made up", "ops": [layer]})
    machine = load_machine("published_tiles")
    result = hybridsim.simulate(
        network, machine, hybridsim.make_strategy("all_analog"), tokens=100
    )
    assert result.latency_ps == 100 * 130_000
    assert result.energy is not None
    assert result.energy.tops_per_watt == pytest.approx(9.98, abs=0.01)
