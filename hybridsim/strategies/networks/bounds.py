"""Times that no plan of a network beats, for many batches at once: what its pools have to carry,
and its longest way (:mod:`hybridsim.strategies.networks.paths`).

The tasks of a plan hold a cluster for as long as their programs take, so all clusters of a chip
together work for the sum of that: the makespan is no shorter than the sum over their number, in
whatever order tasks run. The same holds for links. No plan is laid out for it, and what programs
take is found for all numbers of rows side by side. What is not known here counts nothing.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from hybridsim.arch import Cluster, Machine
from hybridsim.errors import InputError
from hybridsim.programs.attention import Attention as AttentionProgram
from hybridsim.programs.attention_bounds import least_ps
from hybridsim.programs.columns import ONE_THZ
from hybridsim.programs.pieces import Piece
from hybridsim.strategies.networks.adapter_bounds import Adapted, AdapterBounds
from hybridsim.strategies.networks.dataflow import Cuts, FlowOp
from hybridsim.strategies.networks.deciding import FINEST, Deciding
from hybridsim.strategies.networks.options import DecidingOptions
from hybridsim.strategies.networks.spans import Spans, Taken, is_linked, read_by_link
from hybridsim.strategies.networks.structure import NetworkStructure
from hybridsim.units import Ints, ceil_div
from hybridsim.workload import Add, Attention, Embedding, Input, Linear, Norm, Select


class NetworkBounds:
    """What plans of a structure on a machine at least take, under options with an open batch."""

    def __init__(
        self,
        structure: NetworkStructure,
        machine: Machine,
        options: DecidingOptions,
        batches: Ints,
    ) -> None:
        """``batches`` are the candidates, of so many tokens each."""
        self._structure, self._machine, self._options = structure, machine, options
        self._batches = batches
        self._known: dict[bool, Ints] = {}

    @cached_property
    def pools_ps(self) -> Ints:
        """Times that no plan beats [ps], by what pools have to carry alone.

        Nothing is known of what cannot be decided for any batch.
        """
        try:
            return self._shared[0]
        except InputError:
            return np.zeros(len(self._batches), np.int64)

    def least_ps(self, barrier: bool) -> Ints:
        """Return times that no plan beats [ps], with a barrier between blocks or without: those
        of the pools, or of the longest way where that is longer."""
        if barrier not in self._known:
            pools = self.pools_ps
            try:
                taken = self._shared[1]
                spans = Spans(self._structure, self._machine, self._options, taken, barrier)
                self._known[barrier] = np.maximum(pools, spans.least_ps(self._batches))
            except InputError:
                self._known[barrier] = pools
        return self._known[barrier]

    @cached_property
    def _shared(self) -> tuple[Ints, dict[int, Taken]]:
        """What the pools of each chip have to carry [ps], and what clusters take for each kind."""
        batches, cluster, link = self._batches, self._machine.cluster, self._machine.link
        loads: dict[tuple[str, int], Any] = {}
        adapted: dict[str, Adapted] = {}
        taken: dict[int, Taken] = {}
        for (chip, moved, work), times in _different(self._structure).items():
            kind = self._structure.kinds[self._structure.place[work.name]]
            own = taken[kind] = Taken.nothing(len(batches))
            if cluster is not None:
                own = taken[kind] = self._on_clusters(cluster, work, batches, adapted)
                loads["cluster", chip] = loads.get(("cluster", chip), 0) + times * own.load
            if moved:
                over = times * (moved * self._over(work, batches) + own.fetches)
                loads["link", chip] = loads.get(("link", chip), 0) + over
        if self._options.adapters.homes and adapted:
            for chip, saved in self._saved(adapted).items():
                loads["cluster", chip] -= saved
        units = {"cluster": cluster.total if cluster else 1, "link": link.count}
        found = [ceil_div(load, units[part]) for (part, _), load in loads.items()]
        least: Ints = np.max(found, axis=0) if found else 0 * batches
        return least, taken

    # --- clusters -------------------------------------------------------------------------------

    def _on_clusters(
        self, cluster: Cluster, work: FlowOp, batches: Ints, adapted: dict[str, Adapted]
    ) -> Taken:
        """Return what clusters take for an op [ps], shape (batches,)."""
        op, nothing = work.op, Taken.nothing(len(batches))
        machine, adapters = self._machine, self._options.adapters
        if isinstance(op, Linear):
            layer = self._structure.layers[work.name]
            usual = bool(layer.tiles) and not layer.cluster_sort
            usual = usual and not (machine.several and adapters.resident)
            if layer.adapter is None or layer.adapter.copies > 1 or not usual:
                return nothing
            cut = Cuts.of(work, batches)
            own = self._adapters.of(layer, cut, self._shares(cluster, cut.full))
            adapted[work.name] = own
            fetch = self._fetch_ps(work, cut)
            return Taken(own.load_ps, own.first_ps, own.last_ps, nothing.every, *fetch)
        if isinstance(op, Embedding | Input):
            return nothing
        if isinstance(op, Attention):
            return self._attention(cluster, work, batches)
        at_tiles = self._structure.machine.adds_at_tiles or machine.several
        at_tiles = at_tiles and self._options.where.add != "cores"
        if isinstance(op, Add) and at_tiles:
            return nothing
        return self._pieces(cluster, work, Cuts.of(work, batches))

    def _attention(self, cluster: Cluster, work: FlowOp, batches: Ints) -> Taken:
        where = self._options.where.attention
        loads, longest = list[Ints](), list[Ints]()
        for on_engine in (True, False):
            asked = ("matrix_engine" if on_engine else "cores", "best")
            there = cluster.matrix_engine is not None
            if (on_engine and not there) or (there and where not in asked):
                continue
            load = most = 0 * batches
            for heads, clusters in Counter(self._deciding.heads(work, on_engine)).items():
                own = self._deciding.program(work, heads, on_engine)
                scale, one = (1, cluster) if own.form == "flash" else self._by_cycles
                least = scale * self._heads_ps(replace(own, cluster=one), batches)
                load, most = load + clusters * least, np.maximum(most, least)
            loads.append(load)
            longest.append(most)
        nothing = 0 * batches
        every = np.min(longest, axis=0)
        return Taken(np.min(loads, axis=0), nothing, nothing, every, nothing, nothing)

    def _heads_ps(self, heads: AttentionProgram, batches: Ints) -> Ints:
        """Return what some heads at least take; without batches queries are cut as is fastest."""
        if self._options.batch is not None:
            found: Ints = least_ps(heads, batches)
            return found
        whole = heads.form == "sequential"
        sizes = [heads.tokens] if whole else [*heads.searched]
        sizes = [self._options.queries] if self._options.queries else sizes
        least: Ints = least_ps(heads, np.array(sizes, np.int64))
        return np.full_like(batches, least.min())

    def _pieces(self, cluster: Cluster, work: FlowOp, cut: Cuts) -> Taken:
        """Return what norms, activations and sums take."""
        width, by_rows = work.op.out_features, isinstance(work.op, Norm | Select)
        count = self._shares(cluster, cut.full if by_rows else np.full_like(cut.full, width))
        found = Taken.nothing(len(count))
        for pieces in set(count.tolist()):
            at = count == pieces
            some, columns = cut.at(at), width if by_rows else ceil_div(width, pieces)
            share = pieces if by_rows else 1
            most = ceil_div(int(some.full.max()), share)
            scale, one = self._by_cycles
            cost = scale * _piece_ps(one, Piece.of(work.op, most, columns))
            first, last = (cost[ceil_div(rows, share)] for rows in (some.full, some.last))
            found.first[at], found.last[at] = first, last
            found.load[at] = pieces * some.over(first, last)
        return found

    @cached_property
    def _by_cycles(self) -> tuple[int, Cluster]:
        """What times of a cluster are to be multiplied by, for machines that differ in its clock
        to share them, and that cluster."""
        cluster = self._machine.cluster
        assert cluster is not None
        one, frequency = cluster.model_copy(update={"count": 1}), cluster.clock.frequency
        data = cluster.kernel_costs is not None or cluster.row_unit is not None
        if data or 10**12 % frequency:
            return 1, one
        return 10**12 // frequency, one.at(ONE_THZ)

    def _shares(self, cluster: Cluster, size: Ints) -> Ints:
        """Return over how many clusters ops of so many rows or columns are cut."""
        units = (cluster.plain_count or cluster.count) if self._options.split else 1
        return np.clip(size // FINEST, 1, units)

    def _saved(self, adapted: Mapping[str, Adapted]) -> dict[int, Ints]:
        """Return what clusters of each chip at most save by keeping A and B [ps].

        What is kept at a time, of a block, finds room beside the largest buffers; no byte of it
        saves more than the best one.
        """
        cluster = self._machine.cluster
        assert cluster is not None
        buffers = np.max([own.buffers for own in adapted.values()], axis=0)
        room = cluster.total * np.maximum(0, cluster.tcdm.size - buffers)
        blocks: dict[tuple[int, int | None], Counter[str]] = {}
        firsts = _firsts(self._structure)
        for (chip, _, first), work in zip(firsts, self._structure.works, strict=True):
            if first.name in adapted:
                blocks.setdefault((chip, work.op.block), Counter())[first.name] += 1
        alike = Counter((chip, frozenset(own.items())) for (chip, _), own in blocks.items())
        found: dict[int, Any] = {}
        for (chip, names), times in alike.items():
            own = [(adapted[name], number) for name, number in names]
            most = np.sum([number * each.saved_ps for each, number in own], axis=0)
            best = np.max([each.saved_ps / each.bytes for each, _ in own], axis=0)
            limit = np.minimum(most, np.ceil(best * room * (1 + 1e-9)).astype(np.int64))
            found[chip] = found.get(chip, 0) + times * limit
        return found

    @cached_property
    def _adapters(self) -> AdapterBounds:
        options = self._options.adapters
        if not self._options.split:
            options = replace(options, share=False)
        return AdapterBounds(self._structure, self._machine, options, self._by_cycles[1])

    @cached_property
    def _deciding(self) -> Deciding:
        return Deciding(self._structure, self._machine, self._options)

    # --- links ----------------------------------------------------------------------------------

    def _fetch_ps(self, work: FlowOp, cut: Cuts) -> tuple[Ints, Ints]:
        """Return what a link takes for the A and B of an adapter, once and for all batches [ps].

        Where they may stay nothing is sure but that they come once; where clusters may share a
        single batch each fetches parts of its own.
        """
        options, structure = self._options.adapters, self._structure
        nothing = 0 * cut.count
        if options.resident or not is_linked(structure):
            return nothing, nothing
        cluster, layer = self._machine.cluster, structure.layers[work.name]
        assert cluster is not None
        elements = structure.rank(work.name) * (layer.op.in_features + layer.op.out_features)
        once = nothing + self._machine.link.transfer_ps(cluster.element_bytes * elements)
        if options.share and self._options.split:
            once[cut.count == 1] = 0
        return once, once if options.homes else once * cut.count

    def _over(self, work: FlowOp, batches: Ints) -> Ints:
        """Return what moving the batches of an output over a link once takes [ps]."""
        cut, machine, width = Cuts.of(work, batches), self._machine, work.op.out_features
        usual, last = (
            machine.link.transfer_ps(machine.bytes_of(width * rows))
            for rows in (cut.full, cut.last)
        )
        found: Ints = cut.over(usual, last)
        return found


@lru_cache(maxsize=16)
def _firsts(structure: NetworkStructure) -> list[tuple[int, int, FlowOp]]:
    """Return for each work its chip, how often its output surely crosses the link, and the first
    work that is alike in these."""
    linked = is_linked(structure)
    read = {*read_by_link(structure)} if linked else set()
    first: dict[tuple[object, ...], FlowOp] = {}
    found = []
    for kind, work in zip(structure.kinds, structure.works, strict=True):
        moved = (work.name in read) + (structure.rank(work.name) > 0) if linked else 0
        chip = structure.chips[work.name]
        layer = structure.layers.get(work.name)
        sorts = (layer.sort, layer.cluster_sort) if layer else ()
        found.append((chip, moved, first.setdefault((chip, moved, kind, sorts), work)))
    return found


@lru_cache(maxsize=16)
def _different(structure: NetworkStructure) -> Counter[tuple[int, int, FlowOp]]:
    """Return how often each of them is there."""
    firsts = _firsts(structure)
    # a work is soon told by its name, but takes long to hash
    times = Counter((chip, moved, work.name) for chip, moved, work in firsts)
    known = {work.name: work for _, _, work in firsts}
    return Counter({(c, moved, known[name]): n for (c, moved, name), n in times.items()})


@lru_cache(maxsize=256)
def _piece_ps(cluster: Cluster, largest: Piece) -> Ints:
    """Return what pieces of 0 to so many rows take on a cluster [ps]; 0 where they do not fit."""
    return largest.times_ps(cluster)
