"""Swapped operands: U^T = A^T X^T, so that the rank fills the rows of the engine."""

from typing import Literal

from hybridsim.strategies._pipelined import PipelinedStrategy


class Swapped(PipelinedStrategy):
    """The engine works on A^T X^T, whose result is as wide as the batch instead of the rank.

    The cores transpose X before and U after it, as tokens arrive one vector at a time.
    """

    kind: Literal["swapped"] = "swapped"
    order: Literal["swapped"] = "swapped"
    """Always."""
