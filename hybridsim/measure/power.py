"""Power over time: what each part draws between any two instants at which that changes."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridsim.measure.charges import COMPONENTS, Charge
from hybridsim.measure.energy import RunEnergy
from hybridsim.plan import Timeline
from hybridsim.units import Ints

Floats = NDArray[np.float64]


def power_curve(energy: RunEnergy) -> pd.DataFrame:
    """Return one row per stretch of constant power: time_ps, duration_ps, power_w and parts.

    ``time_ps`` is where a stretch begins; ``<part>_w`` what the work of a part draws, ``static_w``
    what parts draw for being there, ``power_w`` all of it. The energy of a task is taken as even
    over its time, so the integral of each column is its energy (to rounding of floats).
    """
    edges = _edges(energy.timeline, energy.charges)
    columns = {
        f"{part}_w": _drawn(
            energy.timeline, edges, [c for c in energy.charges if c.component == part]
        )
        for part in COMPONENTS
        if part in energy.by_component
    }
    static = sum(energy.static_uw.values()) * 1e-6
    table = pd.DataFrame({"time_ps": edges[:-1], "duration_ps": np.diff(edges), **columns})
    table["static_w"] = static
    table["power_w"] = table[[*columns, "static_w"]].sum(axis=1)
    return table


def peak_power_w(energy: RunEnergy) -> float:
    """Return the most that a run draws at an instant [W]."""
    edges = _edges(energy.timeline, energy.charges)
    static = sum(energy.static_uw.values()) * 1e-6
    drawn = _drawn(energy.timeline, edges, list(energy.charges))
    return float(drawn.max(initial=0.0)) + static


def _edges(timeline: Timeline, charges: tuple[Charge, ...]) -> Ints:
    """Return every instant at which a charged task starts or ends, from 0 to the makespan."""
    charged = np.zeros(len(timeline.end), np.bool_)
    for charge in charges:
        charged[charge.tasks] = True
    times = ([0, timeline.makespan], timeline.start[charged], timeline.end[charged])
    ordered: Ints = np.sort(np.concatenate(times).astype(np.int64))
    edges: Ints = ordered[np.append(True, ordered[1:] != ordered[:-1])]
    return edges


def _drawn(timeline: Timeline, edges: Ints, charges: list[Charge]) -> Floats:
    """Return the power of some charges between each two edges [W]; 1 aJ / ps is 1 uW."""
    change = np.zeros(len(edges), np.float64)
    for charge in charges:
        start, end = timeline.start[charge.tasks], timeline.end[charge.tasks]
        power = charge.aj / (end - start) * 1e-6
        np.add.at(change, np.searchsorted(edges, start), power)
        np.add.at(change, np.searchsorted(edges, end), -power)
    # what is left of differences of floats is no power
    found: Floats = np.maximum(np.cumsum(change)[:-1], 0.0)
    return found
