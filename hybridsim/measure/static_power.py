"""What parts draw for being there: leakage, clock, refresh."""

from hybridsim.arch import Machine
from hybridsim.units import ceil_div

MIB = 2**20


def tiles_there(machine: Machine, used: int) -> int:
    """Return the tiles of a machine; as many as are used where there are as many as needed."""
    return used if machine.tile.count == "as_needed" else machine.tile.count * machine.chip_count


def sram_mib(machine: Machine) -> int:
    """Return the MiB of on-chip memory of all chips, each that is begun."""
    if machine.memory is None or machine.memory.sram is None:
        return 0
    return machine.chip_count * ceil_div(machine.memory.sram.size, MIB)


def static_uw(machine: Machine, tiles: int) -> dict[str, int]:
    """Return part -> power that it draws all the time [uW], where that is known.

    ``tiles`` is how many tiles the network uses, for a machine that has as many as needed.
    """
    energy, cluster = machine.energy, machine.cluster
    if energy is None:
        return {}
    found: dict[str, int] = {}
    if energy.tile is not None and energy.tile.static_power:
        found["tile"] = energy.tile.static_power * tiles_there(machine, tiles)
    if energy.cluster is not None and energy.cluster.static_power and cluster is not None:
        found["cluster"] = energy.cluster.static_power * cluster.total * machine.chip_count
    if energy.sram is not None and energy.sram.mib_power and sram_mib(machine):
        found["sram"] = energy.sram.mib_power * sram_mib(machine)
    if energy.dram is not None and energy.dram.static_power:
        found["dram"] = energy.dram.static_power * machine.chip_count
    return found
