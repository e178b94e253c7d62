"""How long adapted layers take at the points of a block: equal ones are priced and executed once.

What the parts of a cluster charge does not depend on the tiles, so points that agree in all else
share those prices, and MVMs take as many times what a vector does as they have tokens. So such
points are on a line (:mod:`hybridsim.engines.lines`), and so are those whose prices are equal, as
where a wider DMA waits for the same link. Points whose batches do the same steps on as many
clusters are executed together (:mod:`hybridsim.engines.pipelines`).
"""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from hybridsim.alike import alike, members
from hybridsim.arch import Machine
from hybridsim.engines.lines import StepTimes
from hybridsim.plan import check_total
from hybridsim.programs import LoraChoice
from hybridsim.records import record
from hybridsim.strategies.job import Job
from hybridsim.strategies.layers.batches import BatchOrder
from hybridsim.strategies.layers.blocks import PointsAlike, points_alike
from hybridsim.strategies.layers.outlines import pipelined_ps
from hybridsim.strategies.layers.points import Chosen, LayerPoints
from hybridsim.strategies.layers.way_times import WayPrices
from hybridsim.units import Ints
from hybridsim.work import mvm, price

Known = Callable[[Ints], tuple[WayPrices, Ints] | None]
"""Codes of candidates -> what their batches take, if that is known."""


@record(frozen=True, slots=True, eq=False)
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
    known: Known = lambda _: None,
) -> LayerTimes:
    """Return what points take of which each is of one of some kinds.

    The first six are those of :func:`layer_times`, for the kinds; ``which`` of them each point is,
    and ``vector`` how long an MVM takes there [ps]. ``known`` returns what batches of candidates
    take that share a way, and where they are there; None where they are to be priced.
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
        priced = known(chosen.candidate[own.points])
        executed = _Executed(own, own.prices(*(priced or ())), job)
        latency[at] = executed.latencies(kind, vector[at])
        tasks[at] = executed.tasks[kind]
    return LayerTimes(latency, tasks)


@record(frozen=True, eq=False)
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
        if not own.steps.overlap:
            return self._in_turn(kind, vector)
        structures = [*own.structures()]
        number = np.empty(len(own.points), np.int64)
        for count, (_, _, at) in enumerate(structures):
            number[at] = count
        latency = np.empty(len(kind), np.int64)
        each = members(number[kind], len(structures))
        for (steps, buffers, _), at in zip(structures, each, strict=True):
            points = kind[at], vector[at], own.batches[kind[at]]
            latency[at] = pipelined_ps(steps, buffers, self.job, self.prices, points)
        return latency

    def _in_turn(self, kind: Ints, vector: Ints) -> Ints:
        """Return how long points take where all steps come one after the other [ps]."""
        prices, cut = self.prices, self.own.cut
        each = prices.steps_ps.sum(axis=0)
        ends, usual = np.add.reduceat(each, prices.begin), each[prices.begin + cut.different - 1]
        fixed = prices.once_ps.sum(axis=0) + ends + (cut.count - 1) * usual
        tokens = prices.once_tokens.sum(axis=0)
        found: Ints = fixed[kind] + tokens[kind] * vector
        check_total(float(found.max(initial=0)))
        return found
