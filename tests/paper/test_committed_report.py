"""``reports/ahwa_lora_2026`` is what its one command writes today."""

import os
from pathlib import Path

import pytest

from hybridsim.validation.paper import both_layouts, with_best
from hybridsim.validation.paper_anchors import anchors_table, readings_table
from hybridsim.validation.paper_report import (
    MEMORY_ANCHORS,
    assumptions,
    memory_table,
    report_files,
)

FOLDER = Path(__file__).parents[2] / "reports" / "ahwa_lora_2026"


@pytest.fixture(scope="module")
def files() -> dict[str, str | bytes]:
    return report_files(with_best(both_layouts()), anchors_table(readings_table()))


@pytest.mark.slow
def test_page_and_table_are_those_of_today(files: dict[str, str | bytes]) -> None:
    for name in ("report.md", "latency_study.csv"):
        assert (FOLDER / name).read_text(encoding="utf-8") == files[name]


@pytest.mark.slow
def test_every_figure_is_there_and_small(files: dict[str, str | bytes]) -> None:
    assert {*files, "README.md"} == set(os.listdir(FOLDER))
    assert all(len(content) < 200_000 for content in files.values())
    assert all(f"]({n})" in files["report.md"] for n in files if n.endswith(".png"))


def test_published_scratchpads_come_out() -> None:
    """Fig. 4b: two exactly, two if rounded up."""
    table = memory_table().dropna(subset=["published_kib"])
    assert len(table) == len(MEMORY_ANCHORS)
    assert (table["published_kib"] - table["kib"]).between(0, 1).all()


def test_what_is_assumed_is_listed_with_its_reason() -> None:
    table = assumptions()
    fields = {
        "cluster.clock.frequency",
        "cluster.matrix_engine.array_width",
        "cluster.x_layout",
    }
    assert fields <= set(table["field"])
    assert table["value"].notna().all()
