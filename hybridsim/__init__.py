"""Cycle-approximate simulation of transformers with LoRA adapters on hybrid analog machines.

::

    import hybridsim

    network, machine = hybridsim.load("mobilebert", "ahwa_lora_2026")
    result = hybridsim.simulate(network, machine, tokens=320)
    print(result.overhead_percent)
"""

from hybridsim._version import __version__
from hybridsim.arch import Machine, load_machine
from hybridsim.comparison import Comparison, compare
from hybridsim.cost import ask
from hybridsim.errors import (
    CapacityError,
    HybridsimError,
    InputError,
    SpecError,
    UnknownNameError,
    UnsupportedError,
)
from hybridsim.explanation import Explanation, explain
from hybridsim.generation import generate
from hybridsim.library import machine_names, network_names
from hybridsim.mapping import Mapping, place
from hybridsim.measure.generation import Generation
from hybridsim.measure.result import LayerResult, ResourceResult, Result
from hybridsim.simulation import load, simulate
from hybridsim.strategies import (
    AllAnalog,
    Auto,
    CrossLayer,
    EarlyXa,
    FusedAdd,
    LayerSerial,
    MultiCluster,
    PipelinedStrategy,
    SeparateAdd,
    SplitCores,
    Strategy,
    Swapped,
    TokenParallel,
    make_scheduler,
)
from hybridsim.sweeps import sweep
from hybridsim.workload import Network, load_network

__all__ = [
    "AllAnalog",
    "Auto",
    "CapacityError",
    "Comparison",
    "CrossLayer",
    "EarlyXa",
    "Explanation",
    "FusedAdd",
    "Generation",
    "HybridsimError",
    "InputError",
    "LayerResult",
    "LayerSerial",
    "Machine",
    "Mapping",
    "MultiCluster",
    "Network",
    "PipelinedStrategy",
    "ResourceResult",
    "Result",
    "SeparateAdd",
    "SpecError",
    "SplitCores",
    "Strategy",
    "Swapped",
    "TokenParallel",
    "UnknownNameError",
    "UnsupportedError",
    "__version__",
    "ask",
    "compare",
    "explain",
    "generate",
    "load",
    "load_machine",
    "load_network",
    "machine_names",
    "make_scheduler",
    "network_names",
    "place",
    "simulate",
    "sweep",
]
