"""Area by part, and the power of all parts at once."""

import pytest

from hybridsim.arch import load_machine
from hybridsim.measure.area import area_of, tdp_uw


def test_harps_platform_for_mobilebert() -> None:
    """Table III and the areas of its parts: 16 tiles, 4 PMCA+MACE, 1 MiB, and the DDR."""
    area = area_of(load_machine("harp_2026"), tiles=16)
    assert area is not None
    assert area.component_um2 == {
        "tile": 24_000_000, "cluster": 7_680_000, "sram": 1_250_000, "dram_interface": 1_000_000,
    }  # fmt: skip
    assert area.total_um2 == 33_930_000
    assert area.not_counted == ("link",)


def test_plain_clusters_count_apart() -> None:
    area = area_of(load_machine("harp_2026:bert_base"), tiles=96)
    assert area is not None
    assert area.component_um2["plain_cluster"] == 20 * 1_700_000
    assert area.component_um2["sram"] == 8 * 1_250_000


def test_as_many_tiles_as_needed_are_those_used() -> None:
    area = area_of(load_machine("ahwa_lora_2026"), tiles=361)
    assert area is not None
    assert area.component_um2["tile"] == 361 * 1_500_000


def test_what_is_not_there_takes_no_area() -> None:
    area = area_of(load_machine("harp_2026:bert_base", {"cluster": None}), tiles=96)
    assert area is not None
    assert not {"cluster", "plain_cluster"} & {*area.component_um2}


def test_unknown_areas_are_unknown() -> None:
    assert area_of(load_machine("harp_2026", {"area": None}), 16) is None


def test_all_parts_at_once() -> None:
    """16 tiles of 70 + 35 mW, 4 clusters of 258 mW, link 13 mW, SRAM 5.45 mW, DDR 2.5 W."""
    found = tdp_uw(load_machine("harp_2026"), 16)
    assert found == 16 * 105_000 + 4 * 258_000 + 13_000 + 5_450 + 2_500_000


@pytest.mark.parametrize("part", ["tile", "cluster", "link", "dram"])
def test_one_unknown_power_makes_the_sum_unknown(part: str) -> None:
    assert tdp_uw(load_machine("harp_2026", {f"energy.{part}": None}), 16) is None
    assert tdp_uw(load_machine("harp_2026", {"energy": None}), 16) is None


def test_events_count_at_their_highest_rate() -> None:
    """A 32-MAC array at 500 MHz and 2.65 pJ, 64 B of TCDM a cycle, 192 mW of cores."""
    machine = load_machine("ahwa_lora_2026")
    cluster = 192_000 + (32 * 2_650_000 + 64 * 1_250_000) * 500_000_000 // 10**12
    tile = 93_460 * 512 * 512 // 256_000
    link = 64 * 150_000 * 500_000_000 // 10**12
    assert tdp_uw(machine, 3) == 3 * tile + cluster + link


def test_links_between_chips_and_edges_of_a_network_carry_at_their_full_rate() -> None:
    """40 pJ/B at 64 GB/s on both sides of 8 borders; 0.15 pJ/B on each edge of 8 x 8 routers."""
    machine = load_machine("llm_2026")
    shared = tdp_uw(machine, 10)
    alone = tdp_uw(load_machine("llm_2026", {"energy.chip_link.byte": "0 pJ/B"}), 10)
    assert shared is not None
    assert alone is not None
    assert shared - alone == 16 * 2_560_000
    one_watt = {"energy.chip_link.power": "1 W", "energy.dram.power": "1 W"}
    assert tdp_uw(load_machine("llm_2026", one_watt), 10) == shared + (16 + 9) * 1_000_000
    mesh = load_machine("llm_2026:mesh")
    quiet = tdp_uw(load_machine("llm_2026:mesh", {"energy.link.byte_hop": "0 pJ/B"}), 10)
    found, network = tdp_uw(mesh, 10), mesh.network_on_chip
    assert found is not None
    assert quiet is not None
    assert network is not None
    assert found - quiet == 9 * network.edges * 4_800
    assert quiet == shared - 9 * 4 * 13_000
