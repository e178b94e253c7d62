"""What batches of candidates take, and a time that no plan of a candidate can beat.

What a batch of a way and a size takes is worked out once, for all candidates that have it.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from hybridsim.alike import alike
from hybridsim.engines.lines import StepTimes
from hybridsim.records import record
from hybridsim.strategies.layers.batches import SizeColumns
from hybridsim.strategies.layers.candidates import Candidates
from hybridsim.strategies.layers.estimate import transfer_ps
from hybridsim.strategies.layers.loads import CORES, HELD, LINK, LOADS, SLICE, TAIL, X
from hybridsim.strategies.layers.way_times import WayTimes, times_of
from hybridsim.units import IntLike, Ints, ceil_div

PARTS = ("tile", "cores", "matrix_engine", "dma", "link", "buffers")
"""What can set a bound; of equal ones the first is named."""


@record(frozen=True, eq=False)
class BatchTimes:
    """What batches take, of all candidates for a layer."""

    candidates: Candidates

    @cached_property
    def sizes(self) -> Ints:
        """The tokens of all batches that there are, each once, ascending."""
        places = _places(self.candidates.sizes)
        return np.unique(np.concatenate([size[count > 0] for size, count in places]))

    @cached_property
    def _ways(self) -> list[WayTimes]:
        own, sizes = self.candidates, self.sizes
        each = [program.of_tokens(sizes[sizes <= program.tokens]) for program in own.programs]  # type: ignore[arg-type]
        return [times_of(own.machine, program) for program in each]

    @cached_property
    def loads(self) -> Ints:
        """The loads of batches, shape (ways, sizes, loads) [ps]; 0 for those that do not fit."""
        found = np.zeros((len(self._ways), len(self.sizes), LOADS), np.int64)
        for number, way in enumerate(self._ways):
            found[number, : way.loads.shape[1]] = way.loads.T
        return found

    def place(self, sizes: Ints) -> Ints:
        """Return where batches of so many tokens are among all :attr:`sizes`."""
        return np.searchsorted(self.sizes, sizes)

    def of_steps(self, members: Ints) -> StepTimes:
        """Return what the tasks of candidates take that share a way; MVMs are among the steps."""
        cut, way = self.candidates.sizes.where(members), int(self.candidates.way[members[0]])
        ends = np.cumsum(cut.different)
        begin = ends - cut.different
        candidate = np.repeat(np.arange(len(members)), cut.different)
        sizes = cut.where(candidate).at(np.arange(len(candidate)) - begin[candidate])
        once = np.repeat(np.array(self.once_ps, np.int64)[:, None], len(members), axis=1)
        return StepTimes(
            once, np.zeros_like(once), np.ascontiguousarray(self._steps_ps(way, sizes)),
            np.zeros_like(sizes), begin, cut.before, cut.after,
        )  # fmt: skip

    def _steps_ps(self, way: int, sizes: Ints) -> Ints:
        """Return the prices of the steps of batches of a way, shape (steps, *sizes) [ps]."""
        steps = self._ways[way].steps_ps[:, self.place(sizes)]
        return np.concatenate((np.asarray(self.mvm_ps(sizes))[None], steps))

    def mvm_ps(self, tokens: IntLike) -> IntLike:
        """Return how long the MVMs of so many tokens take [ps]."""
        program, tile = self.candidates.programs[0], self.candidates.machine.tile
        share: Any = ceil_div(tokens, self.candidates.copies)
        time: IntLike = tile.mvm_ps(program.in_features, program.out_features, share)
        return time

    @cached_property
    def once_ps(self) -> tuple[int, int, int]:
        """Fetching A and B, and all MVMs of the layer [ps]."""
        machine, program = self.candidates.machine, self.candidates.programs[0]
        shape = (program.in_features, program.out_features)
        load_a, load_b = (transfer_ps(machine, n * program.rank) for n in shape)
        return load_a, load_b, self.mvm_ps(self.candidates.tokens)


def bounds_of(times: BatchTimes) -> tuple[Ints, Ints]:
    """Return times that no plans of the candidates can beat [ps], and which of the parts set them.

    The tiles integrate all tokens, then the last batch is finished. A unit begins when A and the
    first X are there and ends before the last store. Each cluster fetches A and B, and the link
    carries all that moves. No more batches are between the fetch of Y and the store of Z than
    there are buffers.
    """
    own, cut = times.candidates, times.candidates.sizes
    number = np.arange(len(own))
    load_a, load_b, _ = times.once_ps
    (cores, engine, dma, link, *held), (x, shortest), smallest = _over_batches(times)
    first = load_a + x
    first = np.where(own.early, first, np.maximum(first, times.mvm_ps(smallest)))
    around = first + shortest
    tail = times.loads[own.way, times.place(cut.last_size), TAIL + own.early]
    # what is between Y and Z takes turns with all other slices where there are several
    alone = np.array([len(program.slices) == 1 for program in own.programs])[own.way]
    in_flight = np.where(own.early, held[1], held[0])
    found = np.stack(
        (
            times.mvm_ps(own.tokens) + tail,
            ceil_div(cores, own.clusters) + around * (cores > 0),
            ceil_div(engine, own.clusters) + around * (engine > 0),
            ceil_div(dma, own.clusters) + load_a + load_b,
            ceil_div(link + own.clusters * (load_a + load_b), own.machine.link.count),
            np.where(alone, ceil_div(in_flight, own.clusters * own.buffers), -1),
        )
    )
    part = found.argmax(axis=0)
    return found[part, number], part


_SUMMED = [*range(CORES, LINK + 1), HELD, HELD + 1]
_LEAST = [X, SLICE]


def _over_batches(times: BatchTimes) -> tuple[Ints, Ints, Ints]:
    """Return sums and the least of some loads over the batches, and the tokens of the least.

    Of cores, matrix engine, DMA, link and what is held without and with an early start the sum,
    of X and of the shortest slice the least; shapes (loads, candidates) and (candidates,).
    """
    own, loads = times.candidates, np.moveaxis(times.loads, 2, 0)
    # neither clusters, buffers nor an early start have a say
    alike_ = alike([own.way, own.batch, own.first, own.last], len(own))
    way, cut = own.way[alike_.first], own.sizes.where(alike_.first)
    total = np.zeros((len(_SUMMED), len(way)), np.int64)
    least = np.full((len(_LEAST), len(way)), np.iinfo(np.int64).max)
    smallest = np.full(len(way), np.iinfo(np.int64).max)
    summed, lowest = loads[_SUMMED], loads[_LEAST]
    for size, count in _places(cut):
        at = np.flatnonzero(count)
        place = way[at], times.place(size[at])
        total[:, at] += count[at] * summed[:, *place]
        least[:, at] = np.minimum(least[:, at], lowest[:, *place])
        smallest[at] = np.minimum(smallest[at], size[at])
    which = alike_.which
    return total[:, which], least[:, which], smallest[which]


def _places(cut: SizeColumns) -> Iterator[tuple[Ints, Ints]]:
    """Yield the places of batches in a layer: their tokens, and how many there are."""
    yield cut.batch, cut.count
    yield from cut.others()
