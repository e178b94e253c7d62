"""Plans on machines, as tests need them: priced, executed, and the same on both engines."""

from collections.abc import Callable

import numpy as np

from hybridsim.arch import Machine
from hybridsim.engines import ENGINES, Engine
from hybridsim.engines import engine as engine_by_name
from hybridsim.plan import Plan, Timeline
from hybridsim.strategies import Schedule, carry_out
from hybridsim.units import Ints
from hybridsim.work import Pricing, price


def durations(plan: Plan, machine: Pricing) -> Ints:
    """Return how long each task lasts on a machine [ps]."""
    return plan.times(price(plan.works, machine).time_ps)


def carried_out(plan: Plan, machine: Pricing, engine: Engine | str = "compiled") -> Timeline:
    """Return when each task runs on a machine; ``engine`` is one or the name of one."""
    run = engine_by_name(engine) if isinstance(engine, str) else engine
    return run(plan, price(plan.works, machine).time_ps)


def dispatched(schedule: Schedule, machine: Machine, engine: str = "compiled") -> Timeline:
    """Return when each task of what was planned runs, reserved if the schedule asks for it."""
    return carry_out(schedule, machine, engine_by_name(engine)).timeline


def assert_engines_agree(plan: Plan | Schedule, machine: Machine) -> None:
    """Compare what all engines make of a plan or a schedule, to the picosecond."""
    run: Callable[..., Timeline] = carried_out if isinstance(plan, Plan) else dispatched
    first, *others = (run(plan, machine, name) for name in ENGINES)
    for column in ("ready", "start", "end"):
        for other in others:
            np.testing.assert_array_equal(getattr(other, column), getattr(first, column), column)
