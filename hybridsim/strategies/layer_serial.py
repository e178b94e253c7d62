"""Layer-serial baseline: all MVMs of a layer, then all of its adapter work."""

from typing import Literal

from hybridsim.strategies._adapted import AdaptedStrategy
from hybridsim.strategies._base import Draft, Job, LayerSchedule
from hybridsim.strategies._batching import Batching, choose_batching
from hybridsim.strategies._layout import Layout


class LayerSerial(AdaptedStrategy):
    """No overlap of tile, DMA and cluster: what any pipeline is compared with.

    The analog outputs of all tokens wait in memory until the cluster fetches them.
    """

    kind: Literal["layer_serial"] = "layer_serial"
    buffers: Literal[1] = 1
    """One batch at a time."""

    def outline(self, job: Job) -> Draft:
        """Return the plan of all layers in outline, one after the other."""
        layout, layers = Layout(job), []
        decided: dict[tuple[int, ...], Batching] = {}
        for layer in job.mapping.layers:
            tokens = job.tokens_of(layer)
            if layer.adapter is None:
                layout.analog(layer)
                layers.append(LayerSchedule(layer, tokens))
                continue
            shape = (layer.op.in_features, layer.op.out_features, layer.adapter.rank, tokens)
            if shape not in decided:
                decided[shape] = choose_batching(
                    job.machine, layer, tokens, self.batch, self.choices, self.buffers
                )
            own = decided[shape]
            layout.serial(layer, own)
            layers.append(
                LayerSchedule(layer, own.batch, own.program.choice, own.buffers, own.tcdm_bytes)
            )
        return Draft(layout.builder.outline(), tuple(layers))
