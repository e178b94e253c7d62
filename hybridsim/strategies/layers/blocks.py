"""Blocks of points of one adapted layer: which of them share steps, and what these cost.

Points whose batches have the same steps, on units of the same kinds, are priced together: what a
step does is a work whose shape holds columns, one entry for each different batch of each point.
Those that have as many clusters and buffers share a pipeline (:mod:`.outlines`); how many batches
it has is a column.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from hybridsim.alike import groups
from hybridsim.arch import Machine
from hybridsim.engines.lines import StepTimes
from hybridsim.programs import LoraChoice, LoraProgram
from hybridsim.programs.lora_shares import with_shares
from hybridsim.records import record
from hybridsim.strategies.layers.batches import BatchOrder, SizeColumns
from hybridsim.strategies.layers.outlines import Steps
from hybridsim.strategies.layers.points import Chosen, LayerPoints
from hybridsim.strategies.layers.way_times import WayPrices, looked_up
from hybridsim.strategies.layers.works import BatchPrograms, batch_works, once_works
from hybridsim.units import Ints, ceil_div
from hybridsim.work import price


@record(frozen=True, eq=False)
class PointsAlike:
    """Points of a block whose batches have the same steps: what these do are columns."""

    steps: Steps
    """On one cluster."""
    clusters: Ints
    points: Ints
    """Their numbers in the block, ascending."""
    machine: Machine
    """Of these points: fields that are columns have one entry for each."""
    layers: LayerPoints
    program: LoraProgram
    """Of a full batch of each point, its rows not shared."""
    cut: SizeColumns
    buffers: Ints

    def prices(self, known: WayPrices | None = None, at: Ints | None = None) -> StepTimes:
        """Return the price of each step of each different batch of each point [ps].

        An MVM of a token takes as long as the tiles say, which differ from point to point more
        than all else does; so MVMs have no price here, but tokens. What is ``known`` is taken from
        there, where the points are ``at``.

        Raises:
            UnsupportedError: A part of the machine does not know a work.
            TooLongError: A step takes 2^62 ps or more.
        """
        cut, machine, layers = self.cut, self.machine, self.layers
        assert machine.cluster is not None
        size, different = machine.cluster.element_bytes, cut.different
        end = np.cumsum(different)
        whose, begin = np.repeat(np.arange(len(end)), different), end - different
        sizes = cut.where(whose).at(np.arange(len(whose)) - begin[whose])
        load_a, load_b, mvms = once_works(size, self.program, layers.tokens, layers.copies)  # type: ignore[arg-type]
        once_ps, once_tokens = np.zeros((2, 3, len(end)), np.int64)
        once_tokens[2] = mvms.shape[1]
        if known is not None and at is not None:
            once_ps[:2] = known.once_ps.take(at, axis=1)
            behind = known.steps(at[whose], cut.batch[whose], sizes)
        else:
            once_ps[:2] = price([load_a, load_b], machine, len(end)).time_ps
            program: LoraProgram = replace(self.program.taken(whose), tokens=sizes)  # type: ignore[arg-type]
            behind = self._behind_mvms(program, machine.taken(whose))
        steps_ps = np.concatenate((np.zeros_like(behind[:1]), behind))
        tokens = ceil_div(sizes, layers.copies[whose])
        return StepTimes(once_ps, once_tokens, steps_ps, tokens, begin, cut.before, cut.after)

    def _behind_mvms(self, program: LoraProgram, machine: Machine) -> Ints:
        """Return the prices of the steps of batches but for the MVMs, shape (steps, batches) [ps].

        X, each slice of Y, storing each slice, and the kernels.
        """
        if (known := looked_up(machine, program)) is not None:
            return known.steps_ps
        cluster, sizes = machine.cluster, np.asarray(program.tokens)
        assert cluster is not None
        each = with_shares(program, cluster)
        works = batch_works(cluster.element_bytes, BatchPrograms(each), 1)
        loads = [work.usual for work in (works.load_x, *works.load_y)]
        kernels = [work.usual for work in works.kernels]
        found = price([*loads, *kernels], machine, len(sizes)).time_ps
        # storing a slice takes as long as fetching it
        moved = found[: len(loads)]
        return np.concatenate((moved, moved[1:], found[len(loads) :]))

    @cached_property
    def batches(self) -> Ints:
        """Batches of each point."""
        return self.cut.batches

    def structures(self) -> Iterator[tuple[Steps, int, Ints]]:
        """Yield those of the points that share a pipeline.

        With their steps, their buffers, and their places.
        """
        for at in groups((self.clusters, self.buffers)):
            steps = replace(self.steps, clusters=int(self.clusters[at[0]]))
            yield steps, int(self.buffers[at[0]]), at


def points_alike(
    machine: Machine,
    points: LayerPoints,
    chosen: Chosen,
    choices: Sequence[LoraChoice],
    order: BatchOrder,
) -> Iterator[PointsAlike]:
    """Yield the points of a block for which something fits, those with the same steps together.

    ``machine``, ``points``, ``choices`` and ``order`` are those that :func:`choose` was given; how
    many clusters there are is chosen.
    """
    fitting = np.flatnonzero(chosen.fits)
    if not len(fitting):
        return
    ramps = order.first_batch or 0, order.last_batch or 0
    sizes = SizeColumns.of(points.tokens[fitting], chosen.batch[fitting], *ramps)
    slices = np.where(
        chosen.sliced[fitting], ceil_div(points.out_features[fitting], machine.tile.columns), 1
    )
    columns = (chosen.choice[fitting], slices)
    for some in groups(columns):
        at = fitting[some]
        number, cut = (int(column[some[0]]) for column in columns)
        steps = Steps(choices[number], cut, order.early, order.overlap, 1)
        program = chosen.program(machine, points, choices, at)
        yield PointsAlike(
            steps, chosen.clusters[at], at, machine.taken(at), points.taken(at), program,
            sizes.where(some), chosen.buffers[at],
        )  # fmt: skip
