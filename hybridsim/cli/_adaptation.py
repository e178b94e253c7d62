"""What the commands that study adapters share: their options, their folder, and torch."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from hybridsim.boundary.kinds import Kind
from hybridsim.cli._folders import check_out

OutFolder = Annotated[Path, typer.Option("--out", help="Folder that keeps every step; resumes.")]
JudgedOn = Annotated[
    Literal["test", "validation"],
    typer.Option("--on", help="Sentences that judge: choose on validation, test once."),
]
STUDY = Kind("study of adapters", ("journal.jsonl",))
"""What a folder of such a study holds."""


def check_study(study: Path, folder: Path) -> Path:
    """Return the file of a study, once it can be trained, and kept in a folder.

    Raises:
        InputError: torch is not installed, or the folder holds something else.
    """
    from hybridsim.training import require_extra

    require_extra()
    check_out(folder, STUDY)
    return study / "study.yaml" if study.is_dir() else study
