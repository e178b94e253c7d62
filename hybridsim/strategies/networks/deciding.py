"""What of a network is done where and how: each op looked at by itself, alike ones once.

Only here, and in what this file asks, do clocks and sizes of memories matter.
"""

from collections.abc import Hashable
from dataclasses import replace
from functools import cached_property

from hybridsim.arch import Cluster, Machine
from hybridsim.errors import CapacityError, UnsupportedError
from hybridsim.mapping import PlacedLayer
from hybridsim.programs.attention import Attention as AttentionProgram
from hybridsim.programs.attention_runs import AttentionShape, attend
from hybridsim.programs.pieces import Piece
from hybridsim.programs.product import ProductWork
from hybridsim.strategies.networks.adapters import (
    Adapter,
    NetworkAdapters,
    Sharing,
    share_notes,
)
from hybridsim.strategies.networks.dataflow import Batches, FlowOp
from hybridsim.strategies.networks.decisions import (
    AttentionDecision,
    Chosen,
    DigitalDecision,
    EmbeddingDecision,
    LinearDecision,
    PiecesDecision,
    ResidualDecision,
    SharedDecision,
    WorkDecision,
)
from hybridsim.strategies.networks.homes import AdapterHomes, home_notes
from hybridsim.strategies.networks.memory import OnChip
from hybridsim.strategies.networks.options import DecidingOptions
from hybridsim.strategies.networks.plans import NetworkDecisions
from hybridsim.strategies.networks.structure import NetworkStructure
from hybridsim.units import ceil_div
from hybridsim.workload import Add, Attention, Embedding, Input, Linear, Norm, Select

FINEST = 8
"""No piece of a norm has fewer rows, no piece of another op fewer columns. Source: HARP."""


