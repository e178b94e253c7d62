"""How long layers take that run at the same time: each different group of them is run once.

Groups that differ in what their batches take alone share a plan, whatever job met it first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from hybridsim.mapping import PlacedLayer
from hybridsim.plan import Plan
from hybridsim.programs import LoraChoice, LoraProgram
from hybridsim.strategies.job import Job
from hybridsim.strategies.layers.batches import Batching, BatchOrder, BatchSizes
from hybridsim.strategies.layers.estimate import PricedParts, transfer_ps
from hybridsim.strategies.layers.layout import Layout
from hybridsim.strategies.layers.outlines import MOST_TASKS, ONCE, of_slots
from hybridsim.strategies.layers.way_times import BatchTables
from hybridsim.strategies.layers.works import BatchWorks
from hybridsim.strategies.machine_shape import MachineShape
from hybridsim.units import Ints, ceil_div

MOST_KNOWN = 1 << 16
"""Groups whose times are remembered."""
_known: dict[tuple[object, ...], int] = {}
"""Times of groups [ps], of all jobs: networks repeat their layers, and strategies their groups."""

_numbers: dict[tuple[PricedParts, MachineShape], int] = {}
"""Parts by number, as they take long to hash."""
_next = count()


class Adapted(NamedTuple):
    """How the adapter of a layer in a group is computed."""

    program: LoraProgram
    """Of a batch of one token, its rows not shared."""
    batch: int
    buffers: int
    order: BatchOrder

    @classmethod
    def of(cls, batching: Batching) -> "Adapted":
        """Return what a batching says."""
        program = batching.program.of_tokens(1)
        return cls(program, batching.batch, batching.buffers, batching.order)

    def sizes(self, tokens: int) -> BatchSizes:
        """Return the tokens of each batch."""
        return BatchSizes.of(tokens, self.batch, self.order)


Member = tuple[PlacedLayer, Adapted | None]
"""A layer of a group; None without an adapter."""


class _Steps(NamedTuple):
    """What adapted layers agree in whose batches have the same steps."""

    choice: LoraChoice
    slices: int
    buffers: int
    early: bool
    clusters: int

    @classmethod
    def of(cls, own: Adapted) -> "_Steps":
        slices, order = len(own.program.slices), own.order
        return cls(own.program.choice, slices, own.buffers, order.early, order.clusters)

    def slots(self, sizes: BatchSizes) -> tuple[Batching, BatchWorks, int]:
        """Return a batching with these steps, its works as numbers of slots, and how many."""
        order = BatchOrder(self.early, clusters=self.clusters)
        return of_slots(self.choice, self.slices, self.buffers, order, sizes)


@dataclass(frozen=True, slots=True, eq=False)
class _GroupPlan:
    """The plan of groups alike."""

    plan: Plan
    price: Ints
    """Of each task the number of its price, where each layer lists all batches of its slots."""


@dataclass
class _Plans:
    """Plans that were laid out, as many as there is room for."""

    known: dict[tuple[object, ...], _GroupPlan] = field(default_factory=dict)
    tasks: int = 0

    def add(self, key: tuple[object, ...], own: _GroupPlan) -> None:
        """Remember a plan."""
        if self.tasks + len(own.plan) > MOST_TASKS:
            self.known.clear()
            self.tasks = 0
        self.tasks += len(own.plan)
        self.known[key] = own


_plans = _Plans()


@dataclass
class GroupRuns:
    """Times of groups of a job. The next group begins when all of one is done, so times add up."""

    job: Job
    tables: BatchTables
    _parts: dict[tuple[str, str], int] = field(default_factory=dict)

    def of(
        self, members: Sequence[Member], inputs: tuple[tuple[int, ...], ...] = (), batch: int = 0
    ) -> int:
        """Return how long a group takes on its own [ps].

        ``inputs`` are the members, by number, that each of several reads, and ``batch`` is what
        those without an adapter take at once if none has one.
        """
        key = (batch, inputs, *map(self._of_member, members, self._turns(members)))
        if key not in _known:
            if len(_known) >= MOST_KNOWN:
                _known.clear()
            _known[key] = self._run(members, inputs, batch)
        return _known[key]

    def _of_member(self, member: Member, turn: int | None) -> tuple[object, ...]:
        """Return what the time of a group depends on of one of its layers."""
        layer, own = member
        shape = layer.op.matrices[1:], layer.copies, self.job.tokens_of(layer)
        return shape, self._parts_of(layer), turn, own

    def _turns(self, members: Sequence[Member]) -> list[int | None]:
        """Return how far the first cluster of each layer is behind that of the first layer.

        Clusters of a kind are alike, so who comes how far behind whom is what counts.
        """
        base: dict[str, int] = {}
        found: list[int | None] = []
        for layer, own in members:
            if own is None:
                found.append(None)
                continue
            assert layer.cluster is not None
            first, there = self.job.resources.first[layer.cluster_sort]
            number = layer.cluster - first
            found.append((number - base.setdefault(layer.cluster_sort, number)) % there)
        return found

    def _parts_of(self, layer: PlacedLayer) -> int:
        """Return a number for the parts that a layer is on, and the shape of their machine."""
        kinds = layer.sort, layer.cluster_sort
        if kinds not in self._parts:
            if len(_numbers) >= MOST_KNOWN:
                _numbers.clear()
                _known.clear()
            key = PricedParts.of(self.job.machine_of(layer)), self.job.structure.machine
            self._parts[kinds] = _numbers.setdefault(key, next(_next))
        return self._parts[kinds]

    def _run(
        self, members: Sequence[Member], inputs: tuple[tuple[int, ...], ...], batch: int
    ) -> int:
        tokens = self.job.tokens_of(members[0][0])
        adapted = [own for _, own in members if own is not None]
        if not adapted and len(members) == 1:
            return int(self._mvm_ps(members[0][0], tokens))
        sizes = adapted[0].sizes(tokens) if adapted else BatchSizes.of(tokens, batch)
        each = sizes.each()
        times = [self._prices(layer, own, each).reshape(-1) for layer, own in members]
        known = self._planned(members, inputs, len(each))
        # only here, as Numba takes a quarter of a second to import
        from hybridsim.engines.compiled import execute

        return execute(known.plan, np.concatenate(times)[known.price]).makespan

    def _prices(self, layer: PlacedLayer, own: Adapted | None, sizes: Ints) -> Ints:
        """Return what each slot of a layer takes in each batch, shape (slots, batches) [ps]."""
        mvm = np.asarray(self._mvm_ps(layer, sizes))[None]
        if own is None:
            return mvm
        machine, program = self.job.machine_of(layer), own.program
        sides = program.in_features, program.out_features
        once = np.zeros((ONCE, len(sizes)), np.int64)
        for number, side in enumerate(sides):
            once[number] = transfer_ps(machine, side * program.rank)
        steps = self.tables.of(layer, program, int(sizes.max())).steps_ps
        return np.concatenate((once, mvm, steps[:, sizes - 1]))

    def _mvm_ps(self, layer: PlacedLayer, tokens: Any) -> Any:
        tile = self.job.machine.tile_of(layer.sort)
        return tile.mvm_ps(*layer.op.matrices[1:], ceil_div(tokens, layer.copies))

    def _planned(
        self, members: Sequence[Member], inputs: tuple[tuple[int, ...], ...], batches: int
    ) -> _GroupPlan:
        """Return the plan of a group, of so many batches."""
        steps = [None if own is None else _Steps.of(own) for _, own in members]
        kinds = [(layer.sort, layer.cluster_sort) for layer, _ in members]
        turns = self._turns(members)
        key = (batches, inputs, self.job.structure.machine, *zip(steps, kinds, turns, strict=True))
        if key not in _plans.known:
            _plans.add(key, self._laid_out(members, steps, inputs, batches))
        return _plans.known[key]

    def _laid_out(
        self,
        members: Sequence[Member],
        steps: Sequence[_Steps | None],
        inputs: tuple[tuple[int, ...], ...],
        batches: int,
    ) -> _GroupPlan:
        # what is written to tiles comes before all of a group, and takes the same for any
        layers = tuple(replace(layer, written=None) for layer, _ in members)
        job = Job(replace(self.job.mapping, layers=layers), self.job.tokens)
        layout, sizes = Layout(job), BatchSizes((), 1, batches, ())
        decided: list[tuple[PlacedLayer, Batching | None]] = []
        slots = [1] * len(layers)  # without an adapter: the MVMs
        for number, (layer, own) in enumerate(zip(layers, steps, strict=True)):
            batching = None
            if own is not None:
                batching, works, slots[number] = own.slots(sizes)
                layout.works[batching, layer.copies, layer.cluster_sort] = works
            decided.append((layer, batching))
        names = [layer.name for layer in layers]
        reads = inputs or ((),) * len(names)
        named = {n: tuple(names[i] for i in own) for n, own in zip(names, reads, strict=True)}
        layout.streamed(decided, named, sizes)
        plan = layout.builder.outline().expand()
        slot = np.array([work.shape[0] if work.kind == "slot" else 0 for work in plan.works])
        first = np.cumsum([0, *slots[:-1]])
        return _GroupPlan(plan, (first[plan.op] + slot[plan.work]) * batches + plan.item)
