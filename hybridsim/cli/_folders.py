"""Folders of answers: each command says in its ``KINDS`` what it leaves in one."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from hybridsim.boundary.kinds import Kind, check_folder
from hybridsim.cli._commands import modules


def every_kind() -> Iterator[Kind]:
    """Yield what the commands leave in folders."""
    for module in modules():
        yield from getattr(import_module(module), "KINDS", ())


def check_out(folder: Path | None, kind: Kind) -> None:
    """Refuse a folder for answers of a kind, before any work is done; None is fine.

    Raises:
        SpecError: No folder can be there, or it holds an answer of another kind.
    """
    if folder is not None:
        check_folder(folder, kind, every_kind)
