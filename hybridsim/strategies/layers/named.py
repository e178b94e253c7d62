"""The strategies for single layers by name: options that are set, or given other defaults."""

from typing import Literal

from hybridsim.strategies.job import Job
from hybridsim.strategies.layers.batches import BatchOrder
from hybridsim.strategies.layers.options import AdaptedStrategy, PipelinedStrategy
from hybridsim.units import Count


class LayerSerial(AdaptedStrategy):
    """Baseline without any overlap of tile, DMA and cluster: what overlap is compared with.

    All MVMs of a layer, then all of its adapter work: the analog outputs of all tokens wait in
    memory until the cluster fetches them.
    """

    kind: Literal["layer_serial"] = "layer_serial"
    buffers: Literal[1] = 1
    """One batch at a time."""

    def batch_order(self, job: Job) -> BatchOrder:
        """Return that batches wait for all MVMs, and for each other."""
        return BatchOrder(overlap=False)


class TokenParallel(PipelinedStrategy):
    """Two stages, tile then cluster, over batches of tokens; the paper's pipeline.

    The cluster adapts one batch while the tiles integrate the next. A larger batch uses the matrix
    engine better but delays the first result; the best batch makes both stages last about equally
    long. Source: Li et al. 2026, Fig. 4.
    """

    kind: Literal["token_parallel"] = "token_parallel"


class EarlyXa(PipelinedStrategy):
    """U = X A needs only the input, so only the addition waits for the tiles.

    Of the cluster's work on the last batch, what remains after its MVMs is U B + Y and the store.
    """

    kind: Literal["early_xa"] = "early_xa"
    early_xa: Literal[True] = True
    """Always."""


class FusedAdd(PipelinedStrategy):
    """Early X A with the addition inside of the engine, as its output buffer holds Y.

    The published memory formula has a single t x out buffer: Li et al. 2026, Fig. 4b.
    """

    kind: Literal["fused_add"] = "fused_add"
    early_xa: bool = True
    """Whether X A runs while the tile still integrates the batch."""
    add: Literal["fused"] = "fused"
    """Always."""


class SeparateAdd(PipelinedStrategy):
    """V = U B needs only the input too: after the tiles only Z = V + Y and the store are left.

    Costs a second t x out buffer and a pass of the cores over V, which the fused addition saves.
    """

    kind: Literal["separate_add"] = "separate_add"
    early_xa: Literal[True] = True
    """Always: without it a buffer of its own gains nothing."""
    add: Literal["separate"] = "separate"
    """Always."""


class Swapped(PipelinedStrategy):
    """The engine works on A^T X^T, whose result is as wide as the batch instead of the rank.

    U^T = A^T X^T, so that the rank fills the rows of the engine. The cores transpose U after it,
    and X before it where X arrives by tokens.
    """

    kind: Literal["swapped"] = "swapped"
    order: Literal["swapped"] = "swapped"
    """Always."""


class SplitCores(PipelinedStrategy):
    """Each layer takes the faster of engine and cores for its batch.

    A job of the engine pays for being programmed and leaves columns empty at low ranks, so small
    batches of wide layers go to the cores.
    """

    kind: Literal["split_cores"] = "split_cores"
    unit: Literal["either"] = "either"
    """Always."""


class MultiCluster(PipelinedStrategy):
    """The batches of a layer go round all clusters, without asking whether fewer would do.

    Each cluster has its own A, B and buffers; one link feeds them all. Others that overlap tiles
    and clusters do that where it is faster; this one always does. On a machine with one cluster it
    is ``token_parallel``.
    """

    kind: Literal["multi_cluster"] = "multi_cluster"
    clusters: Count | Literal["all", "best"] = "all"
    """Clusters that take the batches of a layer in turn."""


class CrossLayer(PipelinedStrategy):
    """A layer begins when the first batch of its input is there, up to the next attention.

    Layers work on different batches at the same time. Attention needs all tokens, so nothing after
    it begins before. Layers run together as long as their adapters fit the scratchpads together.
    The yardstick streams as well, so beside layers in turn (``layer_by_layer_percent``) alone can
    the overhead be negative.
    """

    kind: Literal["cross_layer"] = "cross_layer"
    stream: Literal[True] = True
    """Always."""
