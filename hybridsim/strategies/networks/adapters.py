"""How the adapters of a network are computed, layer by layer.

A task on a cluster brings in its operands by DMA, computes and stores, one after the other. X
reaches the clusters with the transfer that brings it to the tile, Y crosses the link for the
adapter alone, and Z leaves the cluster as the output of the layer. A and B are fetched for every
batch, or once for all batches of a sequence to clusters that keep them, or never, if the adapters
of the whole network stay in the scratchpad of every cluster. An adapter that is larger than the
scratchpad passes through it in slices, once for every batch. Vectors of several experts
(:meth:`~hybridsim.workload.Experts.loads`) meet an A and a B each, which come for every batch.
"""

from collections.abc import Container, Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import field, replace
from functools import lru_cache

from hybridsim.arch import Cluster, Machine, sorts
from hybridsim.errors import CapacityError, UnsupportedError
from hybridsim.mapping import Mapping as Placement
from hybridsim.mapping import PlacedLayer
from hybridsim.programs import LoraChoice, LoraProgram
from hybridsim.programs.adapting import AdapterWork, Shares, fetches
from hybridsim.records import record
from hybridsim.strategies.networks.dataflow import Batches
from hybridsim.strategies.networks.decisions import AdapterDecision, SharedDecision
from hybridsim.strategies.networks.options import AdapterOptions
from hybridsim.strategies.networks.structure import alike
from hybridsim.units import ceil_div, format_bytes
from hybridsim.workload import Network

_TILES_PER_SLICE = (8, 4, 2, 1)
"""Tiles whose inputs and outputs make one slice of an adapter that does not fit, as tried."""


@record(frozen=True, slots=True)
class Adapter:
    """A way to adapt the batches of a layer, without a home, and how long it takes."""

    decision: AdapterDecision
    time_ps: int
    """Of all batches on the busiest cluster [ps]."""
    room_bytes: int
    """Room that A and B take where they stay [bytes]; 0 if they are too large for that."""


@record(frozen=True, slots=True)
class SharedAdapter:
    """A way to share the adapter of a layer between clusters, and how long it takes."""

    decision: SharedDecision
    time_ps: int
    """Of both halves [ps]."""


def fit_every_cluster(mapping: Placement) -> bool:
    """Return whether A and B of a whole network leave room in the scratchpad of a cluster.

    On several kinds of clusters each has room for those that it computes.
    """
    machine, network = mapping.machine, mapping.network
    if not machine.several:
        cluster = machine.cluster
        return cluster is not None and _all_bytes(network, cluster) < cluster.tcdm.size
    for sort in sorts(machine, False):
        cluster = machine.cluster_of(sort)
        own = {own.op.shared or own.name for own in mapping.layers if own.cluster_sort == sort}
        assert cluster is not None
        if _all_bytes(network, cluster, own) >= cluster.tcdm.size:
            return False
    return machine.cluster is not None


def _all_bytes(network: Network, cluster: Cluster, own: Container[str] | None = None) -> int:
    """Return what the adapters of a network take on a cluster, of all or of some layers."""
    if own is None:
        return cluster.element_bytes * network.adapter_parameters
    adapters = [network.adapter(op) for op in network.adapted_layers if op.name in own]
    return cluster.element_bytes * sum(a.parameters for a in adapters if a is not None)


@record(frozen=True, slots=True)
class _Ways:
    """What is known of the ways to compute adapters, by their shapes and tokens."""

    best: dict[tuple[Hashable, ...], Adapter] = field(default_factory=dict)
    parts_ps: dict[tuple[Hashable, ...], list[tuple[int, int, int]]] = field(default_factory=dict)
    shared: dict[tuple[Hashable, ...], SharedAdapter | None] = field(default_factory=dict)
    taken_ps: dict[AdapterWork, int] = field(default_factory=dict)


@lru_cache(maxsize=32)
def _ways(
    cluster: Cluster | None, rows: int, columns: int, kept_bytes: int, options: AdapterOptions
) -> _Ways:
    """Return what is known of all that ways depend on but for shapes and tokens.

    Jobs of a service differ in their tokens alone, thousands of times.
    """
    return _Ways()


