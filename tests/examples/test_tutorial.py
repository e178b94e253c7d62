"""The tutorials, followed from top to bottom: commands print what the pages say."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from hybridsim.cli import app
from tests.sampling import every

DOCS = Path(__file__).parents[2] / "docs"


def generator() -> ModuleType:
    """Return the program that follows tutorials."""
    spec = importlib.util.spec_from_file_location("tutorial", DOCS / "generate_tutorial.py")
    assert spec is not None
    assert spec.loader is not None
    tutorial = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tutorial)
    return tutorial


@pytest.mark.parametrize("page", every(6, generator().PAGES, first=1), ids=lambda page: page.stem)
def test_a_tutorial_prints_what_it_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``python docs/generate_tutorial.py`` writes the pages anew where results have changed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(arguments: list[str]) -> str:
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.stderr
        return done.stdout

    text = page.read_text(encoding="utf-8")
    assert generator().followed(text, run) == text
