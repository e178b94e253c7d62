"""What batches take that are computed in one way, for many sizes at once: asked for once.

Neither the tiles nor the number of clusters have a say, so machines that differ in them share it.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hybridsim.alike import alike, members
from hybridsim.arch import Cluster, Machine
from hybridsim.components.core_kernels import larger
from hybridsim.components.interconnect import Link
from hybridsim.mapping import PlacedLayer
from hybridsim.plan import check_total
from hybridsim.programs import LoraProgram
from hybridsim.programs.lora_shares import Costs, RowCosts, with_shares
from hybridsim.records import record
from hybridsim.strategies.job import Job
from hybridsim.strategies.layers.estimate import transfer_ps
from hybridsim.strategies.layers.loads import loads_of
from hybridsim.units import Ints


@record(frozen=True, slots=True, eq=False)
class WayTimes:
    """What batches of one way take on a cluster, for several sizes."""

    steps_ps: Ints
    """Prices of the steps behind the MVMs, as slots number them, shape (steps, sizes) [ps]."""
    loads: Ints
    """What a batch at least takes of each part, shape (loads, sizes) [ps]."""

    @classmethod
    def of(cls, machine: Machine, program: LoraProgram, costs: Costs) -> "WayTimes":
        """Return what batches take; the program holds their sizes as columns."""
        cluster, sizes = machine.cluster, np.asarray(program.tokens)
        assert cluster is not None
        load_x = transfer_ps(machine, sizes * program.in_features)
        slices = [transfer_ps(machine, sizes * width) for width in program.slices]
        cycles = program.cycles(costs)
        kernels = [larger(cluster.to_ps(own), 1) for own in cycles]
        # storing a slice takes as long as fetching it
        rows: list[Any] = [load_x, *slices, *slices, *kernels]
        steps = np.empty((len(rows), len(sizes)), np.int64)
        for number, row in enumerate(rows):
            steps[number] = row
        moved = steps[1 : 1 + len(slices)]
        return cls(steps, loads_of(cluster, program, cycles, steps[0], moved))


@record(frozen=True, slots=True, eq=False)
class WayPrices:
    """What batches of candidates take that share a way, as far as candidates cut tokens alike.

    What is run was priced when its bounds were asked for.
    """

    once_ps: Ints
    """Fetching A and B, shape (2, candidates) [ps]."""
    steps_ps: Ints
    """Prices of the steps behind the MVMs, shape (steps, batches) [ps]: of the full batch of each
    candidate, then of the last one of each if these are not among them."""
    every: bool
    """Whether each setting has all batches from one token on, ascending."""

    def steps(self, at: Ints, batch: Ints, size: Ints) -> Ints:
        """Return the prices of batches of some sizes, of candidates whose full ones have these.

        Shape (steps, batches) [ps].

        Raises:
            TooLongError: A step takes 2^62 ps or more.
        """
        other = size - batch if self.every else np.where(size == batch, 0, self.once_ps.shape[1])
        return _checked(self.steps_ps.take(at + other, axis=1))


def _checked(steps_ps: Ints) -> Ints:
    """Return the prices of steps [ps] if a plan can have such.

    Raises:
        TooLongError: One takes 2^62 ps or more.
    """
    check_total(float(steps_ps.max(initial=0)))
    return steps_ps


@record(frozen=True, slots=True)
class Movers:
    """The parts of a machine that adapt and move; equal for machines alike in them."""

    cluster: Cluster
    """One of them, however many there are."""
    link: Link
    machine: Machine = field(compare=False)

    @classmethod
    def of(cls, machine: Machine) -> "Movers":
        """Return those of a machine with clusters."""
        assert machine.cluster is not None
        return cls(machine.cluster.model_copy(update={"count": 1}), machine.link, machine)


_MOST_NUMBERS = 2**23
"""Numbers in all tables that are remembered: 64 MB."""
_MOST_COSTS = 16
_FEW = 16
"""Shapes of layers from which on looking each up in a table of its own takes too long."""
_HEAD = 4096
"""Batches of which the shapes are counted first."""


@dataclass
class _Tables:
    """What batches of 1, 2, 3, ... tokens take, as far as that was asked for."""

    known: dict[tuple[Movers, LoraProgram], WayTimes] = field(default_factory=dict)
    """By parts and program of one token."""
    numbers: int = 0
    costs: dict[Movers, RowCosts] = field(default_factory=dict)
    """Of products on each, which ways and layers have in common."""

    def get(self, parts: Movers, program: LoraProgram, most: int) -> WayTimes | None:
        """Return a table of at least so many tokens; None where there is none."""
        found = self.known.get((parts, program))
        return None if found is None or found.loads.shape[1] < most else found

    def made(self, parts: Movers, program: LoraProgram, most: int) -> WayTimes:
        """Return a table of at least so many tokens.

        Raises:
            UnsupportedError: A cluster lacks a unit, or that cannot do a shape.
        """
        if (found := self.get(parts, program, most)) is not None:
            return found
        costs = self.costs.get(parts)
        if costs is None or costs.most < most:
            if len(self.costs) >= _MOST_COSTS:
                self.costs.clear()
            costs = self.costs[parts] = RowCosts(parts.cluster, most)
        columns: LoraProgram = program.of_tokens(np.arange(1, most + 1))  # type: ignore[arg-type]
        columns = with_shares(columns, parts.cluster, costs)
        found = WayTimes.of(parts.machine, columns, costs)
        _checked(found.steps_ps)
        if self.numbers + found.steps_ps.size + found.loads.size > _MOST_NUMBERS:
            self.known.clear()
            self.numbers = 0
        self.numbers += found.steps_ps.size + found.loads.size
        self.known[parts, program] = found
        return found


_tables = _Tables()


def looked_up(machine: Machine, program: LoraProgram) -> WayTimes | None:
    """Return what batches of a program of columns take, if they are of few layers and many sizes.

    None otherwise: to price them as they are is faster then.
    """
    assert machine.cluster is not None
    if machine.cluster.arrays() or machine.link.arrays():
        return None
    sizes: Any = program.tokens
    shape: Any = (program.in_features, program.out_features, program.rank)
    columns = [own for own in shape if isinstance(own, np.ndarray)]
    head = min(len(sizes), _HEAD)  # mostly these tell
    if len(alike([own[:head] for own in columns], head).first) > _FEW:
        return None
    kinds = alike(columns, len(sizes))
    if not 0 < len(kinds.first) <= _FEW:
        return None
    parts, found = Movers.of(machine), list[tuple[Ints, WayTimes]]()
    sliced = program.choice, program.slice_columns
    for first, at in zip(
        kinds.first.tolist(), members(kinds.which, len(kinds.first)), strict=True
    ):
        inner, outer, rank = (int(np.broadcast_to(own, len(sizes))[first]) for own in shape)
        one, most = LoraProgram(inner, outer, rank, 1, *sliced), int(sizes[at].max())
        table = _tables.get(parts, one, most)
        if table is None:
            if most > 2 * len(at):
                return None
            table = _tables.made(parts, one, most)
        found.append((at, table))
    rows = len(found[0][1].steps_ps), len(found[0][1].loads)
    steps_ps, loads = (np.empty((count, len(sizes)), np.int64) for count in rows)
    for at, table in found:
        place = sizes[at] - 1
        steps_ps[:, at], loads[:, at] = table.steps_ps[:, place], table.loads[:, place]
    return WayTimes(steps_ps, loads)


def times_of(machine: Machine, program: LoraProgram) -> WayTimes:
    """Return what batches of a program of columns take.

    Raises:
        UnsupportedError: A cluster lacks a unit, or that cannot do a shape.
    """
    if (known := looked_up(machine, program)) is not None:
        return known
    assert machine.cluster is not None
    return WayTimes.of(machine, with_shares(program, machine.cluster), machine.cluster)


@dataclass
class BatchTables:
    """What batches of 1, 2, 3, ... tokens take in each way, for the layers of a job."""

    job: Job
    _movers: dict[str, Movers] = field(default_factory=dict)
    """By kind of clusters."""

    def of(self, layer: PlacedLayer, program: LoraProgram, most: int) -> WayTimes:
        """Return what batches of at least up to ``most`` tokens take; the program has one."""
        parts = self._movers.get(layer.cluster_sort)
        if parts is None:
            parts = Movers.of(self.job.machine_of(layer))
            self._movers[layer.cluster_sort] = parts
        return _tables.made(parts, program, most)
