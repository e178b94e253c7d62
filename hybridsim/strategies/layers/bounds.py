"""What batches of candidates take, and a time that no plan of a candidate can beat.

What a batch of a way and a size takes is worked out once, for all candidates that have it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from hybridsim.arch import Cluster, Machine
from hybridsim.components.interconnect import Link
from hybridsim.programs import LoraProgram
from hybridsim.programs.lora_shares import RowCosts, shares_of
from hybridsim.strategies.layers.batches import SizeColumns
from hybridsim.strategies.layers.candidates import Candidates
from hybridsim.strategies.layers.estimate import transfer_ps
from hybridsim.strategies.layers.loads import CORES, HELD, LINK, LOADS, SLICE, TAIL, X, loads_of
from hybridsim.strategies.layers.works import BatchPrograms, batch_works, in_slots
from hybridsim.units import IntLike, Ints, ceil_div
from hybridsim.work import Work, price

PARTS = ("tile", "cores", "matrix_engine", "dma", "link", "buffers")
"""What can set a bound; of equal ones the first is named."""


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """What batches of one way take on a cluster, for several sizes."""

    steps_ps: Ints
    """Prices of the steps behind the MVMs, as slots number them, shape (steps, sizes) [ps]."""
    loads: Ints
    """What a batch at least takes of each part, shape (loads, sizes) [ps]."""

    @classmethod
    def of(cls, machine: Machine, program: LoraProgram, costs: RowCosts) -> "_Way":
        """Return what batches take; the program holds their sizes as columns."""
        cluster, sizes = machine.cluster, np.asarray(program.tokens)
        assert cluster is not None
        works = batch_works(cluster.element_bytes, BatchPrograms(program), 1)
        moving = [each.usual for each in (works.load_x, *works.load_y, *works.store_z)]
        cycles = program.cycles(costs)
        kernels = [
            Work(kernel.unit, "cycles", kernel.work.label, (own,))  # costs no second equation
            for kernel, own in zip(program.kernels, cycles, strict=True)
        ]
        steps = price([*moving, *kernels], machine, len(sizes)).time_ps
        slices = steps[1 : 1 + len(program.slices)]
        return cls(steps, loads_of(cluster, program, cycles, steps[0], slices))


@dataclass(frozen=True, slots=True)
class _Movers:
    """The parts of a machine that adapt and move; equal for machines alike in them."""

    cluster: Cluster
    link: Link
    machine: Machine = field(compare=False)


@lru_cache(maxsize=64)
def _ways(parts: _Movers, programs: tuple[LoraProgram, ...], sizes: tuple[int, ...]) -> list[_Way]:
    """Return what batches of some sizes take, in each way up to the tokens of its program."""
    machine = parts.machine
    costs = RowCosts(parts.cluster, max(program.tokens for program in programs))
    found = []
    for program in programs:
        own = np.array([size for size in sizes if size <= program.tokens], np.int64)
        shares = None
        if program.choice.unit in ("both", "balanced"):
            shares = tuple(shares_of(program, costs, own))
        columns: LoraProgram = replace(program, tokens=own, shares=shares)  # type: ignore[arg-type]
        found.append(_Way.of(machine, columns, costs))
    return found


@dataclass(frozen=True, eq=False)
class BatchTimes:
    """What batches take, of all candidates for a layer."""

    candidates: Candidates

    @cached_property
    def sizes(self) -> Ints:
        """The tokens of all batches that there are, each once, ascending."""
        places = _places(self.candidates.sizes)
        return np.unique(np.concatenate([size[count > 0] for size, count in places]))

    @cached_property
    def _ways(self) -> list[_Way]:
        # neither the tiles nor the number of clusters have a say in what these take
        machine = self.candidates.machine
        one = self.candidates.cluster.model_copy(update={"count": 1})
        return _ways(
            _Movers(one, machine.link, machine),
            self.candidates.programs,
            tuple(self.sizes.tolist()),
        )

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

    def slots_ps(self, members: Ints) -> Ints:
        """Return the prices of the slots of candidates, shape (slots, candidates) [ps].

        All take the same way, and have as many batches before the full ones, and after.
        """
        own = self.candidates
        cut, way = own.sizes.where(members), int(own.way[members[0]])
        first, last = cut.ends()
        sizes = np.stack(in_slots(first, last, cut.batch))
        steps = self._steps_ps(way, sizes).reshape(-1, len(members))
        once = np.array(self.once_ps, np.int64)[:, None]
        return np.concatenate((np.repeat(once, len(members), axis=1), steps))

    def batches_ps(self, way: int, sizes: Ints) -> Ints:
        """Return the prices of the slots of a way, batch by batch [ps].

        ``sizes`` are the tokens of the batches of several candidates, shape (candidates, batches);
        prices have the shape (candidates, slots, batches).
        """
        steps = np.moveaxis(self._steps_ps(way, sizes), 0, 1)
        once = np.array(self.once_ps, np.int64)[:, None]
        shape = (len(sizes), len(self.once_ps), sizes.shape[1])
        return np.concatenate((np.broadcast_to(once, shape), steps), axis=1)

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
    total, least, smallest = _over_batches(times)
    early = own.early.astype(np.int64)
    first = load_a + least[:, X]
    first = np.where(own.early, first, np.maximum(first, times.mvm_ps(smallest)))
    around = first + least[:, SLICE]
    tail = times.loads[own.way, times.place(cut.last_size)][number, TAIL + early]
    held = total[number, HELD + early]
    cores, engine, dma, link = total[:, CORES : LINK + 1].T
    # what is between Y and Z takes turns with all other slices where there are several
    alone = np.array([len(program.slices) == 1 for program in own.programs])[own.way]
    found = np.stack(
        (
            times.mvm_ps(own.tokens) + tail,
            ceil_div(cores, own.clusters) + around * (cores > 0),
            ceil_div(engine, own.clusters) + around * (engine > 0),
            ceil_div(dma, own.clusters) + load_a + load_b,
            ceil_div(link + own.clusters * (load_a + load_b), own.machine.link.count),
            np.where(alone, ceil_div(held, own.clusters * own.buffers), -1),
        )
    )
    part = found.argmax(axis=0)
    return found[part, number], part


def _over_batches(times: BatchTimes) -> tuple[Ints, Ints, Ints]:
    """Return the sum and the least of all loads over the batches, and the tokens of the least.

    Shapes (candidates, loads), (candidates, loads), (candidates,).
    """
    own = times.candidates
    total = np.zeros((len(own), LOADS), np.int64)
    least = np.full_like(total, np.iinfo(np.int64).max)
    smallest = np.full(len(own), np.iinfo(np.int64).max)
    for size, count in _places(own.sizes):
        at = np.flatnonzero(count)
        loads = times.loads[own.way[at], times.place(size[at])]
        total[at] += count[at, None] * loads
        least[at] = np.minimum(least[at], loads)
        smallest[at] = np.minimum(smallest[at], size[at])
    return total, least, smallest


def _places(cut: SizeColumns) -> Iterator[tuple[Ints, Ints]]:
    """Yield the places of batches in a layer: their tokens, and how many there are."""
    yield cut.batch, cut.count
    yield from cut.others()
