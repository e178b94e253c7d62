"""Engines: each executes a plan under the one execution rule of :mod:`hybridsim.plan`.

They return equal timelines, to the picosecond, so the choice is one of speed alone. An engine is
imported when it is asked for: naming one costs neither SimPy nor Numba.
"""

from importlib import import_module
from typing import Protocol

from hybridsim.errors import UnknownNameError
from hybridsim.plan import Plan, Timeline
from hybridsim.units import Ints

__all__ = ["ENGINES", "Engine", "engine"]


class Engine(Protocol):
    """Executes a plan."""

    def __call__(self, plan: Plan, time_ps: Ints) -> Timeline:
        """Return when each task of ``plan`` became ready, started and ended.

        ``time_ps`` gives the time of each work of the plan [ps], shape (works,).
        """


ENGINES = {
    "reference": "hybridsim.engines.reference",
    "compiled": "hybridsim.engines.compiled",
}
"""The module of each engine; its ``run`` is the :class:`Engine`."""

_OTHER_NAMES = {"des": "reference", "fast": "compiled"}


def engine(name: str) -> Engine:
    """Return an engine: ``reference`` is on SimPy, ``compiled`` on Numba; or ``des`` and ``fast``.

    Raises:
        UnknownNameError: No engine has this name.
    """
    name = _OTHER_NAMES.get(name, name)
    if name not in ENGINES:
        raise UnknownNameError("engine", name, ENGINES)
    run: Engine = import_module(ENGINES[name]).run
    return run
