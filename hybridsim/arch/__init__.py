"""Machines: from YAML with units to checked parts."""

from hybridsim.arch.load import (
    Overrides,
    load_machine,
    machine_sources,
    machine_variants,
    machine_with,
    parse_override,
)
from hybridsim.arch.machine import Cluster, Machine, TileArray, XLayout

__all__ = [
    "Cluster",
    "Machine",
    "Overrides",
    "TileArray",
    "XLayout",
    "load_machine",
    "machine_sources",
    "machine_variants",
    "machine_with",
    "parse_override",
]
