"""A strategy of one's own: ``hybridsim run ... --strategy by_shape.py:ByShape``."""

from typing import Literal

from hybridsim.strategies import (
    BatchChooser,
    Job,
    LayerDecisions,
    LayerStrategy,
    TokenParallel,
    one_by_one,
    shape_of,
)


class ByShape(LayerStrategy):
    """Square layers on the cores, all others on engine and cores together.

    A job of the engine costs being programmed, which the small square layers of MobileBERT
    (128 x 128) feel; the others have work enough for both units.
    """

    kind: Literal["by_shape"] = "by_shape"
    batch: int = 16
    """Tokens per batch of a square layer."""

    def decide(self, job: Job) -> LayerDecisions:
        """Return how the adapter of each shape of layer is computed, one layer after the other."""
        square = TokenParallel(unit="cores", early_xa=True, add="separate", batch=self.batch)
        on_cores = BatchChooser(square, job)
        on_both = BatchChooser(TokenParallel(unit="balanced", early_xa=True), job)
        found = {}
        for layer in job.mapping.layers:
            if layer.adapter is not None:
                is_square = layer.op.in_features == layer.op.out_features
                chooser = on_cores if is_square else on_both
                found[shape_of(job, layer)] = chooser.batching(layer)
        return one_by_one(job, found, prefetch=True)
