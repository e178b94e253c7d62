"""What each op of a network at least takes, for many batches at once: parts of its longest way."""

from collections.abc import Iterator, Mapping
from functools import lru_cache

import numpy as np

from hybridsim.arch import Machine
from hybridsim.components.aimc_tile import AimcTile
from hybridsim.records import record
from hybridsim.strategies.networks.dataflow import Cuts, FlowOp
from hybridsim.strategies.networks.options import DecidingOptions
from hybridsim.strategies.networks.paths import LongestPath, Span
from hybridsim.strategies.networks.structure import NetworkStructure
from hybridsim.units import Ints, ceil_div
from hybridsim.workload import Add, Attention, Embedding, Experts, Input, Linear


@record(frozen=True, slots=True, eq=False)
class Taken:
    """What clusters at least take for an op [ps], one entry per candidate."""

    load: Ints
    """All clusters together; of adapters with A and B fetched for every batch."""
    first: Ints
    """One cluster, for its part of the first batch."""
    last: Ints
    every: Ints
    """One cluster, for its part of all batches, where it does one after the other."""
    fetch: Ints
    """A link, for A and B."""
    fetches: Ints
    """All links together, for A and B as often as they surely come."""

    @classmethod
    def nothing(cls, candidates: int) -> "Taken":
        """Return that nothing is known."""
        return cls(*np.zeros((6, candidates), np.int64))


def is_linked(structure: NetworkStructure) -> bool:
    """Return whether all that is moved on a chip crosses its link, as far as bounds know."""
    usual = all(own.tiles and not own.sort and not own.cluster_sort for own in structure.placed)
    return usual and structure.machine.network is None


def read_by_link(structure: NetworkStructure) -> Iterator[str]:
    """Yield the ops whose batches cross the link of their chip to be read as they are."""
    for reader in structure.works:
        for name in reader.sources:
            of = structure.by_name[name]
            near = structure.chips[name] == structure.chips[reader.name]
            if near and _as_it_is(structure, of, reader):
                yield name


def _as_it_is(structure: NetworkStructure, source: FlowOp, reader: FlowOp) -> bool:
    """Return whether each batch of an op is moved to be read as it is."""
    if isinstance(reader.op, Attention) or reader.once or reader.last:
        return False
    local = structure.from_tiles[reader.name] if isinstance(reader.op, Add) else None
    alike = source.tokens == reader.tokens and source.copies == reader.copies == 1
    return source.name != local and alike


@lru_cache(maxsize=16)
def behind_barriers(structure: NetworkStructure) -> frozenset[str]:
    """Return the ops of a block that others wait for whole, where a block waits for the last batch
    of the block before: those that are read in other blocks alone.

    What an earlier reader of the same block has fetched is there without waiting.
    """
    found, others = set[str](), set[str]()
    for reader in structure.works:
        for name in reader.sources:
            blocks = structure.by_name[name].op.block, reader.op.block
            apart = None not in blocks and blocks[0] != blocks[1]
            local = isinstance(reader.op, Add) and structure.from_tiles[reader.name] == name
            (found if apart and not local else others).add(name)
    return frozenset(found - others)


def _by_vectors(tile: AimcTile) -> bool:
    """Return whether a tile takes as long for some vectors as for each of them in turn; one from
    outside may do otherwise."""
    return type(tile).time_ps is AimcTile.time_ps


