"""The tutorial, followed from top to bottom: commands print what the page says."""

import importlib.util
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hybridsim.cli import app

DOCS = Path(__file__).parents[2] / "docs"


def test_the_tutorial_prints_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``python docs/generate_tutorial.py`` writes the page anew where results have changed."""
    spec = importlib.util.spec_from_file_location("tutorial", DOCS / "generate_tutorial.py")
    assert spec is not None
    assert spec.loader is not None
    tutorial = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tutorial)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(arguments: list[str]) -> str:
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.stderr
        return done.stdout

    page = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    assert tutorial.followed(page, run) == page
    assert page.count("$ hybridsim ") >= 6
