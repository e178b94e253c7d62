"""How long adapted layers take at the points of a block: equal ones are priced and executed once.

What the parts of a cluster charge does not depend on the tiles, so points that agree in all else
share those prices, and MVMs take as many times what a vector does as they have tokens. So such
points are on a line (:mod:`hybridsim.engines.lines`). Where all prices of two points are equal, as
where a wider DMA waits for the same link, one of them is executed. Points of an outline that many
points have are executed by its states, all others in one plan for as many as differ in sizes and
in their number of batches alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from hybridsim.alike import alike, members
from hybridsim.arch import Machine
from hybridsim.engines.lines import Lines, StepTimes
from hybridsim.programs import LoraChoice
from hybridsim.strategies.job import Job
from hybridsim.strategies.layers.batches import BatchOrder
from hybridsim.strategies.layers.blocks import OutlineOfPoints, PointsAlike, points_alike
from hybridsim.strategies.layers.outlines import (
    MOST_LAID_OUT,
    outline_of,
    outline_that_pays,
    prefixes_of,
)
from hybridsim.strategies.layers.points import Chosen, LayerPoints
from hybridsim.units import Ints
from hybridsim.work import mvm, price

if TYPE_CHECKING:
    from hybridsim.engines.outlined import Outlined


@dataclass(frozen=True, slots=True, eq=False)
class LayerTimes:
    """What the layers of points take, one entry each; 0 where nothing fits."""

    latency_ps: Ints
    tasks: Ints


def vector_ps(machine: Machine, points: LayerPoints) -> Ints:
    """Return how long the MVM of one token takes at each point [ps]."""
    one = mvm(((points.in_features, points.out_features),), 1)
    found: Ints = price([one], machine, len(points)).time_ps[0]
    return found


def layer_times(
    machine: Machine,
    points: LayerPoints,
    chosen: Chosen,
    choices: Sequence[LoraChoice],
    order: BatchOrder,
    job: Job,
) -> LayerTimes:
    """Return what points take for which it was chosen how they are computed.

    The first five are those of :func:`.points_alike`; ``job`` has one layer.
    """
    kinds = alike([chosen.candidate], len(points))
    one, few = machine.taken(kinds.first), points.taken(kinds.first)
    own = chosen.taken(kinds.first)
    vector = vector_ps(machine, points)
    return times_of_kinds(one, few, own, choices, order, job, kinds.which, vector)


def times_of_kinds(
    machine: Machine,
    points: LayerPoints,
    chosen: Chosen,
    choices: Sequence[LoraChoice],
    order: BatchOrder,
    job: Job,
    which: Ints,
    vector: Ints,
) -> LayerTimes:
    """Return what points take of which each is of one of some kinds.

    The first six are those of :func:`layer_times`, for the kinds; ``which`` of them each point is,
    and ``vector`` how long an MVM takes there [ps].
    """
    latency, tasks = np.zeros((2, len(which)), np.int64)
    some = [*points_alike(machine, points, chosen, choices, order)]
    # of each kind whom it is alike, the last one for what does not fit, and its place there
    group, place = np.full(len(points), len(some)), np.zeros(len(points), np.int64)
    for number, own in enumerate(some):
        group[own.points], place[own.points] = number, np.arange(len(own.points))
    each = members(group[which], len(some) + 1)
    for own, at in zip(some, each, strict=False):
        kind = place[which[at]]
        executed = _Executed(own, own.prices(), job)
        latency[at] = executed.latencies(kind, vector[at])
        tasks[at] = executed.tasks[kind]
    return LayerTimes(latency, tasks)


@dataclass(frozen=True, eq=False)
class _Executed:
    """Kinds of points whose batches have the same steps, with the prices of these."""

    own: PointsAlike
    prices: StepTimes
    job: Job

    @cached_property
    def tasks(self) -> Ints:
        """Tasks of each kind: A and B on each cluster, MVMs all at once, and steps of batches."""
        own, steps = self.own, self.own.steps
        each = len(self.prices.steps_ps) - (not steps.overlap)
        found: Ints = 2 * own.clusters + (not steps.overlap) + each * own.batches
        return found

    def latencies(self, kind: Ints, vector: Ints) -> Ints:
        """Return how long points of some kinds take, where an MVM takes so long [ps]."""
        own = self.own
        outlines = [*own.outlines()]
        number = np.empty(len(own.points), np.int64)
        for count, outline in enumerate(outlines):
            number[outline.columns] = count
        number, place = number[kind], np.empty(len(own.points), np.int64)
        tasks = np.bincount(number, self.tasks[kind], len(outlines)).astype(np.int64).tolist()
        latency, each = np.full(len(kind), -1, np.int64), None
        for count, outline in enumerate(outlines):
            outlined = outline_that_pays(outline.key, self.job, tasks[count])
            long = own.batches[outline.columns].max() > MOST_LAID_OUT
            if outlined is None and not long:
                continue
            each = members(number, len(outlines)) if each is None else each
            at = each[count]
            place[outline.columns] = np.arange(len(outline.columns))
            known = outlined or outline_of(outline.key, self.job)
            latency[at] = self._by_states(known, outline, place[kind[at]], vector[at])
        left = np.flatnonzero(latency < 0)
        if len(left):
            latency[left] = self._laid_out(kind[left], vector[left])
        return latency

    def _by_states(
        self, outlined: "Outlined", outline: OutlineOfPoints, kind: Ints, vector: Ints
    ) -> Ints:
        """Return how long points take that share an outline; -1 for what is to be laid out."""
        looped, rounds = outlined.looped, outline.rounds
        rows = np.array([work.shape[0] for work in looped.works], np.int64)
        time_ps, growth = self.prices.slots(rows, outline.columns)
        counts = rounds[None] if looped.lengths else looped.as_drawn(len(rounds))
        if 2 * len(rounds) <= len(kind):  # else hardly two are on one line
            equal = alike([*time_ps, *growth, rounds], len(rounds))
            line = equal.first[equal.which[kind]]
            order = np.lexsort((vector, line))
            lines = Lines(growth, line[order], vector[order])
            latency = np.empty_like(vector)
            latency[order] = outlined.by_states(time_ps, counts, lines)
        else:
            lines = Lines(growth, kind, vector)
            latency = outlined.by_states(time_ps, counts, lines)
        many = self.own.batches[outline.columns[kind]] > MOST_LAID_OUT
        left = np.flatnonzero((latency < 0) & many)
        if len(left):
            times = Lines(growth, kind[left], vector[left]).times(time_ps)
            latency[left] = looped.makespans(times, counts[:, kind[left]])
        return latency

    def _laid_out(self, kind: Ints, vector: Ints) -> Ints:
        """Return how long points of some kinds take in plans [ps]."""
        own = self.own
        structures = [*own.structures()]
        number = np.empty(len(own.points), np.int64)
        for count, (_, _, at) in enumerate(structures):
            number[at] = count
        latency = np.empty(len(kind), np.int64)
        each = members(number[kind], len(structures))
        for (steps, buffers, _), at in zip(structures, each, strict=True):
            if len(at):
                batches = own.batches[kind[at]]
                plan = prefixes_of(steps, buffers, int(batches.max()), self.job)
                latency[at] = plan.makespans(self.prices, kind[at], vector[at], batches)
        return latency
