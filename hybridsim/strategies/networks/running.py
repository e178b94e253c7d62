"""Candidates of a job that are run, each that comes to a plan of its own once.

Two candidates often come to the same: where no adapter finds a home, adapters that may stay with
a layer are fetched for every batch like those that may not, and a way to compute adapters that is
fastest is what all ways left open come to.
"""

from dataclasses import dataclass, field, replace

from hybridsim.engines import engine, makespan_ps
from hybridsim.strategies.job import Job
from hybridsim.strategies.networks.options import DecidingOptions
from hybridsim.strategies.networks.plans import NetworkDecisions
from hybridsim.strategies.networks.reads import decided
from hybridsim.strategies.networks.structure import structure_of
from hybridsim.work import price


@dataclass(eq=False)
class Running:
    """What candidates of one job come to, and how long that takes."""

    job: Job
    _homeless: dict[DecidingOptions, NetworkDecisions] = field(default_factory=dict)
    """What is decided for options without homes, known as none was found where they may be."""
    _times: dict[NetworkDecisions, int] = field(default_factory=dict)

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
            self._times[planned] = makespan_of(self.job, decisions)
        return self._times[planned], decisions


def makespan_of(job: Job, decisions: NetworkDecisions) -> int:
    """Return how long what was decided takes [ps]."""
    plan = decisions.plan(job)
    time_ps = price(plan.works, job.machine).time_ps
    return makespan_ps(plan, time_ps, decisions.dispatch, engine("compiled"))
