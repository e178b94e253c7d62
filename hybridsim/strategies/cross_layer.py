"""Cross-layer pipeline: a layer begins when the first batch of its input is there."""

from typing import Literal

from hybridsim.strategies._pipelined import PipelinedStrategy


class CrossLayer(PipelinedStrategy):
    """Layers work on different batches at the same time, up to the next attention.

    Attention needs all tokens, so nothing after it begins before. Layers run together as long as
    their adapters fit the scratchpads together. Beside an all-analog network that runs layer after
    layer the overhead can be negative.
    """

    kind: Literal["cross_layer"] = "cross_layer"
    stream: Literal[True] = True
    """Always."""
