"""Steps over time, few enough to draw."""

import numpy as np
import pandas as pd

MOST_STRETCHES = 1200
"""Stretches of one cluster that are drawn, about one per pixel."""


def stretches(occupancy: pd.DataFrame, until_ps: int) -> pd.DataFrame:
    """Return cluster, start_ps, end_ps and tcdm_bytes: one row per stretch of time.

    ``occupancy`` is what :func:`hybridsim.measure.occupancy.tcdm_occupancy` returns. Of more than
    :data:`MOST_STRETCHES`, neighbours are one row with the largest level among them. Clusters
    that never hold anything are left out.
    """
    tables = [pd.DataFrame({"cluster": [], "start_ps": [], "end_ps": [], "tcdm_bytes": []})]
    for cluster, rows in occupancy.groupby("cluster", sort=False):
        start, level = rows["time_ps"].to_numpy(np.int64), rows["bytes"].to_numpy(np.int64)
        if not level.any():
            continue
        if len(start) > MOST_STRETCHES:
            cut = np.arange(MOST_STRETCHES) * len(start) // MOST_STRETCHES
            level, start = np.maximum.reduceat(level, cut), start[cut]
        end = np.append(start[1:], until_ps)
        tables.append(
            pd.DataFrame(
                {"cluster": cluster, "start_ps": start, "end_ps": end, "tcdm_bytes": level}
            )[end > start]
        )
    return pd.concat(tables[1:], ignore_index=True) if len(tables) > 1 else tables[0]
