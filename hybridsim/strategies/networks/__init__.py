"""Strategies for every op of a network that takes time: decide, then lay out."""

from hybridsim.strategies.networks.named import (
    Composed,
    CrossBlockPipeline,
    CrossLayerPipeline,
    IntraCrossLayerPipeline,
    IntraLayerParallel,
    IntraLayerPipeline,
    Serial,
)
from hybridsim.strategies.networks.plans import NetworkDecisions
from hybridsim.strategies.networks.strategy import Choice, NetworkStrategy
from hybridsim.strategies.networks.token_template import TokenTemplate

__all__ = [
    "Choice",
    "Composed",
    "CrossBlockPipeline",
    "CrossLayerPipeline",
    "IntraCrossLayerPipeline",
    "IntraLayerParallel",
    "IntraLayerPipeline",
    "NetworkDecisions",
    "NetworkStrategy",
    "Serial",
    "TokenTemplate",
]
