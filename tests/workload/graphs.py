"""ONNX graphs made by hand, node by node."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the package onnx reads these files")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

TOKENS, SIZE, HEADS, INNER = 8, 16, 4, 24


class Graph:
    """A graph under construction; every method appends a node and returns its output."""

    def __init__(self, shape: tuple[int | str, ...] = (1, TOKENS, SIZE)) -> None:
        self.nodes: list[Any] = []
        self.stored: list[Any] = []
        self.inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
        self._random = np.random.default_rng(0)

    def weight(self, *shape: int, name: str = "") -> str:
        name = name or f"w{len(self.stored)}"
        return self.store(self._random.standard_normal(shape).astype(np.float32), name)

    def store(self, array: Any, name: str = "") -> str:
        name = name or f"c{len(self.stored)}"
        self.stored.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def floats(self, value: float) -> str:
        return self.store(np.float32(value))

    def ints(self, *values: int) -> str:
        return self.store(np.array(values, np.int64))

    def op(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        made = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        name = f"/{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), made, name=name, **attributes))
        return made[0] if outputs == 1 else made

    def linear(self, x: str, rows: int, columns: int, *, bias: bool = True) -> str:
        y = self.op("MatMul", x, self.weight(rows, columns))
        return self.op("Add", self.weight(columns), y) if bias else y

    def heads(self, x: str, count: int = HEADS) -> str:
        cut = self.op("Reshape", x, self.ints(0, 0, count, -1))
        return self.op("Transpose", cut, perm=[0, 2, 1, 3])

    def joined(self, x: str) -> str:
        back = self.op("Transpose", x, perm=[0, 2, 1, 3])
        return self.op("Reshape", back, self.ints(0, 0, -1))

    def attention(self, q: str, k: str, v: str, mask: str = "") -> str:
        k = self.op("Transpose", k, perm=[0, 1, 3, 2])
        scores = self.op("Div", self.op("MatMul", q, k), self.floats(2.0))
        scores = self.op("Add", scores, mask) if mask else scores
        return self.op("MatMul", self.op("Softmax", scores, axis=-1), v)

    def save(self, folder: Path, *outputs: str, opset: int = 17) -> Path:
        path = folder / "net.onnx"
        path.write_bytes(self.model(*outputs, opset=opset).SerializeToString())
        return path

    def model(self, *outputs: str, opset: int = 17) -> Any:
        leaving = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs
        ]
        graph = helper.make_graph(self.nodes, "graph", self.inputs, leaving, self.stored)
        imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=imports)
