"""Chunks flow through the layers of a block, attention pipelined inside."""

from typing import Literal

from hybridsim.programs.attention import Form
from hybridsim.strategies._network_strategy import NetworkStrategy


class IntraCrossLayerPipeline(NetworkStrategy):
    """As xl_pipe, with transfers, products and softmax of a cluster overlapping too.

    Source: HARP's IL+XL-Pipe (IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975).
    """

    kind: Literal["il_xl_pipe"] = "il_xl_pipe"
    attention: Form = "pipelined"
    barrier: bool = True
    dispatch: Literal["online", "reserved"] = "reserved"
