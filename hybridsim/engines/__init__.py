"""Engines: each executes a plan under the one execution rule of :mod:`hybridsim.plan`.

They return equal timelines, to the picosecond, so the choice is one of speed alone. An engine is
imported when it is asked for: naming one costs neither SimPy nor Numba. A plan is carried out as
its parts become free, or in an order that is reserved before.
"""

from importlib import import_module
from typing import Literal, Protocol

from hybridsim.errors import UnknownNameError
from hybridsim.plan import Plan, Timeline
from hybridsim.units import Ints

__all__ = ["ENGINES", "Dispatch", "Engine", "engine", "execute", "makespan_ps"]


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


Dispatch = Literal["online", "reserved"]
"""Whether a part starts what is ready, or keeps to an order that is reserved ahead of time."""


def execute(plan: Plan, time_ps: Ints, dispatch: Dispatch, run: Engine) -> tuple[Plan, Timeline]:
    """Return a plan as it is carried out, and when each of its tasks runs.

    ``time_ps`` gives the time of each work [ps], shape (works,). A reserved plan has its tasks in
    the order of their reserved starts, and that order as needs.
    """
    if dispatch == "online":
        return plan, run(plan, time_ps)
    # only here, as Numba takes a quarter of a second to import
    from hybridsim.engines.reservation import reserved

    ordered, timeline = reserved(plan, time_ps)
    if run is engine("compiled"):
        # it would find the reserved times once more: with both order and data as needs, a task is
        # ready at the instant at which its reserved start is
        return ordered, timeline
    return ordered, run(ordered, time_ps)


def makespan_ps(plan: Plan, time_ps: Ints, dispatch: Dispatch, run: Engine) -> int:
    """Return how long a plan takes as it is carried out [ps]."""
    if dispatch == "online":
        return run(plan, time_ps).makespan
    from hybridsim.engines.reservation import reserve, visiting_order

    timeline, _ = reserve(plan, time_ps, visiting_order(plan))
    return timeline.makespan
