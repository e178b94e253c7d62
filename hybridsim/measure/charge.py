"""What a charge is, and what charges ask of a run: which tasks hold what, and do what."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from hybridsim.components.energy import MachineEnergy
from hybridsim.measure.cluster_work import Group, groups_of
from hybridsim.plan import Bools, Plan, Timeline
from hybridsim.records import record
from hybridsim.strategies import Job, Schedule
from hybridsim.units import Ints
from hybridsim.work import Work
from hybridsim.workload import Attention

COMPONENTS = (
    "tile", "periphery", "programming", "cluster", "cores", "row_unit", "matrix_engine", "dma",
    "tcdm", "link", "chip_link", "sram", "dram",
)  # fmt: skip
"""The parts that energy is told for: tile, periphery and programming are analog, the others
digital."""
ANALOG = ("tile", "periphery", "programming")
FROM_SRAM = ("weights", "keep")
"""Kinds of transfers over link or network on chip that read the SRAM."""
THROUGH_SRAM = ("keep", "weights", "spill")
"""Kinds of transfers of the external memory whose other end is the SRAM."""


def is_analog(told: str) -> bool:
    """Return whether a part of some kind is analog."""
    return told.partition(":")[0] in ANALOG


MOST_AJ = 2**63 - 1
"""The most that 64 bits hold [aJ]: 9.2 J."""


@record(frozen=True, slots=True, eq=False)
class Charge:
    """What some tasks draw in one part of the machine."""

    component: str
    tasks: Ints
    aj: Ints
    """Energy of each of the tasks [aJ]: of Python's own integers where 64 bits (9.2 J) may not do,
    as an energy must not stop a latency."""
    sort: str = ""
    """Which of several kinds of that part draws it."""

    @property
    def told(self) -> str:
        """What draws it: the part, and behind a colon which one of several kinds."""
        return f"{self.component}:{self.sort}" if self.sort else self.component


def over_time(power_uw: int | Ints, time_ps: Ints) -> Ints:
    """Return power x time [aJ], exact whatever its size."""
    most = int(np.max(power_uw, initial=0)) * int(time_ps.max(initial=0))
    if most > MOST_AJ:
        time_ps = time_ps.astype(object)
    found: Ints = time_ps * power_uw
    return found


def shared_out(total: int, weights: Ints) -> Ints:
    """Return ``total`` cut into integers in proportion to ``weights``; they add up to it."""
    if total > MOST_AJ // 2:  # shares of floats may be a little too large
        all_weights = sum(weights.tolist())
        parts: Ints = np.array([total * w // all_weights for w in weights.tolist()], object)
    else:
        share = weights / weights.sum(dtype=np.float64)
        parts = np.floor(share * total).astype(np.int64)
    parts[int(np.argmax(weights))] += total - exact_sum(parts)
    return parts


def integers(values: Sequence[int]) -> Ints:
    """Return integers as an array: of 64 bits, or Python's own where these do not do."""
    fit = max(values, default=0) <= MOST_AJ
    return np.array(values, np.int64 if fit else object)


def exact_sum(values: Ints | Sequence[Any]) -> int:
    """Return the sum of integers, whatever its size."""
    array = np.asarray(values)
    if array.dtype == object:
        return sum(array.tolist())
    whole, rest = np.divmod(array.astype(np.int64), 2**20)
    return int(whole.sum()) * 2**20 + int(rest.sum())


class ChargedRun:
    """The tasks of one run, as charges ask for them.

    With ``tile`` or ``cluster`` those of a kind of tiles or of clusters alone, on the machine as
    if it had no other; ``whole`` are then those of all kinds.
    """

    def __init__(
        self,
        job: Job,
        schedule: Schedule,
        timeline: Timeline,
        tile: str | None = None,
        cluster: str | None = None,
        whole: "ChargedRun | None" = None,
    ) -> None:
        self.machine = job.machine.seen(tile or "", cluster or "")
        assert self.machine.energy is not None
        self.job, self.schedule, self.timeline = job, schedule, timeline
        self.tile, self.cluster, self._whole = tile, cluster, whole
        self.plan: Plan = schedule.plan
        self.energy: MachineEnergy = self.machine.energy
        self.counted: set[str] = set()
        """Kinds of resources whose work is charged, as :attr:`Resource.told` has them."""

    def of_kind(self, *kinds: str) -> Bools:
        """Return for each task whether its work is of some kinds."""
        return self.plan.which(lambda work: work.kind in kinds)

    @property
    def sort(self) -> str:
        """The kind of tiles or of clusters that this is about; "" for the usual one, and all."""
        return self.tile or self.cluster or ""

    def count(self, *kinds: str) -> None:
        """Note that the work of some kinds of resources is charged."""
        self.counted.update(f"{kind}:{self.sort}" if self.sort else kind for kind in kinds)

    def mvms(self) -> Ints:
        """Return the MVMs on the kind of tiles."""
        return np.flatnonzero(
            self.plan.which(lambda work: work.kind == "mvm" and work.sort == (self.tile or ""))
        )

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
        own = None if self.tile is self.cluster is None else self.sort
        wanted = [
            i
            for i, resource in enumerate(self.plan.resources)
            if resource.kind == kind and own in (None, resource.sort)
        ]
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
        if self._whole is None:
            return list(groups_of(self.job, self.schedule))
        return [group for group in self._whole.groups if self.cluster in (None, group.sort)]

    def time(self, tasks: Ints) -> Ints:
        """Return how long each of some tasks runs [ps]."""
        return self.timeline.duration[tasks]
