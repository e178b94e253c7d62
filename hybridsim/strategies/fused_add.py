"""Fused addition: the engine adds the product onto the analog output."""

from typing import Literal

from hybridsim.strategies._pipelined import PipelinedStrategy


class FusedAdd(PipelinedStrategy):
    """Early X A with the addition inside of the engine, as its output buffer holds Y.

    The published memory formula has a single t x out buffer: Li et al. 2026, Fig. 4b.
    """

    kind: Literal["fused_add"] = "fused_add"
    early_xa: bool = True
    """Whether X A runs while the tile still integrates the batch."""
    add: Literal["fused"] = "fused"
    """Always."""
