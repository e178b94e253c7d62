"""Memory outside of the clusters: on-chip SRAM and external DRAM."""

from typing import Any

from hybridsim.units import BytesPerSecond, IntLike, Size, Spec, Width, ceil_div, in_whole_ps
from hybridsim.work import Work, no_price

FETCHES = ("fetch", "weights", "keep", "spill")
"""Kinds of works that pass the channel of the external memory: rows of a table, A and B of an
adapter, keys and values that were kept, and activations that go out and come back."""


def bytes_of(elements: IntLike, width: int) -> IntLike:
    """Return what elements of so many bits take side by side [bytes], a part of one as a whole."""
    return ceil_div(elements * width, 8)


class Sram(Spec):
    """On-chip memory between tiles and clusters; reached over the link, whose time it shares.

    Only its capacity is modelled: the link is narrower than the memory (assumed, as HARP does;
    IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975).
    """

    size: Size
    """Capacity [bytes]."""


class Dram(Spec):
    """External memory with one channel that carries one transfer at a time.

    A transfer of *n* bytes takes n / bandwidth, without a start-up time. Source of the form:
    HARP, rows x width x 1 B / (800 MiB/s) (IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975).
    """

    bandwidth: BytesPerSecond
    """Bytes moved per second."""
    size: Size | None = None
    """Capacity [bytes], or null where nothing is known or checked."""

    def transfer_ps(self, size: IntLike) -> IntLike:
        """Return the time that a transfer of ``size`` bytes takes [ps], rounded up."""
        return ceil_div(size * 10**12, self.bandwidth)

    def time_ps(self, work: Work) -> Any:
        """Return how long a transfer of (bytes,) takes [ps].

        Raises:
            UnsupportedError: The memory does not know the work.
        """
        if work.kind not in FETCHES:
            raise no_price(work, "the external memory")
        return self.transfer_ps(work.shape[0])

    def carried_bytes(self, work: Work) -> Any:
        """Return the bytes that fit the whole picoseconds of a transfer."""
        return in_whole_ps(work.shape[0], self.bandwidth)


class Memory(Spec):
    """What lies outside of tiles and clusters, and how wide a number is on its way there."""

    sram: Sram | None
    """On-chip memory for activations, or null where its capacity is not checked."""
    dram: Dram | None
    """External memory that holds the embedding tables, or null where they are on chip."""
    activation_width: Width
    """Bits of one element of an activation between tiles, clusters and memory."""
