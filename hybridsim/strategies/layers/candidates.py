"""All ways to run one layer that a search compares, as columns: one entry per candidate."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from hybridsim.arch import Cluster, Machine
from hybridsim.components.matrix_engine import MOST
from hybridsim.mapping import PlacedLayer
from hybridsim.plan import Bools
from hybridsim.programs import BALANCED, CHOICES, LoraChoice, LoraProgram, on_machine
from hybridsim.records import record
from hybridsim.strategies.layers.batches import Batching, BatchOrder, SizeColumns
from hybridsim.strategies.layers.choose import slice_widths
from hybridsim.strategies.layers.trials import can_compute
from hybridsim.units import Ints

BUFFERS = (2, 3, 1)
"""Batches in flight that are tried."""
RAMPS = (None, 8, 4, 2, 1)
"""Sizes of the last batch that are tried; None is no ramp."""
STARTS = (None, 8)
"""Sizes of the first batch that are tried."""


@record(frozen=True, slots=True)
class Space:
    """What is searched; the default is all that a strategy by name can reach, and more."""

    batches: tuple[int, ...] | None = None
    """Tokens per batch; None tries all."""
    buffers: tuple[int, ...] = BUFFERS
    ramps: tuple[int | None, ...] = RAMPS
    starts: tuple[int | None, ...] = STARTS

    def sizes(self, tokens: int) -> list[int]:
        """Return the batches of up to that many tokens that are tried."""
        if self.batches:
            return sorted({min(size, tokens) for size in self.batches})
        return [*range(1, tokens + 1)]


EVERYTHING = Space()


@record(frozen=True, eq=False)
class Candidates:
    """Ways to run a layer that fit, in the order in which ties are broken."""

    machine: Machine
    tokens: int
    copies: int
    """Sets of tiles that take the tokens in turn."""
    programs: tuple[LoraProgram, ...]
    """Of each way to compute the adapter the largest batch that fits, its rows not shared."""
    way: Ints
    """Which of these ways each candidate takes."""
    batch: Ints
    early: Bools
    first: Ints
    """Tokens of the first batch of a ramp; 0 for none."""
    last: Ints
    """Tokens of the last batch of a ramp; 0 for none."""
    clusters: Ints
    buffers: Ints
    tcdm_bytes: Ints

    def __len__(self) -> int:
        return len(self.way)

    @property
    def cluster(self) -> Cluster:
        """The clusters of the machine."""
        assert self.machine.cluster is not None
        return self.machine.cluster

    @cached_property
    def sizes(self) -> SizeColumns:
        """How each candidate cuts the tokens into batches."""
        tokens = np.full(len(self), self.tokens, np.int64)
        return SizeColumns.of(tokens, self.batch, self.first, self.last)

    def order(self, number: int) -> BatchOrder:
        """Return how the batches of a candidate follow each other."""
        first, last = int(self.first[number]) or None, int(self.last[number]) or None
        return BatchOrder(bool(self.early[number]), first, last, int(self.clusters[number]))

    def batching(self, number: int) -> Batching:
        """Return a candidate as it is decided for a layer."""
        program = self.programs[self.way[number]].of_tokens(int(self.batch[number]))
        order, buffers = self.order(number), int(self.buffers[number])
        return Batching.of(self.cluster, program, buffers, order, self.tokens)


def candidates(machine: Machine, layer: PlacedLayer, tokens: int, space: Space) -> Candidates:
    """Return every way to run a layer in the space that fits and that the cluster can run."""
    cluster = machine.cluster
    assert layer.adapter is not None
    assert cluster is not None
    room = cluster.tcdm.size // (cluster.element_bytes * layer.op.in_features)  # X alone
    sizes = np.array(space.sizes(max(1, min(tokens, room))), np.int64)
    buffers = np.array([*dict.fromkeys(space.buffers)], np.int64)
    orders = {
        add: _orders(add, sizes.tolist(), tokens, cluster.count, space)
        for add in ("fused", "separate")
    }
    shape = (layer.op.in_features, layer.op.out_features, layer.adapter.rank)
    programs: list[LoraProgram] = []
    found = [np.empty((8, 0), np.int64)]
    for choice in on_machine(_choices(), machine):
        for columns in slice_widths(machine, layer) if can_compute(cluster, choice) else ():
            program = LoraProgram(*shape, sizes, choice, columns)  # type: ignore[arg-type]
            need = program.tcdm_bytes(cluster, 1), program.tcdm_bytes(cluster, 2)
            held = need[0] + np.multiply.outer(buffers - 1, need[1] - need[0])  # (buffers, sizes)
            runs = (need[0] <= cluster.tcdm.size) & _on_engine(program)
            if not runs.any():
                continue
            own = orders[choice.add]
            fits = (held <= cluster.tcdm.size) & runs
            row, flight = np.nonzero(fits.T[own[0]])
            number, size = np.full(len(row), len(programs)), own[0, row]
            taken = held[flight, size]
            found.append(np.stack((number, sizes[size], *own[1:, row], buffers[flight], taken)))
            programs.append(program.of_tokens(int(sizes[runs].max())))
    way, batch, early, first, last, count, flight, taken = np.concatenate(found, axis=1)
    ways = tuple(programs)
    return Candidates(
        machine,
        tokens,
        layer.copies,
        ways,
        way,
        batch,
        early > 0,
        first,
        last,
        count,
        flight,
        taken,
    )


def _choices() -> list[LoraChoice]:
    """Return every way to compute an adapter: fused, then with a separate addition."""
    apart = [choice.model_copy(update={"add": "separate"}) for choice in CHOICES]
    return [*CHOICES, BALANCED, *apart]


def _on_engine(program: LoraProgram) -> Bools:
    """Return for which batches the engine can do the shapes, where it has to."""
    sizes: Any = program.tokens
    if program.choice.unit == "cores":
        return np.ones(len(sizes), np.bool_)
    sides = max(program.in_features, program.rank, program.widest)
    fine: Bools = np.maximum(sizes, sides) <= MOST
    return fine


def _orders(add: str, sizes: list[int], tokens: int, clusters: int, space: Space) -> Ints:
    """Return how batches of each size may follow each other, as columns of five rows.

    Number of the size, early start, first and last batch of ramps (0 for none), clusters.
    """
    rows = [
        (number, *order)
        for number, size in enumerate(sizes)
        for order in _orders_of(add, size, tokens, clusters, space)
    ]
    return np.array(rows, np.int64).reshape(-1, 5).T


def _orders_of(
    add: str, size: int, tokens: int, clusters: int, space: Space
) -> Iterator[tuple[int, int, int, int]]:
    """Yield how batches may follow each other; a ramp or a separate product needs an early start.

    A layer takes some of the clusters, or all, but no more than it has full batches.
    """
    batches = -(-tokens // size)
    for count in range(1, min(clusters, batches) + 1):
        if add == "fused":
            yield (0, 0, 0, count)
        for first in dict.fromkeys((*space.starts, tokens % size or None)):
            for last in space.ramps:
                if (first is None or first < size) and (last is None or last < size):
                    yield (1, first or 0, last or 0, count)
