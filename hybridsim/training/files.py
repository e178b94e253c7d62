"""Files that are written whole or not at all, and the journal of what a study has found so far.

The journal has one line per evaluation, written when it is known.
"""

import base64
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridsim.errors import InputError, SpecError
from hybridsim.nesting import json_value


def write_file(file: Path, content: bytes) -> None:
    """Write a file under a temporary name, to the disk, and then rename it.

    Raises:
        InputError: The disk refuses.
    """
    unfinished = file.with_name(f".{file.name}.unfinished")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(unfinished, file)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise InputError(f"{file}: cannot be written: {error.strerror}") from None


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder under a temporary name and then rename it; one that is there is replaced.

    Raises:
        InputError: The disk refuses.
    """
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for name, content in files.items():
        write_file(unfinished / name, content)
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


@dataclass
class Journal:
    """The evaluations of a results folder, and a way to add to them."""

    file: Path
    correct: dict[Key, NDArray[np.bool_]] = field(default_factory=dict)
    """Which test sentences were right."""

    @classmethod
    def open(cls, folder: Path, identity: dict[str, Any]) -> "Journal":
        """Return the journal of a folder; a new folder is told what study it belongs to.

        A study may have grown since: more arms, seeds, chips or times, the others as they were.

        Raises:
            InputError: The folder belongs to another study, or cannot be written to.
        """
        about, text = folder / "study.json", json.dumps(identity, indent=2) + "\n"
        stored = about.read_text("utf-8") if about.exists() else ""
        if stored and stored != text and not _has_grown(stored, text):
            raise InputError(
                f"{folder}: holds results of another study, model, data or version; another --out "
                "would do"
            )
        if stored != text:
            write_file(about, text.encode())
        journal = cls(folder / "journal.jsonl")
        if journal.file.exists():
            journal._read()
        return journal

    def add(self, key: Key, correct: NDArray[np.bool_]) -> None:
        """Record an evaluation; it is on the disk when this returns."""
        packed = base64.b64encode(np.packbits(correct).tobytes()).decode()
        row = {"arm": key[0], "seed": key[1], "chip": key[2], "seconds": key[3]}
        row |= {"sentences": correct.size, "right": int(correct.sum()), "correct": packed}
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        self.correct[key] = correct

    def _read(self) -> None:
        """Take up all whole lines; one that was cut off by a kill is removed from the file."""
        raw = self.file.read_bytes()
        whole = raw[: raw.rfind(b"\n") + 1]
        if whole != raw:
            write_file(self.file, whole)
        for number, line in enumerate(whole.decode("utf-8").splitlines(), 1):
            try:
                row = json_value(line, str(self.file))
                bits = np.frombuffer(base64.b64decode(row["correct"]), np.uint8)
                correct = np.unpackbits(bits, count=row["sentences"]).astype(np.bool_)
                key = (row["arm"], row["seed"], row["chip"], float(row["seconds"]))
            except (ValueError, KeyError, TypeError, SpecError):
                raise InputError(
                    f"{self.file}: line {number} is broken; delete the line"
                ) from None
            self.correct[key] = correct


def _has_grown(stored: str, wanted: str) -> bool:
    """Return whether all that a folder holds belongs to the study that is wanted now."""
    try:
        old, new = (json_value(text, "study.json") for text in (stored, wanted))
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
