"""Carrying a plan out on prices: as its parts become free, or in an order reserved before."""

from typing import Literal

from hybridsim.engines import Engine, engine
from hybridsim.plan import Plan, Timeline
from hybridsim.units import Ints

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

    return reserve(plan, time_ps, visiting_order(plan))[0].makespan
