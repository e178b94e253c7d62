"""Energies of points that were decided alike: numbers that times are multiplied with.

Of a plan, what works draw is a sum of energies per event, which do not depend on time, and of
powers times the durations of tasks; and an MVM draws more the longer its tile integrates, in
proportion. So three accounts of one plan, with durations and an integration time made up, tell
what it draws at any prices, as whole numbers of attojoules.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hybridsim.engines import engine
from hybridsim.errors import InputError
from hybridsim.mapping import place
from hybridsim.measure.area import static_uw
from hybridsim.measure.charge import exact_sum
from hybridsim.measure.cluster_work import UNITS
from hybridsim.measure.energy import PJ, energy_of_run
from hybridsim.plan import Bools, Timeline
from hybridsim.strategies import Job, NetworkStrategy, Schedule
from hybridsim.sweeps.inputs import Resolver
from hybridsim.sweeps.machines import PATHS, Columns, different, prices, with_columns
from hybridsim.sweeps.whole_runs import tokens_of
from hybridsim.units import Ints
from hybridsim.work import Work

TILE = "tile.integration_time"
_MOST_KNOWN = 4096
"""Plans whose accounts are remembered."""
_MOST = float(2**62)
"""Sums that may not fit 64 bits [aJ]: those points run as a whole."""


@dataclass(frozen=True, slots=True, eq=False)
class Account:
    """What a plan draws."""

    works: tuple[Work, ...]
    fixed_aj: int
    """Whatever the times, at an integration time of ``integration_ps``."""
    integration_ps: int
    integration_uw: int
    """What a longer integration adds to all MVMs together."""
    work_uw: Ints
    """Power in all tasks of each work, shape (works,) [uW]."""
    static_uw: int

    def total_aj(self, time_ps: Ints, integration_ps: Ints, latency_ps: Ints) -> Ints | None:
        """Return what the plan draws at each point [aJ]; None where that may not fit 64 bits.

        ``time_ps`` are the times of the works, shape (works, points).
        """
        longer = integration_ps - self.integration_ps
        most = float(self.work_uw @ time_ps.max(axis=1).astype(float)) + abs(self.fixed_aj)
        most += self.static_uw * float(latency_ps.max(initial=0))
        most += self.integration_uw * float(np.abs(longer).max(initial=0))
        if most > _MOST:
            return None
        total: Ints = self.work_uw @ time_ps + self.static_uw * latency_ps
        return total + self.fixed_aj + self.integration_uw * longer


@dataclass
class Energies:
    """Energies of points of one placed network and one strategy."""

    resolver: Resolver
    _known: dict[tuple[int, ...], Account | None] = field(default_factory=dict)

    def of(
        self, decided: Ints, columns: Columns, indices: Ints, latency_ps: Ints
    ) -> tuple[NDArray[np.float64], Bools]:
        """Return the energies of points that were decided [pJ], and which are to run as a whole.

        ``decided`` are columns, shape (some, points); points that agree in them and in what of
        ``columns`` is no price share a plan.
        """
        points = len(indices)
        found, ask = np.zeros(points), np.zeros(points, np.bool_)
        first = self.resolver.point(int(indices[0]))
        network = isinstance(first.strategy, NetworkStrategy)
        shaping = [p for p in columns if p not in PATHS or (network and p != TILE)]
        alike, which = different([*decided, *(columns[path] for path in shaping)], points)
        machine = {path: column for path, column in columns.items() if path in PATHS}
        for number, own in enumerate(alike):
            at = np.flatnonzero(which == number)
            account = self._account(own, int(indices[at[0]]))
            total = None
            if account is not None:
                here = {path: column[at] for path, column in machine.items()}
                time_ps = prices(account.works, first.machine, here, len(at))
                same = np.full(len(at), first.machine.tile.integration_time)
                total = account.total_aj(time_ps, here.get(TILE, same), latency_ps[at])
            if total is None:
                ask[at] = True
            else:
                found[at] = total / PJ
        return found, ask

    def _account(self, key: tuple[int, ...], index: int) -> Account | None:
        """Return the account of the plan of a point; None where only a whole run tells."""
        if key not in self._known:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            point = self.resolver.point(index)
            job = Job(place(point.network, point.machine), tokens_of(point), engine("compiled"))
            try:
                self._known[key] = account_of(job, point.strategy.schedule(job))
            except InputError:  # a run of each point by itself says what is wrong
                self._known[key] = None
        return self._known[key]


def account_of(job: Job, schedule: Schedule) -> Account | None:
    """Return what a plan draws; None where that is not in proportion to times.

    That is so where a cluster is charged as a whole while any of its units works.
    """
    plan, energy = schedule.plan, job.machine.energy
    assert energy is not None
    if energy.cluster is not None and not energy.cluster.by_unit:
        units = [place for place, own in enumerate(plan.resources) if own.kind in UNITS]
        if np.isin(plan.use, units).any():
            return None
    once = _drawn(job, schedule, 1)
    twice = _drawn(job, schedule, 2)
    power = np.zeros(len(plan.works), np.int64)
    np.add.at(power, plan.work, twice - once)
    time = job.machine.tile.integration_time
    longer = _at(job, time + 1)
    more = exact_sum(_drawn(longer, schedule, 1)) - exact_sum(once)
    static = sum(static_uw(job.machine, job.mapping.used_tiles).values())
    fixed = exact_sum(once) - exact_sum(twice - once)
    return Account(plan.works, fixed, time, more, power, static)


def _drawn(job: Job, schedule: Schedule, duration: int) -> Ints:
    """Return what each task draws if all of them take equally long [aJ]."""
    start = np.zeros(len(schedule.plan), np.int64)
    found = energy_of_run(job, schedule, Timeline(start, start, start + duration))
    assert found is not None
    return found.by_task


def _at(job: Job, integration_ps: int) -> Job:
    mapping = job.mapping
    machine = with_columns(mapping.machine, {TILE: integration_ps})
    return Job(replace(mapping, machine=machine), job.tokens, past=job.past)
