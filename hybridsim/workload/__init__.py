"""Networks as graphs of ops: what is computed, with sizes, and which layers carry adapters."""

from hybridsim.workload.adapters import Adapter, AdapterSpec
from hybridsim.workload.families import BUILDERS, network_from_config
from hybridsim.workload.families.builder import HEADS, Head
from hybridsim.workload.from_yaml import load_network
from hybridsim.workload.graph import Network
from hybridsim.workload.onnx_import import network_from_onnx
from hybridsim.workload.ops import (
    Activation,
    Add,
    Attention,
    ClassToken,
    Concat,
    Embedding,
    FirstToken,
    Input,
    LastToken,
    Linear,
    Norm,
    Op,
    Rotary,
    Slice,
    Trigram,
)

__all__ = [
    "BUILDERS",
    "HEADS",
    "Activation",
    "Adapter",
    "AdapterSpec",
    "Add",
    "Attention",
    "ClassToken",
    "Concat",
    "Embedding",
    "FirstToken",
    "Head",
    "Input",
    "LastToken",
    "Linear",
    "Network",
    "Norm",
    "Op",
    "Rotary",
    "Slice",
    "Trigram",
    "load_network",
    "network_from_config",
    "network_from_onnx",
]
