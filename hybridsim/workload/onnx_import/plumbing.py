"""Nodes that move elements about: reshape, transpose, slice, split, gather, concat."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from hybridsim.workload.onnx_import.drafts import Drafts
from hybridsim.workload.onnx_import.file import MOST_AXES, Node, zeros
from hybridsim.workload.onnx_import.layout import Layout
from hybridsim.workload.onnx_import.rotary import reshaped, swapped
from hybridsim.workload.onnx_import.values import (
    Data,
    Scores,
    Turned,
    UnrecognisedError,
    Value,
    Vector,
)

Inputs = Sequence[Value | None]
MOST_IN_FRONT = 256
"""The most trained tokens in front of a sequence."""


def _data(inputs: Inputs, index: int) -> Data | None:
    """Return an input that must be data, or None if it is left out."""
    value = inputs[index] if index < len(inputs) else None
    if value is not None and not isinstance(value, Data):
        raise UnrecognisedError(f"its input {index} depends on the vectors")
    return value


def _ints(node: Node, inputs: Inputs, index: int, attribute: str) -> list[int] | None:
    """Return whole numbers that are an input, or an attribute in older operator sets."""
    given = _data(inputs, index)
    if given is not None:
        return given.ints
    found = node.attributes.get(attribute)
    return None if found is None else [int(i) for i in found]


def _reshaped(value: Value | None, shape: Sequence[int]) -> Value:
    if len(shape) > MOST_AXES:
        raise UnrecognisedError(f"it asks for {len(shape)} axes; at most {MOST_AXES} would do")
    if isinstance(value, Turned):
        return reshaped(value, shape)
    if isinstance(value, Scores):
        if tuple(shape[-2:]) != value.shape[-2:]:
            raise UnrecognisedError("it cuts the scores of an attention")
        return replace(value, shape=tuple(shape))
    vector = _vector(value)
    if prod(shape) != prod(vector.shape):
        found, wanted = (" x ".join(map(str, sizes)) for sizes in (vector.shape, shape))
        raise UnrecognisedError(
            f"it cannot reshape {found} to {wanted}; if the file leaves sizes open, export it "
            "with fixed ones"
        )
    return vector.moved(vector.layout.reshape(shape))


def _vector(value: Value | None) -> Vector:
    if not isinstance(value, Vector):
        what = type(value).__name__.lower()
        raise UnrecognisedError(f"it takes a vector per token, but gets {what}")
    return value


def _shape_of(value: Value | None) -> tuple[int, ...]:
    if isinstance(value, Data | Vector | Scores | Turned):
        return value.shape
    raise UnrecognisedError("the shape of its input is not known")


def _reshape(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    wanted, now = _ints(node, inputs, 1, "shape") or [], _shape_of(inputs[0])
    if not node.attributes.get("allowzero"):
        wanted = [now[i] if size == 0 and i < len(now) else size for i, size in enumerate(wanted)]
    rest = prod(size for size in wanted if size != -1)
    shape = [prod(now) // max(1, rest) if size == -1 else size for size in wanted]
    return [_reshaped(inputs[0], shape)]


def _flatten(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    shape = _shape_of(inputs[0])
    at = node.attributes.get("axis", 1) % (len(shape) + 1)
    return [_reshaped(inputs[0], (prod(shape[:at]), prod(shape[at:])))]


def _squeeze(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    shape, axes = _shape_of(inputs[0]), _ints(node, inputs, 1, "axes")
    gone = {a % len(shape) for a in axes} if axes is not None else None
    kept = [n for i, n in enumerate(shape) if (i not in gone if gone is not None else n != 1)]
    return [_reshaped(inputs[0], kept)]


def _unsqueeze(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    shape, axes = _shape_of(inputs[0]), _ints(node, inputs, 1, "axes") or []
    new = {a % (len(shape) + len(axes)) for a in axes}
    if len(new) != len(axes):
        raise UnrecognisedError("it names an axis twice")
    old = iter(shape)
    return [
        _reshaped(inputs[0], [1 if i in new else next(old) for i in range(len(shape) + len(axes))])
    ]


def _transpose(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    vector = _vector(inputs[0])
    order = node.attributes.get("perm") or range(len(vector.shape))[::-1]
    return [vector.moved(vector.layout.transpose(list(order)))]


def _expand(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    vector, wanted = _vector(inputs[0]), _ints(node, inputs, 1, "shape") or []
    now = (1,) * (len(wanted) - len(vector.shape)) + vector.shape
    wanted = [1] * (len(now) - len(wanted)) + wanted
    shape = [max(a, b) for a, b in zip(now, wanted, strict=True)]
    return [vector.moved(vector.layout.broadcast(shape))]


def _cut(drafts: Drafts, vector: Vector, axis: int, start: int, size: int | None) -> Vector:
    """Return ``size`` steps of an axis from ``start``, or just that step without the axis."""
    steps = vector.shape[axis]
    stride = vector.layout.stride(axis)
    if steps == 1 or (start, size) == (0, steps):
        return vector if size else vector.moved(vector.layout.with_axis(axis, None))
    if stride is None:
        raise UnrecognisedError("it cuts an axis that mixes elements of vectors with tokens")
    if stride:
        layout = vector.layout.with_axis(axis, size)
        by_head = _of_each_head(drafts, vector, layout, (start * stride, (size or 1) * stride))
        return by_head or vector.moved(layout, start * stride)
    if size == steps - 1 and size > 1 and not vector.shift:
        shifted = vector.moved(vector.layout.with_axis(axis, size))
        return replace(shifted, shift=1 if start else -1)
    if (start, size or 1) != (0, 1):
        raise UnrecognisedError("it takes some of the tokens; only the first one is modelled")
    layout = vector.layout.with_axis(axis, size)
    at = layout.feature_axis
    if at is None:
        raise UnrecognisedError("it takes the first token of vectors that are cut into heads")
    source = drafts.read(vector)
    return Vector(drafts.add("first_token", source.out_features, source), layout)


def _of_each_head(
    drafts: Drafts, vector: Vector, layout: Layout, part: tuple[int, int]
) -> Vector | None:
    """Return a third of each head, of a fused product that has heads outside (GPT-NeoX, BLOOM).

    Which row of its matrix makes which output is free, so that they are told apart as if all
    queries came first, then all keys, then all values. ``part`` is where the third starts in a
    head, and its size; ``layout`` that of what is left.
    """
    (start, size), source = part, vector.source
    heads = [f for axis in layout.axes for f in axis if f.stride == 3 * size]
    whole = vector.layout.features == source.out_features and vector.plain
    if source.kind != "linear" or not whole or len(heads) != 1 or start % size:
        return None
    count = heads[0].size
    if count * 3 * size != source.out_features:
        return None
    axes = (
        tuple(replace(f, stride=size) if f.stride == 3 * size else f for f in axis)
        for axis in layout.axes
    )
    return Vector(drafts.part(source, start * count, size * count), Layout(tuple(axes)))


def _gather(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    table, index = inputs[0], _data(inputs, 1)
    axis = node.attributes.get("axis", 0)
    if index is None:
        raise UnrecognisedError("it has no indices")
    if isinstance(table, Data):
        return [_embedding(drafts, table, index)]
    vector, at = _vector(table), index.ints
    steps = vector.shape[axis]
    at = [i % steps for i in at]
    if index.shape == ():
        return [_cut(drafts, vector, axis, at[0], None)]
    if len(index.shape) == 1 and at == list(range(at[0], at[0] + len(at))):
        return [_cut(drafts, vector, axis, at[0], len(at))]
    raise UnrecognisedError("it gathers vectors that are computed")


def _embedding(drafts: Drafts, table: Data, index: Data) -> Vector:
    rows, features = table.shape
    draft = drafts.add("embedding", features, parameter=table.name, rows=rows)
    return Vector(draft, Layout.with_features((*index.shape, features)))


def is_embedding(node: Node, inputs: Inputs) -> bool:
    """Return whether a node looks up rows of a table of weights."""
    if node.op != "Gather" or node.attributes.get("axis", 0) != 0:
        return False
    table, index = inputs
    return (
        isinstance(table, Data)
        and isinstance(index, Data)
        and table.trained
        and table.array.dtype.kind not in "iub"
        and table.angle is None
        and len(table.shape) == 2
        and len(index.shape) > 0
    )


def _slice(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    vector = _vector(inputs[0])
    starts = _ints(node, inputs, 1, "starts") or []
    ends = _ints(node, inputs, 2, "ends") or []
    axes = _ints(node, inputs, 3, "axes") or list(range(len(starts)))
    steps = _ints(node, inputs, 4, "steps") or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step < 1:
            raise UnrecognisedError("it takes elements backwards")
        first, last, _ = slice(start, end).indices(vector.shape[axis])
        if last <= first:
            left = [0 if i == axis % len(vector.shape) else n for i, n in enumerate(vector.shape)]
            return [Data(zeros(tuple(left), np.float32))]
        if step > 1:
            vector = _every(vector, axis, range(first, last, step))
        else:
            vector = _cut(drafts, vector, axis, first, last - first)
    return [vector]


def _every(vector: Vector, axis: int, places: range) -> Vector:
    """Return elements of an axis of vectors that lie equally far from each other."""
    stride = vector.layout.stride(axis)
    if not stride:
        raise UnrecognisedError("it takes every other token; elements of a vector would do")
    layout = vector.layout.with_axis(axis, len(places), step=places.step)
    return vector.moved(layout, places.start * stride)


def _split(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    vector, axis = _vector(inputs[0]), node.attributes.get("axis", 0)
    sizes = _ints(node, inputs, 1, "split")
    if sizes is None:
        parts = len(node.outputs)
        each = -(-vector.shape[axis] // parts)
        sizes = [each] * (parts - 1) + [vector.shape[axis] - each * (parts - 1)]
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [
        _cut(drafts, vector, axis, start, size) for start, size in zip(starts, sizes, strict=True)
    ]


def _concat(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    given = [value for value in inputs if value is not None]
    rank = len(_shape_of(given[0]))
    axis = node.attributes.get("axis", 0) % rank
    given = [value for value in given if _shape_of(value)[axis]]  # a part may be empty
    if len(given) == 1:
        return given
    if isinstance(given[-1], Vector) and len(given) > 1:
        tokens = [value for value in given[:-1] if isinstance(value, Data)]
        if len(tokens) == len(given) - 1:
            return [_tokens_in_front(drafts, tokens, given[-1], axis)]
    vectors = [_vector(value) for value in given]
    if {vector.layout.feature_axis for vector in vectors} == {axis - rank} and axis != rank - 1:
        return [_channels_joined(drafts, vectors, axis - rank)]
    if axis != rank - 1:
        raise UnrecognisedError("it joins sequences; only trained tokens in front are modelled")
    known = _trigram(drafts, vectors) or swapped(vectors) or _rejoined(drafts, vectors)
    if known is not None:
        return [known]
    sources = [drafts.read_last(vector) for vector in vectors]
    features = tuple(source.out_features for source in sources)
    draft = drafts.add("concat", sum(features), *sources, features=features)
    return [drafts.vector(draft, vectors[0].layout)]


def _channels_joined(drafts: Drafts, vectors: Sequence[Vector], axis: int) -> Vector:
    sources = [drafts.read(vector) for vector in vectors]
    features = tuple(source.out_features for source in sources)
    draft = drafts.add("concat", sum(features), *sources, features=features)
    return drafts.vector(draft, vectors[0].layout, axis)


def _pad(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    """Read zeros for the token that a shift by one leaves without a neighbour."""
    vector, amounts = _vector(inputs[0]), _ints(node, inputs, 1, "pads") or []
    fill, axes = _data(inputs, 2), _ints(node, inputs, 3, "axes")
    rank = len(vector.shape)
    where = [axis % rank for axis in axes] if axes is not None else list(range(rank))
    before, after = amounts[: len(where)], amounts[len(where) :]
    padded = [(a, n, m) for a, n, m in zip(where, before, after, strict=True) if n or m]
    wanted = (0, 1) if vector.shift > 0 else (1, 0)
    if node.attributes.get("mode", b"constant") != b"constant" or (
        fill is not None and fill.scalar != 0
    ):
        raise UnrecognisedError("it pads with other values than zeros")
    if not vector.shift or len(padded) != 1 or padded[0][1:] != wanted:
        raise UnrecognisedError("it pads what is no sequence without its first or last token")
    axis = padded[0][0]
    return [vector.moved(vector.layout.with_axis(axis, vector.shape[axis] + 1))]


def _trigram(drafts: Drafts, vectors: Sequence[Vector]) -> Vector | None:
    """Return the neighbours of each token joined, or None if these are others."""
    if [vector.shift for vector in vectors] != [1, 0, -1]:
        return None
    middle = vectors[1]
    if not all(replace(vector, shift=0).same_elements(middle) for vector in vectors):
        raise UnrecognisedError("it joins neighbours of different vectors")
    source = drafts.read_last(middle)
    draft = drafts.add("trigram", 3 * source.out_features, source)
    return drafts.vector(draft, middle.layout)


def _rejoined(drafts: Drafts, vectors: Sequence[Vector]) -> Vector | None:
    """Return the parts of one vector behind each other as that vector, or None."""
    whole: Vector | None = vectors[0]
    for vector in vectors[1:]:
        whole = drafts.rejoined(whole, vector) if whole is not None else None
    return whole


def _tokens_in_front(drafts: Drafts, tokens: Sequence[Data], vector: Vector, axis: int) -> Vector:
    """Return a sequence with trained tokens in front, the last of them put there first."""
    source = drafts.read_last(vector)
    size, shape = source.out_features, list(vector.shape)
    if axis == len(shape) - 1:
        raise UnrecognisedError("it joins trained elements to each vector")
    for token in tokens[::-1]:
        count = token.shape[axis]
        others = [n for i, n in enumerate(token.shape[:-1]) if i != axis]
        if not token.trained or token.shape[-1] != size or count > MOST_IN_FRONT:
            raise UnrecognisedError("it joins vectors with what is no trained token")
        if len(token.shape) != len(shape) or any(
            n not in (1, m)
            for n, m in zip(
                others, (m for i, m in enumerate(shape[:-1]) if i != axis), strict=True
            )
        ):
            raise UnrecognisedError("it joins vectors with what is no trained token")
        for _ in range(count):
            source = drafts.add("class_token", size, source, parameter=token.name)
        shape[axis] += count
    return Vector(source, Layout.with_features(shape))


def _same(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    value = inputs[0]
    if value is None:
        raise UnrecognisedError("it has no input")
    return [value]


Rule = Callable[[Drafts, Node, Inputs], list[Value]]
PLUMBING: Mapping[str, Rule] = {
    "Cast": _same,
    "CastLike": _same,
    "Concat": _concat,
    "Dropout": _same,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Identity": _same,
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""What a node of each op type makes of its inputs."""
