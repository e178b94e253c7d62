"""Token-parallel pipeline: the cluster adapts one batch while the tiles integrate the next."""

from typing import Literal

from hybridsim.strategies._pipelined import PipelinedStrategy


class TokenParallel(PipelinedStrategy):
    """Two stages, tile then cluster, over batches of tokens; the paper's pipeline.

    A larger batch uses the matrix engine better but delays the first result; the best batch
    makes both stages last about equally long. Source: Li et al. 2026, Fig. 4.
    """

    kind: Literal["token_parallel"] = "token_parallel"
