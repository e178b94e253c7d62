"""The tables in docs/strategies.md are what the strategies give today."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

import hybridsim
from hybridsim.report.markdown import refilled
from hybridsim.validation.strategies import STRATEGIES, WHOLE, against_anchors, limits

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "strategies.md").read_text(encoding="utf-8")


def page() -> ModuleType:
    spec = importlib.util.spec_from_file_location("page", DOCS / "generate_strategies.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_page_shows_the_tables_of_single_layers() -> None:
    module = page()
    parts = module.tables(networks=False)
    assert set(parts) == {"anchors", "limits", "layers"}
    assert refilled(TEXT, parts) == TEXT


@pytest.mark.slow
def test_the_page_shows_the_overheads_of_whole_mobilebert() -> None:
    """One column of the table: 256 ns; the others come from the same function."""
    table = re.search(r"<!-- begin network -->\n(.*?)<!-- end network -->", TEXT, re.DOTALL)
    assert table is not None
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in table[1].splitlines()]
    network, machine = hybridsim.load("mobilebert", "ahwa_lora_2026:256ns")
    shown = {row[0]: row[2] for row in rows[2:]}
    everything = {**STRATEGIES, **WHOLE}
    assert set(shown) == set(everything)
    for name, (kind, options) in everything.items():
        strategy = hybridsim.make_strategy(kind, options)
        overhead = hybridsim.simulate(network, machine, strategy, 128).layer_by_layer_percent
        assert shown[name] == str(round(overhead, 1)), name


def test_the_published_anchors_are_beaten_on_the_same_machine() -> None:
    table = against_anchors().set_index(["strategy", "machine"])
    published = table.iloc[0]
    assert published["best_case"] == pytest.approx(1.04)
    assert published["worst_case"] == pytest.approx(2.72)
    for machine in ("4 x 8 array", "4 x 8 array, X by features", "4 x 12 array"):
        auto, papers = table.loc[("auto", machine)], table.loc[("token_parallel", machine)]
        assert auto["best_case"] < 1.01
        assert auto["worst_case"] < 2.0 < published["worst_case"]
        assert auto["worst_case"] < 0.61 * papers["worst_case"]


def test_one_cluster_cannot_hide_the_largest_layers_at_128_ns() -> None:
    """What the page says of the limit: every unit needs more than 128 ns per token."""
    table = limits().set_index("layer")
    assert table.loc["512x128"].min() > 128
    assert table.loc["128x512"].min() > 128
    assert table.loc["128x128"].min() < 128
    assert table.min(axis=1).max() < 256
