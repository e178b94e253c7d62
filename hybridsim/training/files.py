"""Files that are written whole or not at all, and the journal of what a study has found so far.

The journal has one line per evaluation, written when it is known.
"""

import base64
import json
import os
import shutil
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hybridsim.boundary.reading import MOST_OWN_BYTES, json_of, read_bytes, read_own
from hybridsim.boundary.writing import write_all
from hybridsim.errors import InputError, SpecError

if TYPE_CHECKING:
    from hybridsim.training.marks import Marks


def write_file(file: Path, content: bytes) -> None:
    """Write a file whole or not at all, with its checksum beside it.

    Raises:
        InputError: The disk refuses.
    """
    write_all(file.parent, {file.name: content}, str(file.name))


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder under a temporary name and then rename it; one that is there is replaced.

    Raises:
        InputError: The disk refuses.
    """
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    write_all(unfinished, files, folder.name)
    try:
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(unfinished, folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}") from None


Key = tuple[str, int, int, float]
"""Arm, training seed, chip (-1 for digital arithmetic), seconds since programming."""
DIGITAL = -1
"""In place of a chip."""
GROWING = ("seeds", "chips", "times")
"""Lists of a study that may get longer between two runs."""
TOLD = ("question", "controls")
"""What a study says that no evaluation depends on."""


def claim(
    folder: Path,
    identity: Mapping[str, Any],
    of: str = "study, model, data or version",
    may_grow: bool = False,
) -> None:
    """Tell a new results folder what it belongs to, and refuse that of another study.

    Args:
        folder: Where the results lie.
        identity: All that they depend on, for JSON.
        of: What a refusal says is another.
        may_grow: Whether more arms, seeds, chips or times than the folder was made for are the
            same study; it then belongs to the larger one.

    Raises:
        InputError: The folder belongs to another study, or cannot be written to.
    """
    about, text = folder / "study.json", json.dumps(identity, indent=2) + "\n"
    stored = read_own(about).decode("utf-8", "replace") if about.exists() else ""
    if stored and stored != text and not (may_grow and _has_grown(stored, text)):
        problem = f"holds results of another {of}; another --out would do"
        raise InputError(f"{folder}: {problem}")
    if stored != text:
        write_file(about, text.encode())


@dataclass(frozen=True, slots=True)
class Lines:
    """Rows that are known, one per line of a file and each with its checksum."""

    file: Path

    def add(self, row: Mapping[str, Any]) -> None:
        """Record a row; it is on the disk when this returns."""
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({**row, "sum": _sum_of(row)}) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def rows(
        self, keys: Collection[str], maybe: Collection[str] = ()
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (number, row) of all whole lines; one that a kill cut off is removed.

        A row has all ``keys``, and may have those of ``maybe``.

        Raises:
            InputError: A line has changed since it was written, or has other keys.
        """
        if not self.file.exists():
            return
        raw = read_bytes(self.file, MOST_OWN_BYTES)
        whole = raw[: raw.rfind(b"\n") + 1]
        if whole != raw:
            _without_last_line(self.file, whole)
        for number, line in enumerate(whole.decode("utf-8", "replace").splitlines(), 1):
            try:
                row = json_of(line, str(self.file))
                known = row.pop("sum", None) in (None, _sum_of(row))
                if not known or row.keys() - set(maybe) != set(keys):
                    raise ValueError("the line has changed since it was written")
            except (ValueError, AttributeError, SpecError):
                raise self.broken(number) from None
            yield number, row

    def broken(self, number: int) -> InputError:
        """Return the error for a line that cannot be used."""
        return InputError(f"{self.file}: line {number} is broken; delete the line")


def packed(bits: NDArray[np.bool_]) -> str:
    """Return answers yes and no as text."""
    return base64.b64encode(np.packbits(bits).tobytes()).decode()


def unpacked(text: str, count: int) -> NDArray[np.bool_]:
    """Return what :func:`packed` wrote."""
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=count).astype(
        np.bool_
    )


