"""Whole layers, with digital ops split over the clusters."""

from typing import Literal

from pydantic import Field

from hybridsim.programs.attention import Form
from hybridsim.strategies._network_strategy import CHUNK_NAMES, NetworkStrategy, WholeLayers


class IntraLayerParallel(NetworkStrategy):
    """One layer after the other; heads, rows and columns are shared out to all clusters.

    Source: HARP's IL-Par (IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975).
    """

    kind: Literal["il_par"] = "il_par"
    chunk: WholeLayers = Field(default="all", validation_alias=CHUNK_NAMES)
    attention: Form = "sequential"
    dispatch: Literal["online", "reserved"] = "reserved"