def _shape(layer: PlacedLayer) -> tuple[Hashable, ...]:
    """Return what of a layer its adapter's ways depend on; of experts also who is called."""
    assert layer.adapter is not None
    several = alike(layer.op) if layer.op.matrices[0] > 1 else None
    return layer.op.in_features, layer.op.out_features, layer.adapter.rank, several


def _shares(layer: PlacedLayer, batches: Batches, pieces: int) -> tuple[Shares, Shares]:
    """Return how so many clusters share a full batch of a layer, and the last one."""
    full = Shares.cut(layer.op.loads(batches.full), pieces)
    if batches.last == batches.full:
        return full, full
    return full, Shares.cut(layer.op.loads(batches.last), pieces)


class NetworkAdapters:
    """The ways to compute the adapters of a network on a machine; layers alike share them."""

    def __init__(
        self,
        network: Network,
        machine: Machine,
        options: AdapterOptions,
        own: Container[str] | None = None,
    ) -> None:
        """``own`` names the layers whose adapters these clusters keep; all unless given."""
        self._network, self._machine, self._options = network, machine, options
        self._own = own
        self.kept_bytes = self._resident_bytes() if options.resident else 0
        """Scratchpad of every cluster that adapters of all layers take for the whole run."""
        tile = machine.tile
        self._ways = _ways(machine.cluster, tile.rows, tile.columns, self.kept_bytes, options)

    def alone(
        self, layer: PlacedLayer, batches: Batches, pieces: int, stays: bool = False
    ) -> Adapter:
        """Return the fastest way to adapt a layer when each batch is cut into ``pieces`` by rows.

        If A and B stay while the batches pass, the first batch alone pays for bringing them in.

        Raises:
            CapacityError: Not even one token fits the scratchpad.
            UnsupportedError: The cluster can compute it in none of the ways left open.
        """
        assert layer.adapter is not None
        known, key = self._ways.best, (*_shape(layer), batches, pieces, stays)
        if key not in known:
            known[key] = self._best(layer, batches, pieces, stays)
        return known[key]

    def parts_ps(
        self, layer: PlacedLayer, batches: Batches, stays: bool
    ) -> list[tuple[int, int, int]]:
        """Return for each way that fits what one cluster takes for the first batch, for a further
        full one and for the last one [ps]; none where nothing fits."""
        known, key = self._ways.parts_ps, (*_shape(layer), batches, stays)
        if key not in known:
            known[key] = self._parts_ps(layer, batches, stays)
        return known[key]

    def _parts_ps(
        self, layer: PlacedLayer, batches: Batches, stays: bool
    ) -> list[tuple[int, int, int]]:
        found, shares = [], _shares(layer, batches, 1)
        for choice in self._options.choices:
            with suppress(CapacityError, UnsupportedError):
                decision, _ = self._way(layer, shares, choice, stays)
                found.append(self._each_ps(decision, shares))
        return found

    def shared(self, layer: PlacedLayer, tokens: int, parts: int) -> SharedAdapter | None:
        """Return the fastest way to share a layer's adapter between ``parts`` clusters, or None.

        None where no way left open can do so, or there are fewer ranks or outputs than clusters.
        """
        known, key = self._ways.shared, (*_shape(layer), tokens, parts)
        if key not in known:
            found = []
            for choice in self._options.choices:
                with suppress(CapacityError, UnsupportedError):
                    found.append(self._share(layer, tokens, parts, choice))
            known[key] = min(found, key=lambda way: way.time_ps, default=None)
        return known[key]

    def _share(
        self, layer: PlacedLayer, tokens: int, parts: int, choice: LoraChoice
    ) -> SharedAdapter:
        cluster, op = self._cluster, layer.op
        assert layer.adapter is not None
        rank = layer.adapter.rank
        ranks, outputs = ceil_div(rank, parts), ceil_div(op.out_features, parts)
        half = (
            LoraProgram(op.in_features, op.out_features, ranks, tokens, choice),
            LoraProgram(op.in_features, outputs, rank, tokens, choice),
        )
        first, second = (self._fitting(layer, program) for program in half)
        fetched = not self._options.resident
        made = AdapterWork(first, "first", (tokens,), fetched)
        added = AdapterWork(second, "second", (tokens,), fetched)
        size = ranks * op.in_features + rank * outputs
        decision = SharedDecision(
            first=first,
            second=second,
            parts=parts,
            fetched=fetched,
            from_dram=False,
            load_bytes=cluster.element_bytes * size if fetched else 0,
            u_bytes=cluster.element_bytes * rank * tokens,
            tcdm_bytes=max(p.tcdm_bytes(cluster, 1) for p in (first, second)) + self.kept_bytes,
        )
        return SharedAdapter(decision, made.time_ps(cluster) + added.time_ps(cluster))

    def _best(self, layer: PlacedLayer, batches: Batches, pieces: int, stays: bool) -> Adapter:
        problem: Exception = UnsupportedError("no way to compute an adapter is left open")
        found, shares = [], _shares(layer, batches, pieces)
        for choice in self._options.choices:
            try:
                decision, room = self._way(layer, shares, choice, stays)
                first, usual, last = self._each_ps(decision, shares)
                time = first + (usual * (batches.count - 2) + last if batches.count > 1 else 0)
                found.append(Adapter(decision, time, room))
            except (CapacityError, UnsupportedError) as error:
                problem = error
        if not found:
            raise problem
        return min(found, key=lambda way: way.time_ps)

    def _way(
        self, layer: PlacedLayer, shares: tuple[Shares, Shares], choice: LoraChoice, stays: bool
    ) -> tuple[AdapterDecision, int]:
        """Return one way, without a home, and the room that A and B take where they stay."""
        cluster = self._cluster
        assert layer.adapter is not None
        (count, inputs, outputs), rank = layer.op.matrices, layer.adapter.rank
        most = max(max(each.largest) for each in shares)
        program = self._fitting(layer, LoraProgram(inputs, outputs, rank, most, choice))
        comes = program.slice_inputs is not None or count > 1
        fetched = not self._options.resident
        weights = cluster.element_bytes * rank * (inputs + outputs)
        loaded = [weights * fetched * fetches(program, each.largest) for each in shares]
        decision = AdapterDecision(
            program=program,
            pieces=len(shares[0].of),
            homes=(),
            fetched=fetched,
            fetched_again=fetched and (comes or not stays),
            early=self._options.early,
            from_dram=False,
            load_bytes=loaded[0],
            last_load_bytes=loaded[1] if count > 1 else loaded[0],
            weight_bytes=weights,
            kept_bytes=0,
            tcdm_bytes=program.tcdm_bytes(cluster, 1) + self.kept_bytes,
        )
        return decision, 0 if comes else weights

    def _each_ps(
        self, decision: AdapterDecision, shares: tuple[Shares, Shares]
    ) -> tuple[int, int, int]:
        """Return how long the busiest cluster takes for the first batch, for a further full one
        and for the last one [ps]."""
        (full, last), again = shares, decision.fetched_again
        return (
            self._taken_ps(decision, full, decision.fetched),
            self._taken_ps(decision, full, again),
            self._taken_ps(decision, last, again),
        )

    def _taken_ps(self, decision: AdapterDecision, shares: Shares, weights: bool) -> int:
        """Return how long the busiest of the clusters that share a batch takes [ps]."""
        known, longest = self._ways.taken_ps, 0
        for own in dict.fromkeys(shares.of):
            work = AdapterWork(decision.program, "both", own, weights)
            if work not in known:
                known[work] = int(work.time_ps(self._cluster))
            longest = max(longest, known[work])
        return longest

    def _fitting(self, layer: PlacedLayer, program: LoraProgram) -> LoraProgram:
        """Return the program with the fewest equal batches that fit the scratchpad.

        A layer wider than a tile may go slice by slice, each as wide as a tile. Where A and B
        do not fit beside a token, they and X go in slices as well: of as many tiles as fit.
        """
        room, tile = self._cluster.tcdm.size - self.kept_bytes, self._machine.tile
        widths = dict.fromkeys((None, min(tile.columns, program.out_features)))
        whole = [replace(program, slice_columns=width) for width in widths]
        if (found := self._largest(whole, room)) is not None:
            return found
        sliced = [
            replace(
                program,
                slice_columns=min(tiles * tile.columns, program.out_features),
                slice_inputs=min(tiles * tile.rows, program.in_features),
            )
            for tiles in _TILES_PER_SLICE
        ]
        if not self._options.resident and (found := self._largest(sliced, room)) is not None:
            return found
        need = replace(whole[-1], tokens=1).tcdm_bytes(self._cluster, 1)
        raise CapacityError(
            f"{layer.name}: its adapter needs {format_bytes(need)} of TCDM for one token; a "
            f"cluster has {format_bytes(room)} left; lower the rank (now {program.rank}), or "
            "raise cluster.tcdm.size"
        )

    def _largest(self, programs: Sequence[LoraProgram], room: int) -> LoraProgram | None:
        """Return the fewest batches of the first of some programs that fit, or None.

        A batch of more tokens takes no less, so what does not fit with one is not looked at.
        """
        fitting = [
            one for one in programs if replace(one, tokens=1).tcdm_bytes(self._cluster, 1) <= room
        ]
        for count in range(1, programs[0].tokens + 1 if fitting else 1):
            for one in fitting:
                part = replace(one, tokens=ceil_div(one.tokens, count))
                if part.tcdm_bytes(self._cluster, 1) <= room:
                    return part
        return None

    def _resident_bytes(self) -> int:
        """Return what all adapters take in each cluster.

        Raises:
            CapacityError: They do not fit.
        """
        cluster = self._cluster
        need = _all_bytes(self._network, cluster, self._own)
        if need >= cluster.tcdm.size:
            raise CapacityError(
                f"the adapters of {self._network.name} take {format_bytes(need)}; a "
                f"cluster of {self._machine.name} has {format_bytes(cluster.tcdm.size)} of "
                "TCDM; choose keep_adapters=best, or raise cluster.tcdm.size"
            )
        return need

    @property
    def _cluster(self) -> Cluster:
        cluster = self._machine.cluster
        assert cluster is not None  # the mapping refuses adapters without a cluster
        return cluster


