"""The tables in docs/latency_study.md are what the study gives today."""

import importlib.util
from pathlib import Path

import pytest

from hybridsim.report.markdown import refilled

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.slow
def test_the_page_shows_the_tables_of_the_study() -> None:
    spec = importlib.util.spec_from_file_location("page", DOCS / "generate_latency_study.py")
    assert spec is not None
    assert spec.loader is not None
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    text = (DOCS / "latency_study.md").read_text(encoding="utf-8")
    assert refilled(text, page.tables()) == text
