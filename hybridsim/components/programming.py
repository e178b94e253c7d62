"""Writing weights to the devices of a crossbar, row by row, with program and verify."""

from hybridsim.units import Count, Duration, Energy, Spec


class Programming(Spec):
    """What it takes to write all weights of a crossbar anew.

    All devices of a row are written at the same time, and rows one after the other: a crossbar
    takes rows x row_time, and rows x columns x devices per weight x device energy. The form is an
    assumption: no time and no energy per tile has been measured in public.
    """

    row_time: Duration
    """One row, all its pulses and read-outs [ps]."""
    device_energy: Energy
    """One device, all its pulses [aJ]."""
    devices_per_weight: Count
    """Devices that hold one weight."""

    def crossbar_ps(self, rows: int) -> int:
        """Return the time to write so many rows of one crossbar [ps]."""
        return rows * self.row_time

    def weights_aj(self, weights: int) -> int:
        """Return the energy to write so many weights [aJ]."""
        return weights * self.devices_per_weight * self.device_energy
