"""One op after the other, each on one cluster at most."""

from typing import Literal

from pydantic import Field

from hybridsim.programs.attention import Form
from hybridsim.strategies._network_strategy import CHUNK_NAMES, NetworkStrategy, WholeLayers


class Serial(NetworkStrategy):
    """Whole layers, one after the other; only independent branches run side by side.

    Source: HARP's Serial (IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975).
    """

    kind: Literal["serial"] = "serial"
    chunk: WholeLayers = Field(default="all", validation_alias=CHUNK_NAMES)
    split: bool = False
    attention: Form = "sequential"
    dispatch: Literal["online", "reserved"] = "reserved"
