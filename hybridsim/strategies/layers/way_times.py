"""What batches take that are computed in one way, for many sizes at once: asked for once.

Neither the tiles nor the number of clusters have a say, so machines that differ in them share it.
"""

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from hybridsim.arch import Cluster, Machine
from hybridsim.components.interconnect import Link
from hybridsim.mapping import PlacedLayer
from hybridsim.programs import LoraProgram
from hybridsim.programs.lora_shares import Costs, RowCosts, shares_of, with_shares
from hybridsim.strategies.job import Job
from hybridsim.strategies.layers.loads import loads_of
from hybridsim.strategies.layers.works import BatchPrograms, batch_works
from hybridsim.units import Ints
from hybridsim.work import Work, price


@dataclass(frozen=True, slots=True, eq=False)
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
        works = batch_works(cluster.element_bytes, BatchPrograms(program), 1)
        moving = [each.usual for each in (works.load_x, *works.load_y, *works.store_z)]
        cycles = program.cycles(costs)
        kernels = [
            Work(kernel.unit, "cycles", kernel.work.label, (own,))  # costs no second equation
            for kernel, own in zip(program.kernels, cycles, strict=True)
        ]
        steps = price([*moving, *kernels], machine, len(sizes)).time_ps
        slices = steps[1 : 1 + len(program.slices)]
        return cls(steps, loads_of(cluster, program, cycles, steps[0], slices))


@dataclass(frozen=True, slots=True)
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


@lru_cache(maxsize=64)
def way_times(
    parts: Movers, programs: tuple[LoraProgram, ...], sizes: tuple[int, ...]
) -> list[WayTimes]:
    """Return what batches of some sizes take, in each way up to the tokens of its program.

    Raises:
        UnsupportedError: A cluster lacks a unit, or that cannot do a shape.
    """
    machine = parts.machine
    costs = RowCosts(parts.cluster, max(program.tokens for program in programs))
    found = []
    for program in programs:
        own = np.array([size for size in sizes if size <= program.tokens], np.int64)
        shares = None
        if program.choice.unit in ("both", "balanced"):
            shares = tuple(shares_of(program, costs, own))
        columns: LoraProgram = replace(program, tokens=own, shares=shares)  # type: ignore[arg-type]
        found.append(WayTimes.of(machine, columns, costs))
    return found


@lru_cache(maxsize=256)
def times_of_each(parts: Movers, program: LoraProgram) -> WayTimes:
    """Return what batches of 1, 2, 3, ... tokens take, up to those of the program.

    Raises:
        UnsupportedError: As :func:`way_times`.
    """
    tokens = np.arange(1, int(program.tokens) + 1)
    columns = with_shares(program.of_tokens(tokens), parts.cluster)  # type: ignore[arg-type]
    return WayTimes.of(parts.machine, columns, parts.cluster)


@dataclass
class BatchTables:
    """What batches of 1, 2, 3, ... tokens take in each way, for the layers of a job."""

    job: Job
    _known: dict[tuple[str, LoraProgram], WayTimes] = field(default_factory=dict)
    """By kind of clusters and program of one token."""
    _movers: dict[str, Movers] = field(default_factory=dict)

    def of(self, layer: PlacedLayer, program: LoraProgram, most: int) -> WayTimes:
        """Return what batches of at least up to ``most`` tokens take; the program has one."""
        key = layer.cluster_sort, program
        found = self._known.get(key)
        if found is None or found.loads.shape[1] < most:
            parts = self._movers.get(layer.cluster_sort)
            if parts is None:
                parts = Movers.of(self.job.machine_of(layer))
                self._movers[layer.cluster_sort] = parts
            found = self._known[key] = times_of_each(parts, program.of_tokens(most))
        return found
