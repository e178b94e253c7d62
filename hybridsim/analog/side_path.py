"""Weights that stay digital because they lie far out: a sparse matrix beside the crossbars.

Clipping keeps a few large weights from setting the scale of their columns, and loses them. Kept
in a sparse digital matrix S instead, they are exact: a layer computes x (W - S)^T on crossbars,
which hold zero at these places, and adds x S^T.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridsim.analog.device import F32

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SidePath:
    """The weights of a layer (out, in) that are kept digital, output by output."""

    outputs: Ints
    """Output of each weight, rising, shape (weights,)."""
    inputs: Ints
    """Input of each weight, shape (weights,)."""
    values: F32

    def product(self, x: F32, out_features: int) -> F32:
        """Return x S^T, (tokens, in) to (tokens, out)."""
        y = np.zeros((len(x), out_features), np.float32)
        if len(self.values):
            reached, first = np.unique(self.outputs, return_index=True)
            products = x[:, self.inputs] * self.values
            y[:, reached] = np.add.reduceat(products, first, axis=1)
        return y


def taken_out(weights: F32, sigmas: float | None) -> tuple[F32, SidePath]:
    """Return what crossbars hold of a layer (out, in), and what is kept digital.

    Kept are weights whose magnitude exceeds ``sigmas`` standard deviations of the layer; None
    keeps none.
    """
    if sigmas is None:
        nothing = np.zeros(0, np.int64)
        return weights, SidePath(nothing, nothing, np.zeros(0, np.float32))
    far = np.abs(weights) > np.float32(sigmas * float(weights.std()))
    outputs, inputs = np.nonzero(far)
    return np.where(far, np.float32(0), weights), SidePath(outputs, inputs, weights[far])
