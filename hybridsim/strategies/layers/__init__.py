"""Strategies for the static linear layers and their adapters: decide, and lay out."""

from hybridsim.strategies.layers.auto import Auto
from hybridsim.strategies.layers.batches import Batching, BatchOrder, BatchSizes, SizeColumns
from hybridsim.strategies.layers.blocks import PointsAlike, points_alike
from hybridsim.strategies.layers.choose import choose
from hybridsim.strategies.layers.choosers import BatchChooser
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
    LayerStrategy,
    PipelinedStrategy,
)
from hybridsim.strategies.layers.points import Chosen, LayerPoints
from hybridsim.strategies.layers.steps import StepOfBatch, steps_of
from hybridsim.strategies.layers.times import LayerTimes, layer_times
from hybridsim.strategies.layers.trials import can_compute

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
    "LayerTimes",
    "MultiCluster",
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
    "layer_times",
    "one_by_one",
    "points_alike",
    "shape_of",
    "steps_of",
]
