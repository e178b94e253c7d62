"""Sweeps over whole networks say what single runs say, whatever the strategy."""

import itertools
from typing import Any

import pytest

from hybridsim import load, make_strategy, simulate
from hybridsim.arch import machine_with
from hybridsim.sweeps import run_study, sweep
from tests.sampling import every

ALL = [
    "latency_ps", "yardstick_ps", "overhead_percent", "tcdm_bytes", "tiles", "crossbars",
    "tasks", "bound",
]  # fmt: skip
STRATEGIES = [
    "serial", "il_par", "il_pipe", "xl_pipe", "il_xl_pipe", "xb_pipe", "network",
    "token_parallel", "all_analog",
]  # fmt: skip
"""One of those for layers: cross_layer meets chains in test_blocks, which it decides sooner."""


def small(studies, **changes: Any) -> Any:
    """A study of T5 on HARP's platform."""
    given: dict[str, Any] = {
        "network": "t5_small_encoder",
        "machine": "harp_2026:t5",
        "tokens": 16,
        "axes": {"strategy": STRATEGIES, "adapters": ["own", "none"]},
        "objectives": {"latency_ps": "minimise"},
        "keep": ALL,
    }
    return studies.write(**(given | changes))


def test_every_strategy_is_what_simulate_finds(studies) -> None:
    table = sweep(small(studies, tokens=6))
    network, machine = load("t5_small_encoder", "harp_2026:t5")
    assert set(table["problem"]) == {""}
    for row in table.to_dict("records"):
        own = network if row["adapters"] == "own" else network.without_adapters()
        result = simulate(own, machine, make_strategy(row["strategy"]), 6)
        for name in ALL:
            assert row[name] == getattr(result, name), (row["strategy"], name)


@pytest.mark.parametrize("kind", every(3, ["xb_pipe", "xl_pipe", "network"]))
def test_the_fastest_candidate_is_the_one_that_simulate_takes(studies, kind: str) -> None:
    """Whatever the prices: all batches, and adapters that stay or are fetched again."""
    prices = {
        "tile.integration_time": ["16 ns", "900 ns"],
        "link.width": ["2 B/cycle", "64 B/cycle"],
        "cluster.dma.bytes_per_cycle": ["8 B/cycle", "64 B/cycle"],
    }
    columns = ["latency_ps", "tcdm_bytes", "tasks"]
    table = sweep(small(studies, axes=prices, strategy=kind, keep=columns))
    network, machine = load("t5_small_encoder", "harp_2026:t5")
    assert set(table["problem"]) == {""}
    rows = table.to_dict("records")
    every = list(zip(rows, itertools.product(*prices.values()), strict=True))
    for place in (0, 3, 5, 6):  # any two values of two prices meet once
        row, values = every[place]
        own = machine_with(machine, dict(zip(prices, values, strict=True)))
        result = simulate(network, own, make_strategy(kind), 16)
        assert [row[name] for name in columns] == [getattr(result, name) for name in columns]


def test_simpy_agrees_on_whole_networks(studies) -> None:
    axes = {"strategy": ["xb_pipe", "serial", "multi_cluster"], "adapters": ["own", "none"]}
    inputs = studies.inputs(
        network="t5_small_encoder", machine="harp_2026:t5", tokens=8, axes=axes,
        objectives={"latency_ps": "minimise"},
    )  # fmt: skip
    checked = run_study(inputs, audit=1).audit
    assert checked is not None
    assert (checked.points, checked.differences) == (6, ())


def test_auto_is_a_strategy_like_others(studies) -> None:
    table = sweep(
        studies.write(network="layer_512x128", axes={"strategy": ["auto", "token_parallel"]})
    )
    network, machine = load("layer_512x128", "ahwa_lora_2026")
    expected = [
        simulate(network, machine, make_strategy(s), 16) for s in ("auto", "token_parallel")
    ]
    assert table["latency_ps"].tolist() == [result.latency_ps for result in expected]
    assert table["latency_ps"].iloc[0] <= table["latency_ps"].iloc[1]


def test_machine_variant_and_network_change_together(studies) -> None:
    """A network that does not fit the memory of a platform says so, not that it is the TCDM."""
    axes = {
        "pair": {
            "fits": {"network": "t5_small_encoder", "machine": "harp_2026:t5"},
            "does not": {"network": "bert_base", "machine": "harp_2026:mobilebert"},
        },
        "strategy.batch": [8, 16],
    }
    table = sweep(
        studies.write(
            network=None, machine=None, strategy="xb_pipe", axes=axes,
            objectives={"latency_ps": "minimise"},
            set={"adapters": "none", "mapping.overflow": "refuse"},
        )
    )  # fmt: skip
    assert (table["problem"] == "").tolist() == [True, True, False, False]
    assert "crossbars" in table["problem"].iloc[2]
    assert table["batch"].tolist()[:2] == [8, 16]
    assert table["overhead_percent"].tolist()[:2] == [0, 0]


@pytest.mark.parametrize("value", ["some", 3])
def test_adapters_are_own_or_none(studies, value: Any) -> None:
    from hybridsim.errors import SpecError

    with pytest.raises(SpecError, match="own or none would do"):
        studies.inputs(set={"adapters": value}, axes={"strategy.batch": [1]})
