"""Area of a machine by part, what parts draw for being there, and the power of all at once."""

from collections.abc import Iterator, Mapping

from hybridsim.arch import Machine, sorts
from hybridsim.measure.energy_result import AreaResult
from hybridsim.units import ceil_div

Used = int | Mapping[str, int]
"""Tiles that a network uses, of each kind where there are several."""


def area_of(machine: Machine, tiles: Used) -> AreaResult | None:
    """Return the silicon of a machine, or None where the areas of its parts are unknown.

    All tiles and clusters that are there count, used or not, kind by kind; ``tiles`` is how many
    the network uses, for a machine that has as many as needed. Source of the form: HARP's sum over
    parts.
    """
    area, memory = machine.area, machine.memory
    chips = machine.chip_count
    if area is None:
        return None
    parts = {
        **_tiles(machine, tiles),
        **_clusters(machine),
        "sram": (area.sram_mib, sram_mib(machine)),
        "dram_interface": (area.dram_interface, chips if memory and memory.dram else 0),
        "link": (area.link, chips * machine.link.count),
    }
    known = {
        name: each * count for name, (each, count) in parts.items() if each is not None and count
    }
    unknown = tuple(name for name, (each, count) in parts.items() if each is None and count)
    return AreaResult(total_um2=sum(known.values()), component_um2=known, not_counted=unknown)


_Parts = dict[str, tuple[int | None, int]]


def _tiles(machine: Machine, tiles: Used) -> _Parts:
    """Return area and number of tiles, and of converters where these are no part of a tile."""
    found: _Parts = {}
    for told, own, count in _of_tiles(machine, tiles):
        assert own.area is not None
        found[f"tile{told}"] = own.area.tile, count
        if own.area.converter is not None:
            found[f"converter{told}"] = own.area.converter, own.tile.converters * count
    return found


def _clusters(machine: Machine) -> _Parts:
    found: _Parts = {}
    for told, own in _of_clusters(machine):
        area, cluster, chips = own.area, own.cluster, own.chip_count
        assert area is not None
        found[f"cluster{told}"] = area.cluster, chips * cluster.count if cluster else 0
        found[f"plain_cluster{told}"] = (
            area.plain_cluster,
            chips * cluster.plain_count if cluster else 0,
        )
    return found


def _of_tiles(machine: Machine, used: Used) -> Iterator[tuple[str, Machine, int]]:
    """Yield each kind of tiles: the end of its name, the machine with it alone, how many."""
    for sort in sorts(machine, True):
        own = machine.seen(tile=sort)
        count = used if isinstance(used, int) else used[sort]
        yield sort and f":{sort}", own, tiles_there(own, count)


def _of_clusters(machine: Machine) -> Iterator[tuple[str, Machine]]:
    """Yield each kind of clusters: the end of its name, and the machine with it alone."""
    for sort in ("", *machine.clusters):
        yield sort and f":{sort}", machine.seen(cluster=sort)


def tdp_uw(machine: Machine, tiles: Used) -> int | None:
    """Return the power of all parts at work at the same time [uW], or None if one is unknown.

    One crossbar per tile with its periphery, every cluster, every link, the external memory, and
    all static power. Energies per event count at their highest rate.
    """
    energy = machine.energy
    if energy is None:
        return None
    chips = machine.chip_count
    parts = [
        *((_tile_uw(own), count) for _, own, count in _of_tiles(machine, tiles)),
        *(
            (power(own), chips * count)
            for _, own in _of_clusters(machine)
            if own.cluster is not None
            for power, count in (
                (_cluster_uw, own.cluster.count),
                (_plain_uw, own.cluster.plain_count),
            )
        ),
        (_link_uw(machine), chips * _links(machine)),
        (_chip_link_uw(machine), 2 * (chips - 1)),
        (_dram_uw(machine), chips if machine.memory and machine.memory.dram else 0),
    ]
    total = sum(static_uw(machine, tiles).values())
    for power, count in parts:
        if count and power is None:
            return None
        total += (power or 0) * count
    return total


