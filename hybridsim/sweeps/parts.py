"""Parts of a sweep: Parquet files of recorded points, named by their checksums.

``part-000004-000007-<checksum>.parquet`` takes the place of the parts 4 to 7, and of any of them
that is still there: small parts are put together without a moment in which a point is lost.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hybridsim.errors import InputError, SpecError, installing
from hybridsim.sweeps.columns import MEASURED, REAL
from hybridsim.sweeps.inputs import Keys
from hybridsim.units import Ints

STUDY = b"hybridsim.study"
"""Where a part says which study its points are numbered in."""
_NAME = re.compile(r"part-(\d{6})-(\d{6})-([0-9a-f]{16})\.parquet")
_KEYS = ("key_0", "key_1")
_OWN = ("point", *_KEYS)
"""Columns that are no results."""


@dataclass(frozen=True)
class Recorded:
    """Points of one study with their results."""

    study: str
    """Which study numbered the points: :attr:`.Inputs.study_key`."""
    points: Ints
    """Index of each point in the grid of that study."""
    keys: Keys
    columns: Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """A part by its name."""

    first: int
    last: int
    checksum: str
    path: Path

    @classmethod
    def at(cls, path: Path) -> "Part | None":
        """Return the part that a file is, or None for another file."""
        match = _NAME.fullmatch(path.name)
        return None if match is None else cls(int(match[1]), int(match[2]), match[3], path)

    @cached_property
    def _about(self) -> tuple[int, tuple[object, ...]]:
        """How many points there are; and the study and the names of all columns."""
        pa, parquet = arrow()
        try:
            found = parquet.ParquetFile(self.path)
            schema = found.schema_arrow
            return found.metadata.num_rows, (schema.metadata[STUDY], *schema.names)
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise self._damaged(error) from None

    @property
    def rows(self) -> int:
        """How many points are recorded.

        Raises:
            SpecError: The file cannot be read.
        """
        return self._about[0]

    @property
    def kind(self) -> tuple[object, ...]:
        """What parts agree in that can be one.

        Raises:
            SpecError: The file cannot be read.
        """
        return self._about[1]

    def read(self, names: Sequence[str] | None = None) -> Recorded:
        """Return what is recorded, of result columns those with some names, or all.

        Raises:
            SpecError: The file cannot be read, or its bytes are not those that were written.
        """
        table = self._table(names)
        found = [name for name in table.column_names if name not in _OWN]
        keys = np.stack([table.column(name).to_numpy() for name in _KEYS], axis=1)
        return Recorded(
            table.schema.metadata[STUDY].decode(),
            table.column("point").to_numpy(),
            keys.astype(np.uint64),
            {name: _values(table.column(name)) for name in found},
        )

    def _table(self, names: Sequence[str] | None) -> Any:
        pa, parquet = arrow()
        try:
            data = self.path.read_bytes()
            if _checksum(data) != self.checksum:
                raise ValueError("its checksum is another one")
            columns = None if names is None else [*_OWN, *names]
            return parquet.read_table(pa.BufferReader(data), columns=columns)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> SpecError:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        problem = f"is damaged ({reason}); without it, its points are redone"
        return SpecError(str(self.path), "", problem)


def name_and_bytes(first: int, last: int, recorded: Recorded) -> tuple[str, bytes]:
    """Return the name and the content of a part that takes the place of some numbers."""
    pa, parquet = arrow()
    arrays = {"point": pa.array(recorded.points, pa.int64())}
    for name, lane in zip(_KEYS, recorded.keys.T, strict=True):
        arrays[name] = pa.array(lane, pa.uint64())
    arrays |= {name: pa.array(own, _type_of(pa, name)) for name, own in recorded.columns.items()}
    table = pa.table(arrays).replace_schema_metadata({STUDY: recorded.study.encode()})
    whole = [name for name in arrays if table.schema.field(name).type == pa.int64()]
    texts = [name for name in arrays if table.schema.field(name).type == pa.string()]
    sink = pa.BufferOutputStream()
    parquet.write_table(
        table, sink, compression="zstd", use_dictionary=texts,
        column_encoding=dict.fromkeys(whole, "DELTA_BINARY_PACKED"),
    )  # fmt: skip
    data = sink.getvalue().to_pybytes()
    return f"part-{first:06d}-{last:06d}-{_checksum(data)}.parquet", data


def together(parts: Sequence[Recorded]) -> Recorded:
    """Return parts of one study, with the same columns, as one."""
    first = parts[0]
    return Recorded(
        first.study,
        np.concatenate([part.points for part in parts]),
        np.concatenate([part.keys for part in parts]),
        {name: np.concatenate([np.asarray(part.columns[name]) for part in parts])
         for name in first.columns},
    )  # fmt: skip


def arrow() -> tuple[Any, Any]:
    """Return pyarrow and its Parquet module.

    Raises:
        InputError: They are not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InputError(
            f"--out needs pyarrow; {installing('sweep')}, or leave --out away"
        ) from None
    return pyarrow, parquet


def _checksum(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _type_of(pa: Any, column: str) -> Any:
    if column in MEASURED:
        return pa.int64()
    return pa.float64() if column in REAL else pa.string()


def _values(column: Any) -> Any:
    """Return whole numbers without gaps and real ones as such, and anything else as objects."""
    kind = str(column.type)
    if kind == "double" or (column.null_count == 0 and kind == "int64"):
        return column.to_numpy()
    return column.to_pandas(integer_object_nulls=True).to_numpy(object)
