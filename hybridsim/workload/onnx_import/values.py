"""What a tensor of an ONNX graph can be, and how it is seen: through a function and a layout.

Element-wise functions are told apart by their values at a few points: exporters spell one
activation in many ways, with constants of several precisions; its values are the same to three
digits in all of them. Where the elements of a vector lie is in :mod:`.layout`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import erf, pi, prod, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridsim.workload.onnx_import.layout import Layout

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
    if not (np.isfinite(found).all() and abs(factor) > 1e-6):
        return False
    return bool(np.allclose(found / factor, POINTS, rtol=1e-3))


def activation(found: Samples) -> str | None:
    """Return the name of the activation with these values, or None."""
    return next((k for k, forms in _KNOWN.items() if any(same(found, f) for f in forms)), None)


class UnrecognisedError(Exception):
    """A node that is not modelled; the text says why."""


@dataclass(eq=False, slots=True)
class Draft:
    """An op to be, whose bias or size may still turn up."""

    kind: str
    """The ``kind`` of the op."""
    out_features: int
    """Length of its output vector [elements]."""
    inputs: tuple["Draft", ...] = ()
    """What it reads."""
    fields: dict[str, Any] = field(default_factory=dict)
    """Its other fields."""
    scope: str | None = None
    """The module that the node belongs to, empty for the whole model; None if it is not told."""
    parameter: str = ""
    """The name of its weight, as far as the file tells."""


@dataclass(frozen=True)
class Mask:
    """Which tokens an attention hides from each other."""

    causal: bool = False
    """Whether later tokens are hidden."""
    window: int | None = None
    """The most tokens that one sees, itself included; None: all."""


def joined_masks(masks: Iterable[Mask | None]) -> Mask | None:
    """Return what several masks hide together, or None if there is none."""
    found = [mask for mask in masks if mask is not None]
    if not found:
        return None
    windows = [mask.window for mask in found if mask.window is not None]
    return Mask(any(mask.causal for mask in found), min(windows, default=None))


@dataclass(frozen=True)
class Data:
    """A tensor that does not depend on the vectors: weights, shapes, ids, masks."""

    array: NDArray[Any]
    """Its elements; zeros where they are not known."""
    known: bool = True
    """Whether the elements are known; if not, only the shape is."""
    trained: bool = True
    """Whether it comes from the file alone, and not from what enters the network."""
    name: str = ""
    """The name of the tensor in the file."""
    turned: bool = False
    """Whether it is the transpose of that tensor, a matrix."""
    mask: "Mask | None" = None
    """The mask of an attention that went into it."""
    of_angle: str | None = None
    """``cos`` or ``sin`` where a node says that it is one of positions."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""
        return tuple(self.array.shape)

    @property
    def scalar(self) -> float | None:
        """Its only element, or None if it has several or the element is not known."""
        known = self.known and self.array.size == 1 and self.array.dtype.kind in "fiub"
        return float(self.array.reshape(())) if known else None

    @property
    def ints(self) -> list[int]:
        """Its elements as whole numbers.

        Raises:
            UnrecognisedError: They depend on what enters the network.
        """
        if not self.known:
            raise UnrecognisedError("a shape or index depends on the values that enter")
        return [int(value) for value in self.array.reshape(-1)]

    @cached_property
    def hides(self) -> "Mask | None":
        """Which tokens it hides from each other, if it is a mask of an attention."""
        found = _mask(self.array) if self.known else None
        return joined_masks([self.mask, found])

    @cached_property
    def angle(self) -> str | None:
        """Whether it is a ``cos`` or a ``sin`` of positions, or both, for a rotary embedding."""
        return self.of_angle or (_angle(self.array) if self.known and self.trained else None)


