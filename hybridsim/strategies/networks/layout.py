"""A plan of a network under construction: what the lowering of each op asks for and leaves.

Nothing here reads a price, a clock or the size of a memory: those were read when it was decided.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Literal, TypeVar

from hybridsim.plan import Loop, Need, PlanBuilder, Step, Within
from hybridsim.strategies.job import LayerDecision, OpDecision
from hybridsim.strategies.networks.dataflow import Batches, FlowOp, Needs, Output
from hybridsim.strategies.networks.decisions import Decided
from hybridsim.strategies.networks.routes import Moved, Place, Routes
from hybridsim.strategies.networks.structure import NetworkStructure
from hybridsim.units import ceil_div

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
        self.layers: dict[str, LayerDecision] = {}
        self.ops: dict[str, OpDecision] = {}
        self._pending: list[tuple[str, int, Place, int]] = []
        self._known: dict[tuple[int, int, Hashable], Any] = {}

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
            steps += self.routes.steps(way, self._moved(output, batches), ready, len(steps))
            self._pending.append((name, count, here, len(steps) - 1))
            needs.append(Within(len(steps) - 1))
        return steps, needs

    def _is_gated(self, work: FlowOp, source: str) -> bool:
        """Return whether a barrier stands between an op and what it reads.

        It stands between blocks alone: not behind the embedding, nor before what follows the
        last block.
        """
        here, there = work.op.block, self.structure.by_name[source].op.block
        return self.decisions.barrier and None not in (here, there) and here != there

    def repeat(self, work: FlowOp, steps: Sequence[Step]) -> Loop:
        """Append the steps of an op once per batch, and remember what they move."""
        loop = self.builder.repeat(work.name, steps, self.batches(work).count)
        for name, count, here, step in self._pending:
            self.moved[name, count, here] = Need(loop.first + step, loop.size)
        self._pending = []
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

    def _moved(self, output: Output, batches: Batches) -> Moved:
        """Return what moving each batch of an output brings."""
        width = ceil_div(output.width, output.pieces) if output.cut == "columns" else output.width
        cut = output.pieces if output.cut == "rows" else 1
        bits = self.structure.machine.activation_bits

        def size(each: int) -> int:
            return ceil_div(width * ceil_div(each, cut) * bits, 8)

        return Moved("move", "move", batches, size, output.pieces)

    def batches(self, work: FlowOp) -> Batches:
        """Return the batches that an op works on."""
        return Batches.of(work.tokens, self.decisions.batch)

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
