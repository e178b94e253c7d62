"""Direct memory access (DMA): copies between memory and TCDM beside the cores."""

from typing import Literal

from pydantic import Field

from hybridsim.components.core_kernels import larger, smaller
from hybridsim.units import BytesPerCycle, Cycles, IntLike, Lines, Spec, ceil_div

Place = Literal["memory", "tcdm"]
"""Where a transfer reads: memory outside the cluster, or its own TCDM."""


class Dma(Spec):
    """The DMA engine of a cluster, driven by a core of its own.

    A transfer takes issue + first byte + one cycle per beat of ``bytes_per_cycle``, from its
    first instruction to the moment at which the engine is idle. Source of the form: RTL of the
    Snitch cluster (pulp-platform/snitch_cluster at 2fa38482), rows ``dma:*`` of
    ``snitch_kernels.csv``; memory answers at the cluster's port, its own latency comes on top.

    A contiguous store to memory takes two cycles a beat until the memory has accepted one whole
    burst, after which beats follow each other: so a store that is shorter than a burst is slow,
    and never slower than a burst (``store_burst``, ``store_ahead``).

    Not modelled: strided transfers from TCDM to memory were slower in that test bench for a
    reason that was not found, so they cost here what they cost within TCDM; misaligned ends take
    a beat more.
    """

    bytes_per_cycle: BytesPerCycle
    """Bytes of one beat."""
    issue_1d: Cycles
    """Instructions that start a contiguous transfer."""
    issue_2d: Cycles
    """Instructions that start a strided one."""
    first_byte_from_memory: Cycles
    """From the issue to the first beat and from the last one to idle, reading memory."""
    first_byte_from_tcdm: Cycles
    """The same, reading TCDM."""
    rows_ahead: Lines
    """Short rows of a strided transfer that start without waiting."""
    short_rows: Lines
    """How many short rows take ``short_rows_cycles`` thereafter."""
    short_rows_cycles: Cycles
    """The least time for ``short_rows`` rows of a strided transfer."""
    store_burst: int = Field(default=0, strict=True, ge=0, le=2**16)
    """Beats that a contiguous store to memory counts for at least, as far as it fills them at two
    cycles a beat; 0 where memory takes a beat a cycle from the first one on (assumed where no
    store was measured)."""
    store_ahead: int = Field(default=0, strict=True, ge=0, le=2**16)
    """Beats of such a store that memory takes without a pause."""

    def beats(self, size_bytes: IntLike, rows: IntLike | int = 1) -> IntLike:
        """Return the cycles in which data move; each row begins a new beat."""
        return rows * self._row_beats(size_bytes, rows)

    def transfer_cycles(
        self,
        size_bytes: IntLike,
        rows: IntLike | int = 1,
        *,
        source: Place = "memory",
        strided: bool = False,
        to: Place | None = None,
    ) -> IntLike:
        """Return the cycles of one transfer of ``size_bytes`` in all, cut into ``rows`` rows.

        ``to`` is where it writes: the other side, if not given, as programs store what they read
        from TCDM.

        issue + first byte + beats; rows so short that the engine cannot begin one every few
        cycles cost ``short_rows_cycles / short_rows`` each instead, but for the first ones. More
        than one row is a strided transfer; ``strided`` makes one row such a transfer too.
        Source: the class.
        """
        if isinstance(rows, int) and rows == 1 and not strided:
            beats = self._row_beats(size_bytes, 1)
            return self.issue_1d + self._first_byte(source) + self._moved(beats, source, to)
        many = (rows > 1) | strided
        issue = self.issue_1d + (self.issue_2d - self.issue_1d) * many
        row = self._row_beats(size_bytes, rows)
        # a row costs short_rows_cycles / short_rows at least, but for the first few
        waiting = larger(0 * row + rows - self.rows_ahead, 0)
        lost = waiting * larger(self.short_rows_cycles - self.short_rows * row, 0)
        data = many * (rows * row) + lost // self.short_rows
        data = data + (1 - many) * self._moved(row, source, to)
        return issue + self._first_byte(source) + data

    def queued_cycles(
        self, size_bytes: IntLike, transfers: IntLike, *, source: Place = "memory"
    ) -> IntLike:
        """Return the cycles of equal contiguous transfers, issued back to back.

        The latency is paid once; after that the slower of issue and data sets the pace.
        """
        pace = larger(self._row_beats(size_bytes, 1), self.issue_1d)
        return self.transfer_cycles(size_bytes, source=source) + (transfers - 1) * pace

    def _moved(self, beats: IntLike, source: Place, to: Place | None) -> IntLike:
        """Return the cycles in which the data of a contiguous transfer move."""
        to_memory = to == "memory" or (to is None and source == "tcdm")
        if not to_memory or not self.store_burst:
            return beats
        return larger(smaller(2 * beats - self.store_ahead, self.store_burst), beats)

    def _row_beats(self, size_bytes: IntLike, rows: IntLike | int) -> IntLike:
        row = size_bytes if isinstance(rows, int) and rows == 1 else ceil_div(size_bytes, rows)
        return ceil_div(row, self.bytes_per_cycle)

    def _first_byte(self, source: Place) -> int:
        return self.first_byte_from_memory if source == "memory" else self.first_byte_from_tcdm
