"""Nodes that are layers: products with weights or of vectors, whole norms and attentions."""

from collections.abc import Mapping
from dataclasses import replace
from math import prod

from hybridsim.workload.onnx_import.drafts import Drafts
from hybridsim.workload.onnx_import.file import Node
from hybridsim.workload.onnx_import.layout import Axis, Factor, Layout
from hybridsim.workload.onnx_import.plumbing import Inputs, Rule
from hybridsim.workload.onnx_import.values import (
    Data,
    Mask,
    Scores,
    UnrecognisedError,
    Value,
    Vector,
    joined_masks,
)


def input_at(inputs: Inputs, index: int) -> Value | None:
    """Return an input, or None if it is left out."""
    return inputs[index] if index < len(inputs) else None


def vector_at(inputs: Inputs, index: int) -> Vector:
    """Return an input that must be a vector per token."""
    value = input_at(inputs, index)
    if not isinstance(value, Vector):
        raise UnrecognisedError(f"its input {index} is no vector per token")
    return value


def weights_at(inputs: Inputs, index: int) -> Data | None:
    """Return an input of trained numbers, or None if it is left out."""
    value = input_at(inputs, index)
    if value is None:
        return None
    if not isinstance(value, Data) or not value.trained:
        raise UnrecognisedError(f"its input {index} is computed; trained numbers would do")
    return value


def linear(
    drafts: Drafts, vector: Vector, sizes: tuple[int, int], weight: Data, bias: Data | None
) -> Vector:
    """Return vectors behind a linear layer of (in, out) features."""
    source = drafts.read_last(vector, sizes[0], scaled=True)
    if bias is not None and bias.array.size not in (1, sizes[1]):
        raise UnrecognisedError(f"its bias has {bias.array.size} elements for {sizes[1]} outputs")
    draft = drafts.add(
        "linear", sizes[1], source, parameter=weight.name, in_features=sizes[0],
        bias=bias is not None, weight=weight.name, turned=weight.turned,
    )  # fmt: skip
    if bias is not None and not weight.name.endswith("weight"):
        draft.parameter = bias.name
    return drafts.vector(draft, vector.layout)


