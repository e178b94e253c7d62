"""Energies of parts: what a machine file may say, and the equations."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.arch import load_machine, machine_sources, machine_variants
from hybridsim.components.aimc_tile import AimcTile
from hybridsim.components.energy import ClusterEnergy, DramEnergy, LinkEnergy, TileEnergy
from hybridsim.errors import SpecError
from hybridsim.units import format_energy

MACHINES = ("ahwa_lora_2026", "harp_2026")


@pytest.mark.parametrize("name", MACHINES)
def test_every_energy_and_area_has_a_source(name: str) -> None:
    sources = machine_sources(name)
    machine = load_machine(name).to_text()
    for group in ("energy", "area"):
        values = machine[group]
        for section, terms in values.items():
            for term in terms if isinstance(terms, dict) else ():
                where = f"{group}.{section}.{term}"
                assert any(place in sources for place in (where, f"{group}.{section}")), where
            if not isinstance(terms, dict):
                assert f"{group}.{section}" in sources


@pytest.mark.parametrize("name", MACHINES)
def test_variants_of_energies_say_where_they_come_from(name: str) -> None:
    sources = machine_sources(name)
    for variant, overrides in machine_variants(name).items():
        assert load_machine(f"{name}:{variant}").energy is not None
        if any(path.startswith("energy") for path in overrides):
            assert f"variants.{variant}" in sources


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("energy.cluster.engine_mac", "-1 pJ/MAC", "found '-1 pJ/MAC'; write a number,"),
        (
            "energy.cluster.engine_mac",
            2.65,
            "found 2.65; write a number, without sign or exponent, and one of",
        ),
        ("energy.cluster.engine_mac", "2.65 pJ", "one of aJ/MAC, fJ/MAC, pJ/MAC, nJ/MAC"),
        ("energy.cluster.power", "258", "one of uW, mW, W, as in '70 mW'"),
        ("energy.links", {"hops": 1}, "unknown key 'links' (did you mean 'link'?)"),
        ("energy.link", {"hops": 2}, "no number is given; give one of power, byte_hop"),
        ("energy.link.hops", 0, "energy.link.hops"),
        ("area.tile", "0 mm2", "area.tile"),
        ("area.tile", "1.5", "one of um2, mm2"),
        ("energy", "much", "energy: found 'much'; a mapping"),
    ],
)
def test_what_is_no_energy_is_refused_in_one_sentence(path: str, value: object, says: str) -> None:
    with pytest.raises(SpecError) as error:
        load_machine("ahwa_lora_2026", {path: value})
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_machine_without_energies_is_a_machine(tmp_path: Path) -> None:
    machine = load_machine("ahwa_lora_2026", {"energy": None, "area": None})
    assert machine.energy is None
    assert machine.area is None


def test_what_is_written_reads_back() -> None:
    for name in MACHINES:
        machine = load_machine(name)
        assert type(machine).model_validate(machine.to_text()) == machine


def test_a_layer_draws_its_share_rounded_half_up() -> None:
    """HARP: 0.07 W x 65,536 / 262,144 = 17.5 mW, rounded to 18 mW."""
    spec = TileEnergy(crossbar_power="70 mW", power_step="1 mW")
    assert spec.layer_power(512 * 128, 512 * 512) == 18_000
    assert spec.layer_power(128 * 128, 512 * 512) == 4_000
    assert TileEnergy(crossbar_power="70 mW").layer_power(512 * 128, 512 * 512) == 17_500


def tile(side: int, ns: int) -> AimcTile:
    """A tile of so many rows and columns, and nothing behind its converters."""
    given = load_machine("harp_2026").tile.to_text()
    fields = {name: given[name] for name in AimcTile.model_fields if name in given}
    changed = {"rows": side, "columns": side, "integration_time": f"{ns} ns"}
    return AimcTile.model_validate(fields | changed)


def test_a_full_mvm_of_harp_takes_24_5_nanojoules() -> None:
    spec = TileEnergy(crossbar_power="70 mW")
    assert spec.mvm_aj(tile(512, 350), 512, 512, 1) == 24_500_000_000


@given(st.integers(1, 10**4), st.integers(1, 10**4), st.integers(1, 64), st.integers(1, 1000))
def test_terms_of_an_mvm_add_up(inputs: int, outputs: int, crossbars: int, time: int) -> None:
    everything = TileEnergy(crossbar_power="3 mW", mac="7 fJ/MAC", per_crossbar="2 pJ")
    parts = (
        TileEnergy(crossbar_power="3 mW"),
        TileEnergy(mac="7 fJ/MAC"),
        TileEnergy(per_crossbar="2 pJ"),
    )
    arguments = (tile(512, time), inputs, outputs, crossbars)
    assert everything.mvm_aj(*arguments) == sum(part.mvm_aj(*arguments) for part in parts)


def test_slots_without_work_are_charged_apart() -> None:
    spec = ClusterEnergy(engine_mac="2 pJ/MAC", engine_idle_mac="1 pJ/MAC")
    assert spec.engine_aj(10, 25) == 10 * 2_000_000 + 15 * 1_000_000
    assert ClusterEnergy(engine_idle_mac="1 pJ/MAC").engine_aj(10, 25) == 15 * 1_000_000
    assert ClusterEnergy(engine_mac="2 pJ/MAC").engine_aj(10, 25) == 10 * 2_000_000


def test_a_link_counts_bytes_hops_and_time() -> None:
    spec = LinkEnergy(power="13 mW", byte_hop="0.15 pJ/B", hops=3)
    assert spec.transfer_aj(100, 1_000) == 13_000 * 1_000 + 100 * 3 * 150_000
    assert DramEnergy(power="2.5 W", byte="31 pJ/B").transfer_aj(2, 3) == 7_500_000 + 62_000_000


def test_energies_are_written_for_people() -> None:
    assert format_energy(0) == "0 aJ"
    assert format_energy(3_071_979 * 10**9) == "3.07 mJ"
    assert format_energy(24_500_000_000) == "24.5 nJ"
