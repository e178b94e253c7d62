"""docs/serving.md shows what the simulator says today."""

import importlib.util
from pathlib import Path

import pytest

from hybridsim.report.markdown import refilled

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.slow
def test_the_tables_are_those_of_today() -> None:
    """Run ``python docs/generate_serving.py`` where they are not."""
    spec = importlib.util.spec_from_file_location("page", DOCS / "generate_serving.py")
    assert spec is not None
    assert spec.loader is not None
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    text = (DOCS / "serving.md").read_text(encoding="utf-8")
    assert refilled(text, page.tables()) == text
