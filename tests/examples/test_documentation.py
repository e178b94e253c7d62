"""What the documentation shows is run: shell lines as commands, Python blocks as programs."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hybridsim.cli import app
from tests.sampling import every

ROOT = Path(__file__).parents[2]
_TOP = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")
PAGES = [*(ROOT / name for name in _TOP), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language: str) -> list[tuple[str, str]]:
    """Return (page, text) of every fenced block in that language."""
    fence = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [
        (str(page.relative_to(ROOT)), text)
        for page in PAGES
        for text in fence.findall(page.read_text(encoding="utf-8"))
    ]


def commands() -> list[str]:
    """Return every hybridsim command line: in shell blocks, and as code in tables."""
    lines = [line for _, text in blocks("sh") for line in text.splitlines()]
    lines += re.findall(r"`(hybridsim [^`]+)`", PAGES[0].read_text(encoding="utf-8"))
    return sorted({line for line in lines if line.startswith("hybridsim ")})


@pytest.mark.parametrize("line", every(4, commands(), first=2))
def test_a_command_works_as_printed(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports").symlink_to(ROOT / "reports")  # the README is read beside it
    done = CliRunner().invoke(app, shlex.split(line)[1:], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize(("page", "text"), blocks("python"))
def test_a_program_works_as_printed(page: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(text, page, "exec"), {"__name__": "example"})


def test_the_readme_begins_with_the_main_job_and_then_the_tests() -> None:
    shell = [text for page, text in blocks("sh") if page == "README.md"]
    assert "hybridsim run mobilebert ahwa_lora_2026" in shell[0]
    assert shell[1].strip().endswith("-m pytest -n auto")


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
