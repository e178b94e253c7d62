"""Where the elements of a token's vector lie in a tensor, axis by axis."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod


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
        return cls(tuple(joined_axis([Factor(n, int(i == at))]) for i, n in enumerate(shape)))

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
            axes.append(joined_axis(axis))
        return None if left else Layout(tuple(axes))

    def transpose(self, order: Sequence[int]) -> "Layout":
        """Return the layout with its axes in another order."""
        return Layout(tuple(self.axes[i] for i in order))

    def broadcast(self, shape: Sequence[int]) -> "Layout":
        """Return the layout after copying along axes of size 1, and along new ones in front."""
        axes = ((),) * (len(shape) - len(self.axes)) + self.axes
        pairs = zip(axes, shape, strict=True)
        return Layout(tuple(axis or joined_axis([Factor(size)]) for axis, size in pairs))

    def stride(self, axis: int) -> int | None:
        """Return the stride of an axis, or None where it is not the same all along."""
        factors = self.axes[axis]
        return factors[0].stride if len(factors) == 1 else (None if factors else 0)

    def with_axis(self, axis: int, size: int | None, step: int = 1) -> "Layout":
        """Return the layout with ``size`` steps of an axis, each ``step`` wide, or without it."""
        at = axis % len(self.axes)
        stride = self.stride(at) or 0
        new = () if size is None else (joined_axis([Factor(size, step * stride)]),)
        return Layout(self.axes[:at] + new + self.axes[at + 1 :])


def _moving(axes: Iterable[Axis]) -> list[Factor]:
    return [factor for axis in axes for factor in axis if factor.stride]


def joined_axis(factors: Sequence[Factor]) -> Axis:
    """Return factors without those of size 1, and with those joined that continue each other."""
    joined: list[Factor] = []
    for factor in factors:
        if factor.size == 1:
            continue
        if joined and joined[-1].stride == factor.size * factor.stride:
            factor = Factor(joined.pop().size * factor.size, factor.stride)
        joined.append(factor)
    return tuple(joined)
