"""Strategies. To add one: a file here, and its class in ``STRATEGIES``."""

from collections.abc import Mapping
from typing import Any

from hybridsim._old_names import old_names_of
from hybridsim.errors import UnknownNameError
from hybridsim.specs import validate
from hybridsim.strategies.job import (
    CarriedOut,
    Decisions,
    Draft,
    Job,
    LayerDecision,
    OpDecision,
    Schedule,
    Strategy,
    Structure,
    carry_out,
)
from hybridsim.strategies.layers import (
    AllAnalog,
    Auto,
    BatchChooser,
    Batching,
    BatchOrder,
    BatchSizes,
    CrossLayer,
    EarlyXa,
    FusedAdd,
    Group,
    LayerDecisions,
    LayerSerial,
    LayerStrategy,
    MultiCluster,
    PipelinedStrategy,
    SeparateAdd,
    SplitCores,
    StepOfBatch,
    Swapped,
    TokenParallel,
    one_by_one,
    shape_of,
    steps_of,
)
from hybridsim.strategies.networks import (
    Choice,
    Composed,
    CrossBlockPipeline,
    CrossLayerPipeline,
    IntraCrossLayerPipeline,
    IntraLayerParallel,
    IntraLayerPipeline,
    NetworkDecisions,
    NetworkStrategy,
    Serial,
    TokenTemplate,
)
from hybridsim.strategies.yardstick import LAYER_BY_LAYER, analog_yardstick, yardstick
from hybridsim.units import Spec

ADAPTER_STRATEGIES: dict[str, type[Spec]] = {
    "layer_serial": LayerSerial,
    "token_parallel": TokenParallel,
    "early_xa": EarlyXa,
    "fused_add": FusedAdd,
    "separate_add": SeparateAdd,
    "swapped": Swapped,
    "split_cores": SplitCores,
    "multi_cluster": MultiCluster,
    "cross_layer": CrossLayer,
    "auto": Auto,
}
"""Strategies for the static linear layers and their adapters, by name."""

NETWORK_STRATEGIES: dict[str, type[Spec]] = {
    "serial": Serial,
    "il_par": IntraLayerParallel,
    "il_pipe": IntraLayerPipeline,
    "xl_pipe": CrossLayerPipeline,
    "il_xl_pipe": IntraCrossLayerPipeline,
    "xb_pipe": CrossBlockPipeline,
    "network": Composed,
}
"""Strategies for every op of a network that takes time, by name."""

STRATEGIES: dict[str, type[Spec]] = {
    "all_analog": AllAnalog,
    **ADAPTER_STRATEGIES,
    **NETWORK_STRATEGIES,
}
"""All strategies, by the name under which they are chosen."""


def make_strategy(name: str, options: Mapping[str, Any] | None = None) -> Strategy:
    """Return the strategy of that name with its options set.

    Raises:
        UnknownNameError: No strategy has that name.
        SpecError: An option is not one of the strategy's, or has no sense.
    """
    if name not in STRATEGIES:
        raise UnknownNameError("strategy", name, STRATEGIES)
    found: Strategy = validate(STRATEGIES[name], _nested(options or {}), f"strategy {name}")  # type: ignore[assignment]
    return found


def _nested(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with ``where.add`` as ``add`` inside ``where``."""
    found: dict[str, Any] = {}
    for key, value in options.items():
        group, dot, rest = key.partition(".")
        if dot and isinstance(found.get(group, {}), dict):
            found[group] = found.get(group, {}) | {rest: value}
        else:
            found[key] = value
    return found


__getattr__ = old_names_of(
    __name__,
    {"make_scheduler": "make_strategy", "SCHEDULERS": "STRATEGIES", "Scheduler": "Strategy"},
)

__all__ = [
    "ADAPTER_STRATEGIES",
    "LAYER_BY_LAYER",
    "NETWORK_STRATEGIES",
    "STRATEGIES",
    "AllAnalog",
    "Auto",
    "BatchChooser",
    "BatchOrder",
    "BatchSizes",
    "Batching",
    "CarriedOut",
    "Choice",
    "Composed",
    "CrossBlockPipeline",
    "CrossLayer",
    "CrossLayerPipeline",
    "Decisions",
    "Draft",
    "EarlyXa",
    "FusedAdd",
    "Group",
    "IntraCrossLayerPipeline",
    "IntraLayerParallel",
    "IntraLayerPipeline",
    "Job",
    "LayerDecision",
    "LayerDecisions",
    "LayerSerial",
    "LayerStrategy",
    "MultiCluster",
    "NetworkDecisions",
    "NetworkStrategy",
    "OpDecision",
    "PipelinedStrategy",
    "Schedule",
    "SeparateAdd",
    "Serial",
    "SplitCores",
    "StepOfBatch",
    "Strategy",
    "Structure",
    "Swapped",
    "TokenParallel",
    "TokenTemplate",
    "analog_yardstick",
    "carry_out",
    "make_strategy",
    "one_by_one",
    "shape_of",
    "steps_of",
    "yardstick",
]
