"""Names of earlier releases: they still lead to what they meant, and say once what it is now.

Of a module, an attribute, a name in a module, a keyword, an option of the command line, a key in
a file. From Python a name says it as a ``FutureWarning``, on the command line as one line on
standard error; each once per process. Files that the program wrote itself are read in silence.

An old name of a module leads to the module of today itself, not to a copy of it, so that classes
stay one. A verb of the package, such as ``hybridsim.simulate``, was a module in the first release:
what lay in it is still imported as ever (``from hybridsim.simulate import execute``), and
``simulate`` stays the function.
"""

import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Literal, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

MOVED = {
    "hybridsim.adapt": "hybridsim.training",
    "hybridsim.compare": "hybridsim.comparison",
    "hybridsim.engines.des": "hybridsim.engines.reference",
    "hybridsim.engines.fast": "hybridsim.engines.compiled",
    "hybridsim.explain": "hybridsim.explanation",
    "hybridsim.generate": "hybridsim.generation",
    "hybridsim.measure.layer_work": "hybridsim.measure.cluster_work",
    "hybridsim.measure.network_work": "hybridsim.measure.cluster_work",
    "hybridsim.measure.power": "hybridsim.measure.energy",
    "hybridsim.measure.queues": "hybridsim.measure.usage",
    "hybridsim.measure.token_energy": "hybridsim.measure.tokens",
    "hybridsim.measure.token_runs": "hybridsim.measure.tokens",
    "hybridsim.metrics": "hybridsim.measure",
    "hybridsim.report.rtl_figure": "hybridsim.report.figures.validation",
    "hybridsim.schedulers": "hybridsim.strategies",
    "hybridsim.simulate": "hybridsim.simulation",
    "hybridsim.spec_files": "hybridsim.specs",
    "hybridsim.sweep": "hybridsim.sweeps",
}
"""Old module -> module of today; what lies below the old one is looked for below the new one."""

COLUMNS = {
    "all_analog_ps": "yardstick_ps",
    "all_analog_ms": "yardstick_ms",
    "all_analog_pj": "yardstick_pj",
    "bare_ps": "yardstick_ps",
    "bare_token_ps": "yardstick_token_ps",
    "bare_token_pj": "yardstick_token_pj",
    "bare_pj": "yardstick_pj",
    "bare_per_token_pj": "yardstick_per_token_pj",
    "bare_tops_per_watt": "yardstick_tops_per_watt",
    "bare_component_aj": "yardstick_component_aj",
    "bare_static_aj": "yardstick_static_aj",
    "bare_critical_path_share": "yardstick_critical_path_share",
    "without_adapters_pj": "yardstick_pj",
}
"""Old column or field of an answer -> that of today."""
ANSWERS = {**COLUMNS, "scheduler": "strategy"}
"""The same, with the words beside the figures."""
STILL_WRITTEN = {"scheduler": "strategy", "all_analog_ps": "yardstick_ps"}
"""Old key -> key of today, where documents have both: scripts of others read the old ones."""

OPTIONS = {"--scheduler": "--strategy", "--schedulers": "--strategies"}
"""Old option of the command line -> option of today."""


# --- saying it ------------------------------------------------------------------------------

_SAID: set[str] = set()
_HOW: ContextVar[Literal["warning", "stderr", "silence"]] = ContextVar("how", default="warning")
_INSIDE = ("hybridsim", "pydantic")


def say(old: str, new: str) -> None:
    """Say that ``old`` is now called ``new``, unless this process has said so."""
    text, how = f"{old} is now {new}", _HOW.get()
    if how == "silence" or text in _SAID:
        return
    _SAID.add(text)
    if how == "stderr":
        print(text, file=sys.stderr)
    else:
        warnings.warn(text, FutureWarning, stacklevel=_frames_inside() + 1)


@contextmanager
def said_on_stderr() -> Iterator[None]:
    """Let old names say what they are now as lines on standard error, as a command does."""
    token = _HOW.set("stderr")
    try:
        yield
    finally:
        _HOW.reset(token)


@contextmanager
def in_silence() -> Iterator[None]:
    """Let old names pass without a word: they stand in a file that the program wrote."""
    token = _HOW.set("silence")
    try:
        yield
    finally:
        _HOW.reset(token)


