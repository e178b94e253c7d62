"""Folders of answers: each command says in its ``KINDS`` what it leaves in one."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from hybridsim.boundary.kinds import Kind, check_folder
from hybridsim.cli._commands import modules
from hybridsim.errors import InputError
from hybridsim.specs import read_yaml_mapping

ADAPTERS = Kind("study of adapters", ("journal.jsonl",))
"""What a folder of ``adapt``, ``recalibrate`` or ``sensitivity`` holds."""
_COMMAND_OF = {"decoder": "adapt", "reinforced": "adapt", "language": "recalibrate"}
"""A key that only some studies of adapters have -> the command that takes such a study; the first
that is there counts, as rewards are of a language, too."""


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


def check_study(study: Path, folder: Path, command: str) -> Path:
    """Return the file of a study of adapters, once a command can take it and keep it in a folder.

    Raises:
        InputError: torch is not installed, or the study is one for another command.
        SpecError: The folder holds something else, or the file cannot be read.
    """
    from hybridsim.training import require_extra

    require_extra()
    check_out(folder, ADAPTERS)
    file = study / "study.yaml" if study.is_dir() else study
    told = read_yaml_mapping(file)
    key = next((key for key in _COMMAND_OF if key in told), None)
    if key is not None and _COMMAND_OF[key] != command:
        raise InputError(
            f"{file}: found a study with the key {key!r}, which {command} does not take; "
            f"hybridsim {_COMMAND_OF[key]} {study} --out {folder} would do"
        )
    return file
