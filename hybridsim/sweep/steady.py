"""One point on the steady-state path: its cost does not grow with tokens."""

from collections.abc import Mapping

from hybridsim.arch import Machine
from hybridsim.engines import steady
from hybridsim.errors import InputError
from hybridsim.mapping import place
from hybridsim.plan import Outline
from hybridsim.schedulers import AllAnalog, Job, LayerSchedule, Scheduler
from hybridsim.simulate import MOST_TOKENS
from hybridsim.workload import Network


def can_outline(scheduler: Scheduler) -> bool:
    """Return whether a strategy can be run without laying out its plan."""
    return hasattr(scheduler, "outline")


def evaluate_point(
    network: Network, machine: Machine, scheduler: Scheduler, tokens: int
) -> Mapping[str, int]:
    """Return the integers of :func:`hybridsim.simulate` for one point.

    Returns:
        ``latency_ps``, ``all_analog_ps``, ``tcdm_bytes``, ``tasks``, and for every kind of part
        ``<kind>_busy_ps``, summed over the parts of the machine.

    Raises:
        CapacityError: The network does not fit the tiles, or a batch does not fit the TCDM.
        UnsupportedError: The strategy asks for a unit that the machine lacks.
        InputError: ``tokens`` is out of range, or the strategy cannot be outlined.
    """
    if not 1 <= tokens <= MOST_TOKENS:
        raise InputError(f"tokens: found {tokens}; give 1 to {MOST_TOKENS} tokens per sequence")
    if not can_outline(scheduler):
        raise InputError(f"scheduler {scheduler.kind} has no outline; use an event engine")
    job = Job(place(network, machine), tokens)
    outline, layers = _outline(scheduler, job)
    yardstick, _ = AllAnalog().outline(job)
    found, analog = steady.run(outline), steady.run(yardstick)
    busy: dict[str, int] = {}
    for resource, held in zip(outline.resources, found.busy_ps.tolist(), strict=True):
        name = f"{resource.kind}_busy_ps"
        busy[name] = busy.get(name, 0) + held * resource.parts
    return {
        "latency_ps": found.makespan_ps,
        "all_analog_ps": analog.makespan_ps,
        "tcdm_bytes": max((layer.tcdm_bytes for layer in layers), default=0),
        "tasks": found.tasks,
        **busy,
    }


def _outline(scheduler: Scheduler, job: Job) -> tuple[Outline, tuple[LayerSchedule, ...]]:
    outline: tuple[Outline, tuple[LayerSchedule, ...]] = scheduler.outline(job)  # type: ignore[attr-defined]
    return outline
