"""Interconnect: the link between tiles, clusters and memory."""

from hybridsim.units import BytesPerCycle, Clock, Count, Cycles, IntLike, Spec, ceil_div


class Link(Spec):
    """A shared link that moves one transfer at a time.

    A transfer of *n* bytes takes latency + ceil(n / width) cycles. Source of the form: HARP,
    "one shared link, one transfer at a time", ceil(bits / 512) cycles
    (IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975). Hops and contention inside a network on
    chip are not modelled.
    """

    clock: Clock
    width: BytesPerCycle
    """Bytes moved per cycle."""
    latency: Cycles
    """Cycles from the start of a transfer to its first byte."""
    count: Count
    """Links side by side; each carries one transfer at a time."""

    def transfer_cycles(self, size: IntLike) -> IntLike:
        """Return the link cycles that a transfer of ``size`` bytes takes."""
        return self.latency + ceil_div(size, self.width)

    def transfer_ps(self, size: IntLike) -> IntLike:
        """Return the time that a transfer of ``size`` bytes takes [ps]."""
        return self.clock.to_ps(self.transfer_cycles(size))