@dataclass(frozen=True)
class Vector:
    """A vector per token, or a part of it, as seen through a layout and a function."""

    source: Draft
    """The op that computes it."""
    layout: Layout
    offset: int = 0
    """Index of its first element in the output of the op."""
    samples: Samples = field(default_factory=lambda: POINTS)
    """The function that was applied to every element, by its values at :data:`POINTS`."""
    centered: bool = False
    """Whether the mean of each vector was taken off before that."""
    scope: str | None = None
    """The module that applied the function; None if it is not told."""
    shift: int = 0
    """Whose vector each token has: 1 for the next token's, -1 for that of the one before."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""
        return self.layout.shape

    @property
    def plain(self) -> bool:
        """Whether nothing was applied to the elements."""
        return self.samples is POINTS and not self.centered

    @property
    def size(self) -> int:
        """How many consecutive elements of the op's output it holds.

        Raises:
            UnrecognisedError: They are not consecutive.
        """
        found = self.layout.features
        if found is None:
            raise UnrecognisedError("it reads elements of a vector that are not consecutive")
        return found

    def same_elements(self, other: "Vector") -> bool:
        """Return whether element by element both stem from the same number."""
        return replace(self, samples=POINTS, scope=None) == replace(
            other, samples=POINTS, scope=None
        )

    def moved(self, layout: Layout | None, step: int = 0) -> "Vector":
        """Return the vector under another layout, its first element ``step`` further.

        Raises:
            UnrecognisedError: The layout is None: elements and tokens would be mixed.
        """
        if layout is None:
            raise UnrecognisedError("it mixes the elements of vectors with tokens")
        return replace(self, layout=layout, offset=self.offset + step)


@dataclass(frozen=True)
class Statistic:
    """One number per vector: its mean or mean square, with a function applied to it."""

    of: Vector
    """The vectors it was taken of, before any function."""
    square: bool
    """Whether it is the mean of squares."""
    samples: Samples
    """The function that was applied to it, by its values at ``POSITIVE``."""
    factor: float = 1.0
    """What the vectors were multiplied by before; a norm takes it off again."""


@dataclass(frozen=True)
class Scores:
    """Products of queries and keys, scaled, masked and normalized or not."""

    query: Vector
    key: Vector
    shape: tuple[int, ...]
    """The size of each axis."""
    normalized: bool = False
    """Whether a softmax was applied."""
    mask: Mask | None = None
    """Which tokens are hidden, if some are."""


@dataclass(frozen=True)
class Turned:
    """Vectors on their way through a rotary embedding: half of the sum that turns each pair."""

    of: Vector
    """The vectors before anything was done to them."""
    swapped: bool = False
    """Whether the elements of each pair were swapped and one of them negated."""
    angle: str | None = None
    """What they were multiplied by: ``cos``, ``sin``, or nothing yet."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""
        return self.of.shape


class Unknown:
    """The output of a node that is not modelled."""


Value = Data | Vector | Statistic | Scores | Turned | Unknown


def _mask(array: NDArray[Any]) -> Mask | None:
    """Return which tokens an array hides, or None if it is no mask of an attention.

    A mask has two values, one for all tokens that see themselves; the other one hides.
    """
    if array.ndim < 2 or array.shape[-1] != array.shape[-2] or array.shape[-1] < 2:
        return None
    if not prod(array.shape) or array.dtype.kind not in "fiub":
        return None
    plane = array.reshape(-1, *array.shape[-2:])[0]
    seen = plane == plane[0, 0]
    hidden = plane[~seen]
    if not np.diagonal(seen).all() or not hidden.size or (hidden != hidden[0]).any():
        return None
    most = int(seen.sum(axis=1).max())
    window = most if most < len(plane) else None
    causal = not np.triu(seen, 1).any()
    return Mask(causal, window) if causal or _is_band(seen) else None


def _is_band(seen: NDArray[Any]) -> bool:
    """Return whether each token sees its neighbours up to one distance, and no others."""
    first = int(seen[0].sum())
    places = np.arange(len(seen))
    return bool((seen == (np.abs(places[:, None] - places) < first)).all())


def _angle(array: NDArray[Any]) -> str | None:
    """Return whether a stored table is one of cosines or of sines, a row for each position.

    Each pair of elements has one angle, so that one half of a row repeats the other, or each
    element its neighbour; the angles of the first position are 0.
    """
    if array.ndim < 2 or array.dtype.kind != "f" or array.shape[-1] % 2 or array.size < 4:
        return None
    rows = array.reshape(-1, array.shape[-1]).astype(np.float64)
    half = rows.shape[1] // 2
    paired = (rows[:, :half] == rows[:, half:]).all() or (rows[:, ::2] == rows[:, 1::2]).all()
    if len(rows) < 2 or (rows == rows[0]).all():
        return None
    if paired and not np.ptp(rows[0]):
        return "cos" if rows[0, 0] else "sin"
    sines, cosines = rows[:, :half], rows[:, half:]  # GPT-J and RoFormer store both side by side
    both = not sines[0].any() and np.allclose(sines**2 + cosines**2, 1, atol=1e-3)
    return "both" if both else None
