"""How much silicon the parts of a machine take."""

from hybridsim.components.energy import EnergySection
from hybridsim.units import Area


class MachineArea(EnergySection):
    """Area of each part; a part that is null is unknown, and left out of the sum by name."""

    tile: Area | None = None
    """One tile with all its tiers, converters and periphery [um2]."""
    cluster: Area | None = None
    """One cluster with a matrix engine [um2]."""
    plain_cluster: Area | None = None
    """One cluster without a matrix engine [um2]."""
    sram_mib: Area | None = None
    """One MiB of SRAM, or the part of one that is begun [um2]."""
    dram_interface: Area | None = None
    """The interface of the external memory on the chip [um2]."""
    link: Area | None = None
    """One link [um2]."""
