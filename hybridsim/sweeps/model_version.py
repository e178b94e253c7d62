"""Which model computed a result: a fingerprint of the code that decides it."""

import ast
import hashlib
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from hybridsim.caches import Kept

ROOMS = (
    "units.py", "csv_files.py", "compiling.py", "alike.py", "work.py", "simulation.py",
    "components", "workload", "kernels", "plan", "programs", "arch", "mapping", "strategies",
    "engines", "analog", "measure", "certainty", "sweeps",
)  # fmt: skip
"""What a result depends on beside the study's inputs: cost equations to measurement."""


@cache
def model_version() -> str:
    """Return a fingerprint of the code that decides results; comments do not change it.

    A number kept by hand would be forgotten sooner or later, and then recorded points of an
    older model would pass for new ones. So every statement counts; comments, docstrings and
    layout do not.

    To read the statements takes seconds, so it is kept for as long as every source is the same
    byte for byte, this one among them, under the same release of Python.

    Raises:
        FileNotFoundError: A room is not there.
    """
    sources = _sources(Path(__file__).parents[1])
    exact = hashlib.blake2b(sys.version.encode(), digest_size=16)
    for name, source in sources.items():
        exact.update(f"\0{name}\0{len(source)}\0".encode() + source)
    kept = Kept(f"{exact.hexdigest()}.model")
    return kept.or_made(lambda: _fingerprint(sources).encode()).decode()


def _sources(root: Path) -> dict[str, bytes]:
    """Return the programs of all rooms by name, in order."""
    found = {}
    for room in ROOMS:
        path = root / room
        if not path.exists():
            raise FileNotFoundError(path)
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            found[str(file.relative_to(root))] = file.read_bytes()
    return found


def _fingerprint(sources: Mapping[str, bytes]) -> str:
    """Return a digest of the statements of some programs and of their names."""
    digest = hashlib.blake2b(digest_size=8)
    for name, source in sources.items():
        digest.update(name.encode())
        digest.update(_statements(source.decode()).encode())
    return digest.hexdigest()


def _statements(source: str) -> str:
    """Return a program without comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not _is_text(line)]  # type: ignore[attr-defined]
    return ast.unparse(tree) if tree.body else ""


def _is_text(line: ast.stmt) -> bool:
    """Return whether a statement is a bare text, as docstrings are."""
    return (
        isinstance(line, ast.Expr)
        and isinstance(line.value, ast.Constant)
        and isinstance(line.value.value, str)
    )
