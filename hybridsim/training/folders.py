"""Files that are written whole or not at all."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from hybridsim.errors import InputError


def write_file(file: Path, content: bytes) -> None:
    """Write a file under a temporary name, to the disk, and then rename it.

    Raises:
        InputError: The disk refuses.
    """
    unfinished = file.with_name(f".{file.name}.unfinished")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(unfinished, file)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise InputError(f"{file}: cannot be written: {error.strerror}") from None


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder under a temporary name and then rename it; one that is there is replaced.

    Raises:
        InputError: The disk refuses.
    """
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for name, content in files.items():
        write_file(unfinished / name, content)
    try:
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(unfinished, folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}") from None
