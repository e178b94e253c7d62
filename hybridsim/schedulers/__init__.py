"""Pipeline schedulers. To add one: a file here, and its class in ``SCHEDULERS``."""

from collections.abc import Mapping
from typing import Any

from hybridsim.errors import UnknownNameError
from hybridsim.schedulers._base import Job, LayerSchedule, Schedule, Scheduler
from hybridsim.schedulers._pipelined import Decisions, PipelinedStrategy, lay_out
from hybridsim.schedulers._streaming import Group
from hybridsim.schedulers.all_analog import AllAnalog
from hybridsim.schedulers.auto import Auto
from hybridsim.schedulers.cross_layer import CrossLayer
from hybridsim.schedulers.early_xa import EarlyXa
from hybridsim.schedulers.fused_add import FusedAdd
from hybridsim.schedulers.layer_serial import LayerSerial
from hybridsim.schedulers.multi_cluster import MultiCluster
from hybridsim.schedulers.separate_add import SeparateAdd
from hybridsim.schedulers.split_cores import SplitCores
from hybridsim.schedulers.swapped import Swapped
from hybridsim.schedulers.token_parallel import TokenParallel
from hybridsim.spec_files import validate
from hybridsim.units import Spec

SCHEDULERS: dict[str, type[Spec]] = {
    "all_analog": AllAnalog,
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
"""Strategies by the name under which they are chosen."""


def make_scheduler(name: str, options: Mapping[str, Any] | None = None) -> Scheduler:
    """Return the strategy of that name with its options set.

    Raises:
        UnknownNameError: No strategy has that name.
        SpecError: An option is not one of the strategy's, or has no sense.
    """
    if name not in SCHEDULERS:
        raise UnknownNameError("scheduler", name, SCHEDULERS)
    scheduler: Scheduler = validate(SCHEDULERS[name], dict(options or {}), f"scheduler {name}")  # type: ignore[assignment]
    return scheduler


__all__ = [
    "SCHEDULERS",
    "AllAnalog",
    "Auto",
    "CrossLayer",
    "Decisions",
    "EarlyXa",
    "FusedAdd",
    "Group",
    "Job",
    "LayerSchedule",
    "LayerSerial",
    "MultiCluster",
    "PipelinedStrategy",
    "Schedule",
    "Scheduler",
    "SeparateAdd",
    "SplitCores",
    "Swapped",
    "TokenParallel",
    "lay_out",
    "make_scheduler",
]
