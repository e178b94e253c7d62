"""Blocks of points of one adapted layer: which of them share a plan, and what its works cost.

Points whose batches have the same steps, on units of the same kinds, are priced together: what a
step does is a work whose shape holds columns. Those that have as many buffers as well share an
outline, which is made of *slots*, the numbers of these works; how often it repeats is a column.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hybridsim.arch import Machine
from hybridsim.plan import Outline
from hybridsim.programs import LoraChoice, LoraProgram
from hybridsim.programs.lora_shares import entry, with_shares
from hybridsim.strategies.job import Job
from hybridsim.strategies.layers.batches import Batching, BatchOrder, SizeColumns
from hybridsim.strategies.layers.choose import Chosen, LayerPoints
from hybridsim.strategies.layers.layout import Layout
from hybridsim.strategies.layers.works import BatchPrograms, BatchWorks, batch_works
from hybridsim.units import Ints, ceil_div
from hybridsim.work import Work, price

Alike = tuple[LoraChoice, BatchOrder, int, int, int, bool]
"""Choice and order; slices, batches of both ramps, whether tokens are left over."""


@dataclass(frozen=True, slots=True, eq=False)
class PointsAlike:
    """Points of a block whose batches have the same steps: what these do are columns."""

    key: Alike
    points: Ints
    """Their numbers in the block, ascending."""
    machine: Machine
    """Of these points: fields that are columns have one entry for each."""
    slots: list[Work]
    """What batches do, with a column for each size; in the order that :attr:`works` numbers."""
    works: BatchWorks
    """The same as numbers of slots: what plans are made of."""
    program: LoraProgram
    """Of full batches, as columns."""
    tokens: Ints
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
        ramps = len(self.works.mvm.first) + len(self.works.mvm.last)
        rounds, rest = np.divmod(self.count + ramps, self.key[1].clusters)
        # what begins before the first round is dropped, so the few rounds of a layer with a rest,
        # which looks back at them, are counted; a layer without a whole round has no loop
        few = np.where((rounds == 0) | ((rest > 0) & (rounds < _ROUNDS)), rounds, -1)
        # a layer without a round has as many batches as its rest
        for members in _groups((self.buffers, rest, few)):
            at = members[0]
            same = (int(self.buffers[at]), int(rest[at]), int(few[at]))
            yield OutlineOfPoints((*self.key, *same), members, rounds[members], self)


_ROUNDS = 16
"""Rounds over all clusters of a layer from which on its first and last ones are apart."""


@dataclass(frozen=True, slots=True, eq=False)
class OutlineOfPoints:
    """Points that share an outline, but for how often its loop repeats."""

    key: tuple[object, ...]
    """Hashable; equal for points that share an outline, whatever their block."""
    columns: Ints
    """Their places among the points alike."""
    rounds: Ints
    """How often each of them goes round all clusters."""
    alike: PointsAlike

    def outline(self, job: Job) -> Outline:
        """Return the plan of a job with one layer, in outline; it serves all points with this key.

        Its works are slots: ``shape[0]`` is the number of a row of :meth:`PointsAlike.times`. Of
        the job, it depends on :attr:`Job.structure` without the sizes of the layer.
        """
        own, at = self.alike, int(self.columns[0])
        cluster = own.machine.taken(at).cluster
        assert cluster is not None
        _, order, *_ = own.key
        batching = Batching.of(
            cluster, entry(own.program, at), int(own.buffers[at]), order, int(own.tokens[at])
        )
        if self.key[-1] == -1:
            more = max(0, _ROUNDS - int(self.rounds[0])) * order.clusters
            sizes = replace(batching.sizes, count=batching.sizes.count + more)
            batching = replace(batching, sizes=sizes)
        layout = Layout(job, works={batching: own.works})
        layout.adapted(job.mapping.layers[0], batching)
        return layout.builder.outline()


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
    sizes = SizeColumns.of(points.tokens[fitting], chosen.batch[fitting], order)
    slices = np.where(
        chosen.sliced[fitting], ceil_div(points.out_features[fitting], machine.tile.columns), 1
    )
    left = (sizes.left > 0).astype(np.int64)
    columns = (chosen.choice[fitting], slices, sizes.up, sizes.down, left)
    for members in _groups(columns):
        at = fitting[members]
        number, *counts = (int(column[members[0]]) for column in columns)
        cut, up, down, some = counts
        key = (choices[number], order, cut, up, down, some > 0)
        full = chosen.program(machine, points, choices, at)
        own = machine.taken(at)
        yield _alike(key, own, points.tokens[at], chosen, at, full, sizes.where(members))


def _alike(
    key: Alike,
    machine: Machine,
    tokens: Ints,
    chosen: Chosen,
    at: Ints,
    full: LoraProgram,
    sizes: SizeColumns,
) -> PointsAlike:
    cluster = machine.cluster
    assert cluster is not None

    def shared(size: Ints) -> LoraProgram:
        program = replace(full, tokens=size, shares=None)  # type: ignore[arg-type]
        return with_shares(program, cluster)

    first, last = sizes.ends()
    full = with_shares(full, cluster)
    programs = BatchPrograms(full, tuple(map(shared, first)), tuple(map(shared, last)))
    works = batch_works(cluster.element_bytes, programs, tokens)  # type: ignore[arg-type]
    numbered, slots = works.numbered()
    return PointsAlike(
        key, at, machine, slots, numbered, full, tokens, chosen.buffers[at], sizes.count
    )


def _groups(columns: Sequence[Ints]) -> Iterator[Ints]:
    """Yield the places of entries that agree in all columns, in their order."""
    number = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        _, own = np.unique(column, return_inverse=True)
        # numbered anew each time, so that nothing leaves 64 bits
        _, number = np.unique(number * (int(own.max()) + 1) + own, return_inverse=True)
    by_number = np.argsort(number, kind="stable")
    cuts = np.flatnonzero(np.diff(number[by_number])) + 1
    yield from np.split(by_number, cuts)
