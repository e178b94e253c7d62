"""Tightly-coupled data memory (TCDM): what fits, and what its banks let through."""

from hybridsim.components.core_kernels import larger
from hybridsim.units import IntLike, Lines, Size, Spec, Width, ceil_div

MEASURED_BANKS = 32
"""The only number of banks with which kernels were measured (``snitch_kernels.csv``)."""


class Tcdm(Spec):
    """The banked scratchpad of a cluster; a bank serves one access a cycle.

    Consecutive words lie in consecutive banks. The whole size is data: what a program needs for
    stacks and code has to be taken off ``size`` in the machine file.
    """

    size: Size
    """All banks together [bytes]."""
    banks: Lines
    """Banks, which can be accessed side by side."""
    bank_width: Width
    """Bits that a bank delivers per access."""

    def lora_bytes(
        self,
        in_features: IntLike,
        out_features: IntLike,
        rank: IntLike,
        tokens: IntLike,
        element_bytes: int = 2,
        *,
        double_buffered: bool = False,
    ) -> IntLike:
        """Return the bytes that an adapter and one batch of its tokens take.

        Elements: in r + r out + t in + t r + t out: A, B, X, X A and Y, where the analog output
        lies in Y and the adapter's output is added in place. Source: AHWA-LoRA (2026), which
        gives 8,320 B for 128 x 128, rank 8, 8 tokens and 2-byte elements. ``double_buffered``
        holds X and Y twice, so that the DMA can fill and empty them behind the cores.
        """
        weights = rank * (in_features + out_features)
        per_token = self._per_token(in_features, out_features, rank, double_buffered)
        elements: IntLike = weights + tokens * per_token
        return elements * element_bytes

    def most_tokens(
        self,
        in_features: IntLike,
        out_features: IntLike,
        rank: IntLike,
        element_bytes: int = 2,
        *,
        double_buffered: bool = False,
    ) -> IntLike:
        """Return the largest batch that fits beside its adapter; 0 if not even one token does."""
        left = self.size // element_bytes - rank * (in_features + out_features)
        per_token = self._per_token(in_features, out_features, rank, double_buffered)
        return larger(left // per_token, 0)

    def fits(self, size_bytes: int) -> bool:
        """Return whether ``size_bytes`` of data fit."""
        return size_bytes <= self.size

    def stream_cycles(self, accesses: IntLike, streams_per_bank: IntLike) -> IntLike:
        """Return the cycles of streams of ``accesses`` each that stay on the same bank.

        A bank serves one access a cycle: accesses x streams per bank. Source: 256 accesses by
        2, 4 and 8 cores per bank took 573, 1075 and 2090 cycles in the Snitch cluster's RTL,
        with some 50 of set-up.
        """
        return accesses * larger(streams_per_bank, 1)

    def beside_dma_cycles(self, cycles: IntLike, streams: int, beat_bytes: int) -> IntLike:
        """Return what ``cycles`` of streaming become while the DMA moves a beat every cycle.

        A beat takes q = beat / (banks x width) of the banks for one cycle and goes on to the
        next ones, so a stream that meets it waits one cycle; a core with *s* streams waits if any
        of them does: 1 + 1 - (1 - q)^s. Derived, for streams that meet the beat at random.
        Checked on one row: 2 streams and beats of 8 of 32 banks give 256 x 1.4375; measured
        461 against 334 to 347 without the DMA.
        """
        taken = min(self.banks, beat_bytes * 8 // self.bank_width)
        every: int = self.banks**streams
        free: int = (self.banks - taken) ** streams
        return ceil_div(cycles * (2 * every - free), every)

    @staticmethod
    def _per_token(
        in_features: IntLike, out_features: IntLike, rank: IntLike, double_buffered: bool
    ) -> IntLike:
        return (in_features + out_features) * (2 if double_buffered else 1) + rank
