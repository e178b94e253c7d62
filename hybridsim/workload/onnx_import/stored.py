"""Whether two weights of a file are the same numbers.

Exporters write a weight that several layers share, or that a head shares with an embedding, once
for each use as soon as they have transposed it. Numbers tell, where they are there: in the file,
or in one beside it.
"""

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

_FIRST = 64
"""Numbers that are compared before all of them are."""


class StoredWeights:
    """The initializers of a file, by name; those of other files are looked for beside it."""

    def __init__(self, tensors: "Mapping[str, onnx.TensorProto]", folder: Path) -> None:
        self._tensors, self._folder = tensors, folder

    def start(self, name: str) -> bytes | None:
        """Return the first numbers of a tensor, which two equal ones share, or None."""
        array = self._array(name)
        return None if array is None else array.reshape(-1)[:_FIRST].tobytes()

    def same(self, first: str, second: str, *, transposed: bool = False) -> bool:
        """Return whether both tensors have the same numbers, one of them turned if told so."""
        left, right = self._array(first), self._array(second)
        if left is None or right is None:
            return False
        if transposed:
            right = right.T
        if left.shape != right.shape or left.dtype != right.dtype or not left.size:
            return False
        return np.array_equal(left[:1], right[:1]) and np.array_equal(left, right)

    def _array(self, name: str) -> NDArray[Any] | None:
        from onnx import TensorProto, helper

        tensor = self._tensors.get(name)
        if tensor is None:
            return None
        shape = tuple(tensor.dims)
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
        size = prod(shape) * dtype.itemsize
        if tensor.data_location == TensorProto.EXTERNAL:
            return self._beside(tensor, shape, dtype, size)
        if len(tensor.raw_data) != size or not size:
            return None
        return np.frombuffer(tensor.raw_data, dtype).reshape(shape)

    def _beside(
        self, tensor: "onnx.TensorProto", shape: tuple[int, ...], dtype: np.dtype[Any], size: int
    ) -> NDArray[Any] | None:
        told = {entry.key: entry.value for entry in tensor.external_data}
        location, offset = told.get("location", ""), told.get("offset", "0")
        if Path(location).name != location or not offset.isdecimal() or len(offset) > 15:
            return None  # a file in another folder is not looked for
        path = self._folder / location
        if not size or not path.is_file() or path.stat().st_size < int(offset) + size:
            return None
        return np.memmap(path, dtype, "r", int(offset), shape)
