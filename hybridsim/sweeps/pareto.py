"""Pareto fronts: one loop over all rows, compiled where there are many."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridsim.compiling import loop_for, using

Bools = NDArray[np.bool_]


def pareto(values: NDArray[np.float64], feasible: Bools) -> Bools:
    """Return which feasible rows no other feasible row dominates; equal rows all stay.

    ``values`` has the shape (rows, objectives), smaller being better. A row dominates another if
    it is nowhere larger and somewhere smaller.
    """
    rows = np.flatnonzero(feasible & np.isfinite(values).all(axis=1))
    own = np.ascontiguousarray(values[rows])
    kept, same = np.zeros(len(rows), np.int64), np.arange(len(rows))
    front = np.zeros(len(rows), bool)
    loop_for(_mark, len(rows))(own, kept, same, front)
    mask = np.zeros(len(values), bool)
    mask[rows] = front[same]
    return mask


@using()
def _mark(values: Any, kept: Any, same: Any, front: Any) -> None:
    """Mark the rows that none dominates; of equal rows one, which ``same`` tells of the others.

    ``kept`` has room for the rows that none so far dominates. What beats a row is looked at first
    for the next one, as it beats most others as well. Source: block-nested-loops of Börzsönyi,
    Kossmann and Stocker, The Skyline Operator, ICDE 2001, with a window that holds all.
    """
    count = 0
    for row in range(values.shape[0]):
        place = 0
        left = True
        while place < count:
            other = kept[place]
            better = False
            worse = False
            for k in range(values.shape[1]):
                if values[row, k] < values[other, k]:
                    better = True
                elif values[row, k] > values[other, k]:
                    worse = True
            if better and not worse:
                front[other] = False
                count -= 1
                kept[place] = kept[count]
            elif better:
                place += 1
            else:
                if not worse:
                    same[row] = other
                kept[place] = kept[0]
                kept[0] = other
                left = False
                break
        if left:
            kept[count] = row
            count += 1
            front[row] = True
