"""Separate addition: the product of the adapter in a buffer of its own."""

from typing import Literal

from hybridsim.strategies._pipelined import PipelinedStrategy


class SeparateAdd(PipelinedStrategy):
    """V = U B needs only the input too: after the tiles only Z = V + Y and the store are left.

    Costs a second t x out buffer and a pass of the cores over V, which the fused addition saves.
    """

    kind: Literal["separate_add"] = "separate_add"
    early_xa: Literal[True] = True
    """Always: without it a buffer of its own gains nothing."""
    add: Literal["separate"] = "separate"
    """Always."""
