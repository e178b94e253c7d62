"""Three ways to run several tasks on analog tiles, side by side.

``adapters``
    the base network is written once; each task has adapters, and a switch fetches them.
``reprogram``
    each task has weights of its own; a switch writes all tiles anew.
``chip_per_task``
    each task has weights of its own, on a chip of its own; a switch costs nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from hybridsim._old_names import old_keywords
from hybridsim.arch import Machine
from hybridsim.components.aimc_tile import Programming
from hybridsim.errors import InputError
from hybridsim.measure.area import MIB, area_of
from hybridsim.service.service import adapter_bytes
from hybridsim.simulation import Run, execute
from hybridsim.strategies import Strategy
from hybridsim.units import ceil_div
from hybridsim.workload import Network

TASKS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Alternatives:
    """What several tasks cost in each of the three ways."""

    table: pd.DataFrame
    """One row per number of tasks and way, units in the column names."""
    facts: dict[str, Any]
    """One sequence and one switch of a task: times in ps, energies in pJ."""


@old_keywords(scheduler="strategy")
def compare_alternatives(
    network: Network,
    machine: Machine,
    tasks: Sequence[int] = TASKS,
    strategy: Strategy | None = None,
    tokens: int | None = None,
) -> Alternatives:
    """Return parameters, stored bytes, area, and the cost of a switch for each way.

    Reprogramming is given as a range: with all crossbars written at the same time, and with one
    after the other. Areas are those of the machine; a chip per task needs no cluster for
    adapters, so that the clusters are left out of its area, which favours it. Adapters of all
    tasks are kept in on-chip memory, whose area is added by the MiB.

    Raises:
        InputError: The network has no adapters; the machine says nothing of programming; a number
            of tasks is below 1.
    """
    if machine.tile.programming is None:
        raise InputError(
            f"machine {machine.name!r} does not say what programming takes; give "
            "tile.programming with row_time, device_energy and devices_per_weight"
        )
    if any(n < 1 for n in tasks):
        raise InputError(f"tasks: found {min(tasks)}; write numbers of 1 or more")
    size = adapter_bytes(network, machine)
    run = execute(network, machine, strategy, tokens)
    facts = _facts(network, machine, run, size, machine.tile.programming)
    rows = [
        {"tasks": n, "way": way, **values}
        for n in tasks
        for way, values in _ways(n, network, machine, run, size, facts).items()
    ]
    return Alternatives(pd.DataFrame(rows), facts)


def _facts(
    network: Network, machine: Machine, run: Run, size: int, programming: Programming
) -> dict[str, Any]:
    """Return what one sequence and one switch cost, and after how many sequences ways are even."""
    crossbar = programming.crossbar_ps(machine.tile.rows)
    most = run.job.mapping.crossbars * crossbar
    dram = machine.memory.dram if machine.memory else None
    fetch = dram.transfer_ps(size) if dram else None
    extra = run.result.latency_ps - run.result.yardstick_ps
    energy = run.result.energy
    drawn = machine.energy.dram if machine.energy else None
    fetch_pj = drawn.transfer_aj(size, fetch) / 1e6 if drawn and fetch else None
    written_pj = programming.weights_aj(network.weights) / 1e6
    extra_pj = energy.total_pj - energy.yardstick_pj if energy else 0.0
    return {
        "adapter_bytes": size,
        "sequence_ps": run.result.latency_ps,
        "yardstick_ps": run.result.yardstick_ps,
        "fetch_ps": fetch,
        "fetch_pj": fetch_pj,
        "reprogram_least_ps": crossbar,
        "reprogram_most_ps": most,
        "reprogram_pj": written_pj,
        "sequence_pj": energy.total_pj if energy else None,
        "yardstick_pj": energy.yardstick_pj if energy else None,
        "even_after_least": _even(crossbar, fetch or 0, extra),
        "even_after_most": _even(most, fetch or 0, extra),
        "even_after_energy": _even(written_pj, fetch_pj or 0, extra_pj),
    }


def _even(reprogram: float, fetch: float, extra: float) -> float | None:
    """Return after how many sequences of a task reprogramming has paid for itself."""
    return (reprogram - fetch) / extra if extra > 0 else None


def _ways(
    tasks: int, network: Network, machine: Machine, run: Run, size: int, facts: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    base, own = network.parameters, network.adapter_parameters
    tiles = run.result.tiles
    # weights of a task that are not on the tiles wait in memory, a byte each
    weights = network.weights
    none = {"switch_least_ps": 0, "switch_most_ps": 0, "switch_pj": 0.0}
    return {
        "adapters": {
            "parameters": base + tasks * own,
            "tiles": tiles,
            "stored_bytes": tasks * size,
            "area_mm2": _area(machine, tiles, store=tasks * size),
            "switch_least_ps": 0,
            "switch_most_ps": facts["fetch_ps"],
            "switch_pj": facts["fetch_pj"],
        },
        "reprogram": {
            "parameters": tasks * base,
            "tiles": tiles,
            "stored_bytes": tasks * weights,
            "area_mm2": _area(machine, tiles, clusters=False),
            "switch_least_ps": facts["reprogram_least_ps"],
            "switch_most_ps": facts["reprogram_most_ps"],
            "switch_pj": facts["reprogram_pj"],
        },
        "chip_per_task": {
            "parameters": tasks * base,
            "tiles": tasks * tiles,
            "stored_bytes": 0,
            "area_mm2": _scaled(_area(machine, tiles, clusters=False), tasks),
            **none,
        },
    }


def _area(machine: Machine, tiles: int, store: int = 0, clusters: bool = True) -> float | None:
    """Return the silicon of a chip, ``store`` bytes of memory on it, or None if unknown [mm2]."""
    area, parts = area_of(machine, tiles), machine.area
    if area is None or parts is None or (store and parts.sram_mib is None):
        return None
    known = {
        name: size
        for name, size in area.component_um2.items()
        if name != "sram" and (clusters or name not in ("cluster", "plain_cluster"))
    }
    memory = ceil_div(store, MIB) * (parts.sram_mib or 0)
    return (sum(known.values()) + memory) / 1e6


def _scaled(area: float | None, times: int) -> float | None:
    return None if area is None else area * times
