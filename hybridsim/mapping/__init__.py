"""Mapping: which weights on which tile, which adapter on which cluster."""

from hybridsim.mapping.placed_layer import PlacedLayer, written_with
from hybridsim.mapping.placement import Mapping, Spread, place
from hybridsim.mapping.tiling import Block

__all__ = ["Block", "Mapping", "PlacedLayer", "Spread", "place", "written_with"]
