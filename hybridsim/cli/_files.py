"""Writing results to a folder: all of it, or nothing."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hybridsim.errors import SpecError


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
