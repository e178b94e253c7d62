"""Cycle-approximate simulation of transformers with LoRA adapters on hybrid analog machines.

::

    import hybridsim

    network, machine = hybridsim.load("mobilebert", "ahwa_lora_2026")
    result = hybridsim.simulate(network, machine, tokens=320)
    print(result.overhead_percent)
"""

from hybridsim._version import __version__
from hybridsim.arch import Machine, load_machine
from hybridsim.errors import (
    CapacityError,
    HybridsimError,
    InputError,
    SpecError,
    UnknownNameError,
    UnsupportedError,
)
from hybridsim.library import machine_names, network_names
from hybridsim.mapping import Mapping, place
from hybridsim.metrics.result import LayerResult, ResourceResult, Result
from hybridsim.schedulers import (
    AllAnalog,
    LayerSerial,
    Scheduler,
    TokenParallel,
    make_scheduler,
)
from hybridsim.simulate import load, simulate
from hybridsim.sweep import sweep
from hybridsim.workload import Network, load_network

__all__ = [
    "AllAnalog",
    "CapacityError",
    "HybridsimError",
    "InputError",
    "LayerResult",
    "LayerSerial",
    "Machine",
    "Mapping",
    "Network",
    "ResourceResult",
    "Result",
    "Scheduler",
    "SpecError",
    "TokenParallel",
    "UnknownNameError",
    "UnsupportedError",
    "__version__",
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
