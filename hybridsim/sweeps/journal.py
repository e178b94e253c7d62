"""Results that survive: an append-only journal of records, turned into Parquet parts.

A folder holds ``journal-N.jsonl`` while segment N is being written, one record per line behind a
checksum, and ``part-N.parquet`` once it is complete. A part gets its name only when all of it is
on the disk, and its journal goes only after that; so whatever the moment at which a process dies,
every recorded point can be read, and a line that was cut short is seen by its checksum.
"""

import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np

from hybridsim.errors import InputError, SpecError
from hybridsim.nesting import json_value
from hybridsim.sweeps.columns import DETAILED, MEASURED
from hybridsim.sweeps.inputs import Keys

MOST_RECORDS = 50_000
"""Records of one journal before it becomes a part; larger blocks become a part at once."""

_BINARY = getattr(os, "O_BINARY", 0)
"""Windows would end lines in its own way without it."""
_OWNER = "owner"
"""Beside the lock: the number of the process that holds it, which others may read."""
_SEGMENT = re.compile(r"(?:journal|part)-(\d{6})\.(?:jsonl|parquet)")
_Records = list[tuple[str, dict[str, Any]]]


class Journal:
    """The recorded points of one folder; only one process writes to a folder at a time."""

    def __init__(self, folder: Path) -> None:
        """Open a folder, new or used before.

        Raises:
            InputError: Another process that still runs writes there, or pyarrow is missing.
            SpecError: The place cannot be a folder, or something in it cannot be read.
        """
        _parquet()
        self.folder = folder
        self._lock = _lock(folder / "lock")
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._file, self._size, self._records, self._number = -1, 0, 0, 0
        try:
            self._take_lock()
            with disk_errors(folder):
                self._tidy()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def recorded(self) -> Iterator[tuple[Keys, dict[str, Any]]]:
        """Yield key and result columns of all that was recorded, part by part."""
        for path in sorted(self.folder.glob("part-*.parquet")):
            yield _read_part(path)

    def append(self, keys: Keys, columns: Mapping[str, Any]) -> None:
        """Record some points; when this returns, the death of the process cannot lose them.

        Raises:
            SpecError: The disk refuses. What was recorded before can still be read.
        """
        with disk_errors(self.folder):
            if len(keys) >= MOST_RECORDS:
                self._close_segment()
                self._write_part(self._number, keys, columns)
                self._number += 1
                return
            lines = _lines(keys, columns)
            if self._file < 0:
                path = self.folder / f"journal-{self._number:06d}.jsonl"
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | _BINARY
                self._file, self._size, self._records = os.open(path, flags, 0o644), 0, 0
            self._write(lines)
            self._records += len(keys)
            if self._records >= MOST_RECORDS:
                self._close_segment()

    def finish(self) -> None:
        """Turn what is still in the journal into a part.

        Raises:
            SpecError: The disk refuses. What was recorded before can still be read.
        """
        with disk_errors(self.folder):
            self._close_segment()

    def close(self) -> None:
        """Give the folder back; what is in the journal stays there."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1
        if self._lock.is_locked:
            (self.folder / _OWNER).unlink(missing_ok=True)
            self._lock.release()

    def _take_lock(self) -> None:
        """Lock the folder; the operating system drops the lock of a process that dies."""
        owner = self.folder / _OWNER
        with disk_errors(self.folder):
            try:
                self._lock.acquire(blocking=False)
            except TimeoutError:
                number = owner.read_text("utf-8", "replace").strip() if owner.exists() else ""
                raise InputError(
                    f"--out: {self.folder}: process {number or 'unknown'} writes there; wait for "
                    "it, or give another folder"
                ) from None
            owner.write_text(f"{os.getpid()}\n", "utf-8")

    def _tidy(self) -> None:
        """Bring what a process left behind into parts, and find the next number."""
        for path in self.folder.glob("*.unfinished"):
            path.unlink()
        for path in sorted(self.folder.glob("journal-*.jsonl")):
            self._turn_into_part(path)
        found = (_SEGMENT.fullmatch(path.name) for path in self.folder.iterdir())
        self._number = max((int(match[1]) + 1 for match in found if match), default=0)

    def _write(self, data: bytes) -> None:
        """Write all of it, or cut off again what was written of it."""
        try:
            written = 0
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)

    def _close_segment(self) -> None:
        if self._file < 0:
            return
        os.close(self._file)
        self._file, number = -1, self._number
        self._number += 1  # first, so that a refusal below leaves the journal to the next run
        self._turn_into_part(self.folder / f"journal-{number:06d}.jsonl")

    def _turn_into_part(self, journal: Path) -> None:
        number = int(journal.stem.removeprefix("journal-"))
        if not (self.folder / f"part-{number:06d}.parquet").exists():
            records = read_journal(journal)
            keys = np.array([_key(text) for text, _ in records], "<u8").reshape(-1, 2)
            names = dict.fromkeys(name for _, row in records for name in row)
            columns = {name: [row.get(name) for _, row in records] for name in names}
            if records:
                self._write_part(number, keys, columns)
        journal.unlink()

    def _write_part(self, number: int, keys: Keys, columns: Mapping[str, Any]) -> None:
        pa, parquet = _parquet()
        texts = np.frombuffer(keys.astype("<u8").tobytes().hex().encode(), "S32")
        arrays = {"key": pa.array(texts.astype(str))}
        for name, values in columns.items():
            arrays[name] = pa.array(values, _type_of(pa, name))
        path = self.folder / f"part-{number:06d}.parquet"
        write_whole(path, lambda file: parquet.write_table(pa.table(arrays), file))


def _type_of(pa: Any, column: str) -> Any:
    if column in MEASURED:
        return pa.int64()
    return pa.float64() if DETAILED.get(column) == "number" else pa.string()


def _lock(path: Path) -> Any:
    """Return a lock that the operating system drops when its process dies, on any system.

    Raises:
        InputError: The library for it is not installed.
    """
    try:
        from filelock import FileLock
    except ImportError:
        raise InputError(
            "--out needs filelock; pip install 'hybridsim[sweep]', or leave --out away"
        ) from None
    # one per opening, so that one process cannot open a folder twice either
    return FileLock(path, thread_local=False)


def read_journal(path: Path) -> _Records:
    """Return key and row of each record; one that was cut short or altered is left out."""
    records = []
    for line in path.read_bytes().split(b"\n"):
        checksum, _, text = line.partition(b" ")
        if len(checksum) == 8 and checksum == b"%08x" % zlib.crc32(text):
            record = json_value(text, str(path))
            records.append((record.pop("key"), record))
    return records


def write_whole(path: Path, write: Any) -> None:
    """Let ``write`` fill a file that gets its name only when all of it is on the disk."""
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        with unfinished.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn what the disk refuses into one sentence."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise SpecError(
            "--out", str(folder), f"{reason}; what was recorded before is kept, and the same "
            "command goes on from there"
        ) from None  # fmt: skip


def _lines(keys: Keys, columns: Mapping[str, Any]) -> bytes:
    names = list(columns)
    lines = []
    for i, key in enumerate(keys):
        row = {name: _plain(columns[name][i]) for name in names}
        record = {"key": key.astype("<u8").tobytes().hex(), **row}
        text = json.dumps(record, separators=(",", ":")).encode()
        lines.append(b"%08x %s\n" % (zlib.crc32(text), text))
    return b"".join(lines)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _key(text: str) -> list[int]:
    return [int(lane) for lane in np.frombuffer(bytes.fromhex(text), "<u8")]


def _read_part(path: Path) -> tuple[Keys, dict[str, Any]]:
    pa, parquet = _parquet()
    try:
        table = parquet.read_table(path)
        texts = table.column("key").to_numpy().astype("S32")
        keys = np.frombuffer(bytes.fromhex(texts.tobytes().decode()), "<u8").reshape(-1, 2)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        problem = f"is damaged ({str(error).splitlines()[0]}); without it, its points are redone"
        raise SpecError("--out", str(path), problem) from None
    columns = {name: _values(table.column(name)) for name in table.column_names if name != "key"}
    return keys, columns


def _values(column: Any) -> Any:
    """Return whole numbers without gaps as such, and anything else as objects."""
    if column.null_count == 0 and str(column.type) == "int64":
        return column.to_numpy()
    return column.to_pandas(integer_object_nulls=True).to_numpy(object)


def _parquet() -> tuple[Any, Any]:
    """Return pyarrow and its Parquet module.

    Raises:
        InputError: They are not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InputError(
            "--out needs pyarrow; pip install 'hybridsim[sweep]', or leave --out away"
        ) from None
    return pyarrow, parquet
