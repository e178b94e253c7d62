"""Intervals of energies: what draws power for as long as it works draws more in more cycles.

Energies per event do not depend on cycles, but for the slots of an array that computes nothing of
use. Powers and energies per event have one published source each, so nothing is known of how wrong
they are (the variants of the machine file tell others): they are not in the interval, by name.
"""

from collections.abc import Sequence

import numpy as np

from hybridsim.arch import Cluster, Machine, sorts
from hybridsim.certainty.doubts import Doubts, Unit
from hybridsim.certainty.draws import Draws
from hybridsim.certainty.residuals import LEVEL
from hybridsim.components.energy import MachineEnergy
from hybridsim.simulation import Run
from hybridsim.units import Ints

PJ = 1e6
"""Attojoules of a picojoule."""


def energy_bounds(
    run: Run, draws: Draws, doubts: Sequence[Doubts], latency_ps: Ints
) -> tuple[float, float] | None:
    """Return the ends of the energy of a run [pJ], or None where that is unknown.

    ``latency_ps`` is the latency of each sample, over which static power is drawn.
    """
    told, machine = run.result.energy, run.job.machine
    if told is None or machine.energy is None:
        return None
    counts = np.bincount(run.schedule.plan.work, minlength=len(doubts))
    more = np.zeros(draws.samples)
    if machine.cluster is not None:
        works = run.schedule.plan.works
        each = {sort: _rates(machine, sort) for sort in sorts(machine, False)}
        for own, count, work in zip(doubts, counts.tolist(), works, strict=True):
            rates = each.get(work.sort, each[""])
            for doubt in own.found:
                more += count * rates[doubt.unit] * doubt.cycles * draws.of(doubt)
    makespan = run.result.latency_ps
    static = sum(told.static_aj.values()) / makespan if makespan else 0.0
    more += static * (latency_ps - makespan)
    tail = 50 * (1 - LEVEL)
    low = min(0.0, float(np.percentile(more, tail, method="lower")))
    high = max(0.0, float(np.percentile(more, 100 - tail, method="higher")))
    return told.total_pj + low / PJ, told.total_pj + high / PJ


def _rates(machine: Machine, sort: str) -> dict[Unit, float]:
    """Return the rates of a kind of clusters."""
    own = machine.seen(cluster=sort)
    assert own.energy is not None
    assert own.cluster is not None
    return unit_rates(own.energy, own.cluster)


def unit_rates(energy: MachineEnergy, cluster: Cluster) -> dict[Unit, float]:
    """Return what a cycle more on each unit of a cluster draws [aJ].

    Cores: their power. Engine: its power, and its whole array as idle slots. The DMA draws by the
    byte. Where nothing is known of units, the cluster's power, whichever of them works.
    """
    spec, period = energy.cluster, 1e12 / cluster.clock.frequency
    if spec is None:
        return {"matrix_engine": 0.0, "cores": 0.0, "dma": 0.0}
    if not spec.by_unit:
        whole = (spec.power or 0) * period
        return {"matrix_engine": whole, "cores": whole, "dma": whole}
    peak = cluster.matrix_engine.peak if cluster.matrix_engine else 0
    engine = (spec.engine_power or 0) * period + (spec.engine_idle_mac or 0) * peak
    return {"matrix_engine": engine, "cores": (spec.cores_power or 0) * period, "dma": 0.0}
