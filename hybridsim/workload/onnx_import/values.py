"""What a tensor of an ONNX graph can be, and how it is seen: through a function and a layout.

Element-wise functions are told apart by their values at a few points: exporters spell one
activation in many ways, with constants of several precisions; its values are the same to three
digits in all of them. A layout says where the elements of a token's vector lie in a tensor.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import erf, pi, prod, sqrt
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Factor:
    """A part of an axis: ``size`` steps, each ``stride`` elements further in the vector.

    A stride of 0 stands for steps over tokens, sequences or copies, which stay on one element.
    """

    size: int
    stride: int = 0


Axis = tuple[Factor, ...]
"""An axis as the product of its factors, the slowest first; no factor has size 1."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The axes of a tensor, by what a step along each of them means."""

    axes: tuple[Axis, ...]

    @classmethod
    def with_features(cls, shape: Sequence[int], axis: int = -1) -> "Layout":
        """Return the layout of whole vectors along one axis, and tokens along the others."""
        at = axis % len(shape)
        return cls(tuple(_axis([Factor(n, int(i == at))]) for i, n in enumerate(shape)))

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""
        return tuple(prod(f.size for f in axis) for axis in self.axes)

    @property
    def features(self) -> int | None:
        """How many consecutive elements of the vector there are, or None if others lie between."""
        size = 1
        for factor in sorted(_moving(self.axes), key=lambda f: f.stride):
            if factor.stride != size:
                return None
            size *= factor.size
        return size

    @property
    def feature_axis(self) -> int | None:
        """The axis, counted from the end, with all elements in order, or None without one."""
        found = [i for i, axis in enumerate(self.axes) if _moving([axis])]
        if not found:  # vectors of one element have no factor of their own
            return -1 if self.axes and self.shape[-1] == 1 else None
        axis = self.axes[found[0]]
        whole = len(found) == len(axis) == 1 and axis[0].stride == 1
        return found[0] - len(self.axes) if whole else None

    def reshape(self, shape: Sequence[int]) -> "Layout | None":
        """Return the layout after a reshape, or None if an axis cannot be cut that way."""
        left = [factor for axis in self.axes for factor in axis][::-1]
        axes = []
        for size in shape:
            axis = []
            while size > 1:
                if not left:
                    return None
                factor = left.pop()
                if factor.size > size and factor.size % size == 0:
                    rest = Factor(factor.size // size, factor.stride)
                    factor = Factor(size, factor.stride * rest.size)
                    left.append(rest)
                elif size % factor.size:
                    return None
                axis.append(factor)
                size //= factor.size
            axes.append(_axis(axis))
        return None if left else Layout(tuple(axes))

    def transpose(self, order: Sequence[int]) -> "Layout":
        """Return the layout with its axes in another order."""
        return Layout(tuple(self.axes[i] for i in order))

    def broadcast(self, shape: Sequence[int]) -> "Layout":
        """Return the layout after copying along axes of size 1, and along new ones in front."""
        axes = ((),) * (len(shape) - len(self.axes)) + self.axes
        pairs = zip(axes, shape, strict=True)
        return Layout(tuple(axis or _axis([Factor(size)]) for axis, size in pairs))

    def stride(self, axis: int) -> int | None:
        """Return the stride of an axis, or None where it is not the same all along."""
        factors = self.axes[axis]
        return factors[0].stride if len(factors) == 1 else (None if factors else 0)

    def with_axis(self, axis: int, size: int | None) -> "Layout":
        """Return the layout with the first ``size`` steps of an axis, or without the axis."""
        at = axis % len(self.axes)
        stride = self.stride(at) or 0
        new = () if size is None else (_axis([Factor(size, stride)]),)
        return Layout(self.axes[:at] + new + self.axes[at + 1 :])


def _moving(axes: Iterable[Axis]) -> list[Factor]:
    return [factor for axis in axes for factor in axis if factor.stride]


def _axis(factors: Sequence[Factor]) -> Axis:
    """Return factors without those of size 1, and with those joined that continue each other."""
    joined: list[Factor] = []
    for factor in factors:
        if factor.size == 1:
            continue
        if joined and joined[-1].stride == factor.size * factor.stride:
            factor = Factor(joined.pop().size * factor.size, factor.stride)
        joined.append(factor)
    return tuple(joined)


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
    hides_later: bool = False
    """Whether a causal mask went into it."""

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
    def causal(self) -> bool:
        """Whether it is a mask that tells earlier tokens from later ones."""
        return self.hides_later or (self.known and _is_triangular(self.array))


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


@dataclass(frozen=True)
class Scores:
    """Products of queries and keys, scaled, masked and normalized or not."""

    query: Vector
    key: Vector
    shape: tuple[int, ...]
    """The size of each axis."""
    normalized: bool = False
    """Whether a softmax was applied."""
    causal: bool = False
    """Whether a mask hides later tokens."""


class Unknown:
    """The output of a node that is not modelled."""


Value = Data | Vector | Statistic | Scores | Unknown


def _is_triangular(array: NDArray[Any]) -> bool:
    """Return whether each of the last planes has one value up to the diagonal, another above."""
    if array.ndim < 2 or array.shape[-1] != array.shape[-2] or array.shape[-1] < 2:
        return False
    if not prod(array.shape) or array.dtype.kind not in "fiub":
        return False
    plane = array.reshape(-1, *array.shape[-2:])[0]
    below, above = plane[np.tril_indices(len(plane))], plane[np.triu_indices(len(plane), 1)]
    one_value_each = (below == below[0]).all() and (above == above[0]).all()
    return bool(one_value_each and below[0] != above[0])