def _matmul(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    left, right = input_at(inputs, 0), input_at(inputs, 1)
    if isinstance(left, Vector) and isinstance(right, Data):
        weight = weights_at(inputs, 1)
        shape = right.shape
        if weight is None or len(shape) < 2 or prod(shape[:-2]) != 1:
            raise UnrecognisedError("its weights are no matrix")
        return [linear(drafts, left, (shape[-2], shape[-1]), weight, None)]
    if isinstance(left, Scores) and isinstance(right, Vector):
        return [_weighted_sum(drafts, left, right)]
    if isinstance(left, Vector) and isinstance(right, Vector):
        return [_scores(left, right)]
    raise UnrecognisedError("it is neither a linear layer nor part of an attention")


def _gemm(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    weight, vector = weights_at(inputs, 1), vector_at(inputs, 0)
    if weight is None or len(weight.shape) != 2 or node.attributes.get("transA"):
        raise UnrecognisedError("it is no linear layer")
    rows, columns = weight.shape
    if node.attributes.get("transB"):
        rows, columns, weight = columns, rows, replace(weight, turned=not weight.turned)
    return [linear(drafts, vector, (rows, columns), weight, weights_at(inputs, 2))]


def _layer_norm(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    vector, scale = vector_at(inputs, 0), weights_at(inputs, 1)
    rank = len(vector.shape)
    if node.attributes.get("axis", -1) % rank != rank - 1 or scale is None:
        raise UnrecognisedError("it normalizes more than the elements of a vector")
    if scale.shape[-1] != vector.shape[-1]:
        found = f"{scale.shape[-1]} features, but its input gives {vector.shape[-1]}"
        raise UnrecognisedError(f"it takes {found}")
    rms = node.op in ("RMSNormalization", "SimplifiedLayerNormalization")
    normed = drafts.normed(
        vector, parameter=scale.name, scaled=True, function="rms_norm" if rms else "layer_norm",
        bias=weights_at(inputs, 2) is not None,
    )  # fmt: skip
    return [normed]


# --- attention --------------------------------------------------------------------------------


def _features(axes: tuple[Axis, ...]) -> list[Factor]:
    return [factor for axis in axes for factor in axis if factor.stride]


def _head(vector: Vector, axis: int) -> int:
    """Return the elements of one head, which lie along an axis of their own."""
    factors = vector.layout.axes[axis]
    if len(factors) > 1 or (factors and not factors[0].stride):
        raise UnrecognisedError("it multiplies over an axis that is not the elements of a head")
    return vector.shape[axis]


def _scores(query: Vector, key: Vector) -> Scores:
    if len(query.shape) < 2 or len(key.shape) < 2 or _head(query, -1) != _head(key, -2):
        raise UnrecognisedError("it multiplies vectors that are no queries and keys")
    if _features(query.layout.axes[-2:-1]) or _features(key.layout.axes[-1:]):
        raise UnrecognisedError("it multiplies over tokens; an attention would do")
    return Scores(query, key, (*query.shape[:-1], key.shape[-1]))


def _weighted_sum(drafts: Drafts, scores: Scores, value: Vector) -> Vector:
    if not scores.normalized:
        raise UnrecognisedError("it is an attention without a softmax")
    query = scores.query
    shape = (*scores.shape[:-1], query.shape[-1])
    if shape != query.shape and prod(shape) == prod(query.shape):
        query = query.moved(query.layout.reshape(shape))
    return _attention(drafts, query, scores.key, value, mask=scores.mask)


def _attention(
    drafts: Drafts, query: Vector, key: Vector, value: Vector, *, mask: Mask | None
) -> Vector:
    """Append an attention; ``query`` and ``value`` have the elements of a head along the end."""
    size = _head(query, -1)
    if _head(value, -1) != size:
        raise UnrecognisedError("its values have heads of another size than its queries")
    sources = [drafts.read(vector, scaled=True) for vector in (query, key, value)]
    heads, shared = (source.out_features // size for source in sources[:2])
    if sources[2].out_features != sources[1].out_features:
        raise UnrecognisedError("it has other heads for values than for keys")
    if heads % shared:
        raise UnrecognisedError(f"{heads} heads cannot share {shared} heads of keys")
    draft = drafts.add(
        "attention", heads * size, *sources, heads=heads, kv_heads=shared, head_dim=size,
        causal=mask is not None and mask.causal, window=mask.window if mask else None,
        tokens=query.shape[-2],
    )  # fmt: skip
    return Vector(draft, Layout(_restrided((*query.layout.axes[:-1], (Factor(size, 1),)))))


def _restrided(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """Return axes whose factors of elements follow each other in a vector without gaps."""
    stride, result = 1, []
    for axis in axes[::-1]:
        factors = []
        for factor in axis[::-1]:
            factors.append(Factor(factor.size, stride) if factor.stride else factor)
            stride *= factor.size if factor.stride else 1
        result.append(tuple(factors[::-1]))
    return tuple(result[::-1])


def _in_heads(vector: Vector, heads: int) -> Vector:
    """Return vectors along the last axis, cut into heads in front of the tokens."""
    *outer, tokens, size = vector.shape
    if vector.layout.feature_axis != -1 or not heads or size % heads:
        raise UnrecognisedError("its vectors cannot be cut into heads")
    cut = vector.moved(vector.layout.reshape((*outer, tokens, heads, size // heads)))
    rank = len(outer)
    order = [*range(rank), rank + 1, rank, rank + 2]
    return cut.moved(cut.layout.transpose(order))


def _joined(vector: Vector) -> Vector:
    """Return vectors in heads as vectors along the last axis."""
    *outer, heads, tokens, size = vector.shape
    rank = len(outer)
    moved = vector.moved(vector.layout.transpose([*range(rank), rank + 1, rank, rank + 2]))
    return moved.moved(moved.layout.reshape((*outer, tokens, heads * size)))


def _whole_attention(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    """Read ai.onnx Attention, of vectors in heads or with the number of heads."""
    if input_at(inputs, 4) is not None or input_at(inputs, 5) is not None:
        raise UnrecognisedError("it reads keys and values of earlier runs")
    query, key, value = (vector_at(inputs, i) for i in range(3))
    mask = input_at(inputs, 3)
    told = Mask(causal=True) if node.attributes.get("is_causal") else None
    hidden = joined_masks([told, mask.hides if isinstance(mask, Data) else None])
    if len(query.shape) == 4:
        return [_attention(drafts, query, key, value, mask=hidden)]
    heads = node.attributes.get("q_num_heads", 0)
    shared = node.attributes.get("kv_num_heads", heads)
    parts = [_in_heads(v, n) for v, n in ((query, heads), (key, shared), (value, shared))]
    return [_joined(_attention(drafts, *parts, mask=hidden))]


def _multi_head(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    """Read com.microsoft MultiHeadAttention of separate queries, keys and values."""
    if any(input_at(inputs, i) is not None for i in (3, 6, 7)):
        raise UnrecognisedError("it has a bias, or reads keys and values of earlier runs")
    heads = node.attributes.get("num_heads", 0)
    parts = [_in_heads(vector_at(inputs, i), heads) for i in range(3)]
    mask = Mask(causal=True) if node.attributes.get("unidirectional") else None
    return [_joined(_attention(drafts, *parts, mask=mask))]


def _packed_attention(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    """Read com.microsoft Attention: one linear layer for queries, keys and values."""
    weight, bias = weights_at(inputs, 1), weights_at(inputs, 2)
    if weight is None or len(weight.shape) != 2 or input_at(inputs, 4) is not None:
        raise UnrecognisedError("it reads keys and values of earlier runs, or has no weights")
    rows, columns = weight.shape
    if node.attributes.get("qkv_hidden_sizes") or columns % 3:
        raise UnrecognisedError("its queries, keys and values have sizes of their own")
    fused = linear(drafts, vector_at(inputs, 0), (rows, columns), weight, bias)
    size = columns // 3
    cut = fused.layout.with_axis(-1, size)
    heads = node.attributes.get("num_heads", 0)
    parts = [_in_heads(fused.moved(cut, i * size), heads) for i in range(3)]
    mask = Mask(causal=True) if node.attributes.get("unidirectional") else None
    return [_joined(_attention(drafts, *parts, mask=mask))]


def _any_attention(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    rule = _packed_attention if node.proto.domain == "com.microsoft" else _whole_attention
    return rule(drafts, node, inputs)


def _rotary(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    """Read a whole rotary embedding, of vectors in heads or with the number of heads."""
    vector, heads = vector_at(inputs, 0), node.attributes.get("num_heads", 0)
    if len(vector.shape) == 4:
        return [drafts.turned(vector)]
    return [_joined(drafts.turned(_in_heads(vector, heads)))]


LAYERS: Mapping[str, Rule] = {
    "Attention": _any_attention,
    "Gemm": _gemm,
    "LayerNormalization": _layer_norm,
    "MatMul": _matmul,
    "MultiHeadAttention": _multi_head,
    "RMSNormalization": _layer_norm,
    "RotaryEmbedding": _rotary,
    "SimplifiedLayerNormalization": _layer_norm,
}
"""What a node of each op type makes of its inputs."""
