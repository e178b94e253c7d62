"""Python itself runs what else is machine code, where a changed function is part of it.

Machine code is found by the sources that it was made of, and these stay as they are: a changed
function would be there and never run. All other machine code stays, so that tests stay quick.
"""

from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

import numpy as np

IsChanged = Callable[[CodeType], bool]


def let_python_run(is_changed: IsChanged) -> bool:
    """Let Python run all machine code that a changed function is part of; say if there is any.

    Functions that are marked later count as well, but not in what is said.
    """
    from hybridsim import compiling
    from hybridsim.machine_code.functions import MachineCode

    by_machine, compiled = MachineCode.__call__, compiling._Loop.__call__
    loops = {loop for loop in compiling._uses if _is_part(loop, is_changed)}

    def call(own: Any, *args: Any) -> Any:
        return own.py_func(*args) if own in _plain(is_changed) else by_machine(own, *args)

    def loop(own: Any, *args: Any) -> Any:
        if _is_part(own._loop, is_changed):
            with np.errstate(over="ignore"):  # as integers of machine code
                return own._loop(*map(_as_python_reads, args))
        return compiled(own, *args)

    MachineCode.__call__ = call  # type: ignore[method-assign]
    compiling._Loop.__call__ = loop  # type: ignore[method-assign]
    if loops:
        compiling.FEW = 10**18  # columns of any length are looped over by Python
        compiling._compiled_so_far.clear()
    return bool(loops or _plain(is_changed))


def on_call(tell: Callable[[Any], object]) -> None:
    """Tell of each call of machine code which function it is."""
    from hybridsim.machine_code import CompiledOnCall

    call = CompiledOnCall.__call__

    def told(own: Any, *args: Any) -> Any:
        tell(own)
        return call(own, *args)

    CompiledOnCall.__call__ = told  # type: ignore[method-assign]


def functions_below(own: Any) -> set[CodeType]:
    """Return the code of a function that is machine code, and of all that it leads to."""
    from hybridsim import compiling
    from hybridsim.machine_code.functions import MachineCode

    if isinstance(own, MachineCode):
        return {each.py_func.__code__ for each in _below(own)}
    used = (own._loop, *compiling._uses[own._loop])
    return {each.__code__ for each in used if isinstance(each, FunctionType)}


def lines_of(code: CodeType) -> Iterator[int]:
    """Yield the lines of a function, and of those within it."""
    yield from {line for _, _, line in code.co_lines() if line}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from lines_of(constant)


class _Record(np.record):
    """A record whose fields come first, also one that is called ``size``."""

    def __getattribute__(self, name: str) -> Any:
        own = np.record.__getattribute__
        return self[name] if name in (own(self, "dtype").names or ()) else own(self, name)


class _Short(np.ndarray):
    """Short integers that are read as plain ones: machine code adds them without overflow."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return int(found) if isinstance(found, np.integer) else found


def _as_python_reads(arg: Any) -> Any:
    """Return an argument as machine code has it: fields of records are attributes, too."""
    if not isinstance(arg, np.ndarray):
        return arg
    if arg.dtype.names:
        return arg.view(np.dtype((_Record, arg.dtype.fields)))  # type: ignore[call-overload]
    return arg.view(_Short) if arg.dtype.itemsize < 8 else arg


def _is_part(loop: Callable[..., Any], is_changed: IsChanged) -> bool:
    """Return whether a marked loop, or what it leads to, is changed."""
    from hybridsim import compiling

    used = (loop, *compiling._uses[loop])
    return any(isinstance(own, FunctionType) and is_changed(own.__code__) for own in used)


_known: dict[int, set[Any]] = {}
"""How many functions are marked -> those that Python runs; a process has one change."""


def _plain(is_changed: IsChanged) -> set[Any]:
    """Return the marked functions that lead to a changed one, and all that these lead to."""
    from hybridsim.machine_code.functions import MARKED, MachineCode

    if len(MARKED) not in _known:
        marked = [own for own in MARKED.values() if isinstance(own, MachineCode)]
        below = [_below(own) for own in marked]
        _known[len(MARKED)] = {
            own
            for functions in below
            if any(is_changed(own.py_func.__code__) for own in functions)
            for own in functions
        }
    return _known[len(MARKED)]


def _below(own: Any) -> list[Any]:
    """Return a marked function, and all marked ones that it leads to."""
    found, new = {id(own): own}, [own]
    while new:
        more = [other for each in new for other in each._others() if id(other) not in found]
        found |= {id(other): other for other in more}
        new = more
    return list(found.values())
