"""What evidence says of accuracy, for which points it speaks, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest

from hybridsim.analog.times import parse_time
from hybridsim.designs.accuracy import Known, Placement
from hybridsim.designs.evidence import NOISE, Evidence, read_evidence
from hybridsim.designs.needed import study_needed
from hybridsim.designs.sensitivity import read_sensitivity
from hybridsim.errors import SpecError
from hybridsim.library import network_path
from hybridsim.workload import Network, load_network

RESULTS = Path("reports/adapt_ranks/results")
TEN_YEARS = parse_time("10y")


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(network_path("minilm_l6"))


def known(name: str, noise: float, accuracy: float) -> Known:
    return Known(
        name, 8, 32, ("*.output",), 8, noise, accuracy, accuracy - 1, accuracy + 1, 82.0, True,
        "made up for a test",
    )  # fmt: skip


def all_at(network: Network, time: int | None = 256_000) -> dict[str, int | None]:
    """Return a placement of all layers on tiles that integrate so long [ps]."""
    return {layer.name: time for layer in network.static_linear_layers}


def at(time: int) -> Placement:
    return {"layer": time}


def test_results_of_adapt_are_accuracies_of_ranks(network: Network) -> None:
    found = read_evidence([RESULTS], TEN_YEARS, network)
    own = found.of("rank8", all_at(network))
    assert own is not None
    assert own.accuracy_percent == 79.453
    assert own.tested
    assert not own.stands_in
    assert found.digital_percent is not None
    assert found.digital_percent >= 81.3
    assert found.adapters["rank8"]["adapters.rank"] == 8
    assert list(found.adapters) == sorted(found.adapters, key=lambda n: int(n[4:]))


def test_the_next_noisier_test_stands_in_and_less_noise_is_never_assumed() -> None:
    """White noise: 4 % at 256 ns is 5.66 % at 128 ns and 2.83 % at 512 ns."""
    found = Evidence(TEN_YEARS, (known("a", 0.04, 79.0), known("a", 0.0566, 78.0)))
    own = {time: found.of("a", at(time)) for time in (64_000, 128_000, 256_000, 512_000)}
    assert own[64_000] is None
    told = [(k.accuracy_percent, k.stands_in) for k in own.values() if k]
    assert told == [(78.0, False), (79.0, False), (79.0, True)]


def sensitivity(tmp_path: Path, network: Network, **changes: Any) -> Path:
    """Return a file in which each layer costs 0.001 nats; 36 of them 0.036."""
    condition = {
        "time": "10y", "dac_bits": 8, "adc_bits": 8, "output_noise": 0.04,
        "kl": {layer.name: 0.001 for layer in network.static_linear_layers},
        "curve": [
            {"kl": k, "flips_percent": f, "drop_points": d, "low_points": d - 1,
             "high_points": d + 1}
            for k, f, d in ((0.0, 0.0, 0.0), (0.01, 4.0, 1.0), (0.04, 8.0, 2.0))
        ],
        "error_points": 0.5, "checked_on": 23,
    }  # fmt: skip
    document = {
        "kind": "sensitivity", "format_version": 1, "network": "minilm_l6", "task": "made up",
        "digital_accuracy_percent": 82.0,
        "adapter": {"rank": 8, "targets": ["query", "output.dense"]},
        "conditions": [condition | changes],
    }  # fmt: skip
    path = tmp_path / "sensitivity.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_single_layers_add_up_and_predictions_follow_the_root(
    tmp_path: Path, network: Network
) -> None:
    """sqrt(0.0225) = 0.15 lies half way between 0.1 and 0.2."""
    (condition,) = read_sensitivity(sensitivity(tmp_path, network)).conditions
    assert condition.drop(0.0, "f").drop_points == 0
    assert condition.drop(0.01, "f").drop_points == pytest.approx(1.0)
    assert condition.drop(0.0225, "f").drop_points == pytest.approx(1.5)
    found = read_evidence([sensitivity(tmp_path, network)], TEN_YEARS, network)
    names = list(all_at(network))
    some = found.of("rank8", all_at(network) | dict.fromkeys(names[10:]))
    assert some is not None
    assert some.accuracy_percent == pytest.approx(81.0)  # ten layers of 0.001 nats


def test_a_placement_that_never_ran_has_a_prediction(tmp_path: Path, network: Network) -> None:
    found = read_evidence([sensitivity(tmp_path, network)], TEN_YEARS, network)
    own = found.of("rank8", all_at(network))
    assert own is not None
    assert not own.tested
    assert 80.0 < own.accuracy_percent < 81.0
    assert own.low_percent < own.accuracy_percent < own.high_percent


def test_what_was_tested_wins_where_all_layers_are_on_tiles(
    tmp_path: Path, network: Network
) -> None:
    """A split is predicted; without a prediction, a test of all layers is its lower bound."""
    both = read_evidence([sensitivity(tmp_path, network), RESULTS], TEN_YEARS, network)
    name = next(own.name for own in both.predictors)
    first = next(iter(all_at(network)))
    split = all_at(network) | {first: None}
    assert (found := both.of("rank4", split)) is not None
    assert found.tested
    assert found.stands_in
    assert (found := both.of(name, split)) is not None
    assert not found.tested
    same = Evidence(TEN_YEARS, (known(name, 0.06, 77.0),), both.predictors)
    assert (found := same.of(name, all_at(network))) is not None
    assert found.tested
    assert found.accuracy_percent == 77.0


def test_a_predicted_loss_counts_from_what_was_tested(tmp_path: Path, network: Network) -> None:
    """The same loss at 82 % and at the 81.3 % of other sentences."""
    path = sensitivity(tmp_path, network)
    alone = read_evidence([path], TEN_YEARS, network)
    both = read_evidence([path, RESULTS], TEN_YEARS, network)
    losses = []
    for found in (alone, both):
        (predictor,) = found.predictors
        own = found.of(predictor.name, all_at(network) | {"block0.output": None})
        assert own is not None
        assert own.digital_percent is not None
        losses.append(own.digital_percent - own.accuracy_percent)
        assert own.digital_percent <= (found.digital_percent or 0)
    assert losses[0] == pytest.approx(losses[1])
    assert (both.digital_percent or 0) < 82


@pytest.mark.parametrize("digital", [0, 1, 7, 20, 36])
def test_fewer_layers_on_tiles_lose_no_more(
    tmp_path: Path, network: Network, digital: int
) -> None:
    """And none of them nothing, whatever tiles integrate for."""
    found = read_evidence([sensitivity(tmp_path, network)], TEN_YEARS, network)
    names = list(all_at(network))
    fewer = found.of("rank8", all_at(network) | dict.fromkeys(names[:digital]))
    every = found.of("rank8", all_at(network))
    assert fewer is not None
    assert every is not None
    assert fewer.accuracy_percent >= every.accuracy_percent
    assert (fewer.accuracy_percent == 82.0) == (digital == 36)


def test_tiles_of_each_kind_cost_what_was_measured_at_their_noise(
    tmp_path: Path, network: Network
) -> None:
    """Half of the layers at half the cost each; the curve is that of the noisier tiles."""
    path = sensitivity(tmp_path, network)
    document = json.loads(path.read_text(encoding="utf-8"))
    (noisy,) = document["conditions"]
    quiet = noisy | {"output_noise": 0.028, "kl": {k: v / 2 for k, v in noisy["kl"].items()}}
    path.write_text(json.dumps(document | {"conditions": [noisy, quiet]}), encoding="utf-8")
    (predictor,) = read_evidence([path], TEN_YEARS, network).predictors
    names = list(all_at(network))
    mixed = all_at(network) | dict.fromkeys(names[18:], 512_000)
    found = predictor.of(mixed, NOISE, 8)
    assert found is not None
    kl = 18 * 0.001 + 18 * 0.0005
    assert found.accuracy_percent == pytest.approx(82.0 - 1.0 - (kl**0.5 - 0.1) / 0.1)
    assert predictor.of(all_at(network, 64_000), NOISE, 8) is None  # noisier than measured


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"time": "1y"}, "has nothing for 10y; it has 1y"),
        ({"kl": {"other": 0.1}}, "has no layer 'block0.attention.self.query'"),
        ({"curve": [{"kl": 0.0, "flips_percent": 0.0, "drop_points": 0.0, "low_points": 0.0,
                     "high_points": 0.0}] * 2}, "begins with kl 0 and rises"),
        ({"curve": [{"kl": k, "flips_percent": 0.0, "drop_points": 0.0, "low_points": 0.0,
                     "high_points": 0.0} for k in (0.0, 0.01)]}, "the layers on tiles make"),
    ],
)  # fmt: skip
def test_nothing_is_extrapolated(
    tmp_path: Path, network: Network, changes: dict[str, Any], told: str
) -> None:
    def read() -> None:
        found = read_evidence([sensitivity(tmp_path, network, **changes)], TEN_YEARS, network)
        found.of("rank8", all_at(network))

    with pytest.raises(SpecError, match=told):
        read()


def test_adapters_of_another_network_are_refused() -> None:
    other = load_network(network_path("layer_512x128"))
    with pytest.raises(SpecError, match="other layers than layer_512x128"):
        read_evidence([RESULTS], TEN_YEARS, other)


def test_the_study_that_is_needed_grows_with_the_network(network: Network) -> None:
    from hybridsim.designs.limits import parse_limit

    limit = parse_limit("accuracy >= -1 point @ 10y")
    text = study_needed(network, 48, [limit])
    # 0.54 s x 100 steps x 3 seeds x 2 ranks, as MiniLM-L6 was measured
    assert "about 5 min of one core" in text
    assert "10y" in text
    assert "about 11 min" in study_needed(network, 96, [limit])
    assert "about 9 h of one core" in study_needed(network, 4800, [limit])
