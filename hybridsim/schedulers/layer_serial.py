"""Layer-serial baseline: all MVMs of a layer, then all of its adapter work."""

from typing import Literal

from hybridsim.mapping import PlacedLayer
from hybridsim.schedulers._adapted import AdaptedStrategy
from hybridsim.schedulers._batching import Batching
from hybridsim.schedulers._layout import Layout


class LayerSerial(AdaptedStrategy):
    """No overlap of tile, DMA and cluster: what any pipeline is compared with.

    The analog outputs of all tokens wait in memory until the cluster fetches them.
    """

    kind: Literal["layer_serial"] = "layer_serial"
    buffers: Literal[1] = 1
    """One batch at a time."""

    def _lay_out(self, layout: Layout, layer: PlacedLayer, batching: Batching) -> None:
        layout.serial(layer, batching)