def _frames_inside() -> int:
    """Return how many frames, from :func:`say` on, lie in the package or in what calls it back.

    The warning then names the line of the user, who can change it.
    """
    frame, count = sys._getframe(1), 0
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_INSIDE):
        frame, count = frame.f_back, count + 1
    return count


# --- attributes, names and keywords of Python -----------------------------------------------


class OldAttribute(property):
    """An attribute that answers with another one: ``scheduler = OldAttribute("strategy")``."""

    def __init__(self, new: str) -> None:
        super().__init__(self._answer)
        self._old, self._new = "", new

    def __set_name__(self, owner: type, name: str) -> None:
        self._old, self._new = f"{owner.__name__}.{name}", self._new

    def _answer(self, owner: Any) -> Any:
        say(self._old, self._new)
        return getattr(owner, self._new)


def old_names_of(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a module with some old names: name -> name of today."""

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        say(f"{module}.{name}", names[name])
        return getattr(sys.modules[module], names[name])

    return find


def old_keywords(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function take keywords by old names too: ``@old_keywords(scheduler="strategy")``.

    Raises:
        TypeError: When called with both names of one keyword.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        whose = function.__qualname__.removesuffix(".__init__")

        @wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            for old in names.keys() & kwargs.keys():
                if names[old] in kwargs:
                    raise TypeError(f"{whose}() got both {names[old]!r} and {old!r}")
                say(f"{whose}({old}=)", f"{names[old]}=")
                kwargs[names[old]] = kwargs.pop(old)
            return function(*args, **kwargs)

        return called

    return decorate


# --- keys of files --------------------------------------------------------------------------


def with_new_keys(given: Any, names: Mapping[str, str], what: str = "key") -> Any:
    """Return a mapping that a person wrote with old keys replaced; anything else as it is.

    ``what`` is what the keys are, for the message.

    Raises:
        ValueError: A key is given under both names.
    """
    if not isinstance(given, Mapping) or not names.keys() & given.keys():
        return given
    found: dict[Any, Any] = {}
    for key, value in given.items():
        new = names.get(key, key) if isinstance(key, str) else key
        if new != key:
            if new in given:
                raise ValueError(f"{what} {key!r} is now {new!r}, which is given as well")
            say(f"{what} {key!r}", f"{new!r}")
        found[new] = value
    return found


def new_path(path: str) -> str:
    """Return a dotted path with the name of today at its head: ``scheduler.batch``."""
    head, dot, rest = path.partition(".")
    if head != "scheduler":
        return path
    say(f"scheduler{dot and '.*'}", f"strategy{dot and '.*'}")
    return f"strategy{dot}{rest}"


def with_new_paths(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings, dotted path -> value, by the paths of today.

    Raises:
        ValueError: A path is given by its old name and by that of today.
    """
    found: dict[str, Any] = {}
    for path, value in given.items():
        new = new_path(path) if isinstance(path, str) else path
        if new in found:
            raise ValueError(f"{path!r} is now {new!r}, which is given as well")
        found[new] = value
    return found


def new_column(name: str, known: Collection[str]) -> str:
    """Return the name of today of a column of results that a person named."""
    new = COLUMNS.get(name)
    if name in known or new not in known:
        return name
    say(f"column {name!r}", f"{new!r}")
    return str(new)


def renamed(given: Any, names: Mapping[str, str]) -> Any:
    """Return a mapping that the program wrote with old keys replaced, in silence.

    Where both are there, the one of today counts.
    """
    if not isinstance(given, Mapping) or not names.keys() & given.keys():
        return given
    return {
        names.get(key, key): value for key, value in given.items() if names.get(key) not in given
    }


def with_old_keys(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document with the old keys that are still written, beside those of today."""
    old = {old: document[new] for old, new in STILL_WRITTEN.items() if new in document}
    return document | old


# --- modules --------------------------------------------------------------------------------


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
        function = getattr(sys.modules[package], verb, None)
        if callable(function):  # what is imported below a verb is also an attribute of it
            setattr(function, last, today)


class _Package(ModuleType):
    """A package whose names stay what they are when a module of the same name is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and name in self.__all__:
            return
        super().__setattr__(name, value)


def find_old_names(package: str) -> None:
    """Let old names of the modules of a package be found from now on, and keep its verbs."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        # before the finder of files, which would load the same file under a second name
        sys.meta_path.insert(0, _Finder())
    sys.modules[package].__class__ = _Package
