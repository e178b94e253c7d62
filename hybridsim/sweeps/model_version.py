"""Which model computed a result: a fingerprint of the code that decides it."""

import ast
import hashlib
from functools import cache
from pathlib import Path

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

    Raises:
        FileNotFoundError: A room is not there.
    """
    root = Path(__file__).parents[1]
    digest = hashlib.blake2b(digest_size=8)
    for room in ROOMS:
        path = root / room
        if not path.exists():
            raise FileNotFoundError(path)
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(str(file.relative_to(root)).encode())
            digest.update(_statements(file.read_text(encoding="utf-8")).encode())
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
