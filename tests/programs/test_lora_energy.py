"""What an adapter draws beside its MVMs."""

import pytest

import hybridsim
from hybridsim import make_strategy
from hybridsim.arch import load_machine
from hybridsim.errors import UnsupportedError
from hybridsim.programs import CHOICES, LoraChoice
from hybridsim.programs.lora_energy import lora_energy
from hybridsim.simulation import execute


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("variant", ["256ns", "harp_powers", "sram_operands"])
def test_one_batch_is_what_a_run_of_one_batch_draws(choice: LoraChoice, variant: str) -> None:
    network, machine = hybridsim.load("layer_512x128", f"ahwa_lora_2026:{variant}")
    options = {"batch": 32, "unit": choice.unit, "order": choice.order}
    run = execute(network, machine, make_strategy("token_parallel", options), 32)
    alone = lora_energy(machine, 512, 128, 8, 32, choice)
    told = run.result.energy
    assert told is not None
    assert told.component_aj["tile"] == alone.analog
    assert sum(told.component_aj.values()) == alone.analog + alone.digital + alone.weights


def test_known_as_a_whole_a_cluster_works_one_after_the_other() -> None:
    """On a machine of node powers the estimate is a serial run's energy."""
    network, machine = hybridsim.load("layer_512x128", "harp_2026")
    run = execute(network, machine, make_strategy("layer_serial", {"batch": 32}), 32)
    alone = lora_energy(machine, 512, 128, 8, 32, CHOICES[0])
    told = run.result.energy
    assert told is not None
    work = sum(told.component_aj.values())
    assert work == alone.analog + alone.digital + alone.weights


def test_published_constants_put_512x128_at_10_to_55_nanojoules_beside_6() -> None:
    """2.05 to 10.8 pJ per MAC of use, against 24.5 nJ for a full MVM of 512 x 512."""
    changes = {"energy.cluster.engine_idle_mac": None, "energy.cluster.tcdm_byte": None}
    changes["energy.link"] = None  # type: ignore[assignment]
    for mac, published in (("2.05 pJ/MAC", 10.5), ("10.8 pJ/MAC", 55.3)):
        machine = load_machine("ahwa_lora_2026", {**changes, "energy.cluster.engine_mac": mac})
        found = lora_energy(machine, 512, 128, 8, 32, CHOICES[0])
        assert found.digital / 32 / 1e9 == pytest.approx(published, abs=0.05)
        assert found.analog / 32 / 1e9 == pytest.approx(6.1, abs=0.05)
        assert found.macs == 32 * 8 * (512 + 128)


@pytest.mark.parametrize(
    "changes", [{"energy": None}, {"energy.tile": None}, {"energy.cluster": None}]
)
def test_unknown_energies_are_refused(changes: dict[str, None]) -> None:
    with pytest.raises(UnsupportedError, match="does not tell what its tiles and clusters draw"):
        lora_energy(load_machine("ahwa_lora_2026", changes), 512, 128, 8, 32, CHOICES[0])
