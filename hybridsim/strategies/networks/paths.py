"""How soon the last batch can be through a network, for many batches at once: its longest way.

A batch of an op waits for the same batch of what it reads, an attention for all of it, and MVMs of
one tile for each other. That holds in whatever order tasks run, so the makespan is no shorter than
the longest chain of them. Blocks that are alike lengthen the chain by no less than the one before
did: what comes in later by some time leaves later by no less than that.
"""

from collections.abc import Callable, Iterable

import numpy as np

from hybridsim.records import record
from hybridsim.strategies.networks.dataflow import FlowOp
from hybridsim.strategies.networks.structure import NetworkStructure
from hybridsim.units import Ints
from hybridsim.workload import Attention

_LAID = 3
"""Blocks that are looked at one by one where all from the second one on are alike."""


@record(frozen=True, slots=True, eq=False)
class Span:
    """What an op at least takes from its operands to its output [ps], one entry per candidate."""

    first: Ints
    """Of the first batch, on a part that does one batch after the other."""
    last: Ints
    every: Ints
    """All batches there, one behind the other."""
    first_behind: Ints
    """What the first batch still takes behind that."""
    last_behind: Ints
    count: Ints
    """Batches."""
    together: Ints
    """All batches, as far as the clusters of the chip have to share them."""
    first_beside: Ints
    """What the first batch takes beside that part, from its operands on."""
    last_beside: Ints


@record(frozen=True, slots=True, eq=False)
class _Ends:
    """When the first batch of an op and its last one at least are done [ps]."""

    first: Ints
    last: Ints

    def later(self, shift: Ints) -> "_Ends":
        return _Ends(self.first + shift, self.last + shift)


class LongestPath:
    """The longest way through a network; ``span`` tells what an op takes, ``moved`` what reading
    an op's first batch, or its last one, by another one takes. Readers in another block wait for
    all batches of the ops ``behind`` a barrier."""

    def __init__(
        self,
        structure: NetworkStructure,
        span: Callable[[FlowOp], Span],
        moved: Callable[[FlowOp, FlowOp], tuple[Ints, Ints]],
        candidates: int,
        behind: frozenset[str] = frozenset(),
    ) -> None:
        self._structure, self._span, self._moved = structure, span, moved
        self._behind = behind
        self._nothing = np.zeros(candidates, np.int64)
        self._ends: dict[str, _Ends] = {}

    def least_ps(self) -> Ints:
        """Return times that the makespan does not beat [ps]."""
        works, blocks = self._structure.works, self._alike()
        if blocks is None:
            self._go(works)
        else:
            begin = self._structure.place[blocks[0][0].name]
            self._go(works[:begin])
            for block in blocks[:_LAID]:
                self._go(block)
            self._skip(blocks)
            self._go(works[begin + sum(map(len, blocks)) :])
        ends = [own.last for own in self._ends.values()]
        found: Ints = np.max(ends, axis=0) if ends else self._nothing
        return found

    def _alike(self) -> list[tuple[FlowOp, ...]] | None:
        """Return blocks that lengthen the way alike: on one chip, and none begins by itself."""
        blocks = self._structure.alike_blocks
        if blocks is None or self._structure.machine.chips > 1 or len(blocks) <= _LAID:
            return None
        return blocks if all(work.sources for work in blocks[1]) else None

    def _skip(self, blocks: list[tuple[FlowOp, ...]]) -> None:
        """Let the ends of the last block follow from those of the first ones.

        Times of a block are sums and maxima of those of the block before alone; where all of these
        are later by some time, so are all of the block.
        """
        before, known = blocks[_LAID - 2], blocks[_LAID - 1]
        both = [
            (self._ends[a.name], self._ends[b.name]) for a, b in zip(before, known, strict=True)
        ]
        grown = [b.first - a.first for a, b in both] + [b.last - a.last for a, b in both]
        shift = (len(blocks) - _LAID) * np.maximum(np.min(grown, axis=0), 0)
        # where it does not grow at all, nothing is known but that an end is not before 0
        some = np.min(grown, axis=0) >= 0
        for work, last in zip(known, blocks[-1], strict=True):
            own = self._ends[work.name].later(shift)
            self._ends[last.name] = _Ends(own.first * some, own.last * some)

    def _go(self, works: Iterable[FlowOp]) -> None:
        for work in works:
            self._ends[work.name] = self._end(work)

    def _end(self, work: FlowOp) -> _Ends:
        own = self._span(work)
        first, last = self._ready(work, own)
        begun = first + own.every
        through = np.maximum(begun, last + own.last)
        ends = np.maximum(first + own.together, through + own.last_behind)
        return _Ends(
            first + np.maximum(own.first + own.first_behind, own.first_beside),
            np.maximum(ends, last + own.last_beside),
        )

    def _ready(self, work: FlowOp, own: Span) -> tuple[Ints, Ints]:
        """Return when the operands of the first and of the last batch are there."""
        first = last = self._nothing
        for name in work.sources:
            there = self._ends.get(name)
            if there is None:
                continue  # within blocks that were passed over
            source = self._structure.by_name[name]
            of_first, of_last = self._moved(source, work)
            if isinstance(work.op, Attention):
                first = last = np.maximum(last, there.last + of_last)
                continue
            begin = there.first
            if name in self._behind and source.op.block != work.op.block:
                begin = np.where(own.count > 1, there.last, begin)
            elif not (work.once or isinstance(source.op, Attention)):
                # another number of batches waits for all of them
                begin = np.where(self._span(source).count == own.count, there.first, there.last)
            first = np.maximum(first, begin + of_first)
            end = there.first if work.once else there.last
            last = np.maximum(last, end + of_last)
        return first, last
