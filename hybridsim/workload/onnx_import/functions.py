"""Element-wise functions, told apart by their values at a few points.

Exporters spell one activation in many ways, with constants of several precisions; its values
are the same to three digits in all of them.
"""

from collections.abc import Callable, Mapping
from math import erf, pi, sqrt

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]
"""The values of a function at :data:`POINTS` (of one element) or :data:`POSITIVE` (of a mean)."""

POINTS: Samples = np.linspace(-4.1, 4.3, 29)
"""Where functions of an element are compared; 0 is left out, as some forms divide by it."""
POSITIVE: Samples = np.linspace(1.0, 4.0, 13)
"""Where functions of a mean square are compared; a small epsilon does not show there."""

_TOLERANCE = 1e-3
"""The tanh form of GELU differs from the exact one by less than 5e-4, SiLU by 0.2."""

_erf = np.vectorize(erf, otypes=[np.float64])
_KNOWN: Mapping[str, tuple[Samples, ...]] = {
    "relu": (np.maximum(POINTS, 0.0),),
    "gelu": (
        POINTS * (1 + _erf(POINTS / sqrt(2))) / 2,
        POINTS / (1 + np.exp(-1.702 * POINTS)),  # QuickGELU (CLIP)
    ),
    "silu": (POINTS / (1 + np.exp(-POINTS)),),
    "tanh": (np.tanh(POINTS),),
}

UNARY: Mapping[str, Callable[[Samples], Samples]] = {
    "Abs": np.abs,
    "Erf": _erf,
    "Exp": np.exp,
    "Gelu": lambda x: x * (1 + _erf(x / sqrt(2))) / 2,
    "FastGelu": lambda x: x * (1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2,
    "Neg": np.negative,
    "QuickGelu": lambda x: x / (1 + np.exp(-1.702 * x)),
    "Reciprocal": lambda x: 1 / x,
    "Relu": lambda x: np.maximum(x, 0.0),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Sqrt": np.sqrt,
    "Swish": lambda x: x / (1 + np.exp(-x)),
    "Tanh": np.tanh,
}
"""Functions of one operand, by the name of their ONNX op."""

BINARY: Mapping[str, Callable[[Samples, Samples], Samples]] = {
    "Add": np.add,
    "Div": np.divide,
    "Max": np.maximum,
    "Min": np.minimum,
    "Mul": np.multiply,
    "Pow": np.power,
    "Sub": np.subtract,
}
"""Functions of two operands, by the name of their ONNX op."""


def same(found: Samples, wanted: Samples) -> bool:
    """Return whether two functions have the same values."""
    return bool(np.allclose(found, wanted, rtol=_TOLERANCE, atol=_TOLERANCE))


def is_multiple(found: Samples) -> bool:
    """Return whether a function is ``c * x`` with a constant other than 0."""
    factor = float(found[-1] / POINTS[-1])
    return abs(factor) > 1e-6 and bool(np.allclose(found / factor, POINTS, rtol=1e-3))


def activation(found: Samples) -> str | None:
    """Return the name of the activation with these values, or None."""
    return next((k for k, forms in _KNOWN.items() if any(same(found, f) for f in forms)), None)
