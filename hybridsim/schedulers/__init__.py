"""Pipeline schedulers. To add one: a file here, and its class in ``SCHEDULERS``."""

from collections.abc import Mapping
from typing import Any

from hybridsim.errors import UnknownNameError
from hybridsim.schedulers._base import Job, LayerSchedule, Schedule, Scheduler
from hybridsim.schedulers.all_analog import AllAnalog
from hybridsim.schedulers.layer_serial import LayerSerial
from hybridsim.schedulers.token_parallel import TokenParallel
from hybridsim.spec_files import validate
from hybridsim.units import Spec

SCHEDULERS: dict[str, type[Spec]] = {
    "all_analog": AllAnalog,
    "layer_serial": LayerSerial,
    "token_parallel": TokenParallel,
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
    "Job",
    "LayerSchedule",
    "LayerSerial",
    "Schedule",
    "Scheduler",
    "TokenParallel",
    "make_scheduler",
]
