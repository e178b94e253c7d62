"""One point on the steady-state path: its cost does not grow with tokens."""

from collections.abc import Mapping
from typing import Any

from hybridsim.arch import Machine
from hybridsim.engines import engine as engine_by_name
from hybridsim.errors import InputError
from hybridsim.mapping import place
from hybridsim.plan import Outline
from hybridsim.simulation import MOST_TOKENS
from hybridsim.strategies import AllAnalog, Draft, Job, Strategy, carry_out
from hybridsim.sweeps.executed import Executed, most_tcdm
from hybridsim.work import price
from hybridsim.workload import Network

_WORTH = 64
"""Iterations of a loop, on average, from which on looking for what repeats is worth its cost."""


def can_outline(scheduler: Strategy) -> bool:
    """Return whether a strategy can be run without laying out its plan."""
    return hasattr(scheduler, "outline")


def outline_of(scheduler: Strategy, job: Job) -> Draft:
    """Return the plan of a strategy in outline.

    Raises:
        InputError: The strategy cannot be outlined.
    """
    if not can_outline(scheduler):
        raise InputError(f"scheduler {scheduler.kind} has no outline; use an event engine")
    draft: Draft = scheduler.outline(job)  # type: ignore[attr-defined]
    return draft


def run_outlined(scheduler: Strategy, job: Job) -> Executed:
    """Return the run of a strategy that can be outlined.

    A plan of few iterations is laid out, which is faster; the numbers are the same.
    """
    draft = outline_of(scheduler, job)
    steps = sum(template.loop.size for template in draft.outline.templates)
    if len(draft.outline) < _WORTH * steps:
        schedule = draft.schedule()
        latency = carry_out(schedule, job.machine, engine_by_name("compiled")).makespan
        return Executed(latency, len(schedule.plan), draft.layers, most_tcdm(draft.layers))
    # only here, as Numba takes a quarter of a second to import
    from hybridsim.engines import steady

    outline = draft.outline
    extent = steady.run(outline, price(outline.works, job.machine))
    needed = most_tcdm(draft.layers)
    return Executed(extent.makespan_ps, extent.tasks, draft.layers, needed)


def evaluate_point(
    network: Network, machine: Machine, scheduler: Strategy, tokens: int
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
    # only here, as Numba takes a quarter of a second to import
    from hybridsim.engines import steady

    if not 1 <= tokens <= MOST_TOKENS:
        raise InputError(f"tokens: found {tokens}; give 1 to {MOST_TOKENS} tokens per sequence")
    compiled: Any = engine_by_name("compiled")  # for strategies that try what they decide
    job = Job(place(network, machine), tokens, compiled)
    draft, yardstick = outline_of(scheduler, job), AllAnalog().outline(job)
    found = steady.run(draft.outline, price(draft.outline.works, machine))
    without = steady.run(yardstick.outline, price(yardstick.outline.works, machine))
    return {
        "latency_ps": found.makespan_ps,
        "all_analog_ps": without.makespan_ps,
        "tcdm_bytes": most_tcdm(draft.layers),
        "tasks": found.tasks,
        **_busy_by_kind(draft.outline, found.busy_ps.tolist()),
    }


def _busy_by_kind(outline: Outline, busy_ps: list[int]) -> dict[str, int]:
    busy: dict[str, int] = {}
    for resource, held in zip(outline.resources, busy_ps, strict=True):
        name = f"{resource.kind}_busy_ps"
        busy[name] = busy.get(name, 0) + held * resource.parts
    return busy
