"""Carrying out what a strategy planned: on the prices of a machine, by an engine."""

from dataclasses import dataclass, replace

from hybridsim.arch import Machine
from hybridsim.engines import Engine
from hybridsim.engines.carrying import execute
from hybridsim.plan import Timeline
from hybridsim.strategies.job import Schedule
from hybridsim.work import Prices, price


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """A schedule with its plan as it was carried out: reserved orders are needs of that plan."""

    schedule: Schedule
    prices: Prices
    """What the works of the plan take on the machine."""
    timeline: Timeline

    @property
    def makespan(self) -> int:
        """The last end [ps]."""
        return self.timeline.makespan


def carry_out(schedule: Schedule, machine: Machine, run: Engine) -> CarriedOut:
    """Price what was planned, reserve an order if the schedule asks for it, and execute.

    Raises:
        UnsupportedError: The machine cannot do a work of the plan.
    """
    prices = price(schedule.plan.works, machine)
    plan, timeline = execute(schedule.plan, prices.time_ps, schedule.dispatch, run)
    if plan is not schedule.plan:
        schedule = replace(schedule, plan=plan)
    return CarriedOut(schedule, prices, timeline)
