"""A whole network laid out as tasks: the one builder behind all strategies for networks.

For each op and chunk of tokens: what it reads crosses the link once per producer and chunk, shared
by all readers; then the op holds its tiles, its periphery or a cluster. Blocks that are alike are
laid out once and stamped. The rules are HARP's (IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from hybridsim.plan import Loop, Need, PlanBuilder, Step, Within
from hybridsim.programs.attention import Attention as AttentionProgram
from hybridsim.programs.attention import AttentionRun, Form, KeysValues
from hybridsim.programs.pieces import Piece
from hybridsim.schedulers._base import Job, LayerSchedule, OpSchedule, Schedule
from hybridsim.schedulers._dataflow import Dataflow, Work
from hybridsim.schedulers._network_adapters import AdapterOptions, NetworkAdapters
from hybridsim.schedulers._network_parts import Parts
from hybridsim.units import IntLike, Ints, ceil_div
from hybridsim.workload import Add, Attention, Embedding, Linear, Norm

TRANSFERS = ("move", "move y", "load a b")
"""Actions that bring operands over the link."""

_FINEST = 8
"""No piece of a norm has fewer rows, no piece of another op fewer columns. Source: HARP."""

Needs = list[Need | Within]


@dataclass(frozen=True)
class LayoutOptions:
    """What the strategies for networks leave open."""

    chunk: int | None
    """Tokens of a chunk; None takes all of them as one."""
    split: bool
    """Whether digital ops are split over clusters."""
    attention: Form
    keys_values: KeysValues
    barrier: bool
    """Whether a block waits for the last chunk of the block before."""
    adapters: AdapterOptions


@dataclass(frozen=True, slots=True)
class _Output:
    """Where the output of an op is: piece p of chunk i is task ``first + p + stride * i``."""

    first: int
    stride: int
    count: int
    pieces: int
    width: int
    """Elements of a token's vector, all pieces together."""
    cut: Literal["", "rows", "columns"] = ""
    """What the pieces of a chunk share out."""

    def later(self, shift: int) -> "_Output":
        """Return the same output of a copy of its tasks, ``shift`` tasks later."""
        first = self.first + shift
        return _Output(first, self.stride, self.count, self.pieces, self.width, self.cut)

    def ready(self, count: int) -> Needs:
        """Return what chunk i of a reader with ``count`` chunks waits for.

        A reader of fewer chunks reads the first token alone; one of more chunks (its tokens are
        one more) waits for all.
        """
        if count == self.count:
            return [Need(self.first + piece, self.stride) for piece in range(self.pieces)]
        if count < self.count:
            return [Need(self.first + piece) for piece in range(self.pieces)]
        return self.last()

    def last(self) -> Needs:
        """Return the pieces of the last chunk."""
        behind = self.first + self.stride * (self.count - 1)
        return [Need(behind + piece) for piece in range(self.pieces)]


