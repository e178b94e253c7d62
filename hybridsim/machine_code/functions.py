"""Functions that become machine code when they are called."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property, update_wrapper
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, TypeVar, cast

import numpy as np

from hybridsim.caches import cache_folder
from hybridsim.machine_code._shipped import native

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])
Kinds = tuple[Any, ...]
"""What a function is called with: dtype and dimensions of an array without gaps, the name of a
named tuple and what is in it, or a type."""

MARKED: dict[str, "CompiledOnCall"] = {}
"""``module:name`` -> each function that is machine code, as far as it is known by now."""
EXAMPLES: dict[str, tuple[Any, ...]] = {}
"""What functions were called with first, as long as :data:`RECORDING` holds something."""
RECORDING: list[bool] = []


def machine_code(
    *, names_from: str = "", cached: bool = True, **options: Any
) -> Callable[[AnyFunction], AnyFunction]:
    """Mark a plain function of integers and arrays as one that is to be machine code.

    It may call others that are marked. ``options`` are those of :func:`numba.njit`; ``names_from``
    is a module whose names the function uses as well, imported when it is compiled. Where it is
    ``_nrt=False``, the function allocates nothing, and its code can be shipped.
    """

    def mark(function: AnyFunction) -> AnyFunction:
        return cast(AnyFunction, MachineCode(function, names_from, cached, options))

    return mark


class CompiledOnCall(ABC):
    """A function that is machine code from its first call on."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls: dict[Kinds, Callable[..., Any]] = {}
        MARKED[name] = self

    def __call__(self, *args: Any) -> Any:
        """Call the machine code for what is given."""
        kinds = kinds_of(args)
        call = self.calls.get(kinds)
        if call is None:
            if RECORDING:
                EXAMPLES.setdefault(self.name, args)
            call = self.calls[kinds] = native(self.name, self.state, kinds) or self.by_numba
        return call(*args)

    @property
    @abstractmethod
    def state(self) -> str:
        """A short text that differs when a source that the code comes from differs."""

    @property
    @abstractmethod
    def by_numba(self) -> Callable[..., Any]:
        """The function as Numba compiles it, for whatever it is called with."""

    @property
    @abstractmethod
    def allocates(self) -> bool:
        """Whether it may allocate arrays, for which it needs Numba."""


class MachineCode(CompiledOnCall):
    """A function that is marked as machine code."""

    def __init__(
        self,
        function: Callable[..., Any],
        names_from: str,
        cached: bool,
        options: dict[str, Any],
    ) -> None:
        assert isinstance(function, FunctionType)
        super().__init__(f"{function.__module__}:{function.__name__}")
        update_wrapper(self, function)
        self.py_func, self.options = function, options
        self.names_from, self.cached = names_from, cached

    @property
    def allocates(self) -> bool:
        """Whether it may allocate arrays."""
        return self.options.get("_nrt") is not False

    @cached_property
    def by_numba(self) -> Callable[..., Any]:
        """The function as Numba compiles it, for whatever it is called with."""
        copy = FunctionType(
            self.py_func.__code__,
            self._compiled_globals(),
            self.py_func.__name__,
            self.py_func.__defaults__,
        )
        copy.__module__ = self.py_func.__module__
        # Numba keeps code by this name and by the age of the file of the function alone
        copy.__qualname__ = f"{self.py_func.__name__}_{self.state}"
        found: Callable[..., Any] = keeping(self.cached, self.options)(copy)
        return found

    def _compiled_globals(self) -> dict[str, Any]:
        """Return what the function sees, with other marked functions as Numba's."""
        there = dict(self.py_func.__globals__)
        if self.names_from:
            there |= vars(import_module(self.names_from))
        wanted = set(_names(self.py_func.__code__))
        return {
            name: value.by_numba if isinstance(value, MachineCode) and name in wanted else value
            for name, value in there.items()
        }

    @cached_property
    def state(self) -> str:
        """A short text that differs when a source that the code comes from differs."""
        return _state(tuple(sorted(self._files)))

    @cached_property
    def _files(self) -> set[str]:
        own = {self.py_func.__code__.co_filename}
        if self.names_from and (spec := find_spec(self.names_from)) is not None:
            own.add(str(spec.origin))
        return own.union(*(other._files for other in self._others()))

    def _others(self) -> Iterator["MachineCode"]:
        """Yield the marked functions that this one calls."""
        for name in _names(self.py_func.__code__):
            other = self.py_func.__globals__.get(name)
            if isinstance(other, MachineCode) and other is not self:
                yield other


def kinds_of(args: Sequence[Any]) -> Kinds:
    """Return what a function is called with, as far as its code depends on it."""
    return tuple([_kind_of(arg) for arg in args])


def _kind_of(arg: Any) -> Any:
    if isinstance(arg, np.ndarray):
        return (arg.dtype, arg.ndim) if arg.flags.c_contiguous else np.ndarray
    if isinstance(arg, tuple):
        return (type(arg).__name__, *kinds_of(arg))
    return int if isinstance(arg, np.int64) else type(arg)


def keeping(cached: bool, options: dict[str, Any]) -> Callable[[Callable[..., Any]], Any]:
    """Return Numba's decorator, which keeps code on disk where something can be written."""
    import numba  # half a second to import

    def compile_(function: Callable[..., Any]) -> Any:
        folder = cache_folder()
        for place in ("", "" if folder is None else str(folder / "numba")) if cached else ():
            if place:
                vars(numba.config)["CACHE_DIR"] = place
            try:
                return numba.njit(cache=True, **options)(function)
            except RuntimeError:  # neither beside the sources nor at home, nor where caches lie
                continue
        return numba.njit(**options)(function)

    return compile_


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


@cache
def _state(files: tuple[str, ...]) -> str:
    content = b"\0".join(Path(file).read_bytes() for file in files)
    return hashlib.sha256(content).hexdigest()[:16]
