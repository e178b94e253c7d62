"""Plans on machines, as tests need them: priced, executed, and the same on both engines."""

import numpy as np

from hybridsim.engines import ENGINES, Engine
from hybridsim.engines import engine as engine_by_name
from hybridsim.plan import Plan, Timeline
from hybridsim.units import Ints
from hybridsim.work import Pricing, price


def durations(plan: Plan, machine: Pricing) -> Ints:
    """Return how long each task lasts on a machine [ps]."""
    return plan.times(price(plan.works, machine).time_ps)


def carried_out(plan: Plan, machine: Pricing, engine: Engine | str = "compiled") -> Timeline:
    """Return when each task runs on a machine; ``engine`` is one or the name of one."""
    run = engine_by_name(engine) if isinstance(engine, str) else engine
    return run(plan, price(plan.works, machine).time_ps)


def assert_engines_agree(plan: Plan, machine: Pricing) -> None:
    """Compare what all engines make of a plan, to the picosecond."""
    first, *others = (carried_out(plan, machine, name) for name in ENGINES)
    for column in ("ready", "start", "end"):
        for other in others:
            np.testing.assert_array_equal(getattr(other, column), getattr(first, column), column)
