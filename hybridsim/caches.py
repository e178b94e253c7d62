"""What takes long to make from sources and is kept between runs, in a folder of the user's own, if
anything can be written at all."""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

CACHE = "HYBRIDSIM_CACHE_DIR"
"""Variable of the environment that names the folder; the user's own folder of caches if unset."""
_DIGEST = hashlib.sha256().digest_size


@cache
def cache_folder() -> Path | None:
    """Return the folder of what is kept, made if need be; None if nothing can be.

    Nothing is raised: without a home, or with one that is read-only, all is made anew.
    """
    try:
        folder = _wanted()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError):
        return None


def _wanted() -> Path:
    """Return the folder that would do.

    Raises:
        RuntimeError: There is no home.
    """
    if given := os.environ.get(CACHE):
        return Path(given)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return (Path(base) if base else Path.home() / "AppData" / "Local") / "hybridsim" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "hybridsim"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hybridsim"


class Kept:
    """A file in the folder of caches, behind a digest of what it holds: machine code that is not
    what LLVM made ends the process."""

    def __init__(self, name: str) -> None:
        """``name`` tells all that the content is made from."""
        folder = cache_folder()
        self._path = None if folder is None else folder / name

    def or_made(self, make: Callable[[], bytes]) -> bytes:
        """Return what is kept, or what ``make`` gives, which is kept from now on."""
        found = self._read()
        if found is None:
            found = make()
            self._write(found)
        return found

    def _read(self) -> bytes | None:
        """Return what is kept; None if nothing is, or something else than what was written."""
        try:
            found = b"" if self._path is None else self._path.read_bytes()
        except OSError:
            return None
        content = found[_DIGEST:]
        sound = content and hashlib.sha256(content).digest() == found[:_DIGEST]
        return content if sound else None

    def _write(self, content: bytes) -> None:
        """Keep content; several processes may, each writes a file of its own and renames it."""
        if self._path is None:
            return
        try:
            with tempfile.NamedTemporaryFile(dir=self._path.parent, delete=False) as file:
                file.write(hashlib.sha256(content).digest() + content)
            os.replace(file.name, self._path)
        except OSError:
            pass
