"""A plan of a network under construction: what the lowering of each op asks for and leaves.

Nothing here reads a price, a clock or the size of a memory: those were read when it was decided.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from fractions import Fraction
from typing import Any, Literal, TypeVar

import numpy as np

from hybridsim.mapping import PlacedLayer, written_with
from hybridsim.plan import Loop, Need, PlanBuilder, Step, Within
from hybridsim.strategies.job import LayerDecision, OpDecision
from hybridsim.strategies.networks.dataflow import Batches, FlowOp, Needs, Output
from hybridsim.strategies.networks.decisions import Decided
from hybridsim.strategies.networks.routes import Moved, Place, Routes
from hybridsim.strategies.networks.structure import NetworkStructure
from hybridsim.units import Ints, ceil_div

T = TypeVar("T")


class Layout:
    """A plan under construction: what the ops laid out so far have left for those to come."""

    def __init__(self, structure: NetworkStructure, decisions: Decided) -> None:
        self.structure, self.decisions = structure, decisions
        self.resources = structure.resources(decisions.homes)
        self.routes = Routes(structure, self.resources)
        self.builder = PlanBuilder(self.resources.all)
        self.outputs: dict[str, Output] = {}
        self.places: dict[str, Place] = {}
        self.moved: dict[tuple[str, int, Place], Need] = {}
        self.written: tuple[Need, ...] = ()
        """What MVMs wait for where tiles are written during the run: the latest writing."""
        self.layers: dict[str, LayerDecision] = {}
        self.ops: dict[str, OpDecision] = {}
        self.gates: list[tuple[Ints, Ints]] = []
        """Tasks that would wait behind a barrier, and for which, where there is none."""
        self._pending: list[tuple[str, int, Place, int]] = []
        self._gated: list[tuple[int, Needs]] = []
        self._known: dict[tuple[int, int, Hashable], Any] = {}
        self._batches: dict[tuple[int, int], Batches] = {}

    def write(self, work: FlowOp, layer: PlacedLayer) -> None:
        """Write the tiles that a layer begins to use anew, once all before it is done."""
        structure, written = self.structure, layer.written
        assert written is not None
        sizes = {name: structure.by_name.get(name) for name in written.live}
        elements = sum(op.op.out_features * op.tokens for op in sizes.values() if op is not None)
        done = [need for output in self.outputs.values() for need in output.last()]
        tiles = self.resources.tiles
        uses = (tile for name in written_with(structure.placed, layer) for tile in tiles[name])
        step = Step(
            written.work(structure.machine.bytes_of(elements)),
            tuple(dict.fromkeys(uses)),
            tuple(done),
        )
        self.written = (self.once(work, [step]),)

    def operands(
        self, work: FlowOp, sources: Sequence[str], here: Place
    ) -> tuple[list[Step], Needs]:
        """Return the transfers that bring batch i of ``sources``, and what of them to wait for.

        What an earlier reader at the same place has fetched is there. With a barrier, nothing of
        the block before is moved before its last batch is done.
        """
        batches = self.batches(work)
        count = batches.count
        steps: list[Step] = []
        needs: Needs = []
        self._pending, self._gated = [], []
        for name in sources:
            # on a link what was moved is there for everyone on the chip
            if (name, count, here) in self.moved:
                needs.append(self.moved[name, count, here])
                continue
            output = self.outputs[name]
            whole = work.last and count < output.count
            ready = output.last() if whole else output.ready(count, work.once)
            if count > 1 and self._between_blocks(work, name):
                if self.decisions.barrier:
                    ready += output.last()
                else:
                    self._gated.append((len(steps), output.last()))
            way = (self.place_of(name), here)
            moved = self._moved(output, batches, self._rows(work, name))
            steps += self.routes.steps(way, moved, ready, len(steps))
            self._pending.append((name, count, here, len(steps) - 1))
            needs.append(Within(len(steps) - 1))
        return steps, needs

    def _between_blocks(self, work: FlowOp, source: str) -> bool:
        """Return whether a barrier would stand between an op and what it reads.

        It stands between blocks alone: not behind the embedding, nor before what follows the
        last block.
        """
        here, there = work.op.block, self.structure.by_name[source].op.block
        return None not in (here, there) and here != there

    def repeat(self, work: FlowOp, steps: Sequence[Step]) -> Loop:
        """Append the steps of an op once per batch, and remember what they move."""
        loop = self.builder.repeat(work.name, steps, self.batches(work).count)
        for name, count, here, step in self._pending:
            self.moved[name, count, here] = Need(loop.first + step, loop.size)
        for step, needs in self._gated:
            users = loop.first + step + loop.size * np.arange(loop.count, dtype=np.int64)
            for need in needs:
                assert isinstance(need, Need)  # of another op
                self.gates.append((users, np.full_like(users, need.base)))
        self._pending, self._gated = [], []
        return loop

    def once(self, work: FlowOp, steps: Sequence[Step]) -> Need:
        """Append steps of an op that are done once, and return what waits for the last one."""
        loop = self.builder.repeat(work.name, steps, 1)
        return Need(loop.task(len(steps) - 1, 0))

    def made(
        self,
        work: FlowOp,
        loop: Loop,
        here: Place,
        pieces: int = 1,
        cut: Literal["rows", "columns"] = "rows",
    ) -> None:
        """Remember that the last ``pieces`` steps of a loop make the output of an op."""
        first = loop.first + loop.size - pieces
        width = work.op.out_features
        shared = cut if pieces > 1 else ""
        self.outputs[work.name] = Output(first, loop.size, loop.count, pieces, width, shared)
        self.places[work.name] = here

    def place_of(self, name: str) -> Place:
        """Return where the output of an op is; blocks that are copied have one place each."""
        return self.places.get(name, Place())

    def _rows(self, work: FlowOp, source: str) -> Fraction | int:
        """Return the vectors of a source that each vector of its reader brings.

        Several where windows or a sum of experts are made of them; a share of one where a token
        stands for its copies, to which it is sent at once.
        """
        of = self.structure.by_name[source]
        if work.once or (max(of.copies, work.copies) == 1 and of.tokens < 2 * work.tokens):
            return 1  # as nearly always, and a fraction is slow to multiply
        return Fraction(of.tokens, work.tokens)

    def _moved(self, output: Output, batches: Batches, rows: Fraction | int) -> Moved:
        """Return what moving each batch of an output brings."""
        width = ceil_div(output.width, output.pieces) if output.cut == "columns" else output.width
        cut = output.pieces if output.cut == "rows" else 1
        machine = self.structure.machine

        def size(each: int) -> int:
            return machine.bytes_of(width * ceil_div(math.ceil(each * rows), cut))

        return Moved("move", "move", batches, size, output.pieces)

    def clusters_of(self, work: FlowOp, here: Place, with_engine: bool) -> tuple[int, ...]:
        """Return what a task holds that adapts a layer: a cluster of the layer's kind."""
        sort = self.structure.layers[work.name].cluster_sort
        return self.resources.clusters(here.chip, with_engine, sort)

    def batches(self, work: FlowOp) -> Batches:
        """Return the batches that an op works on."""
        key = work.tokens, work.copies
        found = self._batches.get(key)
        if found is None:
            found = self._batches[key] = Batches.of_work(work, self.decisions.batch)
        return found

    def known(self, work: FlowOp, what: Hashable, make: Callable[[], T]) -> T:
        """Return what ``make`` gives; ops of a kind with equal decisions share it.

        Equal works that are the same object need not be compared when a plan is built.
        """
        place = self.structure.place[work.name]
        key = (self.structure.kinds[place], self.decisions.ops.numbers[place], what)
        found: T | None = self._known.get(key)
        if found is None:
            found = self._known[key] = make()
        return found

    def tell(
        self, work: FlowOp, where: str, pieces: int, cost_from: str, tcdm_bytes: int = 0
    ) -> None:
        """Tell what was decided for an op that is no linear layer."""
        self.ops[work.name] = OpDecision(
            work.op, work.tokens, where, pieces, cost_from, tcdm_bytes
        )
