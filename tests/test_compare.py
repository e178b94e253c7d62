"""Strategies side by side: the figures are those of single runs."""

from typing import Any

import pandas as pd
import pytest

import hybridsim
from hybridsim import compare, make_strategy, simulate
from hybridsim.comparison import STALLS, adapter_strategies
from hybridsim.errors import InputError, SpecError, UnknownNameError
from hybridsim.report.figures.comparison import comparison_bars
from hybridsim.report.page.comparison import path_chart


@pytest.fixture(scope="module")
def found() -> hybridsim.Comparison:
    network, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026:256ns")
    return compare(network, machine, tokens=64)


def test_every_strategy_with_adapters_is_there(found: hybridsim.Comparison) -> None:
    names = found.to_frame()["strategy"].to_list()
    assert names == adapter_strategies()
    assert "all_analog" not in names
    assert {"token_parallel", "cross_layer", "auto"} <= set(names)


def test_each_row_is_the_run_of_its_strategy(found: hybridsim.Comparison) -> None:
    network, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026:256ns")
    for row in found.rows:
        result = simulate(network, machine, make_strategy(row["strategy"]), 64)
        assert row["latency_ps"] == result.latency_ps
        assert row["overhead_percent"] == result.overhead_percent
        assert row["tcdm_bytes"] == result.tcdm_bytes
        assert row["bound"] == result.bound


def test_shares_add_up(found: hybridsim.Comparison) -> None:
    """The critical path is all of the run; a unit is busy or idle for exactly one reason."""
    for row in found.rows:
        path = [row[f"{k}_critical"] for k in ("tile", "matrix_engine", "cores", "dma")]
        assert sum(path) == pytest.approx(1)
        assert 0 < sum(row[f"units_{why}"] for why in STALLS) < 1


def test_the_best_is_auto(found: hybridsim.Comparison) -> None:
    best = min(found.rows, key=lambda row: row["latency_ps"])
    assert found.best == best["strategy"]
    auto = next(row for row in found.rows if row["strategy"] == "auto")
    assert auto["latency_ps"] == best["latency_ps"]


def test_options_go_to_the_strategies_that_have_them() -> None:
    network, machine = hybridsim.load("layer_128x128", "ahwa_lora_2026")
    names = ["token_parallel", "early_xa", "auto"]
    found = compare(network, machine, names, 64, {"batch": 8, "early_xa": False})
    rows = {row["strategy"]: row for row in found.rows}
    expected = {
        "token_parallel": {"batch": 8},
        "early_xa": {"batch": 8},  # what a strategy is made of stays
        "auto": {},
    }
    for name, options in expected.items():
        own = simulate(network, machine, make_strategy(name, options), 64)
        assert rows[name]["latency_ps"] == own.latency_ps


def test_a_strategy_that_cannot_run_says_why() -> None:
    network, machine = hybridsim.load(
        "layer_128x128", "ahwa_lora_2026", {"cluster.matrix_engine": None}
    )
    found = compare(network, machine, ["token_parallel", "split_cores"], 32)
    assert "no matrix engine" in found.rows[0]["problem"]
    assert found.rows[1]["problem"] == ""
    assert found.best == "split_cores"
    assert len(comparison_bars(found.to_frame())) == 1


def test_whatever_keeps_a_strategy_from_running_keeps_no_other() -> None:
    """Whichever comes first; where none can run it is no comparison."""
    network, machine = hybridsim.load("gpt2", "harp_2026")
    for names in (["token_parallel", "xb_pipe"], ["xb_pipe", "token_parallel"]):
        found = compare(network, machine, names, 8, past=4)
        rows = {row["strategy"]: row for row in found.rows}
        assert [*rows] == names
        assert rows["token_parallel"]["problem"] in found.problems[0]
        assert "leaves attention out" in rows["token_parallel"]["problem"]
        alone = simulate(network, machine, make_strategy("xb_pipe"), 8, past=4)
        assert rows["xb_pipe"]["latency_ps"] == alone.latency_ps
    with pytest.raises(InputError, match="leaves attention out"):
        compare(network, machine, ["token_parallel", "early_xa"], 8, past=4)


def test_an_unknown_name_is_refused_before_anything_runs() -> None:
    network, machine = hybridsim.load("layer_128x128", "ahwa_lora_2026")
    ran: list[str] = []
    with pytest.raises(UnknownNameError):
        compare(
            network, machine, ["swapped", "swaped"], 8, on_run=lambda name, _: ran.append(name)
        )
    assert not ran


def test_what_is_drawn_adds_up_to_the_latency(found: hybridsim.Comparison) -> None:
    bars = comparison_bars(found.to_frame())
    total = bars[["tiles", "matrix engine", "cores", "DMA"]].sum(axis=1)
    assert total.to_list() == pytest.approx([row["latency_ps"] / 1e9 for row in found.rows])


def test_bad_requests_are_refused() -> None:
    network, machine = hybridsim.load("layer_128x128", "ahwa_lora_2026")
    with pytest.raises(UnknownNameError, match="did you mean 'swapped'"):
        compare(network, machine, ["swaped"])
    with pytest.raises(InputError, match="each once"):
        compare(network, machine, ["swapped", "swapped"])
    with pytest.raises(InputError, match="name one or more"):
        compare(network, machine, [])
    with pytest.raises(SpecError, match="bach"):
        compare(network, machine, ["swapped"], options={"bach": 3})
    _, bare = hybridsim.load("layer_128x128", "ahwa_lora_2026", {"cluster.matrix_engine": None})
    with pytest.raises(InputError, match="no matrix engine"):
        compare(network, bare, ["swapped"])


def test_what_a_callback_raises_is_no_problem_of_the_strategy() -> None:
    def refuse(name: str, run: Any) -> None:
        raise InputError(f"no room for {name}")

    network, machine = hybridsim.load("layer_128x128", "ahwa_lora_2026")
    with pytest.raises(InputError, match="no room for token_parallel"):
        compare(network, machine, ["token_parallel", "early_xa"], 8, on_run=refuse)


def test_bars_of_whole_networks_add_up_to_the_latency_in_figure_and_page() -> None:
    """Over several chips, which pass links that a layer alone does not have."""
    network, machine = hybridsim.load("gpt2", "llm_2026")
    found = compare(network, machine, ["xb_pipe", "network"], 16)
    latency = found.to_frame()["latency_ps"] / 1e9
    bars = comparison_bars(found.to_frame())
    others = {"strategy", "overhead_percent", "yardstick_ms", "below_ms", "above_ms"}
    assert bars[[c for c in bars if c not in others]].sum(axis=1).to_list() == pytest.approx(
        latency.to_list()
    )
    drawn = pd.DataFrame(path_chart([*found.rows]).columns)
    shares = drawn.groupby("strategy")["share"].sum()
    assert shares.to_list() == pytest.approx([1, 1])