@dataclass
class Journal:
    """The evaluations of a results folder, and a way to add to them."""

    lines: Lines
    correct: dict[Key, NDArray[np.bool_]] = field(default_factory=dict)
    """Which test sentences were right."""
    numbers: dict[Key, NDArray[np.float32]] = field(default_factory=dict)
    """What there is beside right and wrong, sentence by sentence, where a task has it."""

    @classmethod
    def open(cls, folder: Path, identity: dict[str, Any]) -> "Journal":
        """Return the journal of a folder; a new folder is told what study it belongs to.

        A study may have grown since: more arms, seeds, chips or times, the others as they were.

        Raises:
            InputError: The folder belongs to another study, or cannot be written to.
        """
        claim(folder, identity, may_grow=True)
        journal = cls(Lines(folder / "journal.jsonl"))
        journal._read()
        return journal

    @classmethod
    def of_folder(cls, folder: Path, identity: dict[str, Any]) -> "Journal":
        """Return what a folder knows of a study, without telling it that it belongs to that.

        The folder's study may be smaller or larger. Nothing is known where it is another one, or
        where no study was run.
        """
        journal, about = cls(Lines(folder / "journal.jsonl")), folder / "study.json"
        stored = read_own(about).decode("utf-8", "replace") if about.exists() else ""
        text = json.dumps(identity)
        if _has_grown(stored, text) or _has_grown(text, stored):
            journal._read()
        return journal

    def add(self, key: Key, marks: "Marks") -> None:
        """Record an evaluation; it is on the disk when this returns."""
        correct = marks.right
        row = {"arm": key[0], "seed": key[1], "chip": key[2], "seconds": key[3]}
        row |= {"sentences": correct.size, "right": int(correct.sum()), "correct": packed(correct)}
        if marks.numbers is not None:
            row["numbers"] = base64.b64encode(marks.numbers.astype("<f4").tobytes()).decode()
            self.numbers[key] = marks.numbers
        self.lines.add(row)
        self.correct[key] = correct

    def _read(self) -> None:
        for number, row in self.lines.rows(EVALUATION, ("numbers",)):
            try:
                correct = unpacked(row["correct"], row["sentences"])
                key = (row["arm"], row["seed"], row["chip"], float(row["seconds"]))
                if "numbers" in row:
                    found = np.frombuffer(base64.b64decode(row["numbers"]), "<f4")
                    self.numbers[key] = found.reshape(correct.shape).astype(np.float32)
            except (ValueError, TypeError):
                raise self.lines.broken(number) from None
            self.correct[key] = correct


EVALUATION = ("arm", "seed", "chip", "seconds", "sentences", "right", "correct")
"""What a line of a journal of evaluations says."""


def _sum_of(row: Mapping[str, Any]) -> str:
    """Return the checksum of a line; those of earlier releases have none."""
    return f"{zlib.crc32(json.dumps(row).encode()):08x}"


def _without_last_line(file: Path, whole: bytes) -> None:
    """Leave only the whole lines, which begin the file."""
    try:
        os.truncate(file, len(whole))
    except OSError as error:
        raise InputError(f"{file}: cannot be written: {error.strerror}") from None


def _has_grown(stored: str, wanted: str) -> bool:
    """Return whether all that a folder holds belongs to the study that is wanted now."""
    try:
        old, new = (json_of(text, "study.json") for text in (stored, wanted))
        before, after = old.pop("study"), new.pop("study")
        lists = [(before.pop(key), after.pop(key)) for key in GROWING]
        arms = before.pop("arms").items() <= after.pop("arms").items()
    except (ValueError, KeyError, AttributeError, TypeError, SpecError):
        return False
    for key in TOLD:
        before.pop(key, None)
        after.pop(key, None)
    kept = all(set(few) <= set(more) for few, more in lists)
    return bool(arms) and kept and (old, before) == (new, after)
