"""Energy of a run: per task, per part, per layer, and in all, as integers [aJ]."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hybridsim.measure.charges import COMPONENTS, Charge, Charges
from hybridsim.measure.static_power import static_uw
from hybridsim.plan import Plan, Timeline
from hybridsim.strategies import Job, Schedule
from hybridsim.units import Ints

PJ = 10**6
"""Attojoules of a picojoule."""


@dataclass(frozen=True)
class RunEnergy:
    """What a run draws, task by task; totals are the sums of these, to the attojoule."""

    plan: Plan
    timeline: Timeline
    charges: tuple[Charge, ...]
    static_uw: dict[str, int]
    """Part -> power drawn all the time [uW]."""
    mvm_by_layer: dict[str, int]
    """Layer -> what its MVMs draw, also where another op carries them [aJ]."""
    not_counted: tuple[str, ...]
    """Kinds of parts that work in the run without a known energy."""

    def of_tasks(self, component: str) -> Ints:
        """Return what each task draws in one part, shape (tasks,) [aJ]."""
        found = np.zeros(len(self.plan), np.int64)
        for charge in self.charges:
            if charge.component == component:
                np.add.at(found, charge.tasks, charge.aj)
        return found

    @cached_property
    def by_task(self) -> Ints:
        """What each task draws in all parts together, shape (tasks,) [aJ]."""
        found = np.zeros(len(self.plan), np.int64)
        for charge in self.charges:
            np.add.at(found, charge.tasks, charge.aj)
        return found

    @cached_property
    def by_component(self) -> dict[str, int]:
        """Part -> what its work draws [aJ]; parts that draw nothing are left out."""
        total = dict.fromkeys(COMPONENTS, 0)
        for charge in self.charges:
            total[charge.component] += exact_sum(charge.aj)
        return {component: aj for component, aj in total.items() if aj}

    @cached_property
    def static(self) -> dict[str, int]:
        """Part -> what it draws for being there over the run [aJ]."""
        return {part: power * self.timeline.makespan for part, power in self.static_uw.items()}

    @property
    def total(self) -> int:
        """Work and static energy together [aJ]."""
        return sum(self.by_component.values()) + sum(self.static.values())

    @cached_property
    def by_op(self) -> dict[str, int]:
        """Op or layer -> what its tasks draw [aJ]; MVMs count for the layer whose weights work."""
        each = [0] * len(self.plan.ops)
        whole, rest = np.divmod(self.by_task, 2**20)
        for part, scale in ((whole, 2**20), (rest, 1)):
            total = np.zeros(len(each), np.int64)
            np.add.at(total, self.plan.op, part)
            each = [old + int(new) * scale for old, new in zip(each, total, strict=True)]
        return dict(zip(self.plan.ops, each, strict=True))


def energy_of_run(job: Job, schedule: Schedule, timeline: Timeline) -> RunEnergy | None:
    """Return what a run draws, or None where the machine has no energies.

    Raises:
        InputError: A task or an op draws more than 9.2 J.
    """
    if job.machine.energy is None:
        return None
    found = Charges(job, schedule, timeline)
    charges = tuple(found.all())
    return RunEnergy(
        schedule.plan,
        timeline,
        charges,
        static_uw(job.machine, job.mapping.tiles),
        found.by_layer,
        found.not_counted,
    )


def exact_sum(values: Ints | Sequence[Any]) -> int:
    """Return the sum of 64-bit integers, whatever its size."""
    array = np.asarray(values, np.int64)
    whole, rest = np.divmod(array, 2**20)
    return int(whole.sum()) * 2**20 + int(rest.sum())
