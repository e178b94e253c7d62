"""Strategies for the static linear layers and their adapters: decide, and lay out."""

from hybridsim.strategies.layers.auto import Auto
from hybridsim.strategies.layers.batches import Batching, BatchOrder, BatchSizes, SizeColumns
from hybridsim.strategies.layers.blocks import OutlineOfPoints, PointsAlike, points_alike
from hybridsim.strategies.layers.choose import Chosen, LayerPoints, can_compute, choose
from hybridsim.strategies.layers.decisions import Group, LayerDecisions, one_by_one, shape_of
from hybridsim.strategies.layers.named import (
    CrossLayer,
    EarlyXa,
    FusedAdd,
    LayerSerial,
    MultiCluster,
    SeparateAdd,
    SplitCores,
    Swapped,
    TokenParallel,
)
from hybridsim.strategies.layers.options import (
    AllAnalog,
    BatchChooser,
    LayerStrategy,
    PipelinedStrategy,
)
from hybridsim.strategies.layers.outlines import OutlineKey, outline_of
from hybridsim.strategies.layers.steps import StepOfBatch, steps_of

__all__ = [
    "AllAnalog",
    "Auto",
    "BatchChooser",
    "BatchOrder",
    "BatchSizes",
    "Batching",
    "Chosen",
    "CrossLayer",
    "EarlyXa",
    "FusedAdd",
    "Group",
    "LayerDecisions",
    "LayerPoints",
    "LayerSerial",
    "LayerStrategy",
    "MultiCluster",
    "OutlineKey",
    "OutlineOfPoints",
    "PipelinedStrategy",
    "PointsAlike",
    "SeparateAdd",
    "SizeColumns",
    "SplitCores",
    "StepOfBatch",
    "Swapped",
    "TokenParallel",
    "can_compute",
    "choose",
    "one_by_one",
    "outline_of",
    "points_alike",
    "shape_of",
    "steps_of",
]
