"""Splits into analog and digital layers: which are offered, and what they are chosen for."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from hybridsim.arch import load_machine, machine_with
from hybridsim.designs import Question, asked, design
from hybridsim.designs.evidence import read_evidence
from hybridsim.designs.splits import LAYERS, digital_axis, placement
from hybridsim.library import network_path
from hybridsim.report.designs import figures
from hybridsim.simulation import simulate
from hybridsim.strategies import make_strategy
from hybridsim.workload import load_network
from tests.needing import needing

needing("sklearn", "designs guess with scikit-learn (extra 'search')")

PAPER = "ahwa_lora_2026"
SINGLES = Path("reports/sensitivity/results/movie")
TEN_YEARS = 315_360_000.0
NETWORK = load_network(network_path("minilm_l6"))


def predictor() -> Any:
    (found,) = read_evidence([SINGLES], TEN_YEARS, NETWORK).predictors
    return found


def test_splits_go_from_no_layer_to_all_and_each_holds_the_one_before() -> None:
    """What is left on tiles costs less and less, down to nothing."""
    found = digital_axis(load_machine(PAPER), NETWORK, predictor(), 8)
    sets = [set(own[LAYERS]) for own in found.values()]
    assert [len(own) for own in sets] == [int(label) for label in found]
    assert len(sets[0]) == 0
    assert len(sets[-1]) == len(NETWORK.static_linear_layers)
    assert all(a < b for a, b in pairwise(sets))
    kl = predictor().conditions[0].kl
    total = sum(kl.values())
    for own, share in zip(sets[1:], (0.75, 0.5, 0.25, 0.125, 0.0), strict=True):
        assert sum(kl[name] for name in kl if name not in own) <= share * total + 1e-12


def test_the_first_layers_to_be_digital_cost_most_for_their_weights() -> None:
    """Measured: value projections and the first feed-forward layers, no queries or keys."""
    found = list(digital_axis(load_machine(PAPER), NETWORK, predictor(), 8).values())
    kl = predictor().conditions[0].kl
    size = {own.name: own.in_features * own.out_features for own in NETWORK.static_linear_layers}
    few = set(found[2][LAYERS])
    rest = set(kl) - few
    assert min(kl[n] / size[n] for n in few) >= max(kl[n] / size[n] for n in rest)
    assert not any(name.endswith((".key", ".query")) for name in few)


def test_further_kinds_of_clusters_and_rules_of_the_base_are_offered_too() -> None:
    machine = machine_with(
        load_machine(PAPER),
        {"clusters": {"macro": {"count": 1}}, LAYERS: {"block0.output": "tile"}},
    )
    found = digital_axis(machine, NETWORK, predictor(), 8)
    assert {own.partition(" on ")[2] for own in found} == {"", "macro"}
    assert found["0"][LAYERS] == {"block0.output": "tile"}
    last = machine_with(machine, found[f"{len(kl_of())} on macro"])
    assert set(placement(NETWORK, last).values()) == {None}


def kl_of() -> dict[str, float]:
    found: dict[str, float] = predictor().conditions[0].kl
    return found


def test_a_layer_lies_where_its_kind_of_tiles_does() -> None:
    machine = machine_with(
        load_machine(PAPER),
        {
            "tiles": {"fine": {"integration_time": "512 ns"}},
            LAYERS: {"*": "tile", "*.intermediate": "fine", "block0.output": "cluster"},
        },
    )
    found = placement(NETWORK, machine)
    assert found["block0.output"] is None
    assert found["block3.intermediate"] == 512_000
    assert found["block1.output"] == machine.tile.integration_time


def test_a_limit_of_accuracy_chooses_the_split(tmp_path: Path) -> None:
    """The tighter it is, the more layers are digital, and the more energy that takes."""
    axes: dict[str, Any] = {"strategy": ["network"], "strategy.batch": [32]}
    axes["digital"] = {
        label: own for label, own in digital_axis(load_machine(PAPER), NETWORK, predictor(), 8)
        .items() if label != "36"
    }  # fmt: skip
    space = tmp_path / "space.yaml"
    space.write_text(yaml.safe_dump({"axes": axes}), encoding="utf-8")
    found = [
        design("minilm_l6", PAPER, [f"accuracy >= {points} points @ 10y"], ["energy"], time=None,
               tokens=48, space=space, evidence=[SINGLES])
        for points in (-2, -0.5, -0.01)
    ]  # fmt: skip
    assert all(own.feasible for own in found)
    digital = [int(own.choice["digital"]) for own in found]
    assert digital[0] == 0 < digital[1] < digital[2]
    energies = [own.objectives["energy_pj"] for own in found]
    assert energies == sorted(energies)
    chosen = found[1]
    machine = machine_with(load_machine(PAPER), {LAYERS: chosen.settings[LAYERS]})
    told = dict(figures(chosen))["on clusters"]
    assert all(name.partition(".")[2] in told for name in chosen.settings[LAYERS])
    assert "on clusters" not in dict(figures(found[0]))
    run = simulate(NETWORK.with_adapters(**adapters(chosen.settings)), machine,
                   make_strategy("network", {"batch": 32}), 48)  # fmt: skip
    assert run.latency_ps == chosen.result.latency_ps


def adapters(settings: Any) -> dict[str, Any]:
    return {
        "rank": settings["adapters.rank"], "alpha": settings["adapters.alpha"],
        "targets": tuple(settings["adapters.targets"]),
    }  # fmt: skip


@pytest.mark.parametrize(("layers_only", "splits"), [(False, True), (True, False)])
def test_only_strategies_for_all_ops_split(layers_only: bool, splits: bool) -> None:
    found = asked(
        Question("minilm_l6", PAPER, ["accuracy >= -1 point @ 10y"], evidence=[SINGLES],
                 tokens=48, layers_only=layers_only)
    )  # fmt: skip
    assert ("digital" in [axis.name for axis in found.inputs.axes]) is splits
    assert any("not split" in note for note in found.notes) is not splits
