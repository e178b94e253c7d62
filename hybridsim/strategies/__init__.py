"""Pipeline schedulers. To add one: a file here, and its class in ``SCHEDULERS``."""

from collections.abc import Mapping
from typing import Any

from hybridsim.errors import UnknownNameError
from hybridsim.specs import validate
from hybridsim.strategies._base import (
    Draft,
    Job,
    LayerSchedule,
    OpSchedule,
    Schedule,
    Scheduler,
)
from hybridsim.strategies._pipelined import Decisions, PipelinedStrategy, lay_out
from hybridsim.strategies._streaming import Group
from hybridsim.strategies.all_analog import AllAnalog
from hybridsim.strategies.auto import Auto
from hybridsim.strategies.cross_layer import CrossLayer
from hybridsim.strategies.early_xa import EarlyXa
from hybridsim.strategies.fused_add import FusedAdd
from hybridsim.strategies.layer_serial import LayerSerial
from hybridsim.strategies.carrying import CarriedOut, carry_out
from hybridsim.strategies.multi_cluster import MultiCluster
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
from hybridsim.strategies.separate_add import SeparateAdd
from hybridsim.strategies.split_cores import SplitCores
from hybridsim.strategies.swapped import Swapped
from hybridsim.strategies.token_parallel import TokenParallel
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

SCHEDULERS: dict[str, type[Spec]] = {
    "all_analog": AllAnalog,
    **ADAPTER_STRATEGIES,
    **NETWORK_STRATEGIES,
}
"""All strategies, by the name under which they are chosen."""


def make_scheduler(name: str, options: Mapping[str, Any] | None = None) -> Scheduler:
    """Return the strategy of that name with its options set.

    Raises:
        UnknownNameError: No strategy has that name.
        SpecError: An option is not one of the strategy's, or has no sense.
    """
    if name not in SCHEDULERS:
        raise UnknownNameError("scheduler", name, SCHEDULERS)
    scheduler: Scheduler = validate(SCHEDULERS[name], _nested(options or {}), f"scheduler {name}")  # type: ignore[assignment]
    return scheduler


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


__all__ = [
    "ADAPTER_STRATEGIES",
    "NETWORK_STRATEGIES",
    "SCHEDULERS",
    "AllAnalog",
    "Auto",
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
    "LayerSchedule",
    "LayerSerial",
    "MultiCluster",
    "NetworkDecisions",
    "NetworkStrategy",
    "OpSchedule",
    "PipelinedStrategy",
    "Schedule",
    "Scheduler",
    "SeparateAdd",
    "Serial",
    "SplitCores",
    "Swapped",
    "TokenParallel",
    "TokenTemplate",
    "carry_out",
    "lay_out",
    "make_scheduler",
]
