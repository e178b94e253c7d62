"""Chunks flow from block to block without any barrier."""

from typing import Literal

from hybridsim.programs.attention import Form
from hybridsim.strategies._network_strategy import NetworkStrategy


class CrossBlockPipeline(NetworkStrategy):
    """As il_xl_pipe, but a block starts with the first chunk of the block before.

    Source: HARP's XB-pipe (IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975).
    """

    kind: Literal["xb_pipe"] = "xb_pipe"
    attention: Form = "pipelined"
    barrier: bool = False
    dispatch: Literal["online", "reserved"] = "reserved"
