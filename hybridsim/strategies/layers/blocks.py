"""Blocks of points of one adapted layer: which of them share a plan, and what its works cost.

Points whose batches have the same steps, on units of the same kinds, are priced together: what a
step does is a work whose shape holds columns. Those that have as many buffers as well share an
outline (:mod:`.outlines`); how often it repeats is a column.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hybridsim.alike import groups
from hybridsim.arch import Cluster, Machine
from hybridsim.programs import LoraChoice, LoraProgram
from hybridsim.programs.lora_shares import with_shares
from hybridsim.strategies.layers.batches import BatchOrder, SizeColumns
from hybridsim.strategies.layers.choose import Chosen, LayerPoints
from hybridsim.strategies.layers.outlines import OutlineKey, Steps
from hybridsim.strategies.layers.works import BatchPrograms, batch_works
from hybridsim.units import Ints, ceil_div
from hybridsim.work import Work, price


@dataclass(frozen=True, slots=True, eq=False)
class PointsAlike:
    """Points of a block whose batches have the same steps: what these do are columns."""

    steps: Steps
    points: Ints
    """Their numbers in the block, ascending."""
    machine: Machine
    """Of these points: fields that are columns have one entry for each."""
    slots: list[Work]
    """What batches do, with a column for each size; in the order that outlines number."""
    buffers: Ints
    count: Ints
    """Full batches."""

    def times(self) -> Ints:
        """Return the price of each slot at each point [ps], shape (slots, points).

        Raises:
            UnsupportedError: A part of the machine does not know a work.
        """
        return price(self.slots, self.machine, len(self.points)).time_ps

    def outlines(self) -> Iterator["OutlineOfPoints"]:
        """Yield those of the points that share an outline, too: all but how often it repeats."""
        rounds, rest, few = self.steps.rounds(self.count)
        # a layer without a round has as many batches as its rest
        for members in groups((self.buffers, rest, few)):
            at = members[0]
            key = OutlineKey(self.steps, int(self.buffers[at]), int(rest[at]), int(few[at]))
            yield OutlineOfPoints(key, members, rounds[members])


@dataclass(frozen=True, slots=True, eq=False)
class OutlineOfPoints:
    """Points that share an outline, but for how often its loop repeats."""

    key: OutlineKey
    columns: Ints
    """Their places among the points alike."""
    rounds: Ints
    """How often each of them goes round all clusters."""


def points_alike(
    machine: Machine,
    points: LayerPoints,
    chosen: Chosen,
    choices: Sequence[LoraChoice],
    order: BatchOrder,
) -> Iterator[PointsAlike]:
    """Yield the points of a block for which something fits, those with the same steps together.

    ``machine``, ``points``, ``choices`` and ``order`` are those that :func:`choose` was given.
    """
    fitting = np.flatnonzero(chosen.fits)
    if not len(fitting):
        return
    ramps = order.first_batch or 0, order.last_batch or 0
    sizes = SizeColumns.of(points.tokens[fitting], chosen.batch[fitting], *ramps)
    slices = np.where(
        chosen.sliced[fitting], ceil_div(points.out_features[fitting], machine.tile.columns), 1
    )
    columns = (chosen.choice[fitting], slices, sizes.before, sizes.after)
    for members in groups(columns):
        at = fitting[members]
        number, cut, before, after = (int(column[members[0]]) for column in columns)
        choice = choices[number]
        steps = Steps(choice, cut, order.early, order.overlap, order.clusters, before, after)
        full = chosen.program(machine, points, choices, at)
        own, count = machine.taken(at), sizes.count[members]
        slots = _slots(own, full, points.tokens[at], sizes.where(members))
        yield PointsAlike(steps, at, own, slots, chosen.buffers[at], count)


def _slots(machine: Machine, full: LoraProgram, tokens: Ints, sizes: SizeColumns) -> list[Work]:
    """Return what batches of points do that have the same steps, with columns of sizes."""
    cluster = machine.cluster
    assert cluster is not None
    first, last = sizes.ends()
    whole, *others = _shared(full, cluster, [sizes.batch, *first, *last])
    programs = BatchPrograms(whole, tuple(others[: len(first)]), tuple(others[len(first) :]))
    works = batch_works(cluster.element_bytes, programs, tokens)  # type: ignore[arg-type]
    return works.numbered()[1]


def _shared(program: LoraProgram, cluster: Cluster, sizes: Sequence[Ints]) -> list[LoraProgram]:
    """Return the programs of batches of some sizes, each a column, with their rows shared.

    All sizes are shared out at once, as what rows cost is the same for all batches of a layer.
    """
    each: list[LoraProgram] = [replace(program, tokens=size) for size in sizes]  # type: ignore[arg-type]
    if program.choice.unit not in ("both", "balanced"):
        return each
    index = np.tile(np.arange(len(sizes[0])), len(sizes))
    names = ("in_features", "out_features", "rank")
    columns = {name: getattr(program, name)[index] for name in names}
    stacked: LoraProgram = replace(program, **columns, tokens=np.concatenate(sizes))  # type: ignore[arg-type]
    shares = with_shares(stacked, cluster.taken(index)).shares
    assert shares is not None
    engine, cores = (np.split(np.asarray(own), len(sizes)) for own in shares)
    return [
        replace(own, shares=both)  # type: ignore[arg-type]
        for own, both in zip(each, zip(engine, cores, strict=True), strict=True)
    ]
