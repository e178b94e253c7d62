"""Writing results to a folder, all of it or nothing, and ``--figures``: what is drawn beside."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hybridsim.errors import InputError, SpecError

if TYPE_CHECKING:
    from hybridsim.report.figures.style import Format


def check_folder(folder: Path) -> None:
    """Refuse a place that cannot become a folder of results, before any work is done.

    Raises:
        SpecError: Something that is not a folder lies there, or on the way there.
    """
    for place in (folder, *folder.parents):
        if place.is_dir():
            if not os.access(place, os.W_OK):
                raise SpecError("--out", str(folder), f"{place} cannot be written to")
            return
        if place.exists():
            raise SpecError("--out", str(folder), f"{place} is a file; give a folder")


def write_all(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write every file under a temporary name, then rename them all into place.

    Raises:
        SpecError: The disk refuses; files that were there before are as they were.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".hybridsim-", dir=folder) as unfinished:
            for name, content in files.items():
                held = content.encode() if isinstance(content, str) else content
                (Path(unfinished) / name).write_bytes(held)
            for name in files:
                os.replace(Path(unfinished) / name, folder / name)
    except OSError as error:
        raise SpecError("--out", str(folder), f"cannot be written: {error.strerror}") from None


FiguresOption = Annotated[
    str | None,
    typer.Option("--figures", help="Also draw figures for print into --out: pdf, png or svg."),
]
_KINDS = ("pdf", "png", "svg")


def check_figures(kind: str | None, folder: Path | None) -> "Format | None":
    """Return the kind of files to draw, or None, before any work is done.

    Raises:
        InputError: The kind is not known, or no folder is given.
    """
    if kind is None:
        return None
    if kind not in _KINDS:
        raise InputError(f"--figures: found {kind!r}; {', '.join(_KINDS)} would do")
    if folder is None:
        raise InputError("--figures: give --out DIR as well, the folder that they go to")
    return cast("Format", kind)
