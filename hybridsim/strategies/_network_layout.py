"""A whole network laid out as tasks: the one builder behind all strategies for networks.

For each op and chunk of tokens: what it reads crosses the link once per producer and chunk, shared
by all readers; then the op holds its tiles, its periphery or a cluster. Blocks that are alike are
laid out once and stamped. The rules are HARP's (IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from hybridsim.plan import Loop, Need, PlanBuilder, Step, Within
from hybridsim.programs.attention import Attention as AttentionProgram
from hybridsim.programs.attention import AttentionRun, AttentionWork, Form, KeysValues
from hybridsim.programs.pieces import Piece, PieceWork
from hybridsim.strategies._dataflow import Dataflow, FlowOp
from hybridsim.strategies._network_adapters import (
    AdapterOptions,
    AdapterTimes,
    NetworkAdapters,
    SharedTimes,
)
from hybridsim.strategies._network_homes import Homes
from hybridsim.strategies._network_memory import OnChip
from hybridsim.strategies._network_output import Needs, Output
from hybridsim.strategies._network_parts import Parts
from hybridsim.strategies._network_stamp import Stamp
from hybridsim.strategies._network_ways import Moved, Place, Ways, fetch, once, per_chunk
from hybridsim.strategies._network_where import Where
from hybridsim.strategies.job import Job, LayerDecision, OpDecision, Schedule
from hybridsim.units import Ints, ceil_div, format_bytes
from hybridsim.work import Work, mvm
from hybridsim.workload import Add, Attention, Embedding, Input, Linear, Norm

TRANSFERS = ("move", "move y", "move u", "load a b")
"""Actions that bring operands over the link."""
BETWEEN_CHIPS = ("hop",)
"""Actions that bring operands from one chip to the next."""

_FINEST = 8
"""No piece of a norm has fewer rows, no piece of another op fewer columns. Source: HARP."""


@dataclass(frozen=True)
class LayoutOptions:
    """What the strategies for networks leave open."""

    chunk: int | None
    """Tokens of a chunk; None takes all of them as one."""
    where: Where
    """On which part each kind of op is computed."""
    split: bool
    """Whether digital ops are split over clusters."""
    attention: Form
    keys_values: KeysValues
    queries: int | None
    """Queries that a cluster works on at a time where there are no chunks; the best if None."""
    flash: bool
    """Whether attention goes over warps of keys even where it need not."""
    warp: int | None
    """Keys that the flash form takes at a time; as many as fit if None."""
    barrier: bool
    """Whether a block waits for the last chunk of the block before."""
    adapters: AdapterOptions
    move_kept: bool = False
    """Whether kept keys and values cross the link on their way from the SRAM."""
    by_capacity: bool = False
    """Whether adapters that the SRAM cannot hold come from the DRAM."""


class NetworkLayout:
    """A plan under construction for one job and one choice of options."""

    def __init__(self, job: Job, flow: Dataflow, options: LayoutOptions) -> None:
        self._job, self._flow, self._options = job, flow, options
        self._machine = job.machine
        adapters = options.adapters
        keeps = adapters.homes and not adapters.resident and options.chunk is not None
        self.parts = Parts(job, keeps and bool(job.mapping.network.adapted_layers))
        self.together = self.parts.together(flow.works)
        self.ways = Ways(job, self.parts, flow.works)
        self.memory = OnChip.of(job, flow.works, self.ways.chips, options.by_capacity)
        self.builder = PlanBuilder(self.parts.resources)
        self.outputs: dict[str, Output] = {}
        self.places: dict[str, Place] = {}
        self.moved: dict[tuple[str, int, Place], Need] = {}
        self.layers: dict[str, LayerDecision] = {}
        self.ops: dict[str, OpDecision] = {}
        self._durations: dict[object, int] = {}
        self._pending: list[tuple[str, int, Place, int]] = []
        self._too_long: set[int] = set()
        self._adapters = NetworkAdapters(job, adapters)
        self._homes = self._find_homes() if self.parts.homes else Homes()

    def schedule(self) -> Schedule:
        """Return the plan of the whole network, and what was decided for each op."""
        works = self._flow.works
        stamp = Stamp.find(self, works)
        if stamp is None:
            self.add_all(works)
        else:
            stamp.lay_out()
        placed = self._job.mapping.layers
        carried = {
            name: group.members[0]
            for name, group in self.together.items()
            if name != group.members[0]
        }
        return Schedule(
            self.builder.build(),
            tuple(self.layers[layer.name] for layer in placed if layer.name in self.works),
            notes=(
                *self.memory.notes,
                *self._long_notes(),
                *self._home_notes(),
                *self._share_notes(),
            ),
            ops=tuple(self.ops[work.name] for work in works if work.name in self.ops),
            carried_by=carried,
            free=self._flow.free,
            kept_bytes=self._adapters.kept_bytes,
            passages=self.ways.passages,
        )

    def _long_notes(self) -> list[str]:
        """Return what was done about attentions over too many keys."""
        form = self._options.attention
        return [
            f"attention over {keys} keys does not fit a cluster in the {form} form: it goes over "
            "warps of keys, the flash form"
            for keys in sorted(self._too_long)
        ]

    # --- ops --------------------------------------------------------------------------------

    def add_all(self, works: Iterable[FlowOp]) -> None:
        for work in works:
            self._add(work)

    def _add(self, work: FlowOp) -> None:
        """Append the tasks of one op."""
        op = work.op
        if isinstance(op, Linear):
            self._linear(work)
        elif isinstance(op, (Embedding, Input)):
            self._embedding(work)
        elif isinstance(op, Attention):
            self._attention(work)
        elif isinstance(op, Add) and self._is_in_periphery(work):
            self._residual(work)
        else:
            self._pieces(work)

    def _is_in_periphery(self, work: FlowOp) -> bool:
        """Return whether a sum is added at a tile, as asked for or as that is shorter."""
        where = self._options.where.add
        if not self.parts.peripheries or where == "cores":
            return False
        if where == "periphery" or self._machine.cluster is None:
            return True
        local = self.local_operand(work) is not None
        rows, width = int(self._rows(work.tokens)[0]), work.op.out_features
        each = self._machine.tile.periphery.residual_ps(1, width, local)
        return max(1, len(work.op.inputs) - 1) * each * rows <= self._piece_ps(work, rows, width)

    def _embedding(self, work: FlowOp) -> None:
        """Fetch the rows of a table, one per token, or the output of an encoder from the DRAM."""
        assert self._machine.memory is not None
        assert self._machine.memory.dram is not None
        width = work.op.out_features
        size = ceil_div(work.tokens * width * self._machine.activation_bits, 8)
        chip = self.ways.chips[work.name]
        uses = (self.parts.chips[chip].dram,)
        loop = self.builder.repeat(work.name, [Step(fetch("fetch", size), uses)], 1)
        self.outputs[work.name] = Output(loop.first, 0, 1, 1, width)
        self.places[work.name] = self.ways.of_memory(chip)
        self._decide(work, "dram", 1, "model")

    def _linear(self, work: FlowOp) -> None:
        """Let the tiles integrate chunk after chunk, siblings at once; then adapt."""
        group = self.together[work.name]
        if work.name == group.members[0]:
            steps, needs = self._operands(work, work.sources, self.ways.of_tiles(work.name))
            ops = [self.parts.layers[name].op for name in group.members]
            shapes = tuple((op.in_features, op.out_features) for op in ops)
            works = per_chunk(self._rows(work.tokens), lambda rows: mvm(shapes, rows))
            steps.append(Step(works, group.tiles, (*needs, Within(len(steps), back=1))))
            loop = self._repeat(work, steps)
            for op in ops:
                self.outputs[op.name] = self._output(loop, 1, op.out_features)
                self.places[op.name] = self.ways.of_tiles(op.name)
        layer = self.parts.layers[work.name]
        if layer.adapter is None:
            self.layers[work.name] = LayerDecision(layer, int(self._rows(work.tokens)[0]))
            return
        self._adapted(work)

    def _adapted(self, work: FlowOp) -> None:
        """Fetch Y and the adapter, and adapt each chunk on a cluster."""
        shared = self._sharing(work)
        if shared is not None:
            self._adapted_together(work, shared)
            return
        layer, rows = self.parts.layers[work.name], self._rows(work.tokens)
        times, pieces = self._adapter_times(work, work.name in self._homes.of)
        output = self.outputs[work.name]
        # X came for the MVM; on the way to the tile it passes the clusters
        carrier = self.together[work.name].members[0]
        fetch, x = self._operands(work, work.sources, self.ways.of_tiles(carrier))
        assert not fetch
        here = self.ways.of_clusters(work, pieces)
        steps = self._load_adapter(work, times.load_bits, times.weight_bytes, here, x)
        weights: Needs = [Within(len(steps) - 1)] if steps else []
        own = self.parts.chips[here.chip].homes
        homes: list[tuple[int, ...]] = [(own[k],) for k in self._homes.of.get(work.name, ())]
        if steps and homes:
            weights = [Need(self.builder.repeat(work.name, steps, 1).task(len(steps) - 1, 0))]
            steps = []
        homes = homes or [()] * pieces
        way = (self.places[work.name], here)
        moved = self._bytes_of(output.width, rows, tell=True)
        steps += self.ways.steps("move y", way, moved, output.ready(output.count), len(steps))
        y = len(steps) - 1
        chip = here.chip
        engine = times.on_engine
        uses = self.parts.with_engine(chip) if engine else self.parts.any_cluster(chip)
        if self._options.adapters.early:
            xa = len(steps)
            needs = (*x, *weights)
            steps += [Step(times.first, (*uses, *home), needs) for home in homes]
            products = [Within(xa + piece) for piece in range(pieces)]
        else:
            products = []
        for piece, home in enumerate(homes):
            read = [products[piece]] if products else [*x, *weights]
            works = times.second if products else times.whole
            steps.append(Step(works, (*uses, *home), (*read, Within(y))))
        loop = self._repeat(work, steps)
        self.outputs[work.name] = self._output(
            loop, pieces, output.width, "rows" if pieces > 1 else ""
        )
        self.places[work.name] = here
        at_home = len(self._homes.of.get(work.name, ()))
        self.layers[work.name] = LayerDecision(
            layer,
            times.batch,
            times.choice,
            1,
            times.tcdm_bytes,
            kept_bytes=times.kept_bytes if at_home else 0,
            homes=at_home,
            program=times.program,
        )

    def _adapted_together(self, work: FlowOp, times: SharedTimes) -> None:
        """Let several clusters adapt the same tokens: by ranks, then by outputs."""
        parts, tokens, output = times.parts, work.tokens, self.outputs[work.name]
        carrier = self.together[work.name].members[0]
        fetch, x = self._operands(work, work.sources, self.ways.of_tiles(carrier))
        assert not fetch
        here = self.ways.of_clusters(work, parts)
        steps, loads = self._load_parts(work, times, here, x)
        uses = (self.parts.with_engine if times.on_engine else self.parts.any_cluster)(here.chip)
        made = len(steps)
        for part in range(parts):
            needs = (*x, loads[part]) if loads else tuple(x)
            steps.append(Step(times.first, uses, needs))
        products = [Within(made + part) for part in range(parts)]
        cluster = self.parts.need_cluster(work)
        rank = times.programs[1].rank
        bits = 8 * cluster.element_bytes * rank * tokens
        moved = once(ceil_div(bits, 8), tokens)
        steps += self.ways.steps("move u", (here, here), moved, products, len(steps))
        u = len(steps) - 1
        way = (self.places[work.name], here)
        moved = self._bytes_of(output.width, self._rows(tokens), tell=True)
        steps += self.ways.steps("move y", way, moved, output.ready(output.count), len(steps))
        last = (Within(u), Within(len(steps) - 1))
        steps += [Step(times.second, uses, last)] * parts
        loop = self._repeat(work, steps)
        self.outputs[work.name] = self._output(loop, parts, output.width, "columns")
        self.places[work.name] = here
        self.layers[work.name] = LayerDecision(
            self.parts.layers[work.name],
            tokens,
            times.choice,
            1,
            times.tcdm_bytes,
            shared=times.programs,
        )

    def _load_parts(
        self, work: FlowOp, times: SharedTimes, here: Place, x: Needs
    ) -> tuple[list[Step], list[Within]]:
        """Return the transfers that bring each cluster its parts of A and B, and their ends."""
        steps = self._load_adapter(work, times.load_bits * times.parts, 0, here, x)
        if not steps:
            return [], []
        before = steps[:-1]
        needs = (Within(0),) if before else tuple(x)
        memory, nodes = self.ways.of_memory(here.chip), here.nodes
        found = list(before)
        for part in range(times.parts):
            own = Place(here.chip, (nodes[part % len(nodes)],)) if nodes else here
            moved = once(ceil_div(times.load_bits, 8), told=times.load_bits // 8)
            found += self.ways.steps("load a b", (memory, own), moved, needs, len(found))
        return found, [Within(len(before) + part) for part in range(times.parts)]

    def _sharing(self, work: FlowOp) -> SharedTimes | None:
        """Return how clusters share an adapter, or None if one cluster is as fast.

        The layer is taken by itself: transfers of A and B side by side as far as there are links,
        one after the other on a network on chip.
        """
        adapters, layer = self._options.adapters, self.parts.layers[work.name]
        if not adapters.share or not self._options.split or self._count(work.tokens) > 1:
            return None
        alone, pieces = self._adapter_times(work, False)
        if pieces > 1:
            return None
        link = self._machine.link
        lanes = 1 if self._machine.network_on_chip else link.count

        def fetched(bits: int, parts: int) -> int:
            each = int(link.transfer_ps(ceil_div(bits, 8))) if bits else 0
            return each * ceil_div(parts, lanes)

        least, best = fetched(alone.load_bits, 1) + int(alone.whole_ps[0]), None
        for parts in self._shares(work):
            times = self._adapters.shared(layer, work.tokens, parts)
            if times is None:
                continue
            u = times.programs[1].rank * work.tokens * self.parts.need_cluster(work).element_bytes
            taken = times.time_ps + int(link.transfer_ps(u))
            taken += fetched(times.load_bits, parts)
            if taken < least:
                least, best = taken, times
        return best

    def _shares(self, work: FlowOp) -> Iterable[int]:
        """Return how many clusters may share an adapter: 2, 4, 8, ..."""
        layer = self.parts.layers[work.name]
        assert layer.adapter is not None
        most = min(self._units_for_pieces(work), layer.adapter.rank, layer.op.out_features)
        return (1 << power for power in range(1, most.bit_length()))

    def _adapter_times(self, work: FlowOp, stays: bool) -> tuple[AdapterTimes, int]:
        """Return what an adapter costs, and how many clusters share a chunk by rows."""
        layer, rows = self.parts.layers[work.name], self._rows(work.tokens)
        split = self._units_for_pieces(work) if self._options.split else 1
        pieces = max(1, min(split, int(rows[0]) // _FINEST))
        return self._adapters.times(layer, rows, pieces, stays), pieces

    def _find_homes(self) -> Homes:
        """Return where the adapters stay, of layers that have several chunks."""
        adapted = [
            work
            for work in self._flow.works
            if work.name in self.parts.layers
            and self.parts.layers[work.name].adapter is not None
            and self._count(work.tokens) > 1
        ]
        if not adapted:
            return Homes()
        cluster = self.parts.need_cluster(adapted[0])
        return Homes.find(
            adapted, cluster, self.ways.chips, lambda work: self._adapter_times(work, True)
        )

    def _home_notes(self) -> list[str]:
        """Return how often A and B are fetched, if there are adapters."""
        count, there = len(self._job.mapping.network.adapted_layers), len(self._homes.of)
        if self._options.adapters.resident and count:
            return [f"A and B of all {count} adapters stay in every cluster"]
        if not there:
            return []
        most = format_bytes(self._homes.most_bytes)
        rest = f"; of {count - there} for every chunk" if there < count else ""
        return [
            f"A and B of {there} adapters are fetched once and stay for all chunks, with buffers "
            f"in {most} of a cluster at most{rest}"
        ]

    def _share_notes(self) -> list[str]:
        """Return how many adapters are shared by clusters."""
        parts = [
            ceil_div(decided.layer.op.out_features, decided.shared[1].out_features)
            for decided in self.layers.values()
            if decided.shared is not None
        ]
        if not parts:
            return []
        few, most = min(parts), max(parts)
        each = f"{few}" if few == most else f"{few} to {most}"
        return [f"{len(parts)} adapters of few tokens are shared by {each} clusters each"]

    def _load_adapter(
        self, work: FlowOp, bits: int, told: int, here: Place, x: Needs
    ) -> list[Step]:
        """Return the transfers that bring A and B to the clusters."""
        if not bits:
            return []
        steps, needs = [], tuple(x)
        if work.name in self.memory.adapters_outside:
            uses = (self.parts.chips[here.chip].dram,)
            steps.append(Step(fetch("fetch a b", ceil_div(bits, 8)), uses, needs))
            needs = (Within(0),)
        way = (self.ways.of_memory(here.chip), here)
        moved = once(ceil_div(bits, 8), told=told)
        return [*steps, *self.ways.steps("load a b", way, moved, needs, len(steps))]

    def _residual(self, work: FlowOp) -> None:
        """Add in the periphery of the tile that makes the last of the operands.

        An operand that an adapter has changed comes from outside like the others.
        """
        local = self.local_operand(work)
        others = [name for name in work.sources if name != local]
        first = next(
            (
                layer.name
                for layer in self._job.mapping.layers
                if layer.chip == self.ways.chips[work.name]
            ),
            self._job.mapping.layers[0].name,
        )
        here = self.ways.of_tiles(local or first)
        steps, needs = self._operands(work, others, here)
        if local is None:
            uses = self.parts.peripheries[first][:1]
        else:
            uses = self.parts.peripheries[local]
            needs += self.outputs[local].ready(self._count(work.tokens))
        sums = max(1, len(work.op.inputs) - 1)
        shape = (sums, work.op.out_features, local is not None)
        works = per_chunk(
            self._rows(work.tokens),
            lambda rows: Work("periphery", "add", "add", (*shape, rows), rows),
        )
        steps.append(Step(works, uses, (*needs, Within(len(steps), back=1))))
        loop = self._repeat(work, steps)
        self.outputs[work.name] = self._output(loop, 1, work.op.out_features)
        self.places[work.name] = here
        self._decide(work, "periphery", 1, "model")

    def local_operand(self, work: FlowOp) -> str | None:
        """Return the last operand that comes right from its tiles."""
        on_tiles = [
            name
            for name in work.sources
            if name in self.together and self.parts.layers[name].adapter is None
        ]
        return max(on_tiles, key=self.place.__getitem__, default=None)

    def _attention(self, work: FlowOp) -> None:
        """Bring Q, K and V over the link whole, then compute head by head on clusters.

        In chunks each operand is moved when its own last chunk is there; otherwise when all are.
        """
        everything = [need for name in work.sources for need in self.outputs[name].last()]
        operands: Needs = []
        on_engine = self.is_on_engine(work)
        if on_engine:
            self.parts.check_units()
        heads = self.heads(work, on_engine)
        here = self.ways.of_clusters(work, len(heads))
        for name in work.sources:
            output = self.outputs[name]
            needs = everything if self._options.chunk is None else output.last()
            tokens = self.works[name].tokens
            bits = output.width * tokens * self._machine.activation_bits
            way = (self.place_of(name), here)
            steps = self.ways.steps("move", way, once(ceil_div(bits, 8), tokens), needs, 0)
            operands.append(Need(self.builder.repeat(work.name, steps, 1).task(len(steps) - 1, 0)))
        operands += self._kept(work, here) + self._from_dram(work, everything)
        runs = [self.attend(work, each, on_engine) for each in heads]
        chip = here.chip
        uses = self.parts.with_engine(chip) if on_engine else self.parts.any_cluster(chip)
        steps = [
            Step(self.attending(work, each, on_engine), uses, (*operands, Within(index, back=1)))
            for index, each in enumerate(heads)
        ]
        loop = self.builder.repeat(work.name, steps, len(runs[0].ready_ps))
        cut: Literal["", "columns"] = "columns" if len(runs) > 1 else ""
        self.outputs[work.name] = self._output(loop, len(runs), work.op.out_features, cut)
        self.places[work.name] = here
        known = self.parts.need_cluster(work).kernel_costs is not None
        source = "kernel_costs" if known else "model"
        self._decide(work, "cluster", len(runs), source, runs=runs)

    def _kept(self, work: FlowOp, here: Place) -> Needs:
        """Bring kept keys and values from the SRAM to the clusters, where that is charged."""
        bits = self.kept_bits(work)
        if not bits:
            return []
        way = (self.ways.of_memory(here.chip), here)
        steps = self.ways.steps("move kv", way, once(ceil_div(bits, 8)), (), 0)
        return [Need(self.builder.repeat(work.name, steps, 1).task(len(steps) - 1, 0))]

    def place_of(self, name: str) -> Place:
        """Return where the output of an op is; blocks that are stamped have one place each."""
        return self.places.get(name, Place())

    def kept_bits(self, work: FlowOp) -> int:
        """Return the bits of kept keys and values that cross the link; 0 if none are charged."""
        assert isinstance(work.op, Attention)
        sequences = self._job.sequences
        kept = work.keys - work.tokens // sequences
        if not self._options.move_kept or kept <= 0 or not self._job.past:
            return 0
        elements = 2 * kept * work.op.kv_heads * work.op.head_dim * sequences
        return elements * self._machine.activation_bits

    def _from_dram(self, work: FlowOp, operands: Needs) -> Needs:
        """Bring what an attention reads and the SRAM does not hold.

        Kept keys and values come once the attention whose place they take is done; activations
        that do not fit go out and come back once they are made.
        """
        size = self.memory.outside.get(work.name, 0)
        if not size:
            return []
        if self.memory.past:
            before = self.memory.after.get(work.name)
            needs = self.outputs[before].last() if before else []
        else:
            needs = operands
        label = "load kv" if self.memory.past else "spill"
        uses = (self.parts.chips[self.ways.chips[work.name]].dram,)
        step = Step(fetch(label, size), uses, tuple(needs))
        return [Need(self.builder.repeat(work.name, [step], 1).first)]

    def is_on_engine(self, work: FlowOp) -> bool:
        """Return whether the engine multiplies, as asked for or as that is shorter."""
        where, cluster = self._options.where.attention, self.parts.need_cluster(work)
        if cluster.matrix_engine is None or where == "cores":
            return False
        if where == "matrix_engine":
            return True
        engine, cores = (
            max(self.attend(work, heads, on).duration_ps for heads in self.heads(work, on))
            for on in (True, False)
        )
        return engine <= cores

    def heads(self, work: FlowOp, on_engine: bool) -> list[int]:
        """Return the heads of each cluster that shares an attention."""
        assert isinstance(work.op, Attention)
        cluster = self.parts.need_cluster(work)
        heads = work.op.heads * self._job.sequences
        units = cluster.count if on_engine else cluster.total
        nodes = min(units, heads) if self._options.split else 1
        return [heads // nodes + (node < heads % nodes) for node in range(nodes)]

    def attend(self, work: FlowOp, heads: int, on_engine: bool) -> AttentionRun:
        """Return what some heads of an attention take on a cluster."""
        program = self.attention(work, heads, on_engine)
        return program.run(*self._cut(program))

    def attention(self, work: FlowOp, heads: int, on_engine: bool) -> AttentionProgram:
        """Return how a cluster computes some heads of an attention."""
        assert isinstance(work.op, Attention)
        cluster = self.parts.need_cluster(work)
        program = AttentionProgram(
            cluster,
            work.tokens // self._job.sequences,
            work.keys,
            work.op.head_dim,
            heads,
            self._options.attention,
            self._options.keys_values,
            on_engine,
            self._options.warp,
        )
        options = self._options
        fitting = program.in_warps() if options.flash else program.fitting()
        if fitting.form != program.form and not options.flash:
            self._too_long.add(work.keys)
        return fitting

    def _cut(self, program: AttentionProgram) -> tuple[int | None, int | None]:
        """Return the queries of a chunk, and how many of them are worked on at a time."""
        chunk = self._options.chunk
        return None if chunk is None else min(chunk, program.tokens), self._options.queries

    def attending(self, work: FlowOp, heads: int, on_engine: bool) -> tuple[Work, ...]:
        """Return the works of some heads of an attention, chunk after chunk."""
        program = self.attention(work, heads, on_engine)
        chunk, queries = self._cut(program)
        count = 1 if chunk is None else ceil_div(program.tokens, chunk)
        rows = self._rows(program.tokens)
        shape = program.shape
        return tuple(
            Work(
                "cluster", "program", "attend",
                (AttentionWork(shape, chunk, queries, number),), int(rows[number]),
            )
            for number in range(count)
        )  # fmt: skip

    def _pieces(self, work: FlowOp) -> None:
        """Compute a norm, an activation or a sum on clusters, each a piece of every chunk.

        Norms are cut by rows, all others by columns.
        """
        cluster = self.parts.need_cluster(work)
        rows, width = self._rows(work.tokens), work.op.out_features
        by_rows = isinstance(work.op, Norm)
        units = self._units_for_pieces(work) if self._options.split else 1
        size = int(rows[0]) if by_rows else width
        pieces = max(1, min(units, size // _FINEST))
        first = int(rows[0])
        shape = (ceil_div(first, pieces), width) if by_rows else (first, ceil_div(width, pieces))
        here = self.ways.of_clusters(work, pieces)
        steps, needs = self._operands(work, work.sources, here)
        uses = self.parts.any_cluster(here.chip)

        def part(rows: int) -> Work:
            shape = (ceil_div(rows, pieces), width) if by_rows else (rows, ceil_div(width, pieces))
            own = PieceWork.of(work.op, *shape)
            return Work("cluster", "program", work.op.kind, (own,), rows)

        steps += [Step(per_chunk(rows, part), uses, tuple(needs))] * pieces
        loop = self._repeat(work, steps)
        cut: Literal["", "rows", "columns"] = "rows" if by_rows else "columns"
        self.outputs[work.name] = self._output(loop, pieces, width, cut if pieces > 1 else "")
        self.places[work.name] = here
        piece = Piece(cluster, work.op, *shape)
        _, part_rows, part_columns = piece.parts()
        need = piece.tcdm_bytes(part_rows, part_columns)
        self._decide(work, "cluster", pieces, piece.cost_from, need)

    def _piece_ps(self, work: FlowOp, rows: int, columns: int) -> int:
        key = (work.op.kind, getattr(work.op, "function", len(work.op.inputs)), rows, columns)
        if key not in self._durations:
            cluster = self.parts.need_cluster(work)
            self._durations[key] = Piece(cluster, work.op, rows, columns).duration_ps()
        return self._durations[key]

    def _units_for_pieces(self, work: FlowOp) -> int:
        """Return over how many clusters an op is split: those without an engine, if any."""
        cluster = self.parts.need_cluster(work)
        return cluster.plain_count or cluster.count

    # --- operands and outputs ---------------------------------------------------------------

    def _operands(
        self, work: FlowOp, sources: Sequence[str], here: Place
    ) -> tuple[list[Step], Needs]:
        """Return the transfers that bring chunk i of ``sources``, and what of them to wait for.

        What an earlier reader at the same place has fetched is there. With a barrier, nothing of
        the block before is moved before its last chunk is done.
        """
        count, rows = self._count(work.tokens), self._rows(work.tokens)
        steps: list[Step] = []
        needs: Needs = []
        self._pending = []
        for name in sources:
            # on a link what was moved is there for everyone on the chip
            if (name, count, here) in self.moved:
                needs.append(self.moved[name, count, here])
                continue
            output = self.outputs[name]
            ready = output.last() if work.last and count < output.count else output.ready(count)
            if self._is_gated(work, name) and count > 1:
                ready += output.last()
            way = (self.place_of(name), here)
            steps += self.ways.steps("move", way, self._moved(output, rows), ready, len(steps))
            self._pending.append((name, count, here, len(steps) - 1))
            needs.append(Within(len(steps) - 1))
        return steps, needs

    def _is_gated(self, work: FlowOp, source: str) -> bool:
        """Return whether a barrier stands between an op and what it reads.

        It stands between blocks alone: not behind the embedding, nor before what follows the
        last block.
        """
        here, there = work.op.block, self.works[source].op.block
        return self._options.barrier and None not in (here, there) and here != there

    def _repeat(self, work: FlowOp, steps: Sequence[Step]) -> Loop:
        """Append the steps of an op once per chunk, and remember what they move."""
        loop = self.builder.repeat(work.name, steps, self._count(work.tokens))
        for name, count, here, step in self._pending:
            self.moved[name, count, here] = Need(loop.first + step, loop.size)
        self._pending = []
        return loop

    def _output(
        self, loop: Loop, pieces: int, width: int, cut: Literal["", "rows", "columns"] = ""
    ) -> Output:
        """Return the output of a loop whose last ``pieces`` steps make it."""
        first = loop.first + loop.size - pieces
        return Output(first, loop.size, loop.count, pieces, width, cut)

    def _moved(self, output: Output, rows: Ints) -> "Moved":
        """Return what moving each chunk of an output brings."""
        width = ceil_div(output.width, output.pieces) if output.cut == "columns" else output.width
        cut = output.pieces if output.cut == "rows" else 1

        def size(each: int) -> int:
            return ceil_div(width * ceil_div(each, cut) * self._machine.activation_bits, 8)

        return Moved(rows, size, output.pieces)

    def _bytes_of(self, width: int, rows: Ints, tell: bool) -> "Moved":
        """Return what moving each chunk of vectors of a width brings."""
        bits = width * self._machine.activation_bits
        return Moved(rows, lambda each: ceil_div(bits * each, 8), tell=tell)

    def _rows(self, tokens: int) -> Ints:
        """Return the rows of each chunk; the last one takes what is left."""
        chunk = self._options.chunk or tokens
        return np.minimum(chunk, tokens - np.arange(0, tokens, chunk, dtype=np.int64))

    def _count(self, tokens: int) -> int:
        return ceil_div(tokens, self._options.chunk or tokens)

    @cached_property
    def works(self) -> dict[str, FlowOp]:
        return {work.name: work for work in self._flow.works}

    @cached_property
    def place(self) -> dict[str, int]:
        return {work.name: place for place, work in enumerate(self._flow.works)}

    def _decide(
        self,
        work: FlowOp,
        where: str,
        pieces: int,
        cost_from: str,
        tcdm_bytes: int = 0,
        runs: Sequence[AttentionRun] = (),
    ) -> None:
        most = max((run.tcdm_bytes for run in runs), default=tcdm_bytes)
        self.ops[work.name] = OpDecision(
            work.op, work.tokens, where, pieces, cost_from, most, tuple(runs)
        )