class Sharing:
    """Whether clusters share the adapter of a single batch, and how many of them.

    The layer is taken by itself: transfers of A and B side by side as far as there are links,
    one after the other on a network on chip.
    """

    def __init__(self, machine: Machine, adapters: NetworkAdapters) -> None:
        self._machine, self._adapters = machine, adapters

    def best(
        self, layer: PlacedLayer, tokens: int, alone: Adapter, units: int
    ) -> SharedDecision | None:
        """Return how up to ``units`` clusters share an adapter, or None if one is as fast.

        Those of experts are not shared: each is one of many already.
        """
        if layer.adapter is not None and layer.adapter.copies > 1:
            return None
        link = self._machine.link
        least, best = self._fetched(alone.decision.load_bytes, 1) + alone.time_ps, None
        for parts in _parts(layer, units):
            shared = self._adapters.shared(layer, tokens, parts)
            if shared is None:
                continue
            decision = shared.decision
            taken = shared.time_ps + int(link.transfer_ps(decision.u_bytes))
            taken += self._fetched(decision.load_bytes, parts)
            if taken < least:
                least, best = taken, decision
        return best

    def _fetched(self, size: int, parts: int) -> int:
        """Return how long some transfers of A and B take [ps]."""
        link = self._machine.link
        lanes = 1 if self._machine.network_on_chip else link.count
        return int(link.transfer_ps(size)) * ceil_div(parts, lanes) if size else 0


def _parts(layer: PlacedLayer, units: int) -> Iterator[int]:
    """Yield how many clusters may share an adapter: 2, 4, 8, ..."""
    assert layer.adapter is not None
    most = min(units, layer.adapter.rank, layer.op.out_features)
    yield from (1 << power for power in range(1, most.bit_length()))


def share_notes(shared: Iterable[tuple[int, SharedDecision]]) -> tuple[str, ...]:
    """Return how many adapters are shared, from the outputs of each layer that shares its own."""
    parts = [ceil_div(outputs, each.second.out_features) for outputs, each in shared]
    if not parts:
        return ()
    few, most = min(parts), max(parts)
    each = f"{few}" if few == most else f"{few} to {most}"
    return (f"{len(parts)} adapters of few tokens are shared by {each} clusters each",)
