"""Split between parts: some layers on the matrix engine, others on the cores."""

from typing import Literal

from hybridsim.strategies._pipelined import PipelinedStrategy


class SplitCores(PipelinedStrategy):
    """Each layer takes the faster of engine and cores for its batch.

    A job of the engine pays for being programmed and fills rows of 12, so small batches go to the
    cores, which work on rows of 8.
    """

    kind: Literal["split_cores"] = "split_cores"
    unit: Literal["either"] = "either"
    """Always."""
