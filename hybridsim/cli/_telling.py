"""``--verbose``: what a command works on and how long each part takes, on standard error."""

import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from hybridsim._version import __version__
from hybridsim.errors import InputError

_LIBRARIES = ("numpy", "numba", "pandas", "pydantic")


class Telling:
    """Says what a command does, if it was asked to; answers on standard output stay as they are.

    Raises:
        InputError: Both ``verbose`` and ``quiet`` are asked for.
    """

    def __init__(self, verbose: bool, quiet: bool = False) -> None:
        if verbose and quiet:
            raise InputError("--verbose and --quiet: give one of them")
        self._verbose = verbose
        self._began = time.perf_counter()

    def say(self, what: str, text: object) -> None:
        """Print one line: what, and what it is."""
        if self._verbose:
            typer.echo(f"{what:<10s}{text}", err=True)

    @contextmanager
    def stage(self, what: str) -> Iterator[None]:
        """Print how long a part of the command took, when it is done."""
        began = time.perf_counter()
        yield
        self.say("time", f"{time.perf_counter() - began:.3f} s  {what}")

    def versions(self) -> None:
        """Print what computes: this program, Python, and the libraries that are loaded."""
        if self._verbose:
            loaded = [
                f"{name} {sys.modules[name].__version__}"
                for name in _LIBRARIES
                if name in sys.modules
            ]
            own = [f"hybridsim {__version__}", f"Python {platform.python_version()}"]
            self.say("version", ", ".join(own + loaded))

    def end(self) -> None:
        """Print versions and how long it took altogether."""
        self.versions()
        self.say("time", f"{time.perf_counter() - self._began:.3f} s  altogether")
