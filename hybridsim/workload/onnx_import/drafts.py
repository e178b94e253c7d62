"""The ops found so far, and the reading of a value as the output of one of them."""

from dataclasses import dataclass, field

from hybridsim.workload.onnx_import.functions import POINTS, activation, is_multiple
from hybridsim.workload.onnx_import.layout import Layout
from hybridsim.workload.onnx_import.values import Draft, UnrecognisedError, Vector

_SCALABLE = frozenset({"linear", "embedding", "norm", "attention"})
"""Ops whose output takes on a constant factor by their own weights, or those of their values."""


@dataclass
class Drafts:
    """Ops in the order in which they were found."""

    all: list[Draft] = field(default_factory=list)
    scope: str | None = None
    """The module of the node that is being read; None if the file does not tell."""
    _read: dict[tuple[object, ...], Draft] = field(default_factory=dict)

    def add(
        self, kind: str, out_features: int, *inputs: Draft, parameter: str = "", **fields: object
    ) -> Draft:
        """Append an op of the module that is being read."""
        draft = Draft(kind, out_features, inputs, fields, self.scope, parameter)
        self.all.append(draft)
        return draft

    def vector(self, draft: Draft, like: Layout, axis: int = -1) -> Vector:
        """Return the output of an op as a tensor whose other axes are those of ``like``."""
        shape = list(like.shape)
        shape[axis] = draft.out_features
        return Vector(draft, Layout.with_features(shape, axis))

    def read(self, vector: Vector, *, scaled: bool = False) -> Draft:
        """Return the op whose whole output a vector is; slices and activations become ops.

        A constant factor is that of weights before or after it. ``scaled`` says that the reader
        takes any.

        Raises:
            UnrecognisedError: The elements are not consecutive, or the function that was applied
                to them is no known activation.
        """
        if vector.shift:
            raise UnrecognisedError(
                "it reads tokens that were moved; all three neighbours joined are modelled"
            )
        size = vector.size
        source = self._part(vector.source, vector.offset, size)
        if vector.plain:
            return source
        if vector.centered:
            raise UnrecognisedError("a mean is taken off, but no norm follows")
        if is_multiple(vector.samples):
            if scaled or source.kind in _SCALABLE or vector.samples[-1] == POINTS[-1]:
                return source
            raise UnrecognisedError(f"it scales the output of an op of kind {source.kind!r}")
        function = activation(vector.samples)
        if function is None:
            raise UnrecognisedError(
                "it reads an element-wise function that is no known activation"
            )
        key = (source, function)
        if key not in self._read:
            self._read[key] = self.add("activation", size, source, function=function)
            self._read[key].scope = vector.scope
        return self._read[key]

    def read_last(self, vector: Vector, size: int | None = None, *, scaled: bool = False) -> Draft:
        """Return what :meth:`read` does, for a vector that lies along the last axis.

        Raises:
            UnrecognisedError: It lies along another axis, or is not ``size`` elements long.
        """
        if vector.layout.feature_axis != -1:
            raise UnrecognisedError("it works on an axis that is not the elements of a vector")
        if size is not None and vector.size != size:
            raise UnrecognisedError(f"it takes {size} features, but its input gives {vector.size}")
        return self.read(vector, scaled=scaled)

    def _part(self, source: Draft, offset: int, size: int) -> Draft:
        if (offset, size) == (0, source.out_features):
            return source
        key = (source, offset, size)
        if key not in self._read:
            whole = source.out_features
            self._read[key] = self.add("slice", size, source, in_features=whole, start=offset)
        return self._read[key]
