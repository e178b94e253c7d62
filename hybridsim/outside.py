"""Classes from outside of the package: ``file.py:Class``, or entry points of what is installed.

Parts, strategies and network families come so. What a class computes depends on its code, so each
has a hash of it, which goes into results and into the keys of sweeps. A class of a file can be
sent to another process: its module is named after the file and the hash, and found by both.
"""

import hashlib
import os
import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from traceback import walk_tb
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from hybridsim.boundary.reading import is_file, read_bytes
from hybridsim.errors import SpecError, UnknownNameError, did_you_mean
from hybridsim.records import record

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUPS = {
    "part": "hybridsim.parts",
    "strategy": "hybridsim.strategies",
    "family": "hybridsim.families",
}
"""What is looked for outside -> the group of entry points that offers it."""

OWN_CODE, REFUSED = "HYBRIDSIM_OWN_CODE", "refuse"
"""Variable of the environment, and its value with which no code of files is run."""

_PREFIX = "hybridsim_outside_"
_MOST_BYTES = 2**20


@record(frozen=True, slots=True)
class Origin:
    """Where something came from."""

    name: str
    """How it was named: ``file.py:Class``, or an entry point."""
    code: str
    """A hash of its code: of the file, or of all files of its package."""


def origin_of(thing: object) -> Origin | None:
    """Return where a class or a function came from, or None for one of the package.

    It is told by its module, so that a class that another process has sent tells it as well.
    """
    module, name = getattr(thing, "__module__", ""), getattr(thing, "__qualname__", "")
    if module.startswith(_PREFIX):
        code, path = _told(module)
        return Origin(f"{path.name}:{name}", code)
    return _of_entry_point(module, name) if not module.startswith("hybridsim.") else None


def has_own_code(kind: type) -> bool:
    """Return whether a class has methods from outside: it is more than a choice of options."""
    return any(
        isinstance(value, FunctionType | property | classmethod | staticmethod)
        for each in kind.__mro__
        if origin_of(each) is not None
        for name, value in vars(each).items()
        if not name.startswith("__")
    )


def names_a_file(name: str) -> bool:
    """Return whether a name is that of something in a file, as in ``file.py:Class``."""
    file, colon, inside = name.rpartition(":")
    return bool(colon) and file.endswith(".py") and inside.isidentifier()


def offered(what: str) -> list[str]:
    """Return the names of the entry points of ``part``, ``strategy`` or ``family``."""
    return sorted(_entry_points(what))


def from_outside(name: str, what: str, folder: Path | None = None, code: str | None = None) -> Any:
    """Return a class, or a function, from outside of the package.

    Args:
        name: ``file.py:Class`` or the name of an entry point.
        what: ``part``, ``strategy`` or ``family``.
        folder: Where the file is looked for; the working folder unless given.
        code: The hash that its code must have.

    Raises:
        UnknownNameError: No entry point has that name.
        SpecError: There is no such file or class, it fails to import, or its code is another.
    """
    if code is not None and (loaded := _loaded(name, code)) is not None:
        return loaded
    if names_a_file(name):
        found = _from_file(name, what, folder or Path())
    else:
        found = _from_entry_point(name, what)
    origin = origin_of(found)
    if origin is None:
        raise SpecError(name, "", f"is part of hybridsim itself; a {what} of one's own would do")
    if code is not None and code != origin.code:
        raise SpecError(
            name, "code", f"found {code}, but the code of this {what} is {origin.code}; that "
            "code, or leaving 'code' out, would do"
        )  # fmt: skip
    return found


def _loaded(name: str, code: str) -> Any:
    """Return what a file has given to this process already, or None."""
    file, _, inside = name.rpartition(":")
    for module in list(sys.modules):
        if module.startswith(f"{_PREFIX}{code}_") and _told(module)[1].name == Path(file).name:
            return getattr(sys.modules[module], inside, None)
    return None


# --- files --------------------------------------------------------------------------------------


def _from_file(name: str, what: str, folder: Path) -> Any:
    if os.environ.get(OWN_CODE) == REFUSED:
        raise SpecError(name, "", f"code of files does not run here ({OWN_CODE}={REFUSED})")
    file, _, inside = name.rpartition(":")
    path = (folder / file).resolve()
    if not is_file(path):
        raise SpecError(name, "", f"there is no file {file} in {folder}; its path would do")
    source = read_bytes(path, _MOST_BYTES)
    code = _hash([source])
    module = _imported(f"{_PREFIX}{code}_{str(path).encode().hex()}", name, what)
    return _inside(module, inside, name, what)


def _told(module: str) -> tuple[str, Path]:
    """Return the hash and the file that the name of a module holds."""
    code, _, place = module.removeprefix(_PREFIX).partition("_")
    return code, Path(bytes.fromhex(place).decode())


