"""How long adapted layers take at the points of a block: equal ones are priced and executed once.

What the parts of a cluster charge does not depend on the tiles, so points that agree in all else
share those prices. And where all prices of two points are equal, as where a wider DMA waits for
the same link, one of them is executed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hybridsim.alike import alike, members
from hybridsim.arch import Machine
from hybridsim.plan import Bools
from hybridsim.programs import LoraChoice
from hybridsim.strategies import Job
from hybridsim.strategies.layers import (
    Chosen,
    LayerPoints,
    OutlineOfPoints,
    PointsAlike,
    outline_of,
    points_alike,
)
from hybridsim.strategies.layers.batches import BatchOrder
from hybridsim.units import Ints
from hybridsim.work import Work, price


@dataclass(frozen=True, slots=True, eq=False)
class LayerTimes:
    """What the layers of points take, one entry each; 0 where nothing fits."""

    latency_ps: Ints
    tasks: Ints
    idle: Bools
    """Where not every cluster gets a batch."""


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
    groups: list[_Group] = []
    # of each kind its group, the last one for what does not fit, and its place there
    group, place = np.full(len(kinds.first), -1), np.zeros(len(kinds.first), np.int64)
    for own in points_alike(one, few, chosen.taken(kinds.first), choices, order):
        time_ps = own.times()
        for outline in own.outlines():
            group[own.points[outline.columns]] = len(groups)
            place[own.points[outline.columns]] = np.arange(len(outline.columns))
            groups.append(_Group(own, outline, time_ps, job))
    group[group < 0] = len(groups)
    latency, tasks = np.zeros((2, len(points)), np.int64)
    found = LayerTimes(latency, tasks, np.zeros(len(points), np.bool_))
    each = members(group[kinds.which], len(groups) + 1)
    for group_of_points, at in zip(groups, each, strict=False):
        group_of_points.fill(found, at, place[kinds.which[at]], machine)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Kinds of points that share an outline, with the prices of all slots of their steps."""

    own: PointsAlike
    outline: OutlineOfPoints
    time_ps: Ints
    job: Job

    def fill(self, found: LayerTimes, at: Ints, kind: Ints, machine: Machine) -> None:
        """Fill in the points ``at`` some places, of which each is of one of the kinds."""
        outlined = outline_of(self.outline.key, self.job)
        looped, kinds, rounds = outlined.looped, self.outline.columns, self.outline.rounds
        slots = [self.own.slots[work.shape[0]] for work in looped.works]
        rows = np.array([work.shape[0] for work in looped.works], np.int64)
        time_ps = np.ascontiguousarray(self.time_ps[rows[:, None], kinds])
        mvms = {row: _taken(w, kinds) for row, w in enumerate(slots) if w.part == "tile"}
        first = which = np.arange(len(at))
        if 2 * len(rounds) <= len(at):  # else hardly two are equal
            others = [own for row, own in enumerate(time_ps) if row not in mvms]
            sizes = [own for work in mvms.values() for own in _columns(work.shape)]
            equal = alike([*others, *sizes, rounds], len(rounds))
            tiles = [own[at] for own in machine.tile.arrays()]
            first, which = alike([equal.which[kind], *tiles], len(at))
            kind = equal.first[equal.which[kind[first]]]
        own = time_ps[:, kind]
        one = machine.model_copy(update={"tile": machine.tile.taken(at[first])})
        for row, work in mvms.items():
            own[row] = price([_taken(work, kind)], one, len(first)).time_ps[0]
        counts = rounds[None, kind] if looped.lengths else looped.as_drawn(len(first))
        found.latency_ps[at] = outlined.makespans(own, counts)[which]
        found.tasks[at] = looped.tasks(counts)[which]
        found.idle[at] = rounds[kind][which] == 0


def _taken(work: Work, index: Ints) -> Work:
    """Return a work with some entries of all columns in its shape."""

    def taken(own: Any) -> Any:
        if isinstance(own, tuple):
            return tuple(map(taken, own))
        return own[index] if isinstance(own, np.ndarray) else own

    return replace(work, shape=taken(work.shape))


def _columns(shape: tuple[Any, ...]) -> list[Ints]:
    """Return all columns in a shape."""
    found: list[Ints] = []
    for own in shape:
        if isinstance(own, tuple):
            found += _columns(own)
        elif isinstance(own, np.ndarray):
            found.append(own)
    return found
