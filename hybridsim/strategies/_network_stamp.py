"""Blocks of a network that are alike, laid out once and copied."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hybridsim.strategies._dataflow import FlowOp
from hybridsim.workload import Add, Linear

if TYPE_CHECKING:
    from hybridsim.strategies._network_layout import NetworkLayout


class Stamp:
    """Blocks that are alike from the second one on, laid out as copies of the second."""

    def __init__(
        self, layout: "NetworkLayout", works: Sequence[FlowOp], blocks: list[list[FlowOp]]
    ):
        self._layout, self._works, self._blocks = layout, works, blocks
        self._at = {
            work.name: (number, index)
            for number, block in enumerate(blocks)
            for index, work in enumerate(block)
        }

    @classmethod
    def find(cls, layout: "NetworkLayout", works: Sequence[FlowOp]) -> "Stamp | None":
        """Return a stamp for the blocks of a network, or None if they are not alike."""
        numbers = [work.op.block for work in works if work.op.block is not None]
        if not numbers or numbers != sorted(numbers) or layout.memory.after:
            return None
        if layout.parts.job.machine.chip_count > 1 or layout.parts.job.machine.network_on_chip:
            return None  # blocks differ in their places
        by_block: dict[int, list[FlowOp]] = {}
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
        place = layout.place
        first, last = place[blocks[0][0].name], place[blocks[-1][-1].name]
        layout.add_all(self._works[:first])
        starts = []
        for block in blocks[:2]:
            starts.append(len(layout.builder))
            layout.add_all(block)
        starts.append(len(layout.builder))
        if starts[2] - starts[1] == starts[1] - starts[0] and self._same_places(starts):
            self._copy(starts[1])
        else:
            for block in blocks[2:]:
                layout.add_all(block)
        layout.add_all(self._works[last + 1 :])

    def _contiguous(self) -> bool:
        names = [work.name for block in self._blocks for work in block]
        first = self._layout.place[names[0]]
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
            layer = self._layout.parts.layers.get(work.name)
            rank = layer.adapter.rank if layer and layer.adapter else 0
            group = self._layout.together.get(work.name)
            members = [self._relative(name, number) for name in group.members] if group else []
            memory = self._layout.memory
            outside = (work.name in memory.adapters_outside, memory.outside.get(work.name))
            found.append((shape, work.tokens, work.keys, sources, members, rank, outside))
        return found

    def _relative(self, name: str, number: int) -> tuple[int, int] | None:
        """Return blocks back and index of a work in this block or the one before."""
        block, index = self._at.get(name, (-1, 0))
        return (number - block, index) if number - block in (0, 1) and block >= 0 else None

    def _same_places(self, starts: Sequence[int]) -> bool:
        """Return whether both blocks have their outputs at the same places."""
        outputs = self._layout.outputs
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
        size = len(layout.builder) - first
        layout.builder.stamp(first, ops, self._uses(template, times), times)
        for work in template:
            for by, name in enumerate(ops[work.name], start=1):
                self._note(work, name, by * size)
        for (name, count, place), need in list(layout.moved.items()):
            if name in ops:
                last = ops[name][-1]
                layout.moved[last, count, place] = replace(need, base=need.base + times * size)

    def _note(self, work: FlowOp, twin: str, shift: int) -> None:
        layout = self._layout
        layout.outputs[twin] = layout.outputs[work.name].later(shift)
        if work.name in layout.layers:
            layout.layers[twin] = layout.layers[work.name].of(layout.parts.layers[twin])
        else:
            layout.ops[twin] = layout.ops[work.name].of(layout.works[twin].op)

    def _uses(
        self, template: Sequence[FlowOp], times: int
    ) -> dict[tuple[str, str], list[tuple[int, ...]]]:
        """Return the tiles and peripheries of each copy."""
        layout = self._layout
        parts, found = layout.parts, {}
        for work in template:
            if isinstance(work.op, Linear) and layout.together[work.name].members[0] == work.name:
                found[work.name, "mvm"] = [
                    layout.together[self._twin(work.name, by)].tiles for by in range(1, times + 1)
                ]
            elif isinstance(work.op, Add) and parts.peripheries:
                local = layout.local_operand(work)
                if local is not None:
                    found[work.name, "add"] = [
                        parts.peripheries[self._twin(local, by)] for by in range(1, times + 1)
                    ]
        return found

    def _twin(self, name: str, by: int) -> str:
        """Return the work at the same place ``by`` blocks later."""
        number, index = self._at[name]
        return self._blocks[number + by][index].name
