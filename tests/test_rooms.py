"""Rooms of the package: what is private stays in the room that it lies in."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import hybridsim

ROOT = Path(hybridsim.__file__).parent


@cache
def imported(source: str) -> tuple[str, ...]:
    """Return the names that a program imports, with their modules."""
    return tuple(_imported(source))


def _imported(source: str) -> Iterator[str]:
    for node in _statements(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield a tree and its statements, not the expressions, which are nine of ten nodes."""
    left = [tree]
    while left:
        node = left.pop()
        yield node
        inner = (ast.stmt, ast.excepthandler, ast.match_case)
        left += [child for child in ast.iter_child_nodes(node) if isinstance(child, inner)]


def strangers(module: str, source: str) -> list[str]:
    """Return the private modules that a module imports from a room that it does not lie in."""
    found = []
    for name in imported(source):
        parts = name.split(".")
        for place, part in enumerate(parts):
            if not part.startswith("_") or part.startswith("__"):
                continue
            room = ".".join(parts[:place])
            is_module = (ROOT.parent / "/".join(parts[: place + 1])).with_suffix(".py").is_file()
            if is_module and not f"{module}.".startswith(f"{room}."):
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


CIRCLES = ({"hybridsim.programs.attention", "hybridsim.programs.attention_plans"},)
"""Files that import each other, one of them where it is needed only; no others do."""


def modules_of(package: Path) -> dict[str, Path]:
    """Return all modules of a package, name -> file."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        name = ".".join(path.relative_to(package.parent).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def below(start: str, imports: dict[str, set[str]]) -> set[str]:
    """Return all that a module imports, and what that imports, and so on."""
    seen, left = set[str](), [start]
    while left:
        for name in imports[left.pop()] - seen:
            seen.add(name)
            left.append(name)
    return seen


def test_files_import_one_way_within_their_rooms_too() -> None:
    """Imports in functions count: they hide a circle from Python, not from who reads."""
    modules = modules_of(ROOT)
    imports = {
        module: {
            known
            for name in imported(path.read_text(encoding="utf-8"))
            for known in (name, name.rpartition(".")[0])
            if known in modules and not modules[known].name.startswith("__init__")
        }
        for module, path in modules.items()
    }
    reached = {module: below(module, imports) for module in modules}
    circles = {
        frozenset(other for other in reached[module] if module in reached[other])
        for module in modules
        if module in reached[module]
    }
    assert [set(each) for each in circles if each not in CIRCLES] == []
