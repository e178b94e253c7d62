"""Quantities that jump up and down over time, as steps."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hybridsim.plan import Bools
from hybridsim.units import Ints


def levels(
    group: Ints, time: Ints, change: Ints, names: Sequence[str], column: tuple[str, str]
) -> pd.DataFrame:
    """Return the running sum of ``change`` for each group, one row per instant at which it moves.

    ``group`` indexes ``names``. Columns: the group under the name ``column[0]``, ``time_ps``, and
    ``column[1]``: the level from that time until the next row of the same group. Each group
    begins with a row at 0; one that never moves has that row alone.
    """
    every = np.arange(len(names), dtype=np.int64)
    group = np.concatenate((every, group))
    time = np.concatenate((np.zeros_like(every), time))
    change = np.concatenate((np.zeros_like(every), change))
    order = np.lexsort((time, group))
    group, time, total = group[order], time[order], np.cumsum(change[order])
    ends = np.searchsorted(group, every, side="right") - 1
    level = total - np.concatenate(([0], total[ends]))[group]
    settled = _differs(group) | _differs(time)
    group, time, level = (column[settled] for column in (group, time, level))
    # of rows with the same level in a row the first is kept
    moves = np.roll(_differs(group) | _differs(level), 1)
    labels = np.array([*names], dtype=object)
    return pd.DataFrame(
        {column[0]: labels[group[moves]], "time_ps": time[moves], column[1]: level[moves]}
    )


def _differs(values: Ints) -> Bools:
    """Return where a value is not that of the next row; the last row has none."""
    return np.append(values[1:] != values[:-1], np.ones(min(1, len(values)), np.bool_))
