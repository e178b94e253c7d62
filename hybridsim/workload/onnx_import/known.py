"""Nodes whose inputs are all data: what they give, within budgets.

Most of an exported graph is arithmetic on shapes, ids and masks. The shape of each result is
inferred by the package onnx before anything is computed, so that a file cannot ask for more memory
than a budget; where a value depends on what enters the network, the shape is all that is told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from hybridsim.workload.onnx_import.file import Node, zeros
from hybridsim.workload.onnx_import.values import Data, UnrecognisedError, joined_masks

MOST_MADE = 2**26
"""The most elements of a tensor that is computed while reading."""
MOST_BYTES = 2**29
"""The most bytes of all tensors that are computed for one file."""
MOST_PRODUCTS = 2**34
"""The most products of numbers that one node may take."""
_MOST_SAID = 256
"""The most elements of an input whose values are shown to the inference: shapes have fewer."""
_AS_MANY_AS_ARE_TRUE = frozenset({"Compress", "NonZero", "Unique"})
"""Ops of which only values tell how large the result is: at most the input, once for each axis."""
_INFERRED_AS = {"GreaterOrEqual": "Greater", "LessOrEqual": "Less"}
"""Ops of which onnx before 1.20 infers nothing, and those whose results have the same shape."""
_SUMS = frozenset({"Conv", "Einsum", "Gemm", "MatMul"})
"""Ops that add up products."""
_ANGLES = {"Cos": "cos", "Sin": "sin"}


class Known:
    """Computes nodes of one file until their results would take more than the budget."""

    def __init__(self, opsets: Mapping[str, int]) -> None:
        self._opsets = dict(opsets)
        self._left = MOST_BYTES

    def compute(self, node: Node, inputs: Sequence[Data | None]) -> list[Data]:
        """Return the outputs of a node whose inputs are all data.

        Raises:
            UnrecognisedError: ONNX has no definition of the node, its results would be too large,
                or their shape depends on values that are not known.
        """
        given = [data for data in inputs if data is not None]
        known = all(data.known for data in given)
        results = self._inferred(node, inputs, known)
        if known:
            self._check_budget(node, given, results)
            made = self._evaluated(node, inputs)
        else:
            made = [zeros(shape, dtype) for shape, dtype in results]
        like = Data(
            np.zeros(()),
            known=known,
            trained=all(data.trained for data in given),
            mask=joined_masks(data.hides for data in given),
            of_angle=_ANGLES.get(node.op) or _angle(given),
        )
        pairs = zip(node.outputs, made, strict=True)
        return [replace(like, array=np.asarray(array), name=name) for name, array in pairs]

    def _inferred(
        self, node: Node, inputs: Sequence[Data | None], known: bool
    ) -> list[tuple[tuple[int, ...], Any]]:
        """Return shape and type of each output."""
        from onnx import defs, helper, numpy_helper, shape_inference

        if any(attribute.HasField("g") or attribute.graphs for attribute in node.proto.attribute):
            raise UnrecognisedError("it has a graph of its own")
        ranks = [data.array.ndim for data in inputs if data is not None]
        if not 0 <= node.attributes.get("batch_dims", 0) <= min(ranks, default=0):
            raise UnrecognisedError("its batch_dims are no axes")  # the inference would crash
        types, values = {}, {}
        for name, data in zip(node.inputs, inputs, strict=True):
            if data is not None:
                kind = helper.np_dtype_to_tensor_dtype(data.array.dtype)
                types[name] = helper.make_tensor_type_proto(kind, data.shape)
                if data.known and data.array.size <= _MOST_SAID:
                    values[name] = numpy_helper.from_array(data.array)
        domain = node.proto.domain
        opset = self._opsets.get(domain, self._opsets.get("ai.onnx", 1) if not domain else 1)
        imports = [helper.make_opsetid(name, number) for name, number in self._opsets.items()]
        proto = type(node.proto)()
        proto.CopyFrom(node.proto)
        proto.op_type = _INFERRED_AS.get(proto.op_type, proto.op_type)
        try:
            schema = defs.get_schema(proto.op_type, opset, domain)
            found = shape_inference.infer_node_outputs(
                schema, proto, types, values, opset_imports=imports
            )
        except Exception as error:  # whatever the definition of an op raises
            raise UnrecognisedError(f"cannot be computed ({type(error).__name__})") from None
        return [_shape(found.get(name), node, known, inputs) for name in node.outputs]

    def _check_budget(
        self,
        node: Node,
        given: Sequence[Data],
        results: Sequence[tuple[tuple[int, ...], Any]],
    ) -> None:
        most = max((prod(shape) for shape, _ in results), default=0)
        made = sum(prod(shape) * dtype.itemsize for shape, dtype in results)
        sizes = [data.array.size for data in given]
        products = prod(sizes) if node.op in _SUMS else 0
        if most > MOST_MADE or made > self._left or products > MOST_PRODUCTS:
            raise UnrecognisedError("its result would be too large")
        self._left -= made

    def _evaluated(self, node: Node, inputs: Sequence[Data | None]) -> list[Any]:
        from onnx.reference import ReferenceEvaluator

        given = [data.array for data in inputs if data is not None]
        feeds = {
            name: data.array
            for name, data in zip(node.inputs, inputs, strict=True)
            if data is not None
        }
        try:
            with np.errstate(all="ignore"):
                if node.op == "GatherElements":  # the reference takes 32 elements of an axis
                    table, index = given
                    return [np.take_along_axis(table, index, node.attributes.get("axis", 0))]
                evaluator = ReferenceEvaluator(node.proto, opsets=self._opsets)
                return list(evaluator.run(None, feeds))
        except Exception as error:  # whatever the definition of an op raises
            raise UnrecognisedError(f"cannot be computed ({type(error).__name__})") from None


def _angle(given: Sequence[Data]) -> str | None:
    """Return whether a result is one of cosines or sines, as what it is made of."""
    return next((data.angle for data in given if data.angle in ("cos", "sin")), None)


def _shape(
    found: Any, node: Node, known: bool, inputs: Sequence[Data | None]
) -> tuple[tuple[int, ...], Any]:
    """Return the inferred shape of an output, or an upper bound of it, and its type."""
    from onnx import helper

    if found is None or not found.HasField("tensor_type"):
        raise UnrecognisedError("its result is no tensor that can be told")
    tensor = found.tensor_type
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    told = tensor.HasField("shape") and all(a.HasField("dim_value") for a in tensor.shape.dim)
    if told:
        shape = tuple(axis.dim_value for axis in tensor.shape.dim)
        if min(shape, default=0) < 0 or prod(shape) >= 2**62:
            raise UnrecognisedError("its result would be too large")
        return shape, dtype
    first = inputs[0] if inputs else None
    if known and node.op in _AS_MANY_AS_ARE_TRUE and first is not None:
        return (first.array.size, max(1, first.array.ndim)), dtype
    raise UnrecognisedError("the shape of its result depends on the values that enter")
