"""What the batches of streamed layers take of each part of a cluster, for many cuts at once."""

from dataclasses import dataclass

import numpy as np

from hybridsim.mapping import PlacedLayer
from hybridsim.programs import LoraProgram
from hybridsim.strategies.job import Job
from hybridsim.strategies.layers.batches import SizeColumns
from hybridsim.strategies.layers.choosers import Offered
from hybridsim.strategies.layers.estimate import transfer_ps
from hybridsim.strategies.layers.loads import CORES, HELD, LINK, SLICE, TAIL, X
from hybridsim.strategies.layers.way_times import BatchTables
from hybridsim.units import Ints, ceil_div

BUSY = 3
"""Units of a cluster: cores, matrix engine and DMA, the last with all transfers."""
DMA = 2
_STORE, _X, _HELD, _TAIL = 3, 4, 5, 7
_ROWS = [*range(CORES, LINK), SLICE, X, HELD, HELD + 1, TAIL, TAIL + 1]


@dataclass(frozen=True, slots=True, eq=False)
class LayerLoads:
    """What a streamed layer takes with each of some cuts; zeros where nothing fits [ps]."""

    busy: Ints
    """All batches, and A and B, on each unit; shape (units, cuts)."""
    least: Ints
    """A time that they do not beat."""
    start: Ints
    """Before the first kernel: with an early start X is fetched, else a batch is integrated."""
    end: Ints
    """Behind the last kernel: a slice is stored."""


@dataclass
class StreamLoads:
    """What the batches of streamed layers take of each part of a cluster."""

    job: Job
    tables: BatchTables

    def of(self, layer: PlacedLayer, offered: Offered) -> LayerLoads:
        """Return what a layer with an adapter takes with each of some cuts."""
        found = offered.found
        assert layer.adapter is not None
        shape = (layer.op.in_features, layer.op.out_features, layer.adapter.rank)
        loads = LayerLoads(
            np.zeros((BUSY, len(found.batch)), np.int64),
            *np.zeros((3, len(found.batch)), np.int64),
        )
        for program, at in offered.programs(shape):
            self._fill(loads, layer, offered, program, at)
        return loads

    def _fill(
        self,
        loads: LayerLoads,
        layer: PlacedLayer,
        offered: Offered,
        program: LoraProgram,
        at: Ints,
    ) -> None:
        """Fill in what some cuts take that share a program.

        The tiles integrate all tokens, then what is left of the last batch; and no more batches
        are between the fetch of Y and the store of Z than the layer has buffers.
        """
        order, found = offered.order, offered.found
        batch, early = found.batch[at], order.early
        each = self._each(layer, program, int(batch.max()))
        tokens = np.full_like(batch, self.job.tokens_of(layer))
        sizes = SizeColumns.of(tokens, batch, order.first_batch or 0, order.last_batch or 0)
        total, smallest = sizes.count * each[:, batch - 1], np.where(sizes.count, batch, tokens)
        for size, often in sizes.others():
            total = total + often * each[:, np.maximum(size, 1) - 1]
            smallest = np.where(often > 0, np.minimum(smallest, size), smallest)
        vector = self.job.machine.tile_of(layer.sort).mvm_ps(*layer.op.matrices[1:], 1)
        held = ceil_div(total[_HELD + early], found.clusters[at] * found.buffers[at])
        after = each[_TAIL + early, sizes.last_size - 1]
        loads.busy[:, at] = total[:BUSY]
        loads.busy[DMA, at] += found.clusters[at] * self.weights_ps(layer, program)
        loads.least[at] = np.maximum(held, vector * (tokens // layer.copies) + after)
        first = vector * (sizes.first_size // layer.copies)
        loads.start[at] = each[_X, smallest - 1] if early else first
        loads.end[at] = each[_STORE, smallest - 1]

    def weights_ps(self, layer: PlacedLayer, program: LoraProgram) -> int:
        """Return how long fetching A and B into a cluster takes [ps]."""
        sides = program.in_features, program.out_features
        machine = self.job.machine_of(layer)
        return sum(int(transfer_ps(machine, side * program.rank)) for side in sides)

    def _each(self, layer: PlacedLayer, program: LoraProgram, most: int) -> Ints:
        """Return what batches of 1, 2, 3, ... tokens take, shape (9, tokens) [ps]."""
        found = self.tables.of(layer, program, most).loads[_ROWS]
        if len(program.slices) > 1:
            found[_HELD : _HELD + 2] = 0  # others take turns
        return found
