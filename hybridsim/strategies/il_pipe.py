"""Whole layers, with attention pipelined inside each cluster."""

from typing import Literal

from pydantic import Field

from hybridsim.programs.attention import Form
from hybridsim.strategies._network_strategy import CHUNK_NAMES, NetworkStrategy, WholeLayers


class IntraLayerPipeline(NetworkStrategy):
    """As il_par, but transfers, products and softmax of a cluster overlap.

    Source: HARP's IL-Pipe (IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975).
    """

    kind: Literal["il_pipe"] = "il_pipe"
    chunk: WholeLayers = Field(default="all", validation_alias=CHUNK_NAMES)
    attention: Form = "pipelined"
    dispatch: Literal["online", "reserved"] = "reserved"
