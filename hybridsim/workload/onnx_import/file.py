"""Reading an ONNX file: nodes, initializers and inputs, without the weights themselves."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hybridsim.errors import SpecError, installing
from hybridsim.specs import shown
from hybridsim.workload.onnx_import.stored import StoredWeights
from hybridsim.workload.onnx_import.values import Data

if TYPE_CHECKING:
    import onnx

MOST_READ = 2**22
"""The most elements of an initializer that are read: masks and tables of indices have fewer."""
MOST_NODES = 2**20
"""The most nodes of a graph, functions written out; 20,000 ops take fewer."""
MOST_STEPS = 2**20
"""The longest axis of what enters."""
MOST_STORED = 2**40
"""The most elements of an initializer: those of a layer of the largest sizes."""
MOST_AXES = 16
"""The most axes of a tensor."""


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
    weights: StoredWeights
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
        problem = f"needs the package onnx to be read; {installing('onnx')} would do"
        raise SpecError(file, "", problem) from None
    if not path.is_file():
        raise SpecError(file, "", "is not a file" if path.exists() else "does not exist")
    try:
        model = onnx.load(path, load_external_data=False)
        _check_size(model, file)
        if model.functions:
            model = inliner.inline_local_functions(model)
        graph = _graph(model, path)
    except SpecError:
        raise
    except Exception as error:  # the decoder of protobuf has errors of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0][:100]
        raise SpecError(file, "", f"is no ONNX model: {reason}") from None
    if not graph.nodes:
        raise SpecError(file, "", "holds no graph; an exported model would do")
    return graph


def _check_size(model: "onnx.ModelProto", file: str) -> None:
    """Refuse a graph of too many nodes, and functions that call themselves.

    Raises:
        SpecError: It is one of these.
    """
    bodies = {(f.domain, f.name): f.node for f in model.functions}
    sizes: dict[tuple[str, str], int] = {}
    waiting: list[tuple[str, str]] = list(bodies)
    open_: set[tuple[str, str]] = set()
    while waiting:  # no recursion: a chain of functions may be as long as the file
        key = waiting[-1]
        called = [(n.domain, n.op_type) for n in bodies[key] if (n.domain, n.op_type) in bodies]
        missing = [other for other in called if other not in sizes]
        if key not in sizes and missing:
            if open_.intersection(missing):
                problem = "calls itself; functions that end would do"
                raise SpecError(file, f"function {shown(key[1])}", problem)
            open_.add(key)
            waiting += missing
            continue
        own = sum(sizes.get((n.domain, n.op_type), 1) for n in bodies[key])
        sizes[key] = min(own, MOST_NODES + 1)
        open_.discard(key)
        waiting.pop()
    nodes = sum(sizes.get((n.domain, n.op_type), 1) for n in model.graph.node)
    if nodes > MOST_NODES:
        raise SpecError(file, "", f"has more than {MOST_NODES:,} nodes; fewer would do")


def _graph(model: "onnx.ModelProto", path: Path) -> OnnxFile:
    graph, file = model.graph, str(path)
    sizes: dict[str, int] = {}
    stored = {tensor.name: _initializer(tensor, file) for tensor in graph.initializer}
    entries = [_entry(info, sizes, file) for info in graph.input if info.name not in stored]
    return OnnxFile(
        nodes=tuple(_node(proto) for proto in graph.node),
        entries=tuple(entries),
        initializers=stored,
        weights=StoredWeights({tensor.name: tensor for tensor in graph.initializer}, path.parent),
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
    if len(tensor.shape.dim) > MOST_AXES:
        raise SpecError(file, place, f"has {len(tensor.shape.dim)} axes; {MOST_AXES} would do")
    for i, axis in enumerate(tensor.shape.dim):
        if axis.HasField("dim_value"):
            if not 1 <= axis.dim_value <= MOST_STEPS:
                problem = f"axis {i} has {axis.dim_value} steps; 1 to {MOST_STEPS:,} would do"
                raise SpecError(file, place, problem)
            shape.append(axis.dim_value)
            continue
        key = axis.dim_param or f"{info.name}[{i}]"
        if key not in sizes and len(sizes) == len(_PRIMES):
            raise SpecError(file, place, f"more than {len(_PRIMES)} open sizes; fewer would do")
        shape.append(sizes.setdefault(key, _PRIMES[len(sizes)]))
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    return Entry(info.name, tuple(shape), dtype)


def _initializer(tensor: "onnx.TensorProto", file: str) -> Data:
    """Return a stored tensor; large ones, and those in other files, as zeros of their shape.

    Raises:
        SpecError: Its sizes are of no use, or are not those of what the file stores.
    """
    from onnx import TensorProto, helper, numpy_helper

    place = f"initializer {shown(tensor.name)}"
    count, shape = prod(tensor.dims), tuple(tensor.dims)
    if min(shape, default=0) < 0 or count > MOST_STORED or len(shape) > MOST_AXES:
        problem = (
            f"has sizes of no use; at most {MOST_AXES} axes of 0 or more, with {MOST_STORED:,} "
            "elements together, would do"
        )
        raise SpecError(file, place, problem)
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
    if tensor.data_location == TensorProto.EXTERNAL:
        return Data(zeros(shape, dtype), known=False, name=tensor.name)
    field = getattr(tensor, helper.tensor_dtype_to_field(tensor.data_type))
    found = len(tensor.raw_data) or len(field) * dtype.itemsize
    if found < (count * dtype.itemsize if dtype.itemsize > 1 else count // 8):  # some are packed
        problem = (
            f"has {count:,} elements, but the file holds {found:,} bytes of them; a file with "
            "all its weights, or with weights in another file, would do"
        )
        raise SpecError(file, place, problem)
    if count > MOST_READ:
        return Data(zeros(shape, dtype), known=False, name=tensor.name)
    return Data(numpy_helper.to_array(tensor), name=tensor.name)


def zeros(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Return zeros that take no memory, whatever the shape."""
    return np.broadcast_to(np.zeros((), dtype), shape)
