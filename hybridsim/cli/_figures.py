"""``--figures``: what is drawn beside the answer, and where it goes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hybridsim.errors import InputError

if TYPE_CHECKING:
    from hybridsim.report.figures.style import Format

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
