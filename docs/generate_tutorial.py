"""Write what the commands of the tutorials print anew: ``python docs/generate_tutorial.py``.

Console blocks hold commands after a ``$`` and what they print. A block of YAML, JSON or text with
a name behind the language is a file; YAML without one is ``study.yaml``. The folder ``reports`` is
that of the repository.
"""

import os
import re
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PAGES = sorted(
    page for page in DOCS.glob("tutorial*.md") if "$ hybridsim " in page.read_text("utf-8")
)
_BLOCK = re.compile(
    r"^```(console|yaml|json|text(?= ))(?: ([\w./]+))?\n(.*?)^```", re.MULTILINE | re.DOTALL
)
Run = Callable[[list[str]], str]


def followed(page: str, run: Run) -> str:
    """Return the page with what its commands print in the present folder, in order.

    ``run`` gets the arguments of one hybridsim command and returns its output.
    """

    def block(match: "re.Match[str]") -> str:
        language, name, text = match.groups()
        if language != "console":
            file = Path(name or "study.yaml")
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
            return match[0]
        lines = []
        for line in text.splitlines():
            if line.startswith("$ "):
                lines += [line, *_output(shlex.split(line[2:]), run)]
        return "```console\n" + "".join(f"{line}\n" for line in lines) + "```"

    if not Path("reports").exists():
        Path("reports").symlink_to(DOCS.parent / "reports")
    return _BLOCK.sub(block, page)


def _output(words: list[str], run: Run) -> list[str]:
    if words[0] == "ls":
        return listed(words[1:])
    if words[0] != "hybridsim":
        raise ValueError(f"found {words[0]!r}; hybridsim and ls are followed")
    return [line.rstrip() for line in run(words[1:]).splitlines()]


def listed(names: list[str]) -> list[str]:
    """Return what ls prints into a pipe: files, then folders with what is in them."""
    files = sorted(name for name in names if Path(name).is_file())
    lines = [*files]
    for name in (name for name in names if Path(name).is_dir()):
        lines += ["", f"{name}:", *sorted(os.listdir(name))]
    return lines


def _run(arguments: list[str]) -> str:
    from typer.testing import CliRunner

    from hybridsim.cli import app

    os.environ["COLUMNS"] = "80"
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    if done.exit_code:
        raise ValueError(f"{' '.join(arguments)}: {done.stderr}")
    return done.stdout


if __name__ == "__main__":
    for page in PAGES:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            written = followed(page.read_text(encoding="utf-8"), _run)
        page.write_text(written, encoding="utf-8")
