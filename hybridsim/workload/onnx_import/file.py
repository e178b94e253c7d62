"""Reading an ONNX file: nodes, initializers and inputs, without the weights themselves."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hybridsim.errors import SpecError
from hybridsim.workload.onnx_import.values import Data, UnrecognisedError

if TYPE_CHECKING:
    import onnx

MOST_READ = 2**22
"""The most elements of an initializer that are read: masks and tables of indices have fewer."""
MOST_MADE = 2**26
"""The most elements of a tensor that is computed while reading."""

_SHAPED = {"Reshape": 1, "Expand": 1, "Tile": 1, "ConstantOfShape": 0, "Range": 0, "Slice": 1}
"""Ops whose result has a shape that depends on the values of inputs, from this one on."""
_BY_VALUES = {"Compress", "NonMaxSuppression", "NonZero", "Unique"}
"""Ops whose result has a shape that depends on the values of their first input."""


@dataclass(frozen=True)
class Node:
    """A node of the graph."""

    op: str
    """What it computes; with its domain in front, but for the standard ones."""
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    scope: str | None
    """The module that it belongs to, empty for the whole model; None if it is not told."""
    proto: "onnx.NodeProto"
    """The node as the file has it."""


@dataclass(frozen=True)
class Entry:
    """A tensor that enters the network."""

    name: str
    shape: tuple[int, ...]
    """The size of each axis; sizes that are open in the file are small primes."""
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class OnnxFile:
    """The graph of an ONNX file."""

    nodes: tuple[Node, ...]
    entries: tuple[Entry, ...]
    initializers: Mapping[str, Data]
    outputs: tuple[str, ...]
    opsets: Mapping[str, int]
    open_sizes: frozenset[int]
    """The sizes that stand for sizes that are open in the file."""


def read_onnx(path: Path) -> OnnxFile:
    """Return the graph of a file; weights that lie in other files are not looked for.

    Raises:
        SpecError: The package onnx is missing, or the file cannot be read.
    """
    file = str(path)
    try:
        import onnx
        from onnx import inliner
    except ImportError:
        problem = "needs the package onnx to be read; pip install 'hybridsim[onnx]' would do"
        raise SpecError(file, "", problem) from None
    if not path.is_file():
        raise SpecError(file, "", "is not a file" if path.exists() else "does not exist")
    try:
        model = onnx.load(path, load_external_data=False)
        if model.functions:
            model = inliner.inline_local_functions(model)
        graph = _graph(model, file)
    except SpecError:
        raise
    except Exception as error:  # the decoder of protobuf has errors of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0][:100]
        raise SpecError(file, "", f"is no ONNX model: {reason}") from None
    if not graph.nodes:
        raise SpecError(file, "", "holds no graph; an exported model would do")
    return graph


def _graph(model: "onnx.ModelProto", file: str) -> OnnxFile:
    graph = model.graph
    sizes: dict[str, int] = {}
    stored = {tensor.name: _initializer(tensor) for tensor in graph.initializer}
    entries = [_entry(info, sizes, file) for info in graph.input if info.name not in stored]
    return OnnxFile(
        nodes=tuple(_node(proto) for proto in graph.node),
        entries=tuple(entries),
        initializers=stored,
        outputs=tuple(info.name for info in graph.output),
        opsets={entry.domain: entry.version for entry in model.opset_import},
        open_sizes=frozenset(sizes.values()),
    )


def _node(proto: "onnx.NodeProto") -> Node:
    from onnx import helper

    attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
    op = proto.op_type
    if proto.domain not in ("", "ai.onnx", "com.microsoft"):
        op = f"{proto.domain}.{op}"
    inputs, outputs = tuple(proto.input), tuple(proto.output)
    return Node(op, proto.name, inputs, outputs, attributes, _scope(proto), proto)


def _scope(proto: "onnx.NodeProto") -> str | None:
    """Return the module of a node as both exporters of PyTorch write it down."""
    for entry in proto.metadata_props:
        if entry.key == "pkg.torch.onnx.name_scopes":
            scopes: list[str] = _QUOTED_NAME.findall(entry.value)
            return scopes[-2] if len(scopes) > 1 else None
    return ".".join(proto.name.split("/")[1:-1]) if proto.name.startswith("/") else None


_QUOTED_NAME = re.compile(r"'([^'\\]*)'")
_PRIMES = (7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47)


def _entry(info: "onnx.ValueInfoProto", sizes: dict[str, int], file: str) -> Entry:
    """Return an input, with a size for every axis: equal ones for axes of the same name."""
    from onnx import helper

    place = f"input {info.name!r}"
    if not info.type.HasField("tensor_type") or not info.type.tensor_type.HasField("shape"):
        raise SpecError(file, place, "has no shape; a tensor with its number of axes would do")
    tensor = info.type.tensor_type
    shape = []
    for i, axis in enumerate(tensor.shape.dim):
        if axis.HasField("dim_value"):
            shape.append(axis.dim_value)
            continue
        key = axis.dim_param or f"{info.name}[{i}]"
        if key not in sizes and len(sizes) == len(_PRIMES):
            raise SpecError(file, place, f"more than {len(_PRIMES)} open sizes; fewer would do")
        shape.append(sizes.setdefault(key, _PRIMES[len(sizes)]))
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    return Entry(info.name, tuple(shape), dtype)


def _initializer(tensor: "onnx.TensorProto") -> Data:
    """Return a stored tensor; large ones, and those in other files, as zeros of their shape."""
    from onnx import TensorProto, helper, numpy_helper

    count = int(np.prod(tensor.dims, dtype=object)) if tensor.dims else 1
    if tensor.data_location != TensorProto.EXTERNAL and count <= MOST_READ:
        return Data(numpy_helper.to_array(tensor), name=tensor.name)
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return Data(zeros(tuple(tensor.dims), dtype), known=False, name=tensor.name)


def zeros(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Return zeros that take no memory, whatever the shape."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def compute(node: Node, inputs: list[Data | None], opsets: Mapping[str, int]) -> list[Data]:
    """Return the outputs of a node whose inputs are all data.

    Raises:
        UnrecognisedError: ONNX has no definition of the node, its result would be too large, or
            the shape of its result depends on values that are not known.
    """
    from onnx.reference import ReferenceEvaluator

    given = [data for data in inputs if data is not None]
    _check_shape_is_known(node, inputs)
    feeds = {n: d.array for n, d in zip(node.inputs, inputs, strict=True) if d is not None}
    try:
        with np.errstate(all="ignore"):
            if node.op == "GatherElements":  # the reference takes at most 32 elements of an axis
                table, index = (data.array for data in given)
                results: Any = [np.take_along_axis(table, index, node.attributes.get("axis", 0))]
            else:
                results = ReferenceEvaluator(node.proto, opsets=dict(opsets)).run(None, feeds)
    except Exception as error:  # whatever the definition of an op raises
        raise UnrecognisedError(f"cannot be computed ({type(error).__name__})") from None
    facts = {
        "known": all(data.known for data in given),
        "trained": all(data.trained for data in given),
        "hides_later": any(data.causal for data in given),
    }
    pairs = zip(node.outputs, results, strict=True)
    return [Data(np.asarray(result), name=name, **facts) for name, result in pairs]


def _check_shape_is_known(node: Node, inputs: list[Data | None]) -> None:
    first = 0 if node.op in _BY_VALUES else _SHAPED.get(node.op, len(inputs))
    deciding = [data for data in inputs[first:] if data is not None]
    if not all(data.known for data in deciding):
        raise UnrecognisedError("the shape of its result depends on the values that enter")
    if node.op in ("ConstantOfShape", "Expand", "Reshape") and deciding:
        sizes = deciding[0].ints
        if len(sizes) > 16 or np.prod([max(1, size) for size in sizes], dtype=object) > MOST_MADE:
            raise UnrecognisedError("its result would be too large")
    if node.op in ("Tile", "Range") and deciding:
        repeats = np.abs(np.concatenate([np.atleast_1d(d.array) for d in deciding]))
        if repeats.size and float(repeats.max()) > MOST_READ:
            raise UnrecognisedError("its result would be too large")
