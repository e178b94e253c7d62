"""Mapping: which weights on which tile, which adapter on which cluster."""

from hybridsim.mapping.placement import Mapping, PlacedLayer, place
from hybridsim.mapping.tiling import Block

__all__ = ["Block", "Mapping", "PlacedLayer", "place"]
