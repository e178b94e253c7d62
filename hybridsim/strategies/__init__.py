"""Strategies. To add one: a file here, and its class in ``STRATEGIES``."""

from collections.abc import Mapping
from inspect import isabstract
from typing import Any

from hybridsim._old_names import old_names_of
from hybridsim.errors import SpecError, UnknownNameError
from hybridsim.outside import from_outside, names_a_file, offered, origin_of
from hybridsim.specs import validate
from hybridsim.strategies.checked import check_decisions
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

    ``name`` is one of :data:`STRATEGIES`, an entry point of ``hybridsim.strategies``, or
    ``file.py:Class``; ``code`` among the options of such a one is the hash of its code.

    Raises:
        UnknownNameError: No strategy has that name.
        SpecError: An option is not one of the strategy's, or has no sense; or a strategy from
            outside fails to import or is none.
    """
    given = dict(options or {})
    kind = strategy_class(name, None if name in STRATEGIES else given.pop("code", None))
    found: Strategy = validate(kind, _nested(given), f"strategy {name}")  # type: ignore[assignment]
    return found


def strategy_class(name: str, code: str | None = None) -> type[Spec]:
    """Return the class of a strategy by its name.

    Raises:
        UnknownNameError: No strategy has that name.
        SpecError: One from outside fails to import, is none, or has other code.
    """
    if name in STRATEGIES:
        return STRATEGIES[name]
    if not names_a_file(name) and name not in offered("strategy"):
        raise UnknownNameError("strategy", name, strategy_names())
    kind = from_outside(name, "strategy", code=code)
    if not (isinstance(kind, type) and issubclass(kind, LayerStrategy | NetworkStrategy)):
        problem = "is no strategy; a class that extends LayerStrategy or NetworkStrategy would do"
        raise SpecError(name, "", problem)
    if isabstract(kind) or "kind" not in kind.model_fields:
        missing = sorted({*kind.__abstractmethods__} or {"kind"})
        raise SpecError(name, "", f"leaves {', '.join(missing)} open; a strategy with it would do")
    if (own := kind.model_fields["kind"].default) in STRATEGIES:
        raise SpecError(name, "kind", f"found {own!r}, a strategy of hybridsim; another would do")
    check_decisions(kind, name)
    return kind


def strategy_names() -> list[str]:
    """Return the names of all strategies, those of entry points last."""
    return [*STRATEGIES, *(name for name in offered("strategy") if name not in STRATEGIES)]


def named(strategy: Strategy) -> dict[str, Any]:
    """Return a strategy as text and numbers that read back, under ``kind`` what it is named by."""
    text: dict[str, Any] = strategy.model_dump(mode="json")  # type: ignore[attr-defined]
    origin = origin_of(type(strategy))
    return text if origin is None else text | {"kind": origin.name, "code": origin.code}


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
    "named",
    "one_by_one",
    "shape_of",
    "steps_of",
    "strategy_class",
    "strategy_names",
    "yardstick",
]
