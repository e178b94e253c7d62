"""The plan of a whole network from what was decided: one way behind all its strategies.

For each op and batch of tokens: what it reads crosses the link once per producer and batch, shared
by all readers; then the op holds its tiles, its periphery or a cluster. Blocks that are alike are
laid out once and copied. The rules are HARP's (IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975).
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, lru_cache

import numpy as np

from hybridsim.plan import Plan
from hybridsim.records import record
from hybridsim.strategies.job import Job, Schedule
from hybridsim.strategies.networks.dataflow import FlowOp
from hybridsim.strategies.networks.decisions import Decided, ResidualDecision
from hybridsim.strategies.networks.layout import Layout
from hybridsim.strategies.networks.lowering import lower
from hybridsim.strategies.networks.routes import Place
from hybridsim.strategies.networks.structure import NetworkStructure, structure_of
from hybridsim.workload import Add, Linear

_KEPT_PLANS = 8
"""Laid-out plans that are kept for jobs to come, the largest of some 100 B per task."""


@record(frozen=True)
class NetworkDecisions(Decided):
    """All that the plan of a network depends on, and the way to that plan."""

    @property
    def planned(self) -> "NetworkDecisions":
        """The same without what is told alone: equal ones have plans that take equally long.

        Clusters that are told apart for adapters that none of them keeps are parts that no task
        holds.
        """
        return replace(
            self,
            keep="batch",
            homes=self.homes and self.has_homes,
            kept_bytes=0,
            kept_of_kinds=(),
            notes=(),
        )

    def lay_out(self, job: Job) -> Schedule:
        """Return the plan of a job of which this was decided."""
        return lay_out(structure_of(job), self)

    def plan(self, job: Job) -> Plan:
        """Return that plan alone, without what is told of it."""
        return plan_of(structure_of(job), self)


def lay_out(structure: NetworkStructure, decisions: Decided) -> Schedule:
    """Return the plan of a network of which everything is decided."""
    # when parts start what is ready has no say in what there is to start
    found = _laid_out(structure, replace(decisions, dispatch="online"))
    if decisions.dispatch == "online":
        return found
    return replace(found, dispatch=decisions.dispatch)


def plan_of(structure: NetworkStructure, decisions: Decided) -> Plan:
    """Return the plan alone, for who asks how long it takes and no more.

    With a barrier it is the one without, in which a task has the needs of the barrier behind its
    others: those who try both lay it out once.
    """
    decisions = replace(decisions, dispatch="online")
    if not decisions.barrier or structure.of.past:
        return _planned(structure, decisions, True)[0]
    plan, layout, _ = _planned(structure, replace(decisions, barrier=False), True)
    if not layout.gates:
        return plan
    users, sources = (np.concatenate(own) for own in zip(*layout.gates, strict=True))
    return plan.waiting(users, sources)


@lru_cache(maxsize=_KEPT_PLANS)
def _planned(
    structure: NetworkStructure, decisions: Decided, copied: bool
) -> "tuple[Plan, Layout, BlockCopies | None]":
    layout = Layout(structure, decisions)
    copies = BlockCopies.find(layout) if copied else None
    if copies is None:
        lower(layout, structure.works)
    else:
        copies.lay_out()
    return layout.builder.build(), layout, copies


@lru_cache(maxsize=_KEPT_PLANS)
def _laid_out(structure: NetworkStructure, decisions: Decided) -> Schedule:
    works = structure.works
    # over several chips copies have their works in another order, and so have sums of energies
    plan, layout, copies = _planned(structure, decisions, structure.machine.chips == 1)
    if copies is not None:
        copies.tell()
    return Schedule(
        plan,
        tuple(
            layout.layers[layer.name]
            for layer in structure.placed
            if layer.name in structure.by_name
        ),
        notes=decisions.notes,
        ops=tuple(layout.ops[work.name] for work in works if work.name in layout.ops),
        carried_by={
            name: group.members[0]
            for name, group in structure.together.items()
            if name != group.members[0]
        },
        free=structure.flow.free,
        kept_bytes=decisions.kept_bytes,
        kept_of_kinds=dict(decisions.kept_of_kinds),
        passages=layout.routes.passages,
        dispatch=decisions.dispatch,
    )


class BlockCopies:
    """Blocks on one chip that are alike from the second one on, laid out as copies of that one."""

    def __init__(self, layout: Layout, blocks: list[tuple[FlowOp, ...]]):
        self._layout, self._blocks = layout, blocks
        self._twins: dict[str, list[str]] = {}
        """Works of the second one of some blocks -> those that are copies of them."""

    @classmethod
    def find(cls, layout: Layout) -> "BlockCopies | None":
        """Return the copies of the blocks of a network, or None if they are not alike."""
        structure = layout.structure
        if structure.machine.network:
            return None  # blocks differ in their places
        blocks = structure.alike_blocks
        if blocks is None:
            return None
        if any(getattr(op, "after", None) for op in layout.decisions.ops.distinct):
            return None  # attentions wait for others, some blocks away
        copies = cls(layout, blocks)
        return copies if any(len(own) > 2 for own in copies._runs) else None

    def lay_out(self) -> None:
        """Lay out everything: before, of blocks alike two and their copies, after."""
        layout, blocks = self._layout, self._blocks
        works, place = layout.structure.works, layout.structure.place
        lower(layout, works[: place[blocks[0][0].name]])
        for own in self._runs:
            self._lay_out(own)
        lower(layout, works[place[blocks[-1][0].name] + len(blocks[-1]) :])

    @cached_property
    def _runs(self) -> list[list[tuple[FlowOp, ...]]]:
        """Return blocks behind each other on a chip, of which the same was decided for all but
        the first; one that is on several chips is by itself."""
        structure, numbers = self._layout.structure, self._layout.decisions.ops.numbers
        found, before, second, alone = list[list[tuple[FlowOp, ...]]](), -1, None, {0}
        for block in self._blocks:
            if structure.machine.chips > 1:
                alone = {structure.chips[work.name] for work in block}
            here = min(alone) if len(alone) == 1 else -1
            first = structure.place[block[0].name]
            decided = numbers[first : first + len(block)]
            if here < 0 or here != before or second not in (None, decided):
                found.append([])
            found[-1].append(block)
            before, second = here, decided if len(found[-1]) > 1 else None
        return found

    def _lay_out(self, blocks: list[tuple[FlowOp, ...]]) -> None:
        """Lay out some blocks alike."""
        layout, starts = self._layout, list[int]()
        for block in blocks[:2]:
            starts.append(len(layout.builder))
            lower(layout, block)
        starts.append(len(layout.builder))
        if len(blocks) > 2 and self._same_places(blocks, starts):
            self._copy(blocks, starts[1])
        else:
            for block in blocks[2:]:
                lower(layout, block)

    def _same_places(self, blocks: list[tuple[FlowOp, ...]], starts: Sequence[int]) -> bool:
        """Return whether what is read of both blocks lies as far before the next one.

        The first one may be longer, where what it reads comes from another chip.
        """
        outputs, size = self._layout.outputs, starts[2] - starts[1]
        if len(blocks[0]) != len(blocks[1]):
            return False
        read = {name for work in blocks[1] for name in work.sources}
        pairs = {a.name: b.name for a, b in zip(*blocks[:2], strict=True) if a.name in read}
        same = {name: name for name in pairs.values()}
        return all(outputs[a].later(size) == outputs[b] for a, b in pairs.items()) and (
            self._moved(pairs, starts[1], size) == self._moved(same, starts[2], 0)
        )

    def _moved(
        self, names: dict[str, str], end: int, by: int
    ) -> dict[tuple[str, int, Place], tuple[int, int]]:
        """Return which tasks before ``end`` have moved some ops, under the names that are given,
        and ``by`` how much later: first task and stride."""
        return {
            (names[name], count, place): (need.base + by, need.stride)
            for (name, count, place), need in self._layout.moved.items()
            if name in names and need.base < end
        }

    def _copy(self, blocks: list[tuple[FlowOp, ...]], first: int) -> None:
        """Copy the second block once for each later one, and note where the outputs are."""
        layout, times, template = self._layout, len(blocks) - 2, blocks[1]
        structure = layout.structure
        twins = {
            work.name: [block[index].name for block in blocks[2:]]
            for index, work in enumerate(template)
        }
        self._twins |= twins
        size = len(layout.builder) - first
        layout.builder.stamp(first, twins, self._uses(template, twins), times)
        shift = size * (1 + np.arange(times, dtype=np.int64))[:, None]
        layout.gates += [
            ((users + shift).ravel(), (sources + shift).ravel())
            for users, sources in layout.gates
            if users[0] >= first
        ]
        behind = structure.place[blocks[-1][0].name] + len(template)
        read = {name for work in structure.works[behind:] for name in work.sources}
        for work in template:
            for by, name in enumerate(twins[work.name], start=1):
                if name in read:
                    layout.outputs[name] = layout.outputs[work.name].later(by * size)
                    layout.places[name] = layout.place_of(work.name)
        for (name, count, place), need in list(layout.moved.items()):
            if name in twins:
                last = twins[name][-1]
                layout.moved[last, count, place] = replace(need, base=need.base + times * size)

    def tell(self) -> None:
        """Tell for each copy what was decided for the work that it is a copy of."""
        layout, structure = self._layout, self._layout.structure
        for name, twins in self._twins.items():
            for twin in twins:
                if name in layout.layers:
                    layout.layers[twin] = layout.layers[name].of(structure.layers[twin])
                else:
                    layout.ops[twin] = layout.ops[name].of(structure.by_name[twin].op)

    def _uses(
        self, template: tuple[FlowOp, ...], twins: dict[str, list[str]]
    ) -> dict[tuple[str, str], list[tuple[int, ...]]]:
        """Return the tiles and peripheries of each copy."""
        structure, found = self._layout.structure, {}
        decisions, peripheries = self._layout.decisions.ops, self._layout.resources.peripheries
        for work in template:
            names = twins[work.name]
            if isinstance(work.op, Linear):
                group = structure.together[work.name]
                if group.tiles and group.members[0] == work.name:  # else on clusters, or with it
                    found[work.name, "mvm"] = [structure.together[name].tiles for name in names]
            elif isinstance(work.op, Add) and peripheries:
                local = [structure.from_tiles[name] for name in names]
                at_tile = isinstance(decisions[structure.place[work.name]], ResidualDecision)
                if at_tile and local[0] is not None:
                    found[work.name, "add"] = [peripheries[each] for each in local if each]
        return found
