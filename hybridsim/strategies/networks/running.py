"""Candidates of a job that are run, each that comes to a plan of its own once.

Two candidates often come to the same: where no adapter finds a home, adapters that may stay with
a layer are fetched for every batch like those that may not, and a way to compute adapters that is
fastest is what all ways left open come to.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from hybridsim.engines import engine, makespan_ps
from hybridsim.strategies.job import Job
from hybridsim.strategies.networks.options import DecidingOptions
from hybridsim.strategies.networks.plans import NetworkDecisions
from hybridsim.strategies.networks.reads import decided
from hybridsim.strategies.networks.structure import structure_of
from hybridsim.work import Pricing, Work, price


@dataclass(eq=False)
class Running:
    """What candidates of one job come to, and how long that takes."""

    job: Job
    _homeless: dict[DecidingOptions, NetworkDecisions] = field(default_factory=dict)
    """What is decided for options without homes, known as none was found where they may be."""
    _times: dict[NetworkDecisions, int] = field(default_factory=dict)
    _prices: dict[Work, Any] = field(default_factory=dict)
    """What works of plans so far take [ps]; most are those of other plans, too."""

    def decide(self, options: DecidingOptions) -> NetworkDecisions:
        """Return what is decided under some options.

        Raises:
            CapacityError: Something does not fit the memory it needs, or there is no cluster.
            UnsupportedError: The machine lacks a unit that is asked for.
        """
        known = self._homeless.get(options)
        if known is not None:
            return known
        found = decided(structure_of(self.job), self.job.machine, options)
        if options.keep == "layer" and not found.has_homes:
            without = replace(options.adapters, homes=False)
            twin = replace(options, keep="batch", adapters=without)
            self._homeless[twin] = replace(found, keep="batch", homes=False)
        return found

    def run(self, options: DecidingOptions) -> tuple[int, NetworkDecisions]:
        """Return how long what is decided under some options takes [ps], and what that is.

        Raises:
            CapacityError: As :meth:`decide`.
            UnsupportedError: As :meth:`decide`.
        """
        decisions = self.decide(options)
        planned = decisions.planned
        if planned not in self._times:
            self._times[planned] = makespan_of(self.job, decisions, self)
        return self._times[planned], decisions

    def time_ps(self, work: Work) -> Any:
        """Return how long a work takes on the machine [ps].

        Raises:
            UnsupportedError: It lacks the part, or that does not know the work.
        """
        found = self._prices.get(work)
        if found is None:
            found = self._prices[work] = self.job.machine.time_ps(work)
        return found


def makespan_of(job: Job, decisions: NetworkDecisions, pricing: Pricing | None = None) -> int:
    """Return how long what was decided takes [ps], as the machine or what stands for it prices."""
    plan = decisions.plan(job)
    time_ps = price(plan.works, pricing or job.machine).time_ps
    return makespan_ps(plan, time_ps, decisions.dispatch, engine("compiled"))
