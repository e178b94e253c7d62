"""Early X A: the cluster works on a batch while the tiles still integrate it."""

from typing import Literal

from hybridsim.strategies._pipelined import PipelinedStrategy


class EarlyXa(PipelinedStrategy):
    """U = X A needs only the input, so only the addition waits for the tiles.

    Of the cluster's work on the last batch, what remains after its MVMs is U B + Y and the store.
    """

    kind: Literal["early_xa"] = "early_xa"
    early_xa: Literal[True] = True
    """Always."""
