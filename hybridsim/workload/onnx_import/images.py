"""Nodes of images: convolutions, pools, and norms of channels that are folded into weights.

A convolution is a matrix of (kernel x channels) by outputs and one product per position: what it
reads is put behind each other as a ``window``, and the rest is a linear layer. A convolution of
each channel by itself would be a diagonal, and runs on a cluster (``depthwise``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from hybridsim.workload.onnx_import.arithmetic import ARITHMETIC
from hybridsim.workload.onnx_import.drafts import Drafts
from hybridsim.workload.onnx_import.file import Node
from hybridsim.workload.onnx_import.layers import input_at, linear, vector_at, weights_at
from hybridsim.workload.onnx_import.layout import Layout
from hybridsim.workload.onnx_import.plumbing import PLUMBING, Inputs, Rule
from hybridsim.workload.onnx_import.values import (
    Data,
    Draft,
    Statistic,
    UnrecognisedError,
    Value,
    Vector,
)


@dataclass(frozen=True)
class _Geometry:
    """Where a kernel lies on the pixels of an image, or on the tokens of a sequence."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[int, ...]
    """Zeros in front and behind together, for each axis."""
    places: tuple[int, ...]
    """Positions along each axis."""

    @classmethod
    def of(cls, node: Node, kernel: tuple[int, ...], sizes: tuple[int, ...]) -> "_Geometry":
        """Return that of a node on an image of these sizes.

        Raises:
            UnrecognisedError: The image is smaller than the kernel.
        """
        given: Mapping[str, Any] = node.attributes
        count = len(kernel)
        strides = tuple(given.get("strides") or [1] * count)
        dilations = tuple(given.get("dilations") or [1] * count)
        pads = list(given.get("pads") or [0] * (2 * count))
        spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
        if min(strides) < 1 or len(pads) != 2 * count:
            raise UnrecognisedError("its strides or pads are of no use")
        if bytes(given.get("auto_pad", b"NOTSET")).startswith(b"SAME"):
            padding = tuple(
                max(0, (-(-size // step) - 1) * step + span - size)
                for size, step, span in zip(sizes, strides, spans, strict=True)
            )
        else:
            padding = tuple(a + b for a, b in zip(pads[:count], pads[count:], strict=True))
        rounding = max(strides) - 1 if given.get("ceil_mode") else 0
        places = tuple(
            (size + pad - span + min(rounding, step - 1)) // step + 1
            for size, pad, span, step in zip(sizes, padding, spans, strides, strict=True)
        )
        if min(*places, *kernel, *dilations) < 1 or max(padding) > max(*sizes, *spans):
            raise UnrecognisedError("its kernel and its padding do not fit the image")
        return cls(kernel, strides, padding, places)

    def covers_once(self, sizes: tuple[int, ...]) -> bool:
        """Return whether every pixel is read once, in patches that do not overlap."""
        whole = all(n % k == 0 for n, k in zip(sizes, self.kernel, strict=True))
        return self.kernel == self.strides and not any(self.padding) and whole


def _with_channels(drafts: Drafts, vector: Vector) -> Vector:
    """Return vectors whose elements are channels; those of an image that enters are told so.

    Raises:
        UnrecognisedError: The channels lie elsewhere, or the file leaves the size of it open.
    """
    source, shape = vector.source, vector.shape
    told = source.kind != "input" or "image" in source.fields
    alone = told and source.out_features == shape[1] == 1  # such a channel has no axis of its own
    if vector.layout.feature_axis == 1 - len(shape) or alone:
        return vector
    if source.kind == "input" and "image" not in source.fields:
        if len(shape) == 4 and drafts.open_sizes.intersection(shape[2:]):
            raise UnrecognisedError("the size of the image is open; export it with a fixed one")
        source.out_features, source.fields["image"] = shape[1], True
        if len(shape) == 4:
            source.fields["tokens"] = prod(shape[2:])
            drafts.image = True
        return Vector(source, Layout.with_features(shape, 1))
    raise UnrecognisedError("it works on an axis that is not the channels of an image")


def _convolution(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    vector, weight = vector_at(inputs, 0), weights_at(inputs, 1)
    if weight is None or len(weight.shape) < 3 or len(weight.shape) != len(vector.shape):
        raise UnrecognisedError("it is no convolution of what enters")
    out, _, *kernel = weight.shape
    geometry = _Geometry.of(node, tuple(kernel), vector.shape[2:])
    patches = vector.source.kind == "input" and vector.plain and not vector.source.fields
    if patches and prod(kernel) > 1 and geometry.covers_once(vector.shape[2:]):
        return [_of_patches(drafts, vector, weight, weights_at(inputs, 2))]
    vector = _with_channels(drafts, vector)
    groups, channels = node.attributes.get("group", 1), vector.shape[1]
    if channels != weight.shape[1] * groups or groups < 1 or out % groups:
        raise UnrecognisedError(f"it takes {weight.shape[1] * groups} channels, not {channels}")
    source = drafts.read(vector, scaled=True)
    bias = weights_at(inputs, 2) is not None
    if groups == channels == out and groups > 1:
        source = _windows(drafts, source, replace(geometry, kernel=(1,) * len(kernel)), vector)
        draft = drafts.add(
            "depthwise", out, source, parameter=weight.name, kernel=prod(kernel), bias=bias
        )
    else:
        source = _windows(drafts, source, geometry, vector)
        draft = drafts.add(
            "linear" if groups == 1 else "convolution", out, source, parameter=weight.name,
            in_features=source.out_features, bias=bias, weight=weight.name, groups=groups,
            all_linear=0,
        )  # fmt: skip
    return [Vector(draft, Layout.with_features((vector.shape[0], out, *geometry.places), 1))]


def _of_patches(drafts: Drafts, vector: Vector, weight: Data, bias: Data | None) -> Vector:
    """Return patches that do not overlap, each a vector of its pixels, behind a linear layer."""
    out, channels, *kernel = weight.shape
    size, source = prod(kernel) * channels, vector.source
    source.out_features, source.fields["image"] = size, True
    places = [n // k for n, k in zip(vector.shape[2:], kernel, strict=True)]
    shape = (vector.shape[0], *places, size)
    made = linear(drafts, Vector(source, Layout.with_features(shape)), (size, out), weight, bias)
    made.source.fields["all_linear"] = 0  # no linear layer for what adapts all of them
    last = len(shape) - 1
    return made.moved(made.layout.transpose([0, last, *range(1, last)]))


def _windows(drafts: Drafts, source: Draft, geometry: _Geometry, vector: Vector) -> Draft:
    """Return the pixels or tokens of each position behind each other, if they are not so yet."""
    kernel, places = prod(geometry.kernel), prod(geometry.places)
    if kernel == 1 and geometry.places == vector.shape[2:]:
        return source
    size = source.out_features
    fields: dict[str, Any] = {"features": size, "kernel": kernel}
    if drafts.image:
        fields["positions"] = places
    else:
        fields |= {"stride": geometry.strides[0], "padding": geometry.padding[0]}
    return drafts.add("window", kernel * size, source, **fields)


def _pool(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    vector = _with_channels(drafts, vector_at(inputs, 0))
    sizes = vector.shape[2:]
    if node.op.startswith("Global"):
        geometry = _Geometry(sizes, sizes, (0,) * len(sizes), (1,) * len(sizes))
    else:
        geometry = _Geometry.of(node, tuple(node.attributes["kernel_shape"]), sizes)
    return [_pooled(drafts, vector, prod(geometry.kernel), geometry.places)]


def _pooled(drafts: Drafts, vector: Vector, kernel: int, places: tuple[int, ...]) -> Vector:
    if not drafts.image:
        raise UnrecognisedError("it pools tokens; pixels of an image are modelled")
    source = drafts.read(vector)
    draft = drafts.add("pool", source.out_features, source, kernel=kernel, positions=prod(places))
    return Vector(draft, Layout.with_features((*vector.shape[:2], *places), 1))


def _mean(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    """Read a mean over all pixels of an image, or else one over the elements of vectors."""
    vector, given = input_at(inputs, 0), input_at(inputs, 1)
    axes = given.ints if isinstance(given, Data) else node.attributes.get("axes")
    image = isinstance(vector, Vector) and len(vector.shape) == 4 and drafts.image
    if not image or sorted(axis % 4 for axis in axes or ()) != [2, 3]:
        return ARITHMETIC["ReduceMean"](drafts, node, inputs)
    vector = _with_channels(drafts, vector_at(inputs, 0))
    pooled = _pooled(drafts, vector, prod(vector.shape[2:]), (1, 1))
    kept = node.attributes.get("keepdims", 1)
    return [pooled if kept else pooled.moved(pooled.layout.reshape(vector.shape[:2]))]


def _batch_norm(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    """Read a norm with means of the training: a scale and a shift, those of weights before it."""
    vector = _with_channels(drafts, vector_at(inputs, 0))
    source = vector.source
    if source.kind in ("linear", "convolution", "depthwise") and vector.plain:
        source.fields["bias"] = True
        return [vector]
    draft = drafts.add(
        "norm", source.out_features, drafts.read(vector), function="no_norm", scaled=True
    )
    return [Vector(draft, Layout.with_features(vector.shape, 1))]


def _pad(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    """Read zeros around an image, or else what stands for a neighbour of a token."""
    given, amounts = input_at(inputs, 0), input_at(inputs, 1)
    told = amounts.ints if isinstance(amounts, Data) else list(node.attributes.get("pads", ()))
    fill = input_at(inputs, 2)
    zeros = fill is None or (isinstance(fill, Data) and fill.scalar == 0)
    around = len(told) == 8 and not any(told[i] for i in (0, 1, 4, 5)) and min(told) >= 0
    if not (isinstance(given, Vector) and len(given.shape) == 4 and around and zeros):
        return PLUMBING["Pad"](drafts, node, inputs)
    vector = _with_channels(drafts, given)
    shape = [size + told[i] + told[i + 4] for i, size in enumerate(vector.shape)]
    return [replace(vector, layout=Layout.with_features(shape, 1))]


def _clip(drafts: Drafts, node: Node, inputs: Inputs) -> list[Value]:
    value = inputs[0]
    if not isinstance(value, Vector | Statistic):
        raise UnrecognisedError("it works on what is no vector per token")
    bounds: list[Any] = []
    for index, name in ((1, "min"), (2, "max")):
        given = input_at(inputs, index)
        told = given.scalar if isinstance(given, Data) else node.attributes.get(name)
        bounds.append(told)
    if bounds == [None, None]:
        return [value]
    return [replace(value, samples=np.clip(value.samples, bounds[0], bounds[1]))]


IMAGES: Mapping[str, Rule] = {
    "AveragePool": _pool,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Conv": _convolution,
    "GlobalAveragePool": _pool,
    "GlobalMaxPool": _pool,
    "MaxPool": _pool,
    "Pad": _pad,
    "ReduceMean": _mean,
}
"""What a node of each op type makes of its inputs."""
