"""What the command line says of energies."""

import io
import json

import pandas as pd
import pytest

pytestmark = pytest.mark.usefixtures("explained_once")


def test_a_run_prints_one_line_of_energy(cli) -> None:
    done = cli("run", "layer_512x128", "ahwa_lora_2026", "--batch", "32")
    line = next(line for line in done.stdout.splitlines() if line.strip().startswith("energy"))
    assert line.startswith("  energy       4.32 uJ (784 nJ analog, 3.53 uJ digital) (90 %: ")


def test_a_machine_without_energies_prints_none(cli) -> None:
    done = cli("run", "layer_512x128", "ahwa_lora_2026", "--set", "energy=null")
    assert done.exit_code == 0
    assert "energy" not in done.stdout


WHOLE = ("--strategy", "il_par", "--no-adapters")


def test_json_carries_energies(cli) -> None:
    document = cli.json("run", "mobilebert", "harp_2026", *WHOLE, "--tokens", "128")
    assert document["energy"]["digital_pj"] == pytest.approx(2.77405e9, rel=1e-4)
    assert document["area"]["total_um2"] == 33_930_000


def test_csv_carries_energies(cli, tmp_path) -> None:
    run = ("run", "t5_small_encoder", "harp_2026:t5", *WHOLE, "--tokens", "16")
    energy = cli.json(*run, "--out", str(tmp_path))["energy"]
    layers, ops = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("layers", "ops"))
    whole = layers["energy_pj"].sum() + ops["energy_pj"].sum()
    assert whole + energy["static_pj"] == pytest.approx(energy["total_pj"])


def test_strategies_are_compared_by_energy_too(cli) -> None:
    arguments = ("compare", "layer_512x128", "ahwa_lora_2026", "--strategies", "swapped,early_xa")
    done = cli(*arguments)
    assert "energy" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    table = pd.read_csv(io.StringIO(cli(*arguments, "--csv").stdout))
    assert (table["energy_pj"] > 0).all()
    unknown = cli(*arguments, "--set", "energy=null", "--csv")
    assert "energy_pj" not in unknown.stdout


def test_what_an_adapter_draws_beside_its_mvms(cli) -> None:
    question = ("energy", "lora", "in=512", "out=128", "rank=8", "tokens=32")
    answer = cli.json("cost", "ahwa_lora_2026", *question)
    assert answer["analog_nj_per_token"] == pytest.approx(6.125, abs=0.001)
    assert answer["macs_per_token"] == 5_120
    for way in answer["energies"].values():
        assert sum(way["parts_nj_per_token"].values()) == pytest.approx(way["nj_per_token"])
    shown = cli("cost", "ahwa_lora_2026", *question).stdout
    assert "x analog" in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "layer_512x128", "ahwa_lora_2026", "--set", "energy.tile.mac=1"), "fJ/MAC"),
        (
            ("run", "layer_512x128", "ahwa_lora_2026", "--set", "energy.cluster.power=-1 W"),
            "found '-1 W'",
        ),
        (
            ("run", "layer_512x128", "ahwa_lora_2026", "--set", "energy.gpu={power: 1 W}"),
            "unknown key 'gpu'",
        ),
        (
            ("cost", "ahwa_lora_2026", "energy", "lora", "in=4", "out=4", "rank=4"),
            "tokens missing",
        ),
        (
            ("cost", "ahwa_lora_2026", "energy", "lora", "in=4", "out=4", "rank=4", "tokens=1",
             "--set", "energy=null"),
            "does not tell what its tiles and clusters draw",
        ),
    ],
)  # fmt: skip
def test_bad_energies_are_refused_in_one_sentence(cli, arguments, says) -> None:
    assert says in cli.refused(*arguments)


def test_harps_energies_are_in_every_form(cli, tmp_path) -> None:
    table = tmp_path / "one.csv"
    table.write_text(
        "figure,model,seq_len,config,chunk,other_params,latency_ms,energy_mJ,analog_energy_mJ\n"
        "8,T5_encoder,128,Serial,,digital_mJ=2.370774,10.256408,2.642692,0.271918\n"
    )
    asked = ("validate", "harp", "--table", str(table))
    document = json.loads(cli(*asked, "--json").stdout)
    assert abs(document["rows"][0]["digital_error_percent"]) < 0.01
    assert document["summary"]["analog_within_5_percent"] == 1
    rows = pd.read_csv(io.StringIO(cli(*asked, "--csv").stdout))
    assert rows["simulated_energy_mJ"][0] == pytest.approx(2.642692, rel=1e-4)
    assert "ours (mJ)" in cli(*asked).stdout


def test_a_table_without_energies_is_compared_as_before(cli, tmp_path) -> None:
    table = tmp_path / "one.csv"
    table.write_text(
        "figure,model,seq_len,config,chunk,other_params,latency_ms\n"
        "8,T5_encoder,128,Serial,,,10.256408\n"
    )
    done = cli("validate", "harp", "--table", str(table))
    assert done.exit_code == 0
    assert "mJ" not in done.stdout
