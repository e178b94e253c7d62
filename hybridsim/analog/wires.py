"""What the resistance of bit lines takes from a crossbar, to first order.

Cells of a column inject currents I_j = g_j x_j into its bit line, which is read at its end, below
row 0. A segment of resistance R carries the currents of all cells behind it, so the line at row i
is lifted by V_i = R sum_j min(i + 1, j + 1) I_j, and cell i injects g_i V_i less. The output is

    y = sum_j x_j g_j (1 - R sum_i min(i + 1, j + 1) g_i)

to first order in R: linear in the inputs, so that a column acts as one with smaller conductances,
most of all far from its end. Positive and negative weights of a pair lie on lines of their own.
Source: Kirchhoff's laws; aihwkit (``analog_mvm.py``) corrects single vectors to the same order.
Word lines, and the second order, are left out: it holds while the drop is small, about half of the
first order's square.
"""

import numpy as np

from hybridsim.analog.device import F32


def with_wires(weights: F32, drop: float) -> F32:
    """Return the weights (rows, columns), relative to the full conductance, that inputs see.

    ``drop`` is R x the full conductance. Where the first order would turn a weight over, it is 0.
    """
    if not drop:
        return weights
    lines = (np.maximum(weights, np.float32(0)), np.maximum(-weights, np.float32(0)))
    positive, negative = (line * _left(line, drop) for line in lines)
    return positive - negative


def _left(line: F32, drop: float) -> F32:
    """Return the share of each cell's current that arrives, for conductances (rows, columns)."""
    places = np.arange(1, len(line) + 1, dtype=np.float64)[:, None]
    nearer = np.cumsum(places * line, axis=0)  # sum of (i + 1) g_i up to the row
    behind = line.sum(axis=0, dtype=np.float64) - np.cumsum(line, axis=0, dtype=np.float64)
    lifted = drop * (nearer + places * behind)
    left: F32 = np.maximum(1 - lifted, 0).astype(np.float32)
    return left
