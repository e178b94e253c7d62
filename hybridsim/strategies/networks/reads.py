"""What decisions read of a machine, so that machines that agree in it share them.

Beside the shape of the machine (:mod:`hybridsim.strategies.machine_shape`), decisions read:
clusters but for their number; how many rows and columns a tile has; how much SRAM and DRAM hold.
The clock of the clusters only where it can turn a comparison: beside another clock
(``where.add=best``, shared adapters), or where a time is no multiple of its period. Nothing else:
neither integration time nor periphery, neither links nor the bandwidth of a memory, but for the
comparisons named.
"""

from collections.abc import Hashable
from dataclasses import field, replace
from functools import lru_cache

from hybridsim.arch import Cluster, Machine
from hybridsim.records import record
from hybridsim.strategies.networks.deciding import Deciding
from hybridsim.strategies.networks.options import DecidingOptions
from hybridsim.strategies.networks.plans import NetworkDecisions
from hybridsim.strategies.networks.structure import NetworkStructure


@record(frozen=True, slots=True)
class _Read:
    """A machine as a key: by what decisions read of it."""

    key: tuple[Hashable, ...]
    machine: Machine = field(compare=False)


def decided(
    structure: NetworkStructure, machine: Machine, options: DecidingOptions
) -> NetworkDecisions:
    """Return the decisions for a structure; one and the same where a machine reads alike.

    Raises:
        CapacityError: Something does not fit the memory it needs, or there is no cluster.
        UnsupportedError: The machine lacks a unit that is asked for.
    """
    return _decided(structure, _Read(reads(machine, options), machine), options)


def deciding_of(
    structure: NetworkStructure, machine: Machine, options: DecidingOptions
) -> Deciding:
    """Return what decides op by op; candidates that ask for the same ops share it."""
    return _deciding(structure, _Read(reads(machine, options), machine), options)


@lru_cache(maxsize=8)
def _deciding(structure: NetworkStructure, read: _Read, options: DecidingOptions) -> Deciding:
    return Deciding(structure, read.machine, options)


@lru_cache(maxsize=256)
def _decided(
    structure: NetworkStructure, read: _Read, options: DecidingOptions
) -> NetworkDecisions:
    # neither barrier nor dispatch has a say in how an op is computed
    found = _ops_decided(structure, read, replace(options, barrier=False, dispatch="online"))
    return replace(found, barrier=options.barrier, dispatch=options.dispatch)


@lru_cache(maxsize=256)
def _ops_decided(
    structure: NetworkStructure, read: _Read, options: DecidingOptions
) -> NetworkDecisions:
    return Deciding(structure, read.machine, options).all()


def reads(machine: Machine, options: DecidingOptions) -> tuple[Hashable, ...]:
    """Return all that decisions read of a machine, beside its shape."""
    tile, memory, cluster = machine.tile, machine.memory, machine.cluster
    found: list[Hashable] = [tile.rows, tile.columns]
    found += [(sort, reads(machine.seen(tile=sort), options)) for sort in machine.tiles]
    found += [(sort, reads(machine.seen(cluster=sort), options)) for sort in machine.clusters]
    if machine.clusters and cluster is not None:  # clocks are compared with each other
        found += [(cluster.clock, machine.cluster_of(sort)) for sort in machine.clusters]
    if memory is not None:
        found += [memory.sram, memory.dram and memory.dram.size]
    if cluster is not None:
        found.append(_units(cluster))
        if _compares_times(cluster, options):
            found.append(cluster.clock)
    if options.where.add == "best":
        found.append(tile.periphery)
    if options.adapters.share:
        found.append(machine.link)
    return tuple(found)


def _units(cluster: Cluster) -> tuple[Hashable, ...]:
    """Return all of a cluster but its clock and how many there are."""
    return (
        cluster.precision,
        cluster.cores,
        cluster.matrix_engine,
        cluster.row_unit,
        cluster.dma,
        cluster.tcdm,
        cluster.offload,
        cluster.kernel_costs,
    )


def _compares_times(cluster: Cluster, options: DecidingOptions) -> bool:
    """Return whether a decision compares times of a cluster that do not grow with its period.

    Cycles of a period of whole picoseconds do; kernel costs as data, the softmax over warps of
    keys, and all that has another clock do not.
    """
    where = options.where
    return (
        bool(10**12 % cluster.clock.frequency)
        or cluster.kernel_costs is not None
        or options.adapters.share
        or "best" in (where.add, where.attention)
        or options.batch is None
    )