class _Finder(MetaPathFinder):
    """Finds modules of files by names that hold path and hash."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the module of a file, in whatever process."""
        if not fullname.startswith(_PREFIX):
            return None
        code, file = _told(fullname)
        return spec_from_file_location(fullname, file, loader=_Loader(str(file), code))


class _Loader(SourceLoader):
    """Reads a file that must have a hash; writes no bytecode beside it."""

    def __init__(self, file: str, code: str) -> None:
        self._file, self._code = file, code

    def get_filename(self, fullname: str) -> str:
        """Return the file."""
        return self._file

    def get_data(self, path: str) -> bytes:
        """Return its source.

        Raises:
            ImportError: It has changed since its class was named.
        """
        source = Path(path).read_bytes()
        if _hash([source]) != self._code:
            raise ImportError(f"{path} has changed since it was read first")
        return source


sys.meta_path.append(_Finder())


def _hash(texts: Sequence[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for text in texts:
        digest.update(len(text).to_bytes(8, "big") + text)
    return digest.hexdigest()


# --- entry points -------------------------------------------------------------------------------


@cache
def _entry_points(what: str) -> dict[str, "EntryPoint"]:
    # only where a name is asked for that hybridsim does not know
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=GROUPS[what])}


@cache
def _of_entry_point(module: str, name: str) -> Origin | None:
    """Return the origin of a class that an entry point names, or None."""
    for what in GROUPS:
        for entry in _entry_points(what).values():
            if (entry.module, entry.attr) == (module, name):
                return Origin(entry.name, _package_code(sys.modules[module]))
    return None


def _from_entry_point(name: str, what: str) -> Any:
    entries = _entry_points(what)
    if name not in entries:
        raise UnknownNameError(f"{what} from outside", name, entries)
    _asked.add(entries[name].module.partition(".")[0])
    module = _imported(entries[name].module, f"entry point {name} of {GROUPS[what]}", what)
    return _inside(module, entries[name].attr, f"entry point {name} of {GROUPS[what]}", what)


def _package_code(module: ModuleType) -> str:
    """Return the hash of all files of the package that a module is in, or of its file alone."""
    file = Path(module.__file__ or "")
    top = sys.modules.get(module.__name__.partition(".")[0], module)
    folders = [Path(place) for place in getattr(top, "__path__", ())]
    files = sorted(path for folder in folders for path in folder.rglob("*.py")) or [file]
    return _hash([path.read_bytes() for path in files if path.is_file()])


# --- both ---------------------------------------------------------------------------------------


def _imported(module: str, name: str, what: str) -> ModuleType:
    try:
        return import_module(module)
    except (Exception, SystemExit) as error:  # whatever the code of others raises
        sys.modules.pop(module, None)
        problem = f"fails to import ({in_words(error)}); a {what} whose file imports would do"
        raise SpecError(name, "", problem) from None


def _inside(module: ModuleType, attribute: str, name: str, what: str) -> Any:
    found = getattr(module, attribute, None)
    if not callable(found):
        own = [key for key, value in vars(module).items() if _is_own(value, module)]
        guess = did_you_mean(attribute, own)
        there = ", ".join(own[:10]) or "none"
        problem = f"has no {what} {attribute!r}{guess}; its classes: {there}"
        raise SpecError(name, "", problem)
    return found


def failed_at(error: BaseException) -> tuple[str, str] | None:
    """Return what of the code of others an error went through first, and where it did last.

    These are ``file.py:Class.method`` and ``file.py:LINE``; None where no code of a file, or of
    a package with an entry point that was asked for, had a part in it.
    """
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    lines = [line for _, line in walk_tb(error.__traceback__)]
    own = [i for i, frame in enumerate(frames) if _of_others(frame.f_globals.get("__name__", ""))]
    if not own:
        return None
    first, last = (Path(frames[i].f_code.co_filename).name for i in (own[0], own[-1]))
    return f"{first}:{frames[own[0]].f_code.co_qualname}", f"{last}:{lines[own[-1]]}"


def failure_outside(error: Exception) -> SpecError | None:
    """Return a failure of code from outside as one sentence; None where it had no part in it."""
    if (found := failed_at(error)) is None:
        return None
    name, place = found
    problem = f"fails ({in_words(error)}, at {place}); code that does not would do"
    return SpecError(name, "", problem)


def _of_others(module: str) -> bool:
    return module.startswith(_PREFIX) or module.partition(".")[0] in _asked


_asked: set[str] = set()
"""Top packages of the entry points that were asked for."""


def in_words(error: BaseException) -> str:
    """Return what code of others raised, in one line of at most 300 letters."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _is_own(value: object, module: ModuleType) -> bool:
    return isinstance(value, type) and value.__module__ == module.__name__
