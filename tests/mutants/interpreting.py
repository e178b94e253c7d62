"""Python itself runs what else is machine code, where a changed function is part of it.

Machine code is found by the sources that it was made of, and these stay as they are: a changed
function would be there and never run. All other machine code stays, so that tests stay quick.
"""

from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

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
            return own._loop(*args)
        return compiled(own, *args)

    MachineCode.__call__ = call  # type: ignore[method-assign]
    compiling._Loop.__call__ = loop  # type: ignore[method-assign]
    if loops:
        compiling.FEW = 10**18  # columns of any length are looped over by Python
        compiling._compiled_so_far.clear()
    return bool(loops or _plain(is_changed))


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
