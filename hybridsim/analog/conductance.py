"""Weights to conductances: clip, scale each column to the full range, split into two devices."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybridsim.errors import UnsupportedError

F32 = NDArray[np.float32]

_LEAST_MAXIMUM = np.float32(1e-7)
"""A column of zeros is scaled as if its largest weight were this (the constant of aihwkit)."""


def as_weights(weights: ArrayLike, what: str = "weights") -> F32:
    """Return a weight matrix as float32.

    Raises:
        UnsupportedError: It has other than two dimensions, is empty, or holds infinity or NaN.
    """
    matrix = np.asarray(weights, np.float32)
    if matrix.ndim != 2 or not matrix.size:
        raise UnsupportedError(
            f"{what}: found the shape {matrix.shape}; a matrix (out, in) would do"
        )
    if not np.isfinite(matrix).all():
        raise UnsupportedError(f"{what}: found infinity or NaN; finite numbers would do")
    return matrix


def clip(weights: F32, sigmas: float | None) -> F32:
    """Return the weights of a layer cut at ``sigmas`` standard deviations of the layer.

    Source: the paper clips layer-wise at three standard deviations ("layer gaussian"). It is
    done once; None leaves the weights alone.
    """
    if sigmas is None:
        return weights
    limit = np.float32(sigmas * float(weights.std()))
    return np.clip(weights, -limit, limit)


def column_maxima(block: F32, per_column: bool) -> F32:
    """Return what each column of a (rows, columns) block is divided by, shape (columns,).

    Per column: its own largest magnitude, so that every column uses the full conductance range;
    else the largest of the block for all. The division is undone digitally after the ADC.
    """
    largest = np.abs(block).max(axis=0)
    if not per_column:
        largest = np.full_like(largest, largest.max())
    maxima: F32 = np.maximum(largest, _LEAST_MAXIMUM)
    return maxima


def split(relative: F32, g_max: float) -> tuple[F32, F32]:
    """Return the two targets [uS] of weights in [-1, 1]: one device is always at zero."""
    g = relative * np.float32(g_max)
    return np.maximum(g, np.float32(0)), np.maximum(-g, np.float32(0))
