"""Rotary embeddings, in any of the spellings that turn pairs of elements by angles of positions.

Each pair (a, b) of a head becomes (a cos - b sin, b cos + a sin). Exporters write it as
x * cos + swapped(x) * sin, where swapped(x) joins -b and a, or half by half. Pairs are either the
two halves of a head or neighbours. What the angles are changes no shape, so that cosines and sines
are told by their nodes, or by their values where they are stored.

A part of a head may be left as it is; the op is counted for all of the head. Source: Su et al.,
RoFormer, arXiv 2104.09864.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from hybridsim.workload.onnx_import.drafts import Drafts
from hybridsim.workload.onnx_import.layout import Axis, Factor, Layout, joined_axis
from hybridsim.workload.onnx_import.values import (
    POINTS,
    Data,
    Turned,
    UnrecognisedError,
    Value,
    Vector,
)


def times_angle(value: Value, data: Value) -> Turned | None:
    """Return vectors times cosines or sines, or None if these are others."""
    if not isinstance(data, Data) or data.angle not in ("cos", "sin"):
        return None
    if isinstance(value, Turned) and value.angle is None:
        return replace(value, angle=data.angle)
    if isinstance(value, Vector) and value.plain:
        return Turned(value, angle=data.angle)
    return None


def turned(drafts: Drafts, op: str, left: Turned, right: Turned) -> Vector:
    """Return the sum or difference of both products: the vectors behind the embedding.

    Raises:
        UnrecognisedError: They are not the two products of one embedding.
    """
    pair = {left.angle: left, right.angle: right}
    if op not in ("Add", "Sub") or set(pair) != {"cos", "sin"}:
        raise UnrecognisedError("it combines vectors and angles in a way that is no rotary one")
    own, other = pair["cos"].of, pair["sin"].of
    half_by_half = not left.swapped and not right.swapped and own.source is other.source
    whole = pair["sin"].swapped and own.same_elements(other)
    if not (whole or (half_by_half and own.offset != other.offset)):
        raise UnrecognisedError("it combines vectors and angles in a way that is no rotary one")
    return drafts.turned(own)


def swapped(vectors: Sequence[Vector]) -> Turned | None:
    """Return vectors whose pairs were swapped, one of each negated, or None if they were not."""
    if len(vectors) != 2:
        return None
    negated, kept = vectors
    step = negated.offset - kept.offset
    apart = replace(negated, samples=POINTS, offset=kept.offset, scope=None)
    if not np.array_equal(negated.samples, -POINTS) or step < 1 or not kept.plain:
        return None
    if not apart.same_elements(kept):
        return None
    axis: Axis = joined_axis([Factor(2, step), *kept.layout.axes[-1]])
    layout = Layout((*kept.layout.axes[:-1], axis))
    return Turned(replace(kept, layout=layout, scope=None), swapped=True)


def reshaped(value: Turned, shape: Sequence[int]) -> Turned:
    """Return the same under another shape.

    Raises:
        UnrecognisedError: It cannot be cut that way.
    """
    if prod(shape) != prod(value.of.shape):
        raise UnrecognisedError("it cuts vectors within a rotary embedding")
    return replace(value, of=value.of.moved(value.of.layout.reshape(shape)))
