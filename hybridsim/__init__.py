"""Cycle-approximate simulation of transformers with LoRA adapters on hybrid analog machines.

::

    import hybridsim

    network, machine = hybridsim.load("mobilebert", "ahwa_lora_2026")
    result = hybridsim.simulate(network, machine, tokens=320)
    print(result.overhead_percent)

What there is, by what it is for:

- inputs: ``load``, ``load_network``, ``load_machine``, ``network_names``, ``machine_names``,
  ``Network``, ``Machine``
- questions: ``simulate``, ``whole_network``, ``compare``, ``explain``, ``generate``, ``sweep``,
  ``design``, ``ask``, ``place``
- answers: ``Result``, ``LayerResult``, ``ResourceResult``, ``Comparison``, ``Explanation``,
  ``Generation``, ``Design``, ``Mapping``
- strategies, by name: ``make_strategy``, ``Strategy``
- strategies for linear layers and their adapters: ``AllAnalog``, ``LayerSerial``,
  ``TokenParallel``, ``EarlyXa``, ``FusedAdd``, ``SeparateAdd``, ``Swapped``, ``SplitCores``,
  ``MultiCluster``, ``CrossLayer``, ``Auto``, ``PipelinedStrategy``
- strategies for whole networks: ``Serial``, ``IntraLayerParallel``, ``IntraLayerPipeline``,
  ``CrossLayerPipeline``, ``IntraCrossLayerPipeline``, ``CrossBlockPipeline``, ``Composed``,
  ``NetworkStrategy``
- errors: ``HybridsimError``, ``InputError``, ``SpecError``, ``UnknownNameError``,
  ``CapacityError``, ``UnsupportedError``
"""

import typing as _typing

from hybridsim import _old_names, _on_use
from hybridsim._version import __version__

if _typing.TYPE_CHECKING:
    from hybridsim.arch import Machine, load_machine
    from hybridsim.comparison import Comparison, compare
    from hybridsim.cost import ask
    from hybridsim.designs import Design, design
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
        Composed,
        CrossBlockPipeline,
        CrossLayer,
        CrossLayerPipeline,
        EarlyXa,
        FusedAdd,
        IntraCrossLayerPipeline,
        IntraLayerParallel,
        IntraLayerPipeline,
        LayerSerial,
        MultiCluster,
        NetworkStrategy,
        PipelinedStrategy,
        SeparateAdd,
        Serial,
        SplitCores,
        Strategy,
        Swapped,
        TokenParallel,
        make_strategy,
    )
    from hybridsim.sweeps import sweep
    from hybridsim.whole import whole_network
    from hybridsim.workload import Network, load_network

__all__ = [
    "AllAnalog",
    "Auto",
    "CapacityError",
    "Comparison",
    "Composed",
    "CrossBlockPipeline",
    "CrossLayer",
    "CrossLayerPipeline",
    "Design",
    "EarlyXa",
    "Explanation",
    "FusedAdd",
    "Generation",
    "HybridsimError",
    "InputError",
    "IntraCrossLayerPipeline",
    "IntraLayerParallel",
    "IntraLayerPipeline",
    "LayerResult",
    "LayerSerial",
    "Machine",
    "Mapping",
    "MultiCluster",
    "Network",
    "NetworkStrategy",
    "PipelinedStrategy",
    "ResourceResult",
    "Result",
    "SeparateAdd",
    "Serial",
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
    "design",
    "explain",
    "generate",
    "load",
    "load_machine",
    "load_network",
    "machine_names",
    "make_strategy",
    "network_names",
    "place",
    "simulate",
    "sweep",
    "whole_network",
]

_old_names.find_old_names(__name__)
__getattr__, __dir__ = _on_use.names_on_use(
    __name__,
    {
        "hybridsim.arch": "Machine load_machine",
        "hybridsim.comparison": "Comparison compare",
        "hybridsim.cost": "ask",
        "hybridsim.designs": "Design design",
        "hybridsim.errors": (
            "CapacityError HybridsimError InputError SpecError UnknownNameError UnsupportedError"
        ),
        "hybridsim.explanation": "Explanation explain",
        "hybridsim.generation": "generate",
        "hybridsim.library": "machine_names network_names",
        "hybridsim.mapping": "Mapping place",
        "hybridsim.measure.generation": "Generation",
        "hybridsim.measure.result": "LayerResult ResourceResult Result",
        "hybridsim.simulation": "load simulate",
        "hybridsim.strategies": (
            "AllAnalog Auto Composed CrossBlockPipeline CrossLayer CrossLayerPipeline "
            "EarlyXa FusedAdd IntraCrossLayerPipeline IntraLayerParallel "
            "IntraLayerPipeline LayerSerial MultiCluster NetworkStrategy "
            "PipelinedStrategy SeparateAdd Serial SplitCores Strategy Swapped "
            "TokenParallel make_strategy"
        ),
        "hybridsim.sweeps": "sweep",
        "hybridsim.whole": "whole_network",
        "hybridsim.workload": "Network load_network",
    },
    _old_names.old_names_of(
        __name__, {"make_scheduler": "make_strategy", "Scheduler": "Strategy"}
    ),
)
