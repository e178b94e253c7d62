"""An ONNX file as a network."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hybridsim.errors import SpecError
from hybridsim.specs import shown, validate
from hybridsim.workload.graph import MOST_OPS, Network
from hybridsim.workload.onnx_import.arithmetic import ARITHMETIC
from hybridsim.workload.onnx_import.drafts import Drafts, is_anonymous
from hybridsim.workload.onnx_import.fields import fields_of
from hybridsim.workload.onnx_import.file import Entry, Node, OnnxFile, read_onnx, zeros
from hybridsim.workload.onnx_import.images import IMAGES
from hybridsim.workload.onnx_import.known import Known
from hybridsim.workload.onnx_import.layers import LAYERS
from hybridsim.workload.onnx_import.layout import Layout
from hybridsim.workload.onnx_import.plumbing import PLUMBING, Rule, is_embedding
from hybridsim.workload.onnx_import.values import (
    POINTS,
    Data,
    Draft,
    Scores,
    Turned,
    Unknown,
    UnrecognisedError,
    Value,
    Vector,
)

RULES: Mapping[str, Rule] = {**PLUMBING, **ARITHMETIC, **LAYERS, **IMAGES}
"""What a node of each op type makes of its inputs; a new type is one function and one line."""

_MOVES = frozenset({"Cast", "Expand", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"})


def network_from_onnx(path: Path) -> Network:
    """Return the network that an ONNX file describes, without a head or adapters of its own.

    Only shapes are read, so weights may lie in files that are not there. An exported transformer
    has linear layers (MatMul, Gemm, convolutions of single tokens or of patches), attention
    (whole, or as products around a softmax), norms, activations (each whole or spelt out),
    embeddings, sums and joins of vectors; the rest must be a move of elements.

    Raises:
        SpecError: The package onnx is missing, the file cannot be read, or it holds nodes that
            are not modelled: the message names them. None is left out silently.
    """
    file = read_onnx(path)
    tracer = _Tracer(file, str(path))
    tracer.run()
    drafts = _needed(tracer.drafts.all)
    if not drafts:
        raise SpecError(str(path), "", "holds no op of a network; a transformer would do")
    if len(drafts) > MOST_OPS:
        raise SpecError(str(path), "", f"has {len(drafts)} ops; at most {MOST_OPS} would do")
    fields = {
        "name": re.sub(r"[^A-Za-z0-9_.\-]+", "_", path.stem)[:100].lstrip(".-") or "network",
        "source": f"the ONNX file {path.name}"[:2000].encode("ascii", "replace").decode(),
        "sequence_length": 1 if tracer.drafts.image else _tokens(drafts, file),
        "ops": fields_of(drafts, file.weights),
    }
    return validate(Network, fields, str(path))


class _Tracer:
    """Reads the nodes of a graph in their order and remembers what every tensor is."""

    def __init__(self, file: OnnxFile, path: str) -> None:
        self.drafts = Drafts(open_sizes=file.open_sizes)
        self._file, self._path = file, path
        self._known = Known(file.opsets)
        self._values: dict[str, Value] = dict(file.initializers)
        self._problems: list[str] = []
        for entry in file.entries:
            self._values[entry.name] = self._entered(entry)

    def run(self) -> None:
        """Read all nodes.

        Raises:
            SpecError: Some are not modelled.
        """
        for node in self._file.nodes:
            inputs = [self._value(name) for name in node.inputs]
            outputs = self._outputs(node, inputs)
            self._values.update(zip(node.outputs, outputs, strict=False))
        for name in self._file.outputs:
            self._leave(name)
        if self._problems:
            listed = "; ".join(self._problems[:3])
            more = len(self._problems) - 3
            rest = f"; and {more} more" if more > 0 else ""
            noun = "node is" if len(self._problems) == 1 else "nodes are"
            problem = f"{len(self._problems)} {noun} not modelled: {listed}{rest}"
            raise SpecError(self._path, "", problem)

    def _value(self, name: str) -> Value | None:
        if not name:
            return None
        if name not in self._values:
            raise SpecError(self._path, f"tensor {name!r}", "is read before it is computed")
        return self._values[name]

    def _entered(self, entry: Entry) -> Value:
        if entry.dtype.kind in "iub":
            array = zeros(entry.shape, entry.dtype)
            return Data(array, known=False, trained=False, name=entry.name)
        size = entry.shape[-1] if entry.shape else 1
        draft = self.drafts.add("input", size, parameter=entry.name)
        shape = entry.shape or (1,)
        return Vector(draft, Layout.with_features(shape))

    def _outputs(self, node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
        if any(isinstance(value, Unknown) for value in inputs):
            return [Unknown() for _ in node.outputs]
        self.drafts.scope = node.scope
        try:
            return self._read(node, inputs)
        except UnrecognisedError as error:
            problem = str(error)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # a node that no exporter writes: inputs or attributes that its kind does not have
            problem = f"its inputs or attributes do not fit together ({type(error).__name__})"
        self._problems.append(f"{_shown(node)}: {problem}")
        return [Unknown() for _ in node.outputs]

    def _read(self, node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
        if node.op in ("Shape", "Size") and isinstance(inputs[0], Data | Vector | Scores | Turned):
            stand_in = Data(zeros(inputs[0].shape, np.float32))
            return self._known.compute(node, [stand_in])
        data = [value for value in inputs if value is None or isinstance(value, Data)]
        if len(data) == len(inputs) and not is_embedding(node, inputs):
            made = self._known.compute(node, data)
            return [_renamed(result, node, data) for result in made]
        rule = RULES.get(node.op)
        if rule is None:
            raise UnrecognisedError("no rule for this kind of node")
        return rule(self.drafts, node, inputs)

    def _leave(self, name: str) -> None:
        """Check what leaves the network; an activation at the very end is an op as well."""
        value = self._value(name)
        if isinstance(value, Vector):
            try:
                if value.samples is not POINTS or value.centered:
                    self.drafts.read(value)
            except UnrecognisedError as error:
                self._problems.append(f"output {shown(name)}: {error}")
        elif not isinstance(value, Data | Unknown):
            self._problems.append(f"output {shown(name)}: is no vector per token")


def _shown(node: Node) -> str:
    op = str(node.op)[:60]  # bytes where it is no UTF-8
    op = op if op.isidentifier() else repr(op)[1:-1]
    return f"{shown(node.name or '(unnamed)')} ({op})"


def _renamed(made: Data, node: Node, given: Sequence[Data | None]) -> Data:
    """Return computed data under the name of the weights that were only moved about.

    An exporter that finds equal tensors stores one of them, and the others as identities of it:
    those that a module has a name for keep it, as they are trained on their own.
    """
    copied = node.op == "Identity" and is_anonymous(made.name)
    if (copied or node.op in _MOVES) and given[0] is not None:
        turned = given[0].turned != (node.op == "Transpose" and len(made.shape) == 2)
        return replace(made, name=given[0].name, turned=turned)
    return made


def _needed(drafts: Sequence[Draft]) -> list[Draft]:
    """Return the ops without inputs that only masks were made of."""
    read = {source for draft in drafts for source in draft.inputs}
    return [draft for draft in drafts if draft.kind != "input" or draft in read]


def _tokens(drafts: Sequence[Draft], file: OnnxFile) -> int | None:
    """Return the tokens of the first attention, or None where the file leaves them open."""
    found = (int(d.fields["tokens"]) for d in drafts if d.kind == "attention")
    tokens = next(found, None)
    return None if tokens in file.open_sizes else tokens
