"""Labelled text, read from archives and tables when a study runs."""

import csv
import io
import tarfile
from collections.abc import Iterable, Sequence
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
from hybridsim.training.sources import (
    AnySource,
    BbcData,
    Data,
    GlueData,
    OrangeData,
    SquadData,
    TableData,
    VaderData,
)
from hybridsim.training.splits import (
    NEAR,
    Split,
    by_document,
    check_enough,
    check_ratings,
    classes_of,
    shared_groups,
    shuffled,
    without_repeats,
)
from hybridsim.units import format_share

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


def load_split(data: Data, beside: Path) -> Split:
    """Return the sentences that a study trains, chooses and tests on.

    ``beside`` is where relative files are looked for, after the working folder.

    Raises:
        SpecError: A file is missing or is not what it should be, there are too few sentences, a
            class is missing from a part, a rating is no number or all are the same, or a document
            is in both of two given parts.
        UnknownNameError: A table lacks a column.
    """
    rng = np.random.default_rng(data.seed)
    notes: list[str] = []
    given = _parts(data.source, beside, notes)
    make = _by_sentence if data.split == "sentences" else _by_document
    train, validation, test = make(data, given, rng, notes)
    named = {"train": train, "validation": validation, "test": test}
    classes: tuple[str, ...] = ()
    if data.answers == "classes":
        classes = classes_of({name: part for name, part in named.items() if part})
    elif data.answers == "ratings":
        check_ratings(named)
        within = format_share(NEAR)
        notes.append(f"a rating is right within {within} of the range of those trained on")
    else:
        notes.append("an answer is right where its words are those of a given one (exact match)")
    return Split(tuple(train), tuple(test), classes, tuple(validation), tuple(notes))


def _by_sentence(
    data: Data, given: Sequence[list[Example]], rng: np.random.Generator, notes: list[str]
) -> Sequence[list[Example]]:
    """Return three parts, each sentence by itself."""
    if len(given) == 2:
        train, test = (shuffled(part, rng) for part in given)
    else:
        whole = shuffled(given[0], rng)
        check_enough("train and test", len(whole), data.train + data.validation + data.test)
        train, test = whole[: data.train + data.validation], whole[data.train + data.validation :]
    both = len({e.text for e in train} & {e.text for e in test[: data.test]})
    if both:
        notes.append(f"{both} texts are in both parts (split: sentences)")
    check_enough("train", len(train), data.train + data.validation)
    check_enough("test", len(test), data.test)
    return train[: data.train], train[data.train :][: data.validation], test[: data.test]


def _by_document(
    data: Data, given: Sequence[list[Example]], rng: np.random.Generator, notes: list[str]
) -> Sequence[list[Example]]:
    """Return three parts that share no document and no text."""
    if len(given) == 1:
        kept, dropped = without_repeats(given[0])
        sizes = (data.train, data.validation, data.test)
        parts = by_document(kept, sizes, rng)
    else:
        train, test = given
        both = shared_groups(train, test)
        if both:
            problem = (
                f"{len(both)} documents are in the training and the test part, {both[0][:40]!r} "
                "first; parts that share none would do"
            )
            raise SpecError("data", "source.group", problem)
        test = shuffled(test, rng)
        check_enough("test", len(test), data.test)
        kept, dropped = without_repeats(train, test[: data.test])
        parts = [*by_document(kept, (data.train, data.validation), rng), test[: data.test]]
    if dropped:
        notes.append(f"{dropped:,} sentences left out: their text is there already")
    documents = len({e.group for part in parts for e in part if e.group})
    if documents:
        notes.append(f"split by {documents:,} documents, none in two parts")
    return parts


def _parts(source: AnySource, beside: Path, notes: list[str]) -> tuple[list[Example], ...]:
    """Return all sentences of a source: a training and a test part, or one part for both."""
    if isinstance(source, VaderData):
        file = found_file(source.archive, beside, FETCH)
        rated, dropped = read_vader(file, source.subset, source.neutral)
        if dropped:
            notes.append(
                f"{dropped:,} of {dropped + len(rated):,} sentences left out: rated within "
                f"{source.neutral:g} of neutral"
            )
        return (rated,)
    if isinstance(source, BbcData):
        return (read_bbc(found_file(source.archive, beside, FETCH_BBC)),)
    if isinstance(source, OrangeData):
        return read_orange(found_file(source.archive, beside, FETCH_ORANGE), source.subset)
    if isinstance(source, GlueData):
        return read_glue(_folder(source.folder, beside), source.task)
    files = [name for name in (source.file, source.test_file) if name is not None]
    found = [found_file(name, beside) for name in files]
    if isinstance(source, SquadData):
        return tuple(read_squad(file, source.task) for file in found)
    return tuple(read_table(file, source) for file in found)


def read_vader(archive: Path, subset: str, neutral: float = 0.0) -> tuple[list[Example], int]:
    """Return the rated sentences of the source archive of vaderSentiment, and how many were
    left out because their rating is within ``neutral`` of zero.

    Reviews and news have numbers of document and sentence, as in ``24_9``.

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
    rated_lines = raw.decode("utf-8", errors="replace").splitlines()
    found = list(_rated(rated_lines, neutral))
    return found, len(rated_lines) - len(found)


def _rated(lines: Iterable[str], neutral: float) -> Iterable[Example]:
    for line in lines:
        number, rating, text = line.split("\t", 2)
        if abs(float(rating)) > neutral:
            label = "positive" if float(rating) > 0 else "negative"
            document, several, _ = number.partition("_")
            yield Example(text.strip(), None, label, group=document if several else "")


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
            for column in (columns.text, columns.label, columns.pair, columns.group):
                if column is not None and column not in heads:
                    raise UnknownNameError(f"{file}: column", column, heads)
            return [
                Example(
                    row[columns.text],
                    row[columns.pair] if columns.pair else None,
                    label,
                    group=(row[columns.group] or "") if columns.group else "",
                )
                for row in rows
                if row[columns.text] and (label := (row[columns.label] or "").strip())
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SpecError(str(file), "", f"cannot be read as a table: {error}") from None


def found_file(name: str, beside: Path, fetch: str = "") -> Path:
    """Return a file in the way or beside a study.

    Raises:
        SpecError: It is in neither place; ``fetch`` is what would fetch it.
    """
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
