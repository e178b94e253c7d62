"""Machines: from YAML with units to checked parts."""

from hybridsim.arch.files import Overrides, nearest
from hybridsim.arch.kinds import OF_TILES, sorts, taken_as_usual
from hybridsim.arch.load import (
    is_machine,
    load_machine,
    machine_sources,
    machine_variants,
    machine_with,
    parse_override,
)
from hybridsim.arch.machine import Cluster, Machine, TileArray, XLayout
from hybridsim.arch.mapping_rules import USUAL_CLUSTER, USUAL_TILE, MappingRules, ruled
from hybridsim.arch.written import Difference, differences, machine_yaml, template

__all__ = [
    "OF_TILES",
    "USUAL_CLUSTER",
    "USUAL_TILE",
    "Cluster",
    "Difference",
    "Machine",
    "MappingRules",
    "Overrides",
    "TileArray",
    "XLayout",
    "differences",
    "is_machine",
    "load_machine",
    "machine_sources",
    "machine_variants",
    "machine_with",
    "machine_yaml",
    "nearest",
    "parse_override",
    "ruled",
    "sorts",
    "taken_as_usual",
    "template",
]
