"""What a tensor of an ONNX graph can be."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridsim.workload.onnx_import.functions import POINTS, Samples
from hybridsim.workload.onnx_import.layout import Layout


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
