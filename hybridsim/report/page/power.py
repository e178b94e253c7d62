"""Power over time, in stretches few enough to keep and to draw."""

import numpy as np
import pandas as pd

from hybridsim.measure.energy import RunEnergy, power_curve

MOST_STRETCHES = 400
"""Stretches that are kept; of more, as many of equal length."""
COLUMNS = ("start_ps", "end_ps", "power_w", "peak_w")
"""What is told of each stretch, beside ``<part>_w`` of each part and ``static_w``."""


def power_steps(energy: RunEnergy, most: int = MOST_STRETCHES) -> pd.DataFrame:
    """Return start_ps, end_ps, ``<part>_w``, static_w, power_w and peak_w, a row per stretch.

    Where power changes more than ``most`` times, a row is the mean of a stretch of equal length,
    and ``peak_w`` the most in it, so that the integral of every column but that one is its energy
    all the same (to rounding of floats).
    """
    curve = power_curve(energy)
    start = curve["time_ps"].to_numpy(np.int64)
    edges = np.append(start, start[-1:] + curve["duration_ps"].to_numpy(np.int64)[-1:])
    names = [str(name) for name in curve if str(name).endswith("_w")]
    if len(curve) <= most:
        table = pd.DataFrame({"start_ps": edges[:-1], "end_ps": edges[1:]})
        table[names] = curve[names]
        table["peak_w"] = table["power_w"]
        return table
    cuts = np.arange(most + 1, dtype=np.int64) * int(edges[-1]) // most
    table = pd.DataFrame({"start_ps": cuts[:-1], "end_ps": cuts[1:]})
    length = np.diff(edges)
    for name in names:
        drawn = np.concatenate(([0.0], np.cumsum(curve[name].to_numpy(np.float64) * length)))
        table[name] = np.diff(np.interp(cuts, edges, drawn)) / np.diff(cuts)
    first = np.searchsorted(edges, cuts[:-1], side="right") - 1
    last = np.searchsorted(edges, cuts[1:], side="left")
    power = curve["power_w"].to_numpy(np.float64)
    table["peak_w"] = [
        float(power[a:b].max()) for a, b in zip(first.tolist(), last.tolist(), strict=True)
    ]
    return table
