"""The named strategies for whole networks: choices of options, none with code of its own.

Source of all but the last: HARP (IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975).
"""

from typing import Literal

from hybridsim.engines import Dispatch
from hybridsim.programs.attention import Form
from hybridsim.strategies.networks.strategy import NetworkStrategy, WholeLayers


class Serial(NetworkStrategy):
    """Whole layers, one after the other; only independent branches run side by side.

    HARP's Serial.
    """

    kind: Literal["serial"] = "serial"
    batch: WholeLayers = "all"
    barrier: bool = True
    split: bool = False
    attention: Form = "sequential"
    dispatch: Dispatch = "reserved"


class IntraLayerParallel(NetworkStrategy):
    """One layer after the other; heads, rows and columns are shared out to all clusters.

    HARP's IL-Par.
    """

    kind: Literal["il_par"] = "il_par"
    batch: WholeLayers = "all"
    barrier: bool = True
    attention: Form = "sequential"
    dispatch: Dispatch = "reserved"


class IntraLayerPipeline(NetworkStrategy):
    """As il_par, but transfers, products and softmax of a cluster overlap. HARP's IL-Pipe."""

    kind: Literal["il_pipe"] = "il_pipe"
    batch: WholeLayers = "all"
    barrier: bool = True
    attention: Form = "pipelined"
    dispatch: Dispatch = "reserved"


class CrossLayerPipeline(NetworkStrategy):
    """Layers of a block overlap batch by batch; blocks wait for each other. HARP's XL-Pipe."""

    kind: Literal["xl_pipe"] = "xl_pipe"
    attention: Form = "sequential"
    barrier: bool = True
    dispatch: Dispatch = "reserved"


class IntraCrossLayerPipeline(NetworkStrategy):
    """As xl_pipe, with transfers, products and softmax of a cluster overlapping too.

    HARP's IL+XL-Pipe.
    """

    kind: Literal["il_xl_pipe"] = "il_xl_pipe"
    attention: Form = "pipelined"
    barrier: bool = True
    dispatch: Dispatch = "reserved"


class CrossBlockPipeline(NetworkStrategy):
    """As il_xl_pipe, but a block starts with the first batch of the block before.

    HARP's XB-pipe.
    """

    kind: Literal["xb_pipe"] = "xb_pipe"
    attention: Form = "pipelined"
    barrier: bool = False
    dispatch: Dispatch = "reserved"


class Composed(NetworkStrategy):
    """Every option as the user sets it; by default batches that flow without any barrier."""

    kind: Literal["network"] = "network"
