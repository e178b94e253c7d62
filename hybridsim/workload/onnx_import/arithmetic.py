"""Nodes of element-wise arithmetic: activations, residuals, biases, masks and parts of norms."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from hybridsim.workload.onnx_import.drafts import Drafts
from hybridsim.workload.onnx_import.file import Node
from hybridsim.workload.onnx_import.layout import Layout
from hybridsim.workload.onnx_import.plumbing import Inputs, Rule
from hybridsim.workload.onnx_import.rotary import times_angle, turned
from hybridsim.workload.onnx_import.values import (
    BINARY,
    POINTS,
    POSITIVE,
    UNARY,
    Data,
    Draft,
    Samples,
    Scores,
    Statistic,
    Turned,
    UnrecognisedError,
    Value,
    Vector,
    activation,
    joined_masks,
    same,
)

_GATES = {"silu": "swiglu", "gelu": "geglu"}


def _unary(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    value, function = inputs[0], UNARY[node.op]
    if not isinstance(value, Vector | Statistic):
        raise UnrecognisedError("it works on scores of an attention")
    with np.errstate(all="ignore"):
        made = replace(value, samples=function(value.samples))
    return [replace(made, scope=drafts.scope) if isinstance(made, Vector) else made]


def _binary(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    left, right = inputs
    if left is None or right is None:
        raise UnrecognisedError("it has too few inputs")
    scores = [value for value in (left, right) if isinstance(value, Scores)]
    if scores:
        return [_masked(drafts, scores[0], left, right)]
    if isinstance(left, Turned) and isinstance(right, Turned):
        return [turned(drafts, node.op, left, right)]
    angled = times_angle(left, right) or times_angle(right, left) if node.op == "Mul" else None
    if angled is not None:
        return [angled]
    with np.errstate(all="ignore"):
        made = _combined(drafts, node.op, left, right)
    return [replace(made, scope=drafts.scope) if isinstance(made, Vector) else made]


def _combined(drafts: Drafts, op: str, left: Value, right: Value) -> Value:
    function = BINARY[op]
    for value, other, swapped in ((left, right, False), (right, left, True)):
        if isinstance(value, Vector | Statistic) and isinstance(other, Data):
            constant = _constant(other)
            if constant is not None:
                pair = (constant, value.samples) if swapped else (value.samples, constant)
                return replace(value, samples=function(*pair))
            if isinstance(value, Vector) and op in ("Add", "Mul"):
                return _with_weights(drafts, op, value, other)
            raise UnrecognisedError("it combines vectors with numbers of their own shape")
    if isinstance(left, Vector) and isinstance(right, Statistic):
        return _normalized(drafts, op, left, right)
    if isinstance(left, Statistic) and isinstance(right, Vector) and op == "Mul":
        return _normalized(drafts, op, right, left)
    if isinstance(left, Vector) and isinstance(right, Vector):
        if left.same_elements(right):
            return replace(left, samples=function(left.samples, right.samples))
        if op == "Add":
            return _residual(drafts, left, right)
        if op == "Mul":
            return _gated(drafts, left, right)
    raise UnrecognisedError("it combines what is no two vectors")


def _constant(data: Data) -> Samples | None:
    return None if data.scalar is None else np.float64(data.scalar) * np.ones(1)


def _masked(drafts: Drafts, scores: Scores, left: Value, right: Value) -> Scores:
    other = right if left is scores else left
    if isinstance(other, Vector):
        if other.source.kind not in ("embedding", "input"):
            raise UnrecognisedError("it combines scores of an attention with vectors")
        return scores  # a bias by position, or a mask that enters as numbers
    if isinstance(other, Data):
        return replace(scores, mask=joined_masks([scores.mask, other.hides]))
    raise UnrecognisedError("it combines the scores of two attentions")


def _where(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    scores = [value for value in inputs if isinstance(value, Scores)]
    masks = [value for value in inputs if isinstance(value, Data)]
    if not scores or len(scores) + len(masks) != len(inputs):
        raise UnrecognisedError("it chooses between vectors")
    hidden = joined_masks([*(each.mask for each in scores), *(mask.hides for mask in masks)])
    return [replace(scores[-1], mask=hidden)]


def _is_nan(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    if not isinstance(inputs[0], Scores):
        raise UnrecognisedError("it looks for numbers that are none, outside an attention")
    return [inputs[0]]  # a guard for rows that are masked altogether


def _softmax(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    scores = inputs[0]
    if not isinstance(scores, Scores) or scores.normalized:
        raise UnrecognisedError("a softmax is modelled in an attention only")
    if node.attributes.get("axis", -1) not in (-1, len(scores.shape) - 1):
        raise UnrecognisedError("it is not taken over the keys")
    return [replace(scores, normalized=True)]


def _with_weights(drafts: Drafts, op: str, vector: Vector, data: Data) -> Vector:
    """Return a vector times or plus trained numbers: bias, norm, or a table of positions."""
    if not data.trained:
        raise UnrecognisedError("it combines vectors with numbers that enter the network")
    if op == "Mul" and vector.source.fields.get("parts", 1) > 1:
        return _with_scales(vector, data)
    source = drafts.read_last(vector, data.shape[-1] if data.shape else None)
    if any(size > 1 for size in data.shape[:-1]):
        if op == "Mul" or data.shape[-2] != data.array.size // data.shape[-1]:
            raise UnrecognisedError("it combines vectors with trained numbers of their own shape")
        table = drafts.add("embedding", data.shape[-1], parameter=data.name, rows=data.shape[-2])
        return _sum(drafts, vector, source, Vector(table, Layout.with_features(data.shape)), table)
    if op == "Add":
        return _with_bias(drafts, vector, source, data)
    if source.kind == "norm" and not source.fields.get("scaled"):
        source.fields["scaled"] = True
        source.parameter = source.parameter or data.name
        return vector
    draft = drafts.add(
        "norm", source.out_features, source, parameter=data.name, function="no_norm", scaled=True
    )
    return drafts.vector(draft, vector.layout)


def _with_scales(vector: Vector, data: Data) -> Vector:
    """Return heads that were normalized each by itself, times the scales of all of them."""
    norm = vector.source
    if norm.fields.get("scaled") or not vector.plain or data.array.size != vector.shape[-1]:
        raise UnrecognisedError("it combines vectors with trained numbers of their own shape")
    norm.fields["scaled"], norm.parameter = True, data.name
    return vector


def _with_bias(drafts: Drafts, vector: Vector, source: Draft, data: Data) -> Vector:
    shiftable = source.kind == "linear" or (
        source.kind == "norm" and source.fields["function"] != "rms_norm"
    )
    if not shiftable or source.fields.get("bias"):
        raise UnrecognisedError(f"it adds a bias to the output of an op of kind {source.kind!r}")
    source.fields["bias"] = True
    if not source.parameter.endswith("weight"):
        source.parameter = data.name  # exporters rename the weights that they transpose
    return vector


def _residual(drafts: Drafts, left: Vector, right: Vector) -> Vector:
    return _sum(drafts, left, _addend(drafts, left), right, _addend(drafts, right))


def _addend(drafts: Drafts, vector: Vector) -> Draft:
    if vector.layout.feature_axis is None:
        raise UnrecognisedError("it adds vectors whose elements are spread over several axes")
    return drafts.read(vector)


def _sum(drafts: Drafts, left: Vector, first: Draft, right: Vector, second: Draft) -> Vector:
    axis = left.layout.feature_axis
    if axis != right.layout.feature_axis or first.out_features != second.out_features:
        raise UnrecognisedError("it adds vectors of different sizes, or along different axes")
    draft = drafts.add("add", first.out_features, first, second)
    shape = np.broadcast_shapes(left.shape, right.shape)
    return Vector(draft, Layout.with_features(shape, -1 if axis is None else axis))


def _gated(drafts: Drafts, left: Vector, right: Vector) -> Vector:
    for gate, value in ((left, right), (right, left)):
        function = _GATES.get(activation(gate.samples) or "")
        if function and value.plain and not gate.centered:
            raw = replace(gate, samples=POINTS)
            sources = drafts.read_last(raw), drafts.read_last(value, gate.size)
            draft = drafts.add("activation", gate.size, *sources, function=function)
            return drafts.vector(draft, value.layout)
    raise UnrecognisedError("it multiplies vectors that are not gated by GELU or SiLU")


def _reduce_mean(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    vector = inputs[0]
    given = inputs[1] if len(inputs) > 1 else None
    axes = given.ints if isinstance(given, Data) else node.attributes.get("axes")
    if not isinstance(vector, Vector) or list(axes or ()) not in (
        [-1], [len(vector.shape) - 1]
    ):  # fmt: skip
        raise UnrecognisedError("it takes no mean over the elements of a vector")
    last = vector.layout.axes[-1]
    if len(last) > 1 or any(factor.stride != 1 for factor in last):
        raise UnrecognisedError("it takes no mean over the elements of a vector")
    squared = float(vector.samples[-1] / POINTS[-1] ** 2)
    square = squared > 0 and same(vector.samples / squared, POINTS**2)
    if not (square or vector.plain):
        raise UnrecognisedError("it takes the mean of a function that is no square")
    raw = replace(vector, samples=POINTS)
    return [Statistic(raw, square, POSITIVE, squared**0.5 if square else 1.0)]


def _normalized(drafts: Drafts, op: str, vector: Vector, statistic: Statistic) -> Vector:
    """Return a vector without its mean, or over the root of its mean square."""
    scaled = same(vector.samples, statistic.factor * POINTS)
    if not vector.same_elements(statistic.of) or not scaled:
        raise UnrecognisedError("it combines a mean with other vectors than those it was taken of")
    if op == "Sub" and not statistic.square and statistic.samples is POSITIVE:
        return replace(vector, centered=True)
    wanted = {"Div": np.sqrt(POSITIVE), "Mul": 1 / np.sqrt(POSITIVE)}.get(op)
    if not statistic.square or wanted is None or not same(statistic.samples, wanted):
        raise UnrecognisedError("it uses a mean in a way that is no norm")
    function = "layer_norm" if vector.centered else "rms_norm"
    return drafts.normed(replace(vector, samples=POINTS, centered=False), function=function)


ARITHMETIC: Mapping[str, Rule] = {
    **dict.fromkeys(UNARY, _unary),
    **dict.fromkeys(BINARY, _binary),
    "IsNaN": _is_nan,
    "ReduceMean": _reduce_mean,
    "Softmax": _softmax,
    "Where": _where,
}
"""What a node of each op type makes of its inputs."""