class Spans:
    """What the ops of a structure take on a machine, given what clusters take for them."""

    def __init__(
        self,
        structure: NetworkStructure,
        machine: Machine,
        options: DecidingOptions,
        taken: Mapping[int, Taken],
        barrier: bool,
    ) -> None:
        """``taken`` has what clusters take for the ops of each kind; with a ``barrier`` a block
        waits for the last batch of the block before."""
        self._structure, self._machine, self._options = structure, machine, options
        self._taken, self._linked = taken, is_linked(structure)
        self._behind = behind_barriers(structure) if barrier else frozenset[str]()
        self._known: dict[int, Span] = {}
        self._moves: dict[tuple[int, int], tuple[Ints, Ints]] = {}

    def least_ps(self, batches: Ints) -> Ints:
        """Return how long the longest way through the network at least is [ps]."""
        self._batches = batches
        path = LongestPath(self._structure, self._span, self._moved, len(batches), self._behind)
        return path.least_ps()

    def _kind(self, work: FlowOp) -> int:
        return self._structure.kinds[self._structure.place[work.name]]

    def _span(self, work: FlowOp) -> Span:
        """Return what an op takes; those of a kind share it."""
        kind = self._kind(work)
        if kind not in self._known:
            self._known[kind] = self._found(work, self._taken[kind])
        return self._known[kind]

    def _found(self, work: FlowOp, taken: Taken) -> Span:
        cut, cluster, none = Cuts.of(work, self._batches), self._machine.cluster, taken.load * 0
        together = ceil_div(taken.load, cluster.total) if cluster else none
        if isinstance(work.op, Embedding | Input):
            return Span(none, none, none, none, none, none + 1, none, none, none)
        if isinstance(work.op, Attention):
            every, count = taken.every, cut.count
            return Span(none, none, every, none, none, count, together, none, none)
        first, last = (self._on_tile(work, rows) for rows in (cut.full, cut.last))
        behind = (taken.first, taken.last)
        adapters, rank = self._options.adapters, self._structure.rank(work.name)
        if rank and (adapters.homes or adapters.early):
            together = none  # A and B may stay
        beside = (none, none)
        if rank and self._linked:  # A and B come when X does, and do not wait for the tile either
            again = none if adapters.homes else taken.fetch + taken.last
            beside = taken.fetch + taken.first, again
        if rank and adapters.early:  # X A does not wait for the tile
            least = np.minimum(*behind)
            beside = np.maximum(beside[0], least), np.maximum(beside[1], least)
            behind = (none, none)
        if rank and self._linked:
            moved = [self._over(work.op.out_features, rows) for rows in (cut.full, cut.last)]
            behind = (behind[0] + moved[0], behind[1] + moved[1])
        every = cut.over(first, last)
        return Span(first, last, every, *behind, cut.count, together, *beside)

    def _on_tile(self, work: FlowOp, rows: Ints) -> Ints:
        """Return what a tile or its periphery takes for a batch, one after the other [ps]."""
        structure, machine, op = self._structure, self._machine, work.op
        layer = structure.layers.get(work.name)
        if isinstance(op, Linear) and layer is not None:
            tile = machine.tile_of(layer.sort)
            known = layer.tiles and not isinstance(op, Experts) and _by_vectors(tile)
            each = tile.mvm_ps(*op.matrices[1:], 1) if known else 0
            return ceil_div(rows, layer.copies) * int(each)
        tile = machine.tile
        there = tile.periphery.residual is not None and _by_vectors(tile)
        if not isinstance(op, Add) or not there or machine.several:
            return 0 * rows
        if self._options.where.add != "periphery":
            return 0 * rows
        local = structure.from_tiles[work.name] is not None
        sums = max(1, len(op.inputs) - 1)
        return rows * sums * int(tile.periphery.residual_ps(1, op.out_features, local))

    def _moved(self, source: FlowOp, reader: FlowOp) -> tuple[Ints, Ints]:
        """Return what the first batch of an op and its last one take on their way to a reader."""
        none = 0 * self._batches
        if not self._linked:
            return none, none
        if isinstance(reader.op, Attention):
            whole = none + self._over(source.op.out_features, none + source.tokens)
            return whole, whole
        if not _as_it_is(self._structure, source, reader):
            return none, none
        key = (source.op.out_features, source.tokens)
        if key not in self._moves:
            cut = Cuts.of(source, self._batches)
            self._moves[key] = self._over(key[0], cut.full), self._over(key[0], cut.last)
        return self._moves[key]

    def _over(self, width: int, rows: Ints) -> Ints:
        """Return what moving so many vectors over a link takes [ps]."""
        found: Ints = self._machine.link.transfer_ps(self._machine.bytes_of(width * rows))
        return found
