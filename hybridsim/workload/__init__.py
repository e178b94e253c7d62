"""Networks as graphs of ops: what is computed, with sizes, and which layers carry adapters."""

from typing import TYPE_CHECKING

from hybridsim._on_use import names_on_use
from hybridsim.workload.adapters import Adapter, AdapterSpec, Besides, OwnSize
from hybridsim.workload.families import FAMILIES, network_from_config
from hybridsim.workload.families.builder import HEADS, Head
from hybridsim.workload.from_yaml import load_network
from hybridsim.workload.graph import Network
from hybridsim.workload.ops import (
    Activation,
    Add,
    Attention,
    ClassToken,
    Combine,
    Concat,
    Convolution,
    Depthwise,
    Embedding,
    Experts,
    FirstToken,
    Input,
    LastToken,
    Linear,
    Norm,
    Op,
    Pool,
    Rotary,
    Router,
    Scan,
    Select,
    Slice,
    Trigram,
    Window,
)

if TYPE_CHECKING:
    from hybridsim.workload.onnx_import import network_from_onnx


def _unknown(name: str) -> object:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# most networks come from no ONNX file
__getattr__, __dir__ = names_on_use(
    __name__, {f"{__name__}.onnx_import": "network_from_onnx"}, _unknown
)

__all__ = [
    "FAMILIES",
    "HEADS",
    "Activation",
    "Adapter",
    "AdapterSpec",
    "Add",
    "Attention",
    "Besides",
    "ClassToken",
    "Combine",
    "Concat",
    "Convolution",
    "Depthwise",
    "Embedding",
    "Experts",
    "FirstToken",
    "Head",
    "Input",
    "LastToken",
    "Linear",
    "Network",
    "Norm",
    "Op",
    "OwnSize",
    "Pool",
    "Rotary",
    "Router",
    "Scan",
    "Select",
    "Slice",
    "Trigram",
    "Window",
    "load_network",
    "network_from_config",
    "network_from_onnx",
]
