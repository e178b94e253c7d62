"""Measured cycles by shape: exact where there is a row, and no answer elsewhere."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import log
from pathlib import Path

import numpy as np

from hybridsim.components.snitch_rows import GEMM_NAMES, GEMM_SHAPE
from hybridsim.csv_files import Row, Table, read_table
from hybridsim.errors import UnsupportedError
from hybridsim.units import IntLike

Key = tuple[int | str, ...]
"""What must agree beside the shape: the array and the operation, or kernel, precision, cores."""
Shape = tuple[int, int, int]
"""m, n and k of Z (m x k) = X (m x n) W (n x k)."""

ENGINE_COLUMNS = ("array_height", "array_width", "pipe_regs", "m", "n", "k", "op", "cycles")
"""Columns of a table of jobs of the matrix engine; ``status`` says which ones worked."""
CORES_COLUMNS = ("kernel", "shape", "precision", "cores", "cycles")
"""Columns of a table of kernels on the cores."""
WORKED = "bit_exact"
"""The status of a job whose result was checked element by element."""


@dataclass(frozen=True)
class CycleTable:
    """GEMMs that were measured, for use in place of a model.

    It answers for its rows alone. A shape between two rows is refused, with the nearest ones
    named: what happens in between is the business of a model.
    """

    file: str
    labels: tuple[str, ...]
    """What the parts of a :data:`Key` are called, in messages."""
    measured: Mapping[Key, Mapping[Shape, int | str]]
    """Cycles of each shape, or the status of a job that did not work."""

    def cycles(self, key: Key, m: IntLike, n: IntLike, k: IntLike) -> IntLike:
        """Return the measured cycles of one shape, or of each of several.

        Raises:
            UnsupportedError: The key or the shape was not measured, or the job did not work.
        """
        shapes = np.broadcast_arrays(m, n, k)
        if not shapes[0].ndim:
            return self._cycles(key, (int(m), int(n), int(k)))  # type: ignore[return-value]
        listed = zip(*(each.tolist() for each in shapes), strict=True)
        return np.array([self._cycles(key, shape) for shape in listed], np.int64)  # type: ignore

    def _cycles(self, key: Key, shape: Shape) -> int:
        rows = self.measured.get(key)
        if rows is None:
            there = sorted(self._named(other) for other in self.measured)
            raise UnsupportedError(
                f"{self.file}: nothing measured for {self._named(key)}; there is: "
                f"{'; '.join(there)}"
            )
        found = rows.get(shape)
        if found is None:
            near = ", ".join(_text(other) for other in _nearest(shape, rows))
            raise UnsupportedError(
                f"{self.file}: {_text(shape)} is not measured for {self._named(key)}; "
                f"nearest: {near}"
            )
        if isinstance(found, str):
            raise UnsupportedError(
                f"{self.file}: {_text(shape)} was measured for {self._named(key)}, with the "
                f"outcome {found!r}; a model pads such shapes"
            )
        return found

    def _named(self, key: Key) -> str:
        return ", ".join(f"{name} {part}" for name, part in zip(self.labels, key, strict=True))


def read_engine_table(path: Path) -> CycleTable:
    """Return the jobs of a matrix engine in a file; key: height, width, pipe registers, op.

    Raises:
        SpecError: The file is no such table.
    """
    table = read_table(path)
    table.require((*ENGINE_COLUMNS, "status"))
    labels = ("array_height", "array_width", "pipe_regs", "op")

    def read(row: Row) -> tuple[Key, Shape, int | str]:
        array = tuple(row.whole(name) for name in labels[:3])
        shape = (row.whole("m"), row.whole("n"), row.whole("k"))
        status = row.cells["status"]
        return (
            (*array, row.cells["op"]),
            shape,
            row.whole("cycles") if status == WORKED else status,
        )

    return _table(table, labels, table.rows, read)


def read_cores_table(path: Path) -> CycleTable:
    """Return the GEMMs on all cores in a file; key: kernel (of the model), precision, cores.

    Raises:
        SpecError: The file is no such table.
    """
    table = read_table(path)
    table.require(CORES_COLUMNS)

    def read(row: Row) -> tuple[Key, Shape, int | str]:
        match = GEMM_SHAPE.fullmatch(row.cells["shape"])
        if match is None:
            raise row.problem("shape", "write m x n . n x k, as in 8x128.128x8")
        m, n, _, k = map(int, match.groups())
        key = (GEMM_NAMES[row.cells["kernel"]], row.cells["precision"], row.whole("cores"))
        return key, (m, n, k), row.whole("cycles")

    # a row of one core is the share of core 0 in the whole problem, not a problem of its own
    gemms = [r for r in table.rows if r.cells["kernel"] in GEMM_NAMES and r.cells["cores"] != "1"]
    return _table(table, ("kernel", "precision", "cores"), gemms, read)


def _table(
    table: Table,
    labels: tuple[str, ...],
    rows: Iterable[Row],
    read: Callable[[Row], tuple[Key, Shape, int | str]],
) -> CycleTable:
    measured: dict[Key, dict[Shape, int | str]] = {}
    for row in rows:
        key, shape, outcome = read(row)
        known = measured.setdefault(key, {}).setdefault(shape, outcome)
        if known != outcome:
            raise row.problem("cycles", f"the same job is measured above with {known}")
    return CycleTable(table.file, labels, measured)


def _nearest(shape: Shape, measured: Iterable[Shape], most: int = 3) -> list[Shape]:
    """Return the shapes with the smallest factors between their sides and the wanted ones."""

    def distance(other: Shape) -> float:
        return sum(abs(log(a / b)) for a, b in zip(shape, other, strict=True))

    return sorted(measured, key=lambda other: (distance(other), other))[:most]


def _text(shape: Shape) -> str:
    return "m={} n={} k={}".format(*shape)
