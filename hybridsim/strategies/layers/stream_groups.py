"""The groups that layers of a stretch come in with each of many cuts, as columns."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hybridsim.mapping import PlacedLayer
from hybridsim.plan import Bools
from hybridsim.strategies.job import Job
from hybridsim.strategies.layers.choosers import Offered
from hybridsim.strategies.layers.decisions import room
from hybridsim.strategies.layers.stream_loads import BUSY, DMA, LayerLoads
from hybridsim.strategies.layers.stream_runs import Adapted
from hybridsim.units import Ints, ceil_div


@dataclass(frozen=True, slots=True, eq=False)
class Offers:
    """What the layers of a stretch get from a chooser, with each of some cuts."""

    begins: Bools
    """Whether a group begins with a layer, shape (layers, cuts)."""
    each: list[Offered | None]
    """Of each layer, None without an adapter."""

    @classmethod
    def of(cls, layers: int, cuts: int) -> "Offers":
        """Return nothing yet."""
        return cls(np.zeros((layers, cuts), np.bool_), [])

    def adapted(self, layer: PlacedLayer, number: int, cut: int) -> Adapted | None:
        """Return how the adapter of a layer is computed with a cut; None without one."""
        offered = self.each[number]
        if offered is None:
            return None
        assert layer.adapter is not None
        found = offered.found
        program = offered.program(
            (layer.op.in_features, layer.op.out_features, layer.adapter.rank), cut
        )
        batch, buffers = int(found.batch[cut]), int(found.buffers[cut])
        return Adapted(program, batch, buffers, offered.order)


@dataclass
class CutGroups:
    """The groups that layers come in with each of some cuts, and times that they do not beat.

    Layers are added in order; one that does not fit beside those before it begins a group.
    """

    room: Ints
    """Scratchpad of each cluster [bytes]."""
    total: Ints
    """Of all groups but the last one [ps], shape (cuts,)."""
    fits: Bools
    alone: int = 0
    """What the layer that was added last takes in a group of its own [ps]."""
    members: Ints = field(init=False)
    """Layers of the last group."""
    least: Ints = field(init=False)
    """What no layer of it beats by itself [ps]."""
    held: Ints = field(init=False)
    """Scratchpad that it takes on each cluster, shape (clusters, cuts) [bytes]."""
    busy: Ints = field(init=False)
    """What its layers on a single cluster take of that, shape (units, clusters, cuts) [ps]."""
    together: Ints = field(init=False)
    """What all of them take of all clusters, shape (units, cuts) [ps]."""
    start: Ints = field(init=False)
    """At least before the first kernel [ps]."""
    end: Ints = field(init=False)
    """At least behind the last one [ps]."""
    used: Bools = field(init=False)
    """Whether it uses a cluster, shape (clusters, cuts)."""

    def __post_init__(self) -> None:
        clusters, cuts = len(self.room), len(self.total)
        self.members, self.least, self.start, self.end = np.zeros((4, cuts), np.int64)
        self.held = np.zeros((clusters, cuts), np.int64)
        self.busy = np.zeros((BUSY, clusters, cuts), np.int64)
        self.together = np.zeros((BUSY, cuts), np.int64)
        self.used = np.zeros((clusters, cuts), np.bool_)

    @classmethod
    def of(cls, job: Job, cuts: int) -> "CutGroups":
        """Return no groups yet."""
        rooms = [room(job, number) for number in range(len(job.resources.clusters))]
        return cls(np.array(rooms, np.int64), np.zeros(cuts, np.int64), np.ones(cuts, np.bool_))

    def add(
        self,
        alone: int,
        least: Ints,
        clusters: Sequence[int] = (),
        tcdm_bytes: Ints | int = 0,
        loads: LayerLoads | None = None,
    ) -> Bools:
        """Add a layer: its time alone, one that it does not beat in any group, and what its
        adapter takes of its clusters together. Return in which cuts a group begins with it."""
        own = np.array(clusters, np.int64)
        over = (self.held[own] + tcdm_bytes > self.room[own, None]).any(axis=0)
        self._begin(np.flatnonzero(over & (self.members > 0)))
        begins: Bools = self.members == 0
        self.members += 1
        self.least = np.maximum(self.least, least)
        self.alone = alone
        if loads is None:
            return begins
        self.least = np.maximum(self.least, loads.least)
        self.held[own] += tcdm_bytes
        self.together += loads.busy
        first = ~self.used.any(axis=0)
        self.start = np.where(first, loads.start, np.minimum(self.start, loads.start))
        self.end = np.where(first, loads.end, np.minimum(self.end, loads.end))
        self.used[own] = True
        if len(own) == 1:
            self.busy[:, own[0]] += loads.busy
        return begins

    def _begin(self, at: Ints) -> None:
        """Begin a new group in some cuts."""
        if not len(at):
            return
        self.total[at] += self.last_ps()[at]
        for column in (self.members, self.least, self.held, self.busy, self.together, self.used):
            column[..., at] = 0

    def last_ps(self) -> Ints:
        """Return what the last group does not beat [ps]; of a single layer what it takes."""
        parts = np.maximum(self.used.sum(axis=0), 1)
        shared = ceil_div(self.together, parts)
        found = np.maximum(shared, self.busy.max(axis=1, initial=0))
        found[:DMA] += self.start + self.end
        return np.where(self.members == 1, self.alone, np.maximum(self.least, found.max(axis=0)))
