"""Compiling plain functions of integers for columns, when columns are priced and not before.

A cost equation is written once, as a plain function of single integers. Python itself calls it for
single values; for columns a loop over it is compiled by Numba, which takes a second to import.
"""

import hashlib
import inspect
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar, cast

import numpy as np

from hybridsim.machine_code import CompiledOnCall, keeping
from hybridsim.units import Ints

FEW = 64
"""Entries of a column from which on compiling pays; fewer are looped over by Python."""

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])
_uses: dict[Callable[..., Any], tuple[Callable[..., Any], ...]] = {}


def using(*functions: Callable[..., Any]) -> Callable[[AnyFunction], AnyFunction]:
    """Mark a loop that can be compiled, and name all plain functions that it leads to."""

    def mark(loop: AnyFunction) -> AnyFunction:
        _uses[loop] = functions
        return loop

    return mark


def loop_for(loop: AnyFunction, entries: int) -> AnyFunction:
    """Return a marked loop, compiled if it has enough entries to go over, or has been so far."""
    if entries < FEW and loop not in _compiled_so_far:
        return loop
    found: AnyFunction = compiled(loop)
    return found


def over_columns(
    loop: Callable[..., None],
    figures: tuple[Any, ...],
    *columns: Any,
    rows: int = 0,
    into: Ints | None = None,
) -> Ints:
    """Return what a marked loop fills in, one entry for each of some columns, or ``rows`` of them.

    The loop takes ``figures``, the columns, each flat, and what it is to fill in. Figures are
    numbers, arrays, named tuples, and lists of these. ``into`` is filled in if it is given: flat
    columns without gaps.
    """
    shaped = side_by_side(*columns)
    shape, size = shaped[0].shape, shaped[0].size
    found = np.empty((rows, size) if rows else size, np.int64) if into is None else into
    fast = loop_for(loop, size)
    flat: list[Any] = [own.reshape(-1) for own in shaped]
    if fast is loop:
        fast(*figures, *(own.tolist() for own in flat), found)
    else:
        fast(*map(_as_records, figures), *flat, found)
    return found if into is not None else found.reshape((rows, *shape) if rows else shape)


def side_by_side(*columns: Any) -> list[Ints]:
    """Return columns of one shape; copies where they are repeated, not views to be read only."""
    shape = np.broadcast_shapes(*map(np.shape, columns))
    return [
        np.asarray(own, np.int64, order="C")
        if np.shape(own) == shape
        else np.array(np.broadcast_to(own, shape), np.int64)
        for own in columns
    ]


def _as_records(figures: Any) -> Any:
    """Return a list of named tuples as an array of records, whose type tells no length.

    A truth is a number, as machine code of numbers alone can be shipped.
    """
    if isinstance(figures, bool):
        return int(figures)
    if not isinstance(figures, list):
        return figures
    fields = [(name, np.int64) for name in figures[0]._fields]
    return np.array([tuple(own) for own in figures], fields)


_compiled_so_far: set[Callable[..., Any]] = set()


@cache
def compiled(loop: AnyFunction) -> AnyFunction:
    """Return a marked loop, compiled; machine code is kept on disk."""
    _compiled_so_far.add(loop)
    return cast(AnyFunction, _Loop(loop))


class _Loop(CompiledOnCall):
    """A marked loop that is machine code."""

    # The loops allocate nothing. Counting who holds the tables in every small function that they
    # are handed to takes ten times as long as the equations themselves.
    allocates = False

    def __init__(self, loop: Callable[..., Any]) -> None:
        super().__init__(f"{loop.__module__}:{loop.__name__}")
        self._loop = loop

    @cached_property
    def state(self) -> str:
        """A short text that differs when a source of the loop, or this file, differs."""
        return _state((self._loop, *_uses[self._loop]))

    @cached_property
    def by_numba(self) -> Callable[..., Any]:
        """The loop as Numba compiles it; machine code is kept on disk."""
        options: dict[str, Any] = {"error_model": "numpy", "_nrt": False}
        found: Callable[..., Any] = keeping(True, options)(_ready(self._loop))
        return found


def _ready(function: Callable[..., Any]) -> FunctionType:
    """Return a copy of a marked function whose name tells the state of all sources it leads to.

    Numba keeps machine code by the name of a function and by the age of its own file. Code that
    comes from several files is only valid while none of them has changed.
    """
    from numba.extending import register_jitable

    assert isinstance(function, FunctionType)
    for own in _uses[function]:
        _known_to_compiler(own, register_jitable)
    copy = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__
    )
    copy.__module__ = function.__module__
    copy.__qualname__ = f"{function.__name__}_{_state((function, *_uses[function]))}"
    return copy


@cache
def _known_to_compiler(function: Callable[..., Any], register: Callable[..., Any]) -> None:
    register(forceinline=True, error_model="numpy")(function)


def _state(functions: Sequence[Callable[..., Any]]) -> str:
    """Return a short text that differs when a source of the functions, or this file, differs."""
    files = sorted({__file__, *(str(inspect.getsourcefile(function)) for function in functions)})
    return hashlib.sha256(b"\0".join(Path(file).read_bytes() for file in files)).hexdigest()[:16]