def _tile_uw(machine: Machine) -> int | None:
    """Return the power of a tile whose crossbar is full and never rests."""
    spec, tile = machine.energy and machine.energy.tile, machine.tile
    if not spec or not spec.counts_mvms:
        return None
    time = tile.mvm_ps(tile.rows, tile.columns, 1)
    whole = spec.mvm_aj(tile, tile.rows, tile.columns, 1)
    events: int = whole - (spec.crossbar_power or 0) * tile.reading_ps(tile.columns)
    return (spec.crossbar_power or 0) + (spec.periphery_power or 0) + events // time


def _cluster_uw(machine: Machine) -> int | None:
    """Return the power of a cluster: as a whole if it is known, or of cores and engine at once."""
    spec, cluster = machine.energy and machine.energy.cluster, machine.cluster
    if not spec or cluster is None:
        return None
    if not spec.by_unit:
        return spec.power
    engine = cluster.matrix_engine
    per_cycle = max(spec.engine_mac or 0, spec.engine_idle_mac or 0) * (
        engine.peak if engine else 0
    )
    moved = ((spec.dma_byte or 0) + (spec.tcdm_byte or 0)) * cluster.dma.bytes_per_cycle
    events = (per_cycle + moved) * cluster.clock.frequency // 10**12
    return (spec.cores_power or 0) + (spec.engine_power or 0) + events


def _plain_uw(machine: Machine) -> int | None:
    spec = machine.energy and machine.energy.cluster
    return spec.plain_power if spec else None


def _link_uw(machine: Machine) -> int | None:
    spec, link = machine.energy and machine.energy.link, machine.link
    if not spec:
        return None
    network = machine.network_on_chip
    if network is not None:
        return (spec.byte_hop or 0) * network.width * network.clock.frequency // 10**12
    return (spec.power or 0) + spec.transfer_aj(link.width, 0) * link.clock.frequency // 10**12


def _links(machine: Machine) -> int:
    """Return the links of a chip, or the edges of its network."""
    network = machine.network_on_chip
    return machine.link.count if network is None else network.edges


def _chip_link_uw(machine: Machine) -> int | None:
    spec, chips = machine.energy and machine.energy.chip_link, machine.chips
    if not spec or chips is None:
        return None
    return (spec.power or 0) + (spec.byte or 0) * chips.link.bandwidth // 10**12


def _dram_uw(machine: Machine) -> int | None:
    spec, memory = machine.energy and machine.energy.dram, machine.memory
    if not spec or memory is None or memory.dram is None:
        return None
    return (spec.power or 0) + (spec.byte or 0) * memory.dram.bandwidth // 10**12


MIB = 2**20


def tiles_there(machine: Machine, used: int) -> int:
    """Return the tiles of a machine; as many as are used where there are as many as needed."""
    return used if machine.tile.count == "as_needed" else machine.tile.count * machine.chip_count


def sram_mib(machine: Machine) -> int:
    """Return the MiB of on-chip memory of all chips, each that is begun."""
    if machine.memory is None or machine.memory.sram is None:
        return 0
    return machine.chip_count * ceil_div(machine.memory.sram.size, MIB)


def static_uw(machine: Machine, tiles: Used) -> dict[str, int]:
    """Return part -> power that it draws all the time [uW], where that is known.

    ``tiles`` is how many tiles the network uses, for a machine that has as many as needed.
    """
    energy = machine.energy
    if energy is None:
        return {}
    found: dict[str, int] = {}
    for told, own, count in _of_tiles(machine, tiles):
        assert own.energy is not None
        if own.energy.tile is not None and own.energy.tile.static_power:
            found[f"tile{told}"] = own.energy.tile.static_power * count
    for told, each in _of_clusters(machine):
        assert each.energy is not None
        spec, cluster = each.energy.cluster, each.cluster
        if spec is not None and spec.static_power and cluster is not None:
            found[f"cluster{told}"] = spec.static_power * cluster.total * each.chip_count
    if energy.sram is not None and energy.sram.mib_power and sram_mib(machine):
        found["sram"] = energy.sram.mib_power * sram_mib(machine)
    if energy.dram is not None and energy.dram.static_power:
        found["dram"] = energy.dram.static_power * machine.chip_count
    return found
