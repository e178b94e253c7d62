"""Names of a package that are imported when somebody asks for them (PEP 562).

``import hybridsim`` then costs no more than its table of contents. What a name leads to is the
same object from then on, and a room is there as an attribute whether it was imported or not.
"""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.machinery import PathFinder
from typing import Any


def names_on_use(
    package: str, where: Mapping[str, str], otherwise: Callable[[str], Any]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package.

    ``where`` tells for each module the names that lie there, with blanks between them;
    ``otherwise`` is asked for names that are neither there nor modules of the package.
    """
    lies_in = {name: module for module, names in where.items() for name in names.split()}

    def find(name: str) -> Any:
        this = sys.modules[package]
        if name in lies_in:
            found = getattr(import_module(lies_in[name]), name)
            setattr(this, name, found)
            return found
        if not name.startswith("_") and PathFinder.find_spec(f"{package}.{name}", this.__path__):
            return import_module(f"{package}.{name}")
        return otherwise(name)

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *lies_in})

    return find, names
