"""Rooms of the package: what is private stays in the room that it lies in."""

import ast
from collections.abc import Iterator
from pathlib import Path

import hybridsim

ROOT = Path(hybridsim.__file__).parent


def imported(source: str) -> Iterator[str]:
    """Yield the names that a program imports, with their modules."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def strangers(module: str, source: str) -> list[str]:
    """Return the private modules that a module imports from a room that it does not lie in."""
    found = []
    for name in imported(source):
        parts = name.split(".")
        for place, part in enumerate(parts):
            private = part.startswith("_") and not part.startswith("__")
            room = ".".join(parts[:place])
            is_module = (ROOT.parent / "/".join(parts[: place + 1])).with_suffix(".py").is_file()
            if private and is_module and not f"{module}.".startswith(f"{room}."):
                found.append(name)
    return found


def test_private_modules_are_imported_in_their_own_room_only() -> None:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        module = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        if names := strangers(module, path.read_text(encoding="utf-8")):
            found[module] = names
    assert found == {}


def test_a_private_module_of_another_room_would_be_found() -> None:
    taken = "from hybridsim.cli._options import Json"
    assert strangers("hybridsim.sweeps.run", taken) == ["hybridsim.cli._options.Json"]
    assert strangers("hybridsim.cli.run", taken) == []
    assert strangers("hybridsim.cli.run", "from hybridsim._version import __version__") == []
