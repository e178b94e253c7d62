"""Results that survive: a folder of parts, to which parts are only added.

A part gets its name when all of it is written, so whatever the moment at which a process dies,
every recorded point can be read. Small parts are put together now and then; a part that takes the
place of others says so by its name, and these go only when it is on the disk.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from hybridsim.errors import InputError, SpecError, installing
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.parts import Part, Recorded, arrow, name_and_bytes, together
from hybridsim.units import Ints

SMALL = 50_000
"""Points from which on a part is large enough to stay as it is."""
MOST_SMALL = 64
"""Small parts in a row from which on they are put together."""
_OWNER = "owner"
"""Beside the lock: the number of the process that holds it, which others may read."""


class Journal:
    """The recorded points of one folder; only one process writes to a folder at a time."""

    def __init__(self, folder: Path) -> None:
        """Open a folder, new or used before.

        Raises:
            InputError: Another process that still runs writes there, or pyarrow is missing.
            SpecError: The place cannot be a folder, or something in it cannot be read.
        """
        arrow()
        self.folder = folder
        self._lock = _lock(folder / "lock")
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._small: list[Part] = []
        """Small parts since the last large one."""
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

    def parts(self) -> list[Part]:
        """Return the parts in the order in which they were recorded."""
        return parts_of(self.folder)

    def recorded(self, names: Sequence[str] | None = None) -> Iterator[Recorded]:
        """Yield all that was recorded, part by part; of result columns those with some names.

        Raises:
            SpecError: A part is damaged.
        """
        for part in self.parts():
            yield part.read(names)

    def append(self, inputs: Inputs, points: Ints, columns: Mapping[str, Any]) -> None:
        """Record some points; when this returns, the death of the process cannot lose them.

        Raises:
            SpecError: The disk refuses. What was recorded before can still be read.
        """
        self.add(Recorded(inputs.study_key, points, inputs.keys(points), columns))

    def add(self, recorded: Recorded) -> None:
        """Record what :meth:`append` describes.

        Raises:
            SpecError: As :meth:`append`.
        """
        with disk_errors(self.folder):
            part = self._write(self._number, self._number, recorded, safe=False)
            self._number += 1
            self._small.append(part)
            if len(self._small) >= MOST_SMALL or len(recorded.points) >= SMALL:
                self._put_together()

    def finish(self) -> None:
        """Put small parts together.

        Raises:
            SpecError: The disk refuses. What was recorded before can still be read.
        """
        with disk_errors(self.folder):
            self._put_together()

    def close(self) -> None:
        """Give the folder back."""
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
        """Remove what a process left behind, and find the next number."""
        for path in self.folder.glob("*.unfinished"):
            path.unlink()
        found = self.parts()
        there = [part for path in self.folder.iterdir() if (part := Part.at(path)) is not None]
        for old in set(there) - set(found):
            old.path.unlink()
        self._number = max((part.last + 1 for part in found), default=0)
        self._small = [part for part in found if part.rows < SMALL]

    def _put_together(self) -> None:
        """Put small parts that follow each other together, those of a study and its columns."""
        small, self._small = self._small, []
        for parts in _in_rows(small):
            new = parts[-1]
            if len(parts) > 1:
                one = together([part.read() for part in parts])
                new = self._write(parts[0].first, parts[-1].last, one, safe=True)
                for old in parts:
                    old.path.unlink()
        if small and new.rows < SMALL:
            self._small = [new]

    def _write(self, first: int, last: int, recorded: Recorded, safe: bool) -> Part:
        name, data = name_and_bytes(first, last, recorded)
        write_whole(self.folder / name, data, safe)
        part = Part.at(self.folder / name)
        assert part is not None
        return part


def parts_of(folder: Path) -> list[Part]:
    """Return the parts in a folder, without those that others take the place of."""
    there = [part for path in folder.iterdir() if (part := Part.at(path)) is not None]
    found: list[Part] = []
    for part in sorted(there, key=lambda part: (part.first, -part.last)):
        if not found or part.last > found[-1].last:  # else the one before takes its place
            found.append(part)
    return found


def _in_rows(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Yield parts that can be one: they follow each other, and say the same of the same study."""
    row: list[Part] = []
    for part in parts:
        if row and (part.first != row[-1].last + 1 or part.kind != row[-1].kind):
            yield row
            row = []
        row.append(part)
    if row:
        yield row


def _lock(path: Path) -> Any:
    """Return a lock that the operating system drops when its process dies, on any system.

    Raises:
        InputError: The library for it is not installed.
    """
    try:
        from filelock import FileLock
    except ImportError:
        raise InputError(
            f"--out needs filelock; {installing('sweep')}, or leave --out away"
        ) from None
    # one per opening, so that one process cannot open a folder twice either
    return FileLock(path, thread_local=False)


def write_whole(path: Path, data: bytes, safe: bool = True) -> None:
    """Write a file that gets its name only when all of it is written.

    ``safe``: also on the disk, so that not even the loss of power leaves a part of it.
    """
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        with unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            if safe:
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
        kept = "what was recorded before is kept, and the same command goes on from there"
        hint = kept if folder.exists() else "a folder that can be made would do"
        raise SpecError("--out", str(folder), f"{reason}; {hint}") from None
