"""Modules under the names of earlier releases: they are found, and say once what they are now.

An old name leads to the module of today itself, not to a copy of it, so that classes stay one. A
verb of the package, such as ``hybridsim.simulate``, was a module in the first release: what lay
in it is still imported as ever (``from hybridsim.simulate import execute``), and ``simulate``
stays the function.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

MOVED = {
    "hybridsim.adapt": "hybridsim.training",
    "hybridsim.compare": "hybridsim.comparison",
    "hybridsim.engines.des": "hybridsim.engines.reference",
    "hybridsim.engines.fast": "hybridsim.engines.compiled",
    "hybridsim.explain": "hybridsim.explanation",
    "hybridsim.generate": "hybridsim.generation",
    "hybridsim.measure.power": "hybridsim.measure.energy",
    "hybridsim.measure.queues": "hybridsim.measure.usage",
    "hybridsim.metrics": "hybridsim.measure",
    "hybridsim.report.rtl_figure": "hybridsim.report.figures.validation",
    "hybridsim.schedulers": "hybridsim.strategies",
    "hybridsim.simulate": "hybridsim.simulation",
    "hybridsim.spec_files": "hybridsim.specs",
    "hybridsim.sweep": "hybridsim.sweeps",
}
"""Old module -> module of today; what lies below the old one is looked for below the new one."""


def new_name(old: str) -> str | None:
    """Return what a module is called today, or None if that is its name."""
    name = old
    while (parts := _moved_part(name)) is not None:
        name = MOVED[parts[0]] + parts[1]
    return None if name == old else name


def _moved_part(name: str) -> tuple[str, str] | None:
    """Return the part of a name that has moved, the longest one first, and what follows it."""
    head, rest = name, ""
    while head not in MOVED:
        head, dot, last = head.rpartition(".")
        if not dot:
            return None
        rest = f".{last}{rest}"
    return head, rest


class _Finder(MetaPathFinder, Loader):
    """Leads an import of an old name to the module of today."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to import an old name; None for all others.

        Raises:
            ModuleNotFoundError: What lay below an old name is no module any more; the message
                says where to look.
        """
        new = new_name(fullname) if fullname.startswith("hybridsim.") else None
        if new is None:
            return None
        if find_spec(new) is None:
            room = new.rpartition(".")[0]
            problem = f"{fullname} is gone; what it held is in {room}, if there still is such"
            raise ModuleNotFoundError(problem, name=fullname)
        if fullname in MOVED:
            # frames of the import system do not count
            warnings.warn(f"{fullname} is now {new}", FutureWarning, stacklevel=2)
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave it to Python: what it makes only carries the name."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Put the module of today in the place of the old one."""
        new = new_name(module.__name__)
        assert new is not None
        today = sys.modules[module.__name__] = import_module(new)
        package, _, below = module.__name__.partition(".")
        verb, _, last = below.rpartition(".")
        function = vars(sys.modules[package]).get(verb)
        if callable(function):  # what is imported below a verb is also an attribute of it
            setattr(function, last, today)


class _Package(ModuleType):
    """A package whose functions stay what they are when a module of the same name is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and callable(self.__dict__.get(name)):
            return
        super().__setattr__(name, value)


def find_old_names(package: str) -> None:
    """Let old names of the modules of a package be found from now on, and keep its verbs."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        # before the finder of files, which would load the same file under a second name
        sys.meta_path.insert(0, _Finder())
    sys.modules[package].__class__ = _Package
