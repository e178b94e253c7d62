"""Where machine code is kept between runs, if anything can be written at all."""

import os
import sys
import tempfile
from functools import cache
from pathlib import Path

CACHE = "HYBRIDSIM_CACHE_DIR"
"""Variable of the environment that names the folder; the user's own folder of caches if unset."""


@cache
def cache_folder() -> Path | None:
    """Return the folder that machine code is kept in, made if need be; None if nothing can be.

    Nothing is raised: without a home, or with one that is read-only, code is compiled anew.
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