class NetworkLayout:
    """A plan under construction for one job and one choice of options."""

    def __init__(self, job: Job, flow: Dataflow, options: LayoutOptions) -> None:
        self._job, self._flow, self._options = job, flow, options
        self._machine = job.machine
        self._parts = Parts(job)
        self._parts.check_sram(job.tokens)
        self._together = self._parts.together(flow.works)
        self._builder = PlanBuilder(self._parts.resources)
        self._outputs: dict[str, _Output] = {}
        self._moved: dict[tuple[str, int], Need] = {}
        self._layers: dict[str, LayerSchedule] = {}
        self._ops: dict[str, OpSchedule] = {}
        self._durations: dict[object, int] = {}
        self._pending: list[tuple[str, int, int]] = []
        self._adapters = NetworkAdapters(job, options.adapters)

    def schedule(self) -> Schedule:
        """Return the plan of the whole network, and what was decided for each op."""
        works = self._flow.works
        stamp = _Stamp.find(self, works)
        if stamp is None:
            self._add_all(works)
        else:
            stamp.lay_out()
        placed = self._job.mapping.layers
        carried = {
            name: group.members[0]
            for name, group in self._together.items()
            if name != group.members[0]
        }
        return Schedule(
            self._builder.build(),
            tuple(self._layers[layer.name] for layer in placed),
            tuple(self._ops[work.name] for work in works if work.name in self._ops),
            carried,
            self._flow.free,
        )

    # --- ops --------------------------------------------------------------------------------

    def _add_all(self, works: Iterable[Work]) -> None:
        for work in works:
            self._add(work)

    def _add(self, work: Work) -> None:
        """Append the tasks of one op."""
        op = work.op
        if isinstance(op, Linear):
            self._linear(work)
        elif isinstance(op, Embedding):
            self._embedding(work)
        elif isinstance(op, Attention):
            self._attention(work)
        elif isinstance(op, Add) and self._parts.peripheries:
            self._residual(work)
        else:
            self._pieces(work)

    def _embedding(self, work: Work) -> None:
        """Fetch the rows of a table, one per token, from the DRAM."""
        assert self._machine.memory is not None
        assert self._machine.memory.dram is not None
        width = work.op.out_features
        size = ceil_div(work.tokens * width * self._machine.activation_bits, 8)
        duration = self._machine.memory.dram.transfer_ps(size)
        loop = self._builder.repeat(work.name, [Step("fetch", (self._parts.dram,), duration)], 1)
        self._outputs[work.name] = _Output(loop.first, 0, 1, 1, width)
        self._decide(work, "dram", 1, "model")

    def _linear(self, work: Work) -> None:
        """Let the tiles integrate chunk after chunk, siblings at once; then adapt."""
        group = self._together[work.name]
        if work.name == group.members[0]:
            steps, needs = self._operands(work, work.sources)
            tile, rows = self._machine.tile, self._rows(work.tokens)
            ops = [self._parts.layers[name].op for name in group.members]
            slowest = max(tile.mvm_ps(op.in_features, op.out_features, 1) for op in ops)
            steps.append(
                Step("mvm", group.tiles, slowest * rows, (*needs, Within(len(steps), back=1)))
            )
            loop = self._repeat(work, steps)
            for op in ops:
                self._outputs[op.name] = self._output(loop, 1, op.out_features)
        layer = self._parts.layers[work.name]
        if layer.adapter is None:
            self._layers[work.name] = LayerSchedule(layer, int(self._rows(work.tokens)[0]))
            return
        self._adapted(work)

    def _adapted(self, work: Work) -> None:
        """Fetch Y and the adapter, and adapt each chunk on a cluster."""
        layer, rows = self._parts.layers[work.name], self._rows(work.tokens)
        split = self._units_for_pieces(work) if self._options.split else 1
        pieces = max(1, min(split, int(rows[0]) // _FINEST))
        times = self._adapters.times(layer, rows, pieces)
        mvm = self._outputs[work.name]
        # X came for the MVM; on the way to the tile it passes the clusters
        fetch, x = self._operands(work, work.sources)
        assert not fetch
        steps = []
        if times.load_bits:
            steps.append(
                Step("load a b", (self._parts.link,), self._link_ps(times.load_bits), tuple(x))
            )
        weights = [Within(0)] if steps else []
        y = len(steps)
        moved = self._move_ps(replace(mvm, pieces=1, cut=""), rows)
        steps.append(Step("move y", (self._parts.link,), moved, tuple(mvm.ready(mvm.count))))
        uses = self._parts.with_engine if times.on_engine else self._parts.any_cluster
        if self._options.adapters.early:
            xa = len(steps)
            steps += [Step("x a", uses, times.first, (*x, *weights))] * pieces
            products = [Within(xa + piece) for piece in range(pieces)]
        else:
            products = []
        for piece in range(pieces):
            own = [products[piece]] if products else [*x, *weights]
            action, duration = ("u b + y", times.second) if products else ("adapt", times.whole)
            steps.append(Step(action, uses, duration, (*own, Within(y))))
        loop = self._repeat(work, steps)
        self._outputs[work.name] = self._output(
            loop, pieces, mvm.width, "rows" if pieces > 1 else ""
        )
        self._layers[work.name] = LayerSchedule(
            layer, times.batch, times.choice, 1, times.tcdm_bytes
        )

    def _residual(self, work: Work) -> None:
        """Add in the periphery of the tile that makes the last of the operands.

        An operand that an adapter has changed comes from outside like the others.
        """
        local = self._local(work)
        others = [name for name in work.sources if name != local]
        steps, needs = self._operands(work, others)
        periphery, rows = self._machine.tile.periphery, self._rows(work.tokens)
        if local is None:
            uses = next(iter(self._parts.peripheries.values()))[:1]
        else:
            uses = self._parts.peripheries[local]
            needs += self._outputs[local].ready(self._count(work.tokens))
        sums = max(1, len(work.op.inputs) - 1)
        each = periphery.residual_ps(1, work.op.out_features, local is not None)
        steps.append(Step("add", uses, sums * each * rows, (*needs, Within(len(steps), back=1))))
        loop = self._repeat(work, steps)
        self._outputs[work.name] = self._output(loop, 1, work.op.out_features)
        self._decide(work, "periphery", 1, "model")

    def _local(self, work: Work) -> str | None:
        """Return the last operand that comes right from its tiles."""
        on_tiles = [
            name
            for name in work.sources
            if name in self._together and self._parts.layers[name].adapter is None
        ]
        return max(on_tiles, key=self._place.__getitem__, default=None)

    def _attention(self, work: Work) -> None:
        """Bring Q, K and V over the link whole, then compute head by head on clusters.

        In chunks each operand is moved when its own last chunk is there; otherwise when all are.
        """
        everything = [need for name in work.sources for need in self._outputs[name].last()]
        operands: Needs = []
        for name in work.sources:
            output = self._outputs[name]
            needs = everything if self._options.chunk is None else output.last()
            bits = output.width * work.tokens * self._machine.activation_bits
            step = Step("move", (self._parts.link,), self._link_ps(bits), tuple(needs))
            operands.append(Need(self._builder.repeat(work.name, [step], 1).first))
        runs = [self._attend(work, heads) for heads in self._heads(work)]
        steps = [
            Step(
                "attend",
                self._parts.with_engine,
                _between(run.ready_ps),
                (*operands, Within(index, back=1)),
            )
            for index, run in enumerate(runs)
        ]
        loop = self._builder.repeat(work.name, steps, len(runs[0].ready_ps))
        cut: Literal["", "columns"] = "columns" if len(runs) > 1 else ""
        self._outputs[work.name] = self._output(loop, len(runs), work.op.out_features, cut)
        known = self._parts.need_cluster(work).kernel_costs is not None
        source = "kernel_costs" if known else "model"
        self._decide(work, "cluster", len(runs), source, max(run.tcdm_bytes for run in runs))

    def _heads(self, work: Work) -> list[int]:
        """Return the heads of each cluster that shares an attention."""
        assert isinstance(work.op, Attention)
        cluster, heads = self._parts.need_cluster(work), work.op.heads
        units = cluster.count if cluster.matrix_engine else cluster.total
        nodes = min(units, heads) if self._options.split else 1
        return [heads // nodes + (node < heads % nodes) for node in range(nodes)]

    def _attend(self, work: Work, heads: int) -> AttentionRun:
        assert isinstance(work.op, Attention)
        cluster = self._parts.need_cluster(work)
        program = AttentionProgram(
            cluster,
            work.tokens,
            work.tokens,
            work.op.head_dim,
            heads,
            self._options.attention,
            self._options.keys_values,
            cluster.matrix_engine is not None,
        )
        chunk = self._options.chunk
        return program.run(None if chunk is None else min(chunk, work.tokens))

    def _pieces(self, work: Work) -> None:
        """Compute a norm, an activation or a sum on clusters, each a piece of every chunk.

        Norms are cut by rows, all others by columns.
        """
        cluster = self._parts.need_cluster(work)
        steps, needs = self._operands(work, work.sources)
        rows, width = self._rows(work.tokens), work.op.out_features
        by_rows = isinstance(work.op, Norm)
        units = self._units_for_pieces(work) if self._options.split else 1
        size = int(rows[0]) if by_rows else width
        pieces = max(1, min(units, size // _FINEST))
        shapes = [
            (ceil_div(int(n), pieces), width) if by_rows else (int(n), ceil_div(width, pieces))
            for n in rows
        ]
        durations = np.array([self._piece_ps(work, *shape) for shape in shapes], np.int64)
        steps += [Step(work.op.kind, self._parts.any_cluster, durations, tuple(needs))] * pieces
        loop = self._repeat(work, steps)
        cut: Literal["", "rows", "columns"] = "rows" if by_rows else "columns"
        self._outputs[work.name] = self._output(loop, pieces, width, cut if pieces > 1 else "")
        piece = Piece(cluster, work.op, *shapes[0])
        _, part_rows, part_columns = piece.parts()
        need = piece.tcdm_bytes(part_rows, part_columns)
        self._decide(work, "cluster", pieces, piece.cost_from, need)

    def _piece_ps(self, work: Work, rows: int, columns: int) -> int:
        key = (work.op.kind, getattr(work.op, "function", len(work.op.inputs)), rows, columns)
        if key not in self._durations:
            cluster = self._parts.need_cluster(work)
            self._durations[key] = Piece(cluster, work.op, rows, columns).duration_ps()
        return self._durations[key]

    def _units_for_pieces(self, work: Work) -> int:
        """Return over how many clusters an op is split: those without an engine, if any."""
        cluster = self._parts.need_cluster(work)
        return cluster.plain_count or cluster.count

    # --- operands and outputs ---------------------------------------------------------------

    def _operands(self, work: Work, sources: Sequence[str]) -> tuple[list[Step], Needs]:
        """Return the transfers that bring chunk i of ``sources``, and what of them to wait for.

        What an earlier reader has fetched is there. With a barrier, nothing of the block before
        is moved before its last chunk is done.
        """
        count, rows = self._count(work.tokens), self._rows(work.tokens)
        steps: list[Step] = []
        needs: Needs = []
        self._pending = []
        for name in sources:
            if (name, count) in self._moved:
                needs.append(self._moved[name, count])
                continue
            output = self._outputs[name]
            ready = output.ready(count)
            if self._is_gated(work, name) and count > 1:
                ready += output.last()
            self._pending.append((name, count, len(steps)))
            needs.append(Within(len(steps)))
            steps.append(
                Step("move", (self._parts.link,), self._move_ps(output, rows), tuple(ready))
            )
        return steps, needs

    def _is_gated(self, work: Work, source: str) -> bool:
        """Return whether a barrier stands between an op and what it reads.

        It stands between blocks alone: not behind the embedding, nor before what follows the
        last block.
        """
        here, there = work.op.block, self._works[source].op.block
        return self._options.barrier and None not in (here, there) and here != there

    def _repeat(self, work: Work, steps: Sequence[Step]) -> Loop:
        """Append the steps of an op once per chunk, and remember what they move."""
        loop = self._builder.repeat(work.name, steps, self._count(work.tokens))
        for name, count, step in self._pending:
            self._moved[name, count] = Need(loop.first + step, loop.size)
        self._pending = []
        return loop

    def _output(
        self, loop: Loop, pieces: int, width: int, cut: Literal["", "rows", "columns"] = ""
    ) -> _Output:
        """Return the output of a loop whose last ``pieces`` steps make it."""
        first = loop.first + loop.size - pieces
        return _Output(first, loop.size, loop.count, pieces, width, cut)

    def _move_ps(self, output: _Output, rows: Ints) -> Ints:
        """Return the time that each chunk of an output takes on the link, piece by piece [ps]."""
        each = ceil_div(rows, output.pieces) if output.cut == "rows" else rows
        width = ceil_div(output.width, output.pieces) if output.cut == "columns" else output.width
        bits: Ints = width * each * self._machine.activation_bits
        durations: Ints = output.pieces * self._link_ps(bits)
        return durations

    def _link_ps(self, bits: IntLike) -> IntLike:
        """Return the time of one transfer over the link [ps]."""
        return self._machine.link.transfer_ps(ceil_div(bits, 8))

    def _rows(self, tokens: int) -> Ints:
        """Return the rows of each chunk; the last one takes what is left."""
        chunk = self._options.chunk or tokens
        return np.minimum(chunk, tokens - np.arange(0, tokens, chunk, dtype=np.int64))

    def _count(self, tokens: int) -> int:
        return ceil_div(tokens, self._options.chunk or tokens)

    @cached_property
    def _works(self) -> dict[str, Work]:
        return {work.name: work for work in self._flow.works}

    @cached_property
    def _place(self) -> dict[str, int]:
        return {work.name: place for place, work in enumerate(self._flow.works)}

    def _decide(
        self, work: Work, where: str, pieces: int, cost_from: str, tcdm_bytes: int = 0
    ) -> None:
        self._ops[work.name] = OpSchedule(
            work.op, work.tokens, where, pieces, cost_from, tcdm_bytes
        )


def _between(times: Sequence[int]) -> Ints:
    """Return the times between 0, the first and the later ones; at least 1 ps each."""
    steps: Ints = np.array(times, np.int64)
    steps[1:] -= steps[:-1].copy()
    return np.maximum(steps, 1)


class _Stamp:
    """Blocks that are alike from the second one on, laid out as copies of the second."""

    def __init__(self, layout: NetworkLayout, works: Sequence[Work], blocks: list[list[Work]]):
        self._layout, self._works, self._blocks = layout, works, blocks
        self._at = {
            work.name: (number, index)
            for number, block in enumerate(blocks)
            for index, work in enumerate(block)
        }

    @classmethod
    def find(cls, layout: NetworkLayout, works: Sequence[Work]) -> "_Stamp | None":
        """Return a stamp for the blocks of a network, or None if they are not alike."""
        numbers = [work.op.block for work in works if work.op.block is not None]
        if not numbers or numbers != sorted(numbers):
            return None
        by_block: dict[int, list[Work]] = {}
        for work in works:
            if work.op.block is not None:
                by_block.setdefault(work.op.block, []).append(work)
        stamp = cls(layout, works, list(by_block.values()))
        if len(stamp._blocks) < 3 or not stamp._contiguous() or not stamp._alike():
            return None
        return stamp

    def lay_out(self) -> None:
        """Lay out everything: before, two blocks, their copies, after."""
        layout, blocks = self._layout, self._blocks
        place = layout._place
        first, last = place[blocks[0][0].name], place[blocks[-1][-1].name]
        layout._add_all(self._works[:first])
        starts = []
        for block in blocks[:2]:
            starts.append(len(layout._builder))
            layout._add_all(block)
        starts.append(len(layout._builder))
        if starts[2] - starts[1] == starts[1] - starts[0] and self._same_places(starts):
            self._copy(starts[1])
        else:
            for block in blocks[2:]:
                layout._add_all(block)
        layout._add_all(self._works[last + 1 :])

    def _contiguous(self) -> bool:
        names = [work.name for block in self._blocks for work in block]
        first = self._layout._place[names[0]]
        return [work.name for work in self._works[first : first + len(names)]] == names

    def _alike(self) -> bool:
        second = self._signature(1)
        return second is not None and all(
            self._signature(number) == second for number in range(2, len(self._blocks))
        )

    def _signature(self, number: int) -> list[object] | None:
        """Return what decides the tasks of a block, or None if it reads from far away."""
        found: list[object] = []
        for work in self._blocks[number]:
            sources = [self._relative(name, number) for name in work.sources]
            if None in sources:
                return None
            shape = work.op.model_dump(exclude={"name", "inputs", "block"})
            layer = self._layout._parts.layers.get(work.name)
            rank = layer.adapter.rank if layer and layer.adapter else 0
            group = self._layout._together.get(work.name)
            members = [self._relative(name, number) for name in group.members] if group else []
            found.append((shape, work.tokens, sources, members, rank))
        return found

    def _relative(self, name: str, number: int) -> tuple[int, int] | None:
        """Return blocks back and index of a work in this block or the one before."""
        block, index = self._at.get(name, (-1, 0))
        return (number - block, index) if number - block in (0, 1) and block >= 0 else None

    def _same_places(self, starts: Sequence[int]) -> bool:
        """Return whether both blocks have their outputs at the same places."""
        outputs = self._layout._outputs
        return all(
            outputs[a.name].later(starts[1] - starts[0]) == outputs[b.name]
            for a, b in zip(*self._blocks[:2], strict=True)
        )

    def _copy(self, first: int) -> None:
        """Stamp the second block once for each later one, and note where the outputs are."""
        layout, times = self._layout, len(self._blocks) - 2
        template = self._blocks[1]
        ops = {
            work.name: [self._twin(work.name, by) for by in range(1, times + 1)]
            for work in template
        }
        size = len(layout._builder) - first
        layout._builder.stamp(first, ops, self._uses(template, times), times)
        for work in template:
            for by, name in enumerate(ops[work.name], start=1):
                self._note(work, name, by * size)
        for (name, count), need in list(layout._moved.items()):
            if name in ops:
                last = ops[name][-1]
                layout._moved[last, count] = replace(need, base=need.base + times * size)

    def _note(self, work: Work, twin: str, shift: int) -> None:
        layout = self._layout
        layout._outputs[twin] = layout._outputs[work.name].later(shift)
        if work.name in layout._layers:
            layer = layout._parts.layers[twin]
            layout._layers[twin] = replace(layout._layers[work.name], layer=layer)
        else:
            layout._ops[twin] = replace(layout._ops[work.name], op=layout._works[twin].op)

    def _uses(
        self, template: Sequence[Work], times: int
    ) -> dict[tuple[str, str], list[tuple[int, ...]]]:
        """Return the tiles and peripheries of each copy."""
        layout = self._layout
        parts, found = layout._parts, {}
        for work in template:
            if isinstance(work.op, Linear) and layout._together[work.name].members[0] == work.name:
                found[work.name, "mvm"] = [
                    layout._together[self._twin(work.name, by)].tiles for by in range(1, times + 1)
                ]
            elif isinstance(work.op, Add) and parts.peripheries:
                local = layout._local(work)
                if local is not None:
                    found[work.name, "add"] = [
                        parts.peripheries[self._twin(local, by)] for by in range(1, times + 1)
                    ]
        return found

    def _twin(self, name: str, by: int) -> str:
        """Return the work at the same place ``by`` blocks later."""
        number, index = self._at[name]
        return self._blocks[number + by][index].name
