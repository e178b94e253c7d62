"""The plan of a whole network from what was decided: one builder behind all its strategies.

For each op and batch of tokens: what it reads crosses the link once per producer and batch, shared
by all readers; then the op holds its tiles, its periphery or a cluster. Blocks that are alike are
laid out once and copied. The rules are HARP's (IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975).

Nothing here reads a price, a clock or the size of a memory: those were read when it was decided.
How one op is laid out is in :mod:`.lowering`, a function per kind.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal, TypeVar

from hybridsim.plan import Loop, Need, PlanBuilder, Step, Within
from hybridsim.strategies.job import LayerDecision, OpDecision, Schedule
from hybridsim.strategies.networks.dataflow import Batches, FlowOp, Needs, Output
from hybridsim.strategies.networks.decisions import NetworkDecisions
from hybridsim.strategies.networks.routes import Moved, Place, Routes
from hybridsim.strategies.networks.structure import NetworkStructure
from hybridsim.units import ceil_div

T = TypeVar("T")
_KEPT_PLANS = 8
"""Laid-out plans that are kept for jobs to come, the largest of some 100 B per task."""


@lru_cache(maxsize=_KEPT_PLANS)
def lay_out(structure: NetworkStructure, decisions: NetworkDecisions) -> Schedule:
    """Return the plan of a network of which everything is decided."""
    return Layout(structure, decisions).schedule()


class Layout:
    """A plan under construction: what the ops laid out so far have left for those to come."""

    def __init__(self, structure: NetworkStructure, decisions: NetworkDecisions) -> None:
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

    def schedule(self) -> Schedule:
        """Return the plan of the whole network, and what was decided for each op."""
        # copies lay out the ops of a block with this class
        from hybridsim.strategies.networks.copies import BlockCopies

        structure, works = self.structure, self.structure.works
        copies = BlockCopies.find(self)
        if copies is None:
            self.add_all(works)
        else:
            copies.lay_out()
        return Schedule(
            self.builder.build(),
            tuple(
                self.layers[layer.name]
                for layer in structure.placed
                if layer.name in structure.by_name
            ),
            notes=self.decisions.notes,
            ops=tuple(self.ops[work.name] for work in works if work.name in self.ops),
            carried_by={
                name: group.members[0]
                for name, group in structure.together.items()
                if name != group.members[0]
            },
            free=structure.flow.free,
            kept_bytes=self.decisions.kept_bytes,
            passages=self.routes.passages,
            dispatch=self.decisions.dispatch,
        )

    def add_all(self, works: Iterable[FlowOp]) -> None:
        """Append the tasks of some ops, in order."""
        # each kind of op is laid out with this class
        from hybridsim.strategies.networks.lowering import LOWERINGS

        for work in works:
            decision = self.decisions.ops[self.structure.place[work.name]]
            LOWERINGS[type(decision)](self, work, decision)

    # --- for the lowering of each op ------------------------------------------------------------

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