class Deciding:
    """The decisions of one structure and machine under one choice of options."""

    def __init__(
        self, structure: NetworkStructure, machine: Machine, options: DecidingOptions
    ) -> None:
        self._structure, self._machine, self._options = structure, machine, options
        self.memory = OnChip.of(structure, machine, options.by_capacity)
        self._known: dict[Hashable, WorkDecision] = {}
        self._too_long: set[int] = set()
        self._known_adapters: dict[tuple[str, str], NetworkAdapters] = {}

    def all(self) -> NetworkDecisions:
        """Return what is decided for the whole network.

        Raises:
            CapacityError: Something does not fit the memory it needs, or there is no cluster.
            UnsupportedError: The machine lacks a unit that is asked for.
        """
        structure, options = self._structure, self._options
        kept_bytes, homes = self._adapters("", "").kept_bytes, self._told_apart
        # most works have nothing of their own in a memory, so that their kind says it all
        memory, known = self.memory, self._known
        own = {
            *self._homes.of,
            *memory.adapters_outside,
            *memory.weights_outside,
            *memory.outside,
            *memory.after,
        }
        ops = []
        for kind, work in zip(structure.kinds, structure.works, strict=True):
            found = known.get(kind) if work.name not in own else None
            if found is None:
                found = self.of(kind, work)
                if work.name not in own:
                    known[kind] = found
            ops.append(found)
        return NetworkDecisions(
            batch=options.batch,
            keep=options.keep,
            barrier=options.barrier,
            dispatch=options.dispatch,
            homes=homes,
            kept_bytes=kept_bytes,
            kept_of_kinds=tuple(
                (sort, self._adapters("", sort).kept_bytes)
                for sort, _ in structure.machine.of_clusters
            ),
            ops=Chosen.of(ops),
            notes=(
                *self.memory.notes,
                *self._long_notes(),
                *self._home_notes(),
                *share_notes(
                    (work.op.out_features, op.adapter)
                    for work, op in zip(structure.works, ops, strict=True)
                    if isinstance(op, LinearDecision) and isinstance(op.adapter, SharedDecision)
                ),
            ),
        )

    def of(self, kind: int, work: FlowOp) -> WorkDecision:
        """Return the decision for one op; those of a kind share it where their memory is alike."""
        name, memory = work.name, self.memory
        key = (
            kind,
            self._homes.of.get(name) if self._told_apart else None,
            name in memory.adapters_outside,
            name in memory.weights_outside,
            memory.outside.get(name),
            memory.after.get(name),
        )
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._decide(work)
        return found

    def _decide(self, work: FlowOp) -> WorkDecision:
        op = work.op
        if isinstance(op, Linear):
            return self._linear(work)
        if isinstance(op, Embedding | Input):
            return EmbeddingDecision()
        if isinstance(op, Attention):
            return self.attention(work)
        if isinstance(op, Add) and self._is_in_periphery(work):
            return ResidualDecision()
        return self._pieces(work)

    # --- linear layers ------------------------------------------------------------------------

    def _linear(self, work: FlowOp) -> LinearDecision:
        layer, batches = self._structure.layers[work.name], self._batches(work)
        digital = None if layer.tiles else self._digital(work)
        if layer.adapter is None:
            return LinearDecision(digital=digital)
        outside = work.name in self.memory.adapters_outside
        if self._options.adapters.share and self._options.split and batches.count == 1:
            alone = self._alone(work, False)
            if alone.decision.pieces == 1:
                units = self._units_for_pieces(work)
                sharing = Sharing(self._machine, self._adapters_of(layer))
                shared = sharing.best(layer, work.tokens, alone, units)
                if shared is not None:
                    return LinearDecision(replace(shared, from_dram=outside), digital)
        homes = self._homes.of.get(work.name, ())
        way = self._alone(work, bool(homes))
        kept = way.room_bytes if homes else 0
        decision = replace(way.decision, homes=homes, from_dram=outside, kept_bytes=kept)
        return LinearDecision(decision, digital)

    def _digital(self, work: FlowOp) -> DigitalDecision:
        """Return how clusters share a layer: by columns of its output.

        Raises:
            CapacityError: A cluster has not the room.
            UnsupportedError: The product is asked of a part that is not there.
        """
        cluster, op, rows = self._need_cluster(work), work.op, self._batches(work).full
        assert isinstance(op, Linear)
        if self._machine.network_on_chip is not None:
            raise UnsupportedError(
                f"{work.name} is given to clusters, which is modelled over a link; "
                "network_on_chip: null would do"
            )
        on_engine = cluster.matrix_engine is not None and cluster.precision == "fp16"
        there = cluster.count if on_engine else cluster.total
        most = there if self._options.split else 1
        pieces = max(1, min(most, op.out_features // FINEST))
        columns = ceil_div(op.out_features, pieces)
        program = ProductWork(rows, op.in_features, columns, on_engine)
        size = op.weights * cluster.element_bytes * program.passes(cluster)
        outside = work.name in self.memory.weights_outside
        return DigitalDecision(program, pieces, size, outside, program.tcdm_bytes(cluster))

    def _alone(self, work: FlowOp, stays: bool) -> Adapter:
        """Return how a layer is adapted where its clusters share a batch by rows at most."""
        batches = self._batches(work)
        split = self._units_for_pieces(work) if self._options.split else 1
        pieces = max(1, min(split, batches.full // FINEST))
        layer = self._structure.layers[work.name]
        return self._adapters_of(layer).alone(layer, batches, pieces, stays)

    def _adapters_of(self, layer: PlacedLayer) -> NetworkAdapters:
        return self._adapters(layer.sort, layer.cluster_sort)

    def _adapters(self, tile: str, cluster: str) -> NetworkAdapters:
        """Return the adapters of the layers on a kind of tiles, on a kind of clusters."""
        if (tile, cluster) not in self._known_adapters:
            machine, structure = self._machine.seen(tile, cluster), self._structure
            several = self._machine.several
            own = {op.shared or op.name for op in self._on_clusters(cluster)} if several else None
            self._known_adapters[tile, cluster] = NetworkAdapters(
                structure.network, machine, self._options.adapters, own
            )
        return self._known_adapters[tile, cluster]

    def _on_clusters(self, sort: str) -> list[Linear]:
        """Return the adapted layers of a kind of clusters."""
        placed = self._structure.placed
        return [own.op for own in placed if own.adapter and own.cluster_sort == sort]

    @cached_property
    def _told_apart(self) -> bool:
        """Whether clusters are told apart for the adapters that they may keep."""
        options = self._options
        several = options.batch is not None and self._structure.adapted
        return several and options.adapters.homes and not options.adapters.resident

    @cached_property
    def _homes(self) -> AdapterHomes:
        """Where the adapters stay, of layers that have several batches."""
        if not self._told_apart:
            return AdapterHomes()
        adapted = [
            work
            for work in self._structure.works
            if self._structure.rank(work.name) and self._batches(work).count > 1
        ]
        if not adapted:
            return AdapterHomes()
        structure = self._structure
        of_kind: dict[int, Adapter] = {}
        ways = {}
        for work in adapted:
            kind = structure.kinds[structure.place[work.name]]
            if kind not in of_kind:
                of_kind[kind] = self._alone(work, True)
            ways[work.name] = of_kind[kind]
        found = AdapterHomes()
        for sort, _ in structure.machine.cluster_sorts:
            own = [work for work in adapted if structure.layers[work.name].cluster_sort == sort]
            if own:
                cluster, first = self._need_cluster(own[0]), structure.home_of(sort)
                each = {work.name: ways[work.name] for work in own}
                found.add(AdapterHomes.find(own, cluster, structure.chips, each), first)
        return found

    def _home_notes(self) -> tuple[str, ...]:
        """Return how often A and B are fetched, if there are adapters."""
        count = len(self._structure.network.adapted_layers)
        if self._options.adapters.resident and count:
            return (f"A and B of all {count} adapters stay in every cluster",)
        return home_notes(self._homes, count)

    # --- sums, norms, activations ---------------------------------------------------------------

    def _is_in_periphery(self, work: FlowOp) -> bool:
        """Return whether a sum is added at a tile, as asked for or as that is shorter."""
        where, cluster = self._options.where.add, self._machine.cluster
        structure = self._structure
        maker = structure.from_tiles[work.name]
        sort = structure.layers[maker or structure.first_layer(structure.chips[work.name])].sort
        if not structure.machine.on_tiles(sort).adds_at_tiles or where == "cores":
            return False
        if where == "periphery" or cluster is None:
            return True
        local = maker is not None
        rows, width = self._batches(work).full, work.op.out_features
        each = self._machine.tile_of(sort).periphery.residual_ps(1, width, local)
        on_cores = Piece.of(work.op, rows, width).time_ps(cluster)
        return bool(max(1, len(work.op.inputs) - 1) * each * rows <= on_cores)

    def _pieces(self, work: FlowOp) -> PiecesDecision:
        """Share an op out: norms by rows, all others by columns."""
        cluster = self._need_cluster(work)
        rows, width = self._batches(work).full, work.op.out_features
        by_rows = isinstance(work.op, Norm | Select)
        units = self._units_for_pieces(work) if self._options.split else 1
        size = rows if by_rows else width
        pieces = max(1, min(units, size // FINEST))
        shape = (ceil_div(rows, pieces), width) if by_rows else (rows, ceil_div(width, pieces))
        piece = Piece.of(work.op, *shape)
        _, part_rows, part_columns = piece.parts(cluster, work.name)
        need = piece.tcdm_bytes(cluster, part_rows, part_columns)
        return PiecesDecision(pieces, by_rows, piece.cost_from(cluster), need)

    def _units_for_pieces(self, work: FlowOp) -> int:
        """Return over how many clusters an op is split: those without an engine, if any."""
        cluster = self._need_cluster(work)
        return cluster.plain_count or cluster.count

    # --- attention ------------------------------------------------------------------------------

    def attention(self, work: FlowOp) -> AttentionDecision:
        """Return how an attention is shared out by heads, and where it finds its operands."""
        cluster = self._need_cluster(work)
        on_engine = self._is_on_engine(work)
        if on_engine and cluster.precision != "fp16":
            raise UnsupportedError(
                f"attention on the matrix engine is computed in fp16, not {cluster.precision}; "
                "choose cluster.precision=fp16, or cluster.matrix_engine=null"
            )
        heads = self.heads(work, on_engine)
        known = {each: self._program(work, each, on_engine) for each in dict.fromkeys(heads)}
        return AttentionDecision(
            programs=tuple(known[each] for each in heads),
            on_engine=on_engine,
            kept_bytes=self._kept_bytes(work),
            from_dram=self.memory.outside.get(work.name, 0),
            after=self.memory.after.get(work.name),
            cost_from="model" if cluster.kernel_costs is None else "kernel_costs",
            tcdm_bytes=max(program.run(cluster).tcdm_bytes for program in known.values()),
        )

    def _is_on_engine(self, work: FlowOp) -> bool:
        """Return whether the engine multiplies, as asked for or as that is shorter."""
        where, cluster = self._options.where.attention, self._need_cluster(work)
        if cluster.matrix_engine is None or where == "cores":
            return False
        if where == "matrix_engine":
            return True
        engine, cores = (
            max(
                self._program(work, heads, on).run(cluster).duration_ps
                for heads in self.heads(work, on)
            )
            for on in (True, False)
        )
        return engine <= cores

    def heads(self, work: FlowOp, on_engine: bool) -> list[int]:
        """Return the heads of each cluster that shares an attention."""
        assert isinstance(work.op, Attention)
        cluster = self._need_cluster(work)
        heads = work.op.heads * self._structure.of.sequences
        units = cluster.count if on_engine else cluster.total
        nodes = min(units, heads) if self._options.split else 1
        return [heads // nodes + (node < heads % nodes) for node in range(nodes)]

    def program(self, work: FlowOp, heads: int, on_engine: bool) -> AttentionProgram:
        """Return how a cluster computes some heads, but for how their queries are cut."""
        assert isinstance(work.op, Attention)
        options = self._options
        program = AttentionProgram(
            self._need_cluster(work),
            work.tokens // self._structure.of.sequences,
            work.keys,
            work.op.head_dim,
            heads,
            options.attention,
            options.keys_values,
            on_engine,
            options.warp,
        )
        fitting = program.in_warps() if options.flash else program.fitting()
        if fitting.form != program.form and not options.flash:
            self._too_long.add(work.keys)
        return fitting

    def _program(self, work: FlowOp, heads: int, on_engine: bool) -> AttentionShape:
        """Return how a cluster computes some heads of an attention."""
        fitting = self.program(work, heads, on_engine)
        batch, queries = self._options.batch, self._options.queries
        if batch is not None:
            return AttentionShape.of(fitting, min(batch, fitting.tokens), queries)
        if queries is None and fitting.form != "sequential":
            queries = attend(fitting, None).rows  # the fastest number is found here, once
        return AttentionShape.of(fitting, None, queries)

    def _kept_bytes(self, work: FlowOp) -> int:
        """Return the size of kept keys and values that cross the link; 0 if none are charged."""
        assert isinstance(work.op, Attention)
        sequences = self._structure.of.sequences
        kept = work.keys - work.tokens // sequences
        if not self._options.move_kept or kept <= 0 or not self._structure.of.past:
            return 0
        return self._machine.bytes_of(kept * work.op.kept_features * sequences)

    def _long_notes(self) -> list[str]:
        """Return what was done about attentions over too many keys."""
        form = self._options.attention
        return [
            f"attention over {keys} keys does not fit a cluster in the {form} form: it goes over "
            "warps of keys, the flash form"
            for keys in sorted(self._too_long)
        ]

    # --- all ------------------------------------------------------------------------------------

    def _batches(self, work: FlowOp) -> Batches:
        return Batches.of_work(work, self._options.batch)

    def _need_cluster(self, work: FlowOp) -> Cluster:
        """Return the clusters that compute a work: of an adapted layer those of its kind.

        Raises:
            CapacityError: There are none.
        """
        layer = self._structure.layers.get(work.name)
        cluster = self._machine.cluster_of(layer.cluster_sort if layer else "")
        if cluster is None:
            raise CapacityError(
                f"{self._machine.name} has no cluster for {work.name}; add a cluster to the "
                f"machine, or declare the op free (free_ops: [{work.op.kind}])"
            )
        return cluster
