"""Several clusters: the batches of a layer go round all of them."""

from typing import Literal

from hybridsim.strategies._pipelined import PipelinedStrategy


class MultiCluster(PipelinedStrategy):
    """Each cluster has its own A, B and buffers; one link feeds them all.

    On a machine with one cluster this is the token-parallel pipeline.
    """

    kind: Literal["multi_cluster"] = "multi_cluster"
    clusters: int | Literal["all"] = "all"
    """Clusters that take the batches of a layer in turn."""
