"""The ops found so far, the reading of a value as the output of one of them, and their names."""

import re
from collections import Counter
from dataclasses import dataclass, field, replace

from hybridsim.workload.onnx_import.layout import Layout
from hybridsim.workload.onnx_import.values import (
    POINTS,
    Draft,
    UnrecognisedError,
    Vector,
    activation,
    is_multiple,
)

_SCALABLE = frozenset({"linear", "convolution", "depthwise", "embedding", "norm", "attention"})
"""Ops whose output takes on a constant factor by their own weights, or those of their values."""


@dataclass
class Drafts:
    """Ops in the order in which they were found."""

    all: list[Draft] = field(default_factory=list)
    scope: str | None = None
    """The module of the node that is being read; None if the file does not tell."""
    open_sizes: frozenset[int] = frozenset()
    """The sizes that stand for sizes that are open in the file."""
    image: bool = False
    """Whether an image enters, whose pixels are the tokens."""
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
        source = self.part(vector.source, vector.offset, size)
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
        if self.image and vector.layout.feature_axis is None:
            vector = self._flat(vector)
        if vector.layout.feature_axis != -1:
            raise UnrecognisedError("it works on an axis that is not the elements of a vector")
        if size is not None and vector.size != size:
            raise UnrecognisedError(f"it takes {size} features, but its input gives {vector.size}")
        return self.read(vector, scaled=scaled)

    def _flat(self, vector: Vector) -> Vector:
        """Return all pixels of an image as one vector, where their channels lie so."""
        last = vector.layout.axes[-1]
        own = [factor for factor in last if factor.stride]
        if len(own) != 1 or own[0].stride != 1:
            return vector
        source, size = self.read(vector), vector.shape[-1]
        pixels = size // source.out_features
        draft = self.add(
            "window", size, source, features=source.out_features, kernel=pixels, positions=1
        )
        return Vector(draft, Layout.with_features(vector.shape))

    def normed(self, vector: Vector, parameter: str = "", **fields: object) -> Vector:
        """Return vectors after a norm of what lies along their last axis: all, or a head each.

        Raises:
            UnrecognisedError: Their elements are not consecutive.
        """
        size = vector.shape[-1]
        source = self.read(vector, scaled=True)
        if source.out_features % size:
            raise UnrecognisedError("it normalizes more than the elements of a vector")
        parts = source.out_features // size
        draft = self.add(
            "norm", source.out_features, source, parameter=parameter, parts=parts, **fields
        )
        return Vector(draft, vector.layout)

    def turned(self, vector: Vector) -> Vector:
        """Return vectors in heads after a rotary embedding of all of each head.

        Raises:
            UnrecognisedError: Their heads do not follow each other.
        """
        *outer, last = vector.layout.axes
        heads = sorted((f for axis in outer for f in axis if f.stride), key=lambda f: f.stride)
        within = max((f.size * f.stride for f in last), default=1)
        while heads and heads[0].stride < within:  # pairs that are neighbours have two axes
            within = max(within, heads[0].size * heads[0].stride)
            heads.pop(0)
        size = heads[0].stride if heads else vector.source.out_features
        count = 1
        for factor in heads:
            if factor.stride != count * size:
                raise UnrecognisedError("it turns heads that do not follow each other")
            count *= factor.size
        start = vector.offset - vector.offset % size
        source = self.part(vector.source, start, count * size)
        key = (source, "rotary", size)
        if key not in self._read:
            self._read[key] = self.add("rotary", count * size, source, heads=count, head_dim=size)
        return Vector(self._read[key], vector.layout, vector.offset - start)

    def rejoined(self, first: Vector, second: Vector) -> Vector | None:
        """Return neighbouring parts of the same vectors, joined along the last axis, or None.

        A part that passed by a rotary embedding of the same vectors is seen behind it.
        """
        if not (first.plain and second.plain) or first.layout.axes[:-1] != second.layout.axes[:-1]:
            return None
        for turned, other in ((first, second), (second, first)):
            if turned.source.kind == "rotary" and other.source is not turned.source:
                (before,) = turned.source.inputs
                start = 0
                if before is not other.source and before.inputs[:1] == (other.source,):
                    before, start = other.source, before.fields.get("start", 0)
                if before is other.source:
                    seen = replace(other, source=turned.source, offset=other.offset - start)
                    pair = (turned, seen) if turned is first else (seen, turned)
                    return self.rejoined(*pair)
        left, right = first.layout.axes[-1], second.layout.axes[-1]
        simple = all(len(axis) == 1 and axis[0].stride == 1 for axis in (left, right))
        if first.source is not second.source or not simple:
            return None
        if first.offset + left[0].size != second.offset:
            return None
        size = left[0].size + right[0].size
        return replace(first, layout=first.layout.with_axis(-1, size))

    def part(self, source: Draft, offset: int, size: int) -> Draft:
        """Return the op whose output are consecutive elements of another one's."""
        if (offset, size) == (0, source.out_features):
            return source
        key = (source, offset, size)
        if key not in self._read:
            whole = source.out_features
            self._read[key] = self.add("slice", size, source, in_features=whole, start=offset)
        return self._read[key]


_BLOCK = re.compile(r"(.*?(?:^|\.)(?:layers?|blocks?|h))\.(\d+)(?:\.(.*))?$")
"""A module in a list of blocks, as in ``encoder.layer.3.output``; the outermost list counts."""
_WEIGHTED = frozenset({"linear", "convolution", "depthwise", "embedding", "norm", "class_token"})
_SUFFIX = re.compile(r"[._](weight|bias)$")
_ANONYMOUS = re.compile(r"onnx::\w+|val_\d+|\w*_output_\d+|_?\d+")


def is_anonymous(name: str) -> bool:
    """Return whether an exporter made a name up, so that it is no parameter's."""
    return _ANONYMOUS.fullmatch(name) is not None


class Naming:
    """Gives every op a name of its own, and the block it belongs to."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[str, str], int] = {}
        self._block_of: dict[Draft, int | None] = {}
        self._taken: Counter[str] = Counter()

    def name(self, draft: Draft) -> tuple[str, int | None]:
        """Return the name and the block of the next op; what it reads must be named before."""
        path = _path(draft)
        found = _BLOCK.match(path)
        if found:
            block: int | None = self._blocks.setdefault((found[1], found[2]), len(self._blocks))
            path = found[3] or ""
        elif path or draft.scope is not None:
            block = None
        else:
            block = self._inherited(draft)
        self._block_of[draft] = block
        if draft.kind not in _WEIGHTED or not path:
            path = f"{path}.{draft.kind}" if path else draft.kind
        plain = re.sub(r"[^A-Za-z0-9_.\-]+", "_", path).lstrip(".-")[:150] or draft.kind
        full = plain if block is None else f"block{block}.{plain}"
        self._taken[full] += 1
        if self._taken[full] > 1:
            full = f"{full}_{self._taken[full]}"
            self._taken[full] += 1
        return full, block

    def _inherited(self, draft: Draft) -> int | None:
        """Return the latest block that an op without a module of its own reads from."""
        found = [self._block_of.get(source) for source in draft.inputs]
        return max((block for block in found if block is not None), default=None)


def _path(draft: Draft) -> str:
    """Return the module of an op; the name of its weight says more than its node, if they agree.

    Exporters let equal weights share one name, which may then be that of another module.
    """
    named = "" if is_anonymous(draft.parameter) else _SUFFIX.sub("", draft.parameter)
    if named and (not draft.scope or named.startswith(f"{draft.scope}.")):
        return named
    return draft.scope or ""
