"""Pipeline schedulers. To add one: a file here, and its class in ``SCHEDULERS``."""

from collections.abc import Mapping
from typing import Any

from hybridsim.errors import UnknownNameError
from hybridsim.schedulers._base import Job, LayerSchedule, OpSchedule, Schedule, Scheduler
from hybridsim.schedulers._network_layout import TRANSFERS
from hybridsim.schedulers._network_strategy import NetworkStrategy
from hybridsim.schedulers.all_analog import AllAnalog
from hybridsim.schedulers.il_par import IntraLayerParallel
from hybridsim.schedulers.il_pipe import IntraLayerPipeline
from hybridsim.schedulers.il_xl_pipe import IntraCrossLayerPipeline
from hybridsim.schedulers.layer_serial import LayerSerial
from hybridsim.schedulers.network import Composed
from hybridsim.schedulers.serial import Serial
from hybridsim.schedulers.token_parallel import TokenParallel
from hybridsim.schedulers.xb_pipe import CrossBlockPipeline
from hybridsim.schedulers.xl_pipe import CrossLayerPipeline
from hybridsim.spec_files import validate
from hybridsim.units import Spec

SCHEDULERS: dict[str, type[Spec]] = {
    "all_analog": AllAnalog,
    "layer_serial": LayerSerial,
    "token_parallel": TokenParallel,
    "serial": Serial,
    "il_par": IntraLayerParallel,
    "il_pipe": IntraLayerPipeline,
    "xl_pipe": CrossLayerPipeline,
    "il_xl_pipe": IntraCrossLayerPipeline,
    "xb_pipe": CrossBlockPipeline,
    "network": Composed,
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
    "TRANSFERS",
    "AllAnalog",
    "Composed",
    "CrossBlockPipeline",
    "CrossLayerPipeline",
    "IntraCrossLayerPipeline",
    "IntraLayerParallel",
    "IntraLayerPipeline",
    "Job",
    "LayerSchedule",
    "LayerSerial",
    "NetworkStrategy",
    "OpSchedule",
    "Schedule",
    "Scheduler",
    "Serial",
    "TokenParallel",
    "make_scheduler",
]
