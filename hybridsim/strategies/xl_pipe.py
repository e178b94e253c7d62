"""Chunks of tokens flow through the layers of a block."""

from typing import Literal

from hybridsim.programs.attention import Form
from hybridsim.strategies._network_strategy import NetworkStrategy


class CrossLayerPipeline(NetworkStrategy):
    """Layers of a block overlap chunk by chunk; blocks wait for each other.

    Source: HARP's XL-Pipe (IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975).
    """

    kind: Literal["xl_pipe"] = "xl_pipe"
    attention: Form = "sequential"
    barrier: bool = True
    dispatch: Literal["online", "reserved"] = "reserved"
