"""What a charge is, and what charges ask of a run: which tasks hold what, and do what."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hybridsim.components.energy import MachineEnergy
from hybridsim.errors import InputError
from hybridsim.measure.cluster_work import Group, groups_of
from hybridsim.plan import Bools, Plan, Timeline
from hybridsim.strategies import Job, Schedule
from hybridsim.units import Ints
from hybridsim.work import Work
from hybridsim.workload import Attention

COMPONENTS = (
    "tile", "periphery",
    "cluster", "cores", "matrix_engine", "dma", "tcdm", "link", "chip_link", "sram", "dram",
)  # fmt: skip
"""The parts that energy is told for: tile and periphery are analog, the others digital."""
ANALOG = ("tile", "periphery")
FROM_SRAM = ("weights", "keep")
"""Kinds of transfers over link or network on chip that read the SRAM."""
THROUGH_SRAM = ("keep", "weights", "spill")
"""Kinds of transfers of the external memory whose other end is the SRAM."""

_MOST = 2**63 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Charge:
    """What some tasks draw in one part of the machine."""

    component: str
    tasks: Ints
    aj: Ints
    """Energy of each of the tasks [aJ]."""


def over_time(power_uw: int | Ints, time_ps: Ints) -> Ints:
    """Return power x time [aJ].

    Raises:
        InputError: A task takes more than 9.2 J, which does not fit 64 bits.
    """
    most = int(np.max(power_uw, initial=0)) * int(time_ps.max(initial=0))
    if most > _MOST:
        raise InputError(
            f"energy: a task of {int(time_ps.max())} ps at {int(np.max(power_uw))} uW takes more "
            "than 9.2 J; fewer tokens, or a lower power, would do"
        )
    found: Ints = time_ps * power_uw
    return found


def shared_out(total: int, weights: Ints) -> Ints:
    """Return ``total`` cut into integers in proportion to ``weights``; they add up to it.

    Raises:
        InputError: The total does not fit 64 bits.
    """
    if total > _MOST:
        raise InputError("energy: an op takes more than 9.2 J; fewer tokens would do")
    share = weights / weights.sum(dtype=np.float64)
    parts: Ints = np.floor(share * total).astype(np.int64)
    parts[int(np.argmax(weights))] += total - int(parts.sum())
    return parts


class ChargedRun:
    """The tasks of one run, as charges ask for them."""

    def __init__(self, job: Job, schedule: Schedule, timeline: Timeline) -> None:
        assert job.machine.energy is not None
        self.job, self.schedule, self.timeline = job, schedule, timeline
        self.plan: Plan = schedule.plan
        self.energy: MachineEnergy = job.machine.energy
        self.counted: set[str] = set()
        """Kinds of resources whose work is charged."""

    def of_kind(self, *kinds: str) -> Bools:
        """Return for each task whether its work is of some kinds."""
        return self.plan.which(lambda work: work.kind in kinds)

    @cached_property
    def of_attention(self) -> Bools:
        """Whether each task is one of an attention."""
        attentions = {d.op.name for d in self.schedule.ops if isinstance(d.op, Attention)}
        ops: Bools = np.array([name in attentions for name in self.plan.ops], np.bool_)
        return ops[self.plan.op]

    @cached_property
    def leaving(self) -> Bools:
        """Whether each task brings something to the edge of its chip."""
        plan = self.plan
        found = np.zeros(len(plan), np.bool_)
        hop = self.of_kind("hop")
        found[plan.need[np.repeat(hop, np.diff(plan.need_first))]] = True
        return found

    def holding(self, kind: str) -> Ints:
        """Return the tasks that hold a resource of a kind, in plan order."""
        wanted = [i for i, resource in enumerate(self.plan.resources) if resource.kind == kind]
        return self.using(wanted)

    def using(self, resources: list[int]) -> Ints:
        """Return the tasks that hold any of some resources, in plan order."""
        wanted = np.zeros(len(self.plan.resources) + 1, np.bool_)
        wanted[resources] = True
        using = np.zeros(len(self.plan), np.bool_)
        using[self._holder[wanted[self.plan.use]]] = True
        return np.flatnonzero(using)

    @cached_property
    def _holder(self) -> Ints:
        """The task of each use of a resource."""
        return self.plan.holder

    def of_works(self, tasks: Ints, size: Callable[[Work], int]) -> Ints:
        """Return the size of each of some tasks, from that of its work."""
        numbers, place = np.unique(self.plan.work[tasks], return_inverse=True)
        sizes = [size(self.plan.works[number]) for number in numbers.tolist()]
        return np.array(sizes, np.int64)[place]

    @cached_property
    def groups(self) -> list[Group]:
        """What tasks on single units of clusters do."""
        return list(groups_of(self.job, self.schedule))

    def time(self, tasks: Ints) -> Ints:
        """Return how long each of some tasks runs [ps]."""
        return self.timeline.duration[tasks]
