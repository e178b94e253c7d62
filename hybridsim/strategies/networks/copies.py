"""Blocks of a network that are alike, laid out once and copied."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hybridsim.strategies.networks.dataflow import FlowOp
from hybridsim.strategies.networks.decisions import ResidualDecision
from hybridsim.strategies.networks.structure import NetworkStructure
from hybridsim.workload import Add, Linear

if TYPE_CHECKING:
    from hybridsim.strategies.networks.layout import Layout


class BlockCopies:
    """Blocks that are alike from the second one on, laid out as copies of the second."""

    def __init__(self, layout: "Layout", blocks: list[tuple[FlowOp, ...]]):
        self._layout, self._blocks = layout, blocks
        place = layout.structure.place
        self._first = [place[block[0].name] for block in blocks]

    @classmethod
    def find(cls, layout: "Layout") -> "BlockCopies | None":
        """Return the copies of the blocks of a network, or None if they are not alike."""
        structure = layout.structure
        if structure.machine.chips > 1 or structure.machine.network:
            return None  # blocks differ in their places
        blocks = structure.alike_blocks
        if blocks is None:
            return None
        copies = cls(layout, blocks)
        return copies if copies._decided_alike() else None

    def lay_out(self) -> None:
        """Lay out everything: before, two blocks, their copies, after."""
        layout, blocks = self._layout, self._blocks
        works = layout.structure.works
        layout.add_all(works[: self._first[0]])
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
        layout.add_all(works[self._first[-1] + len(blocks[-1]) :])

    def _decided_alike(self) -> bool:
        """Return whether the same was decided for all blocks from the second one on."""
        ops = self._layout.decisions.ops
        size = len(self._blocks[1])
        if any(getattr(op, "after", None) for op in ops.distinct):
            return False  # attentions wait for others, some blocks away
        second, *others = (ops.numbers[at : at + size] for at in self._first[1:])
        return all(each == second for each in others)

    def _same_places(self, starts: Sequence[int]) -> bool:
        """Return whether both blocks have their outputs at the same places."""
        outputs = self._layout.outputs
        return len(self._blocks[0]) == len(self._blocks[1]) and all(
            outputs[a.name].later(starts[1] - starts[0]) == outputs[b.name]
            for a, b in zip(*self._blocks[:2], strict=True)
        )

    def _copy(self, first: int) -> None:
        """Copy the second block once for each later one, and note where the outputs are."""
        layout, times = self._layout, len(self._blocks) - 2
        template = self._blocks[1]
        twins = {
            work.name: [block[index].name for block in self._blocks[2:]]
            for index, work in enumerate(template)
        }
        size = len(layout.builder) - first
        layout.builder.stamp(first, twins, self._uses(twins), times)
        after = layout.structure.works[self._first[-1] + len(template) :]
        read = {name for work in after for name in work.sources}
        for work in template:
            for by, name in enumerate(twins[work.name], start=1):
                self._tell(work, name)
                if name in read:
                    layout.outputs[name] = layout.outputs[work.name].later(by * size)
        for (name, count, place), need in list(layout.moved.items()):
            if name in twins:
                last = twins[name][-1]
                layout.moved[last, count, place] = replace(need, base=need.base + times * size)

    def _tell(self, work: FlowOp, twin: str) -> None:
        """Tell for a copy what was decided for the work that it is a copy of."""
        layout, structure = self._layout, self._layout.structure
        if work.name in layout.layers:
            layout.layers[twin] = layout.layers[work.name].of(structure.layers[twin])
        else:
            layout.ops[twin] = layout.ops[work.name].of(structure.by_name[twin].op)

    def _uses(self, twins: dict[str, list[str]]) -> dict[tuple[str, str], list[tuple[int, ...]]]:
        """Return the tiles and peripheries of each copy."""
        structure, found = self._layout.structure, {}
        decisions, peripheries = self._layout.decisions.ops, self._layout.resources.peripheries
        for work in self._blocks[1]:
            names = twins[work.name]
            if isinstance(work.op, Linear):
                if structure.together[work.name].members[0] == work.name:
                    found[work.name, "mvm"] = [structure.together[name].tiles for name in names]
            elif isinstance(work.op, Add) and peripheries:
                local = [structure.from_tiles[name] for name in names]
                at_tile = isinstance(decisions[structure.place[work.name]], ResidualDecision)
                if local[0] is not None:
                    # wrong where the sum is done on clusters (copies hold a periphery instead),
                    # but what results stand on
                    kind = "add" if at_tile else "program"
                    found[work.name, kind] = [peripheries[each] for each in local if each]
        return found


def alike_blocks(structure: NetworkStructure) -> list[tuple[FlowOp, ...]] | None:
    """Return the blocks of a network that lie one behind the other, if there are three or more
    and all from the second one on do the same with what they and the one before made."""
    works = structure.works
    numbers = [work.op.block for work in works if work.op.block is not None]
    if not numbers or numbers != sorted(numbers):
        return None
    by_block: dict[int, list[FlowOp]] = {}
    for work in works:
        if work.op.block is not None:
            by_block.setdefault(work.op.block, []).append(work)
    blocks = [tuple(block) for block in by_block.values()]
    first = structure.place[blocks[0][0].name]
    if len(blocks) < 3 or works[first : first + len(numbers)] != tuple(
        work for block in blocks for work in block
    ):
        return None
    at = {
        work.name: (number, index)
        for number, block in enumerate(blocks)
        for index, work in enumerate(block)
    }
    second, *others = (_signature(structure, at, block, n) for n, block in enumerate(blocks) if n)
    return blocks if second is not None and all(each == second for each in others) else None


def _signature(
    structure: NetworkStructure,
    at: dict[str, tuple[int, int]],
    block: Sequence[FlowOp],
    number: int,
) -> list[Hashable] | None:
    """Return what decides the tasks of a block, or None if it reads from far away."""
    found: list[Hashable] = []

    def relative(name: str) -> tuple[int, int] | None:
        """Return blocks back and index of a work in this block or the one before."""
        there, index = at.get(name, (-1, 0))
        return (number - there, index) if number - there in (0, 1) and there >= 0 else None

    for work in block:
        sources = tuple([relative(name) for name in work.sources])
        if None in sources:
            return None
        group = structure.together.get(work.name)
        members = tuple([relative(name) for name in group.members]) if group else ()
        found.append((structure.kinds[structure.place[work.name]], sources, members, work.last))
    return found
