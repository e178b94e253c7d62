"""Traces of requests from files: the house's own format, and those in which traces are published.

A format is told by its columns, or by the keys of its JSON lines. Sources: the Azure LLM inference
traces of 2023 and 2024 (github.com/Azure/AzurePublicDataset), BurstGPT (arXiv 2401.17644),
Mooncake (arXiv 2407.00079), the Qwen-Bailian usage traces (arXiv 2506.02634), and the traces of
the simulator Vidur (arXiv 2405.05465).
"""

import csv
import json
import re
import stat
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from hybridsim.boundary.values import is_printable
from hybridsim.errors import SpecError, UnknownNameError, did_you_mean
from hybridsim.nesting import json_value
from hybridsim.service.arrivals import has_zone, is_absolute, read_ps
from hybridsim.service.requests import LATEST_PS, MOST_REQUESTS, Origin, Requests
from hybridsim.specs.problems import shown

MOST_TOKENS = 10**9
"""The longest prompt or output that is read; what a model allows is checked for itself."""
MOST_BLOCKS = 2**16
"""The most blocks of a prompt."""
_MOST_LINE = 2**20
"""The longest line that is read [characters]."""
_WHOLE = re.compile(r"([0-9]{1,18})(?:\.0*)?")


@dataclass(frozen=True, slots=True)
class TraceFormat:
    """How a kind of file names what a request is."""

    name: str
    arrival: str
    prompt: str
    output: str
    task: str = ""
    """The column of the task; one task named ``requests`` if there is none."""
    unit: str = "s"
    """What bare arrivals are counted in."""
    blocks: str = ""
    """The key of the list of a prompt's blocks, in JSON lines; none in tables."""
    block: int = 0
    """Tokens of a block."""
    marks: tuple[str, ...] = ()
    """Further columns that tell it from others."""
    total: str = ""
    """A column that is the sum of prompt and output, where it is there."""
    own: bool = False
    """Whether output may be missing, and a prompt may not be 0: the format of the house."""

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns without which it is not this format."""
        needed = [self.arrival, self.prompt, *self.marks]
        if self.own:
            return (*needed, self.task)
        return (*needed, self.output)


FORMATS: Mapping[str, TraceFormat] = {
    format.name: format
    for format in (
        TraceFormat("hybridsim", "arrival", "prompt", "output", "task", own=True),
        TraceFormat("azure", "TIMESTAMP", "ContextTokens", "GeneratedTokens"),
        TraceFormat(
            "burstgpt", "Timestamp", "Request tokens", "Response tokens", "Model",
            total="Total tokens",
        ),
        TraceFormat("vidur", "arrived_at", "num_prefill_tokens", "num_decode_tokens"),
        TraceFormat(
            "bailian", "timestamp", "input_length", "output_length",
            blocks="hash_ids", block=16, marks=("chat_id",),
        ),
        TraceFormat(
            "mooncake", "timestamp", "input_length", "output_length",
            unit="ms", blocks="hash_ids", block=512,
        ),
    )
}  # fmt: skip
"""Formats by name; where the columns of several are there, the first one is taken."""


def read_requests(path: Path, format: str | None = None) -> Requests:
    """Return the requests of a file in one of :data:`FORMATS`, by its columns unless named.

    An arrival is a time with a unit (``12.5 ms``), a bare number in the unit of the format, or a
    date. Dates and times since 1970 are counted from the first request.

    Raises:
        SpecError: The file is no such trace, a value is not usable, or arrivals go back in time.
        UnknownNameError: There is no such format.
    """
    if format is not None and format not in FORMATS:
        raise UnknownNameError("--format", format, FORMATS)
    file = str(path)
    with _opened(path) as stream:
        lines = _lines(stream, file)
        first = next(lines, None)
        if first is None:
            raise SpecError(
                file, "", "is empty; write a line of column names, then one row a line"
            )
        numbered = chain([first], lines)
        if first[1].lstrip().startswith("{"):
            return _Reading(file, format).requests(_objects(numbered, file))
        return _Reading(file, format).requests(_rows(numbered, file))


# --- lines --------------------------------------------------------------------------------------


def _opened(path: Path) -> TextIO:
    """Open a regular file: others may never end, or never begin."""
    file = str(path)[:200]
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise SpecError(file, "", "is a folder; give a file of requests")
        if not stat.S_ISREG(mode):
            raise SpecError(file, "", "is a device or a pipe; copy it into a file first")
        with path.open("rb") as raw:
            if raw.read(2) == b"\x1f\x8b":
                raise SpecError(file, "", "is compressed by gzip; gunzip it first")
        return path.open(encoding="utf-8-sig", newline="")
    except FileNotFoundError:
        raise SpecError(file, "", "no such file; give a file of requests") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its name is no path"
        raise SpecError(file, "", f"cannot be read: {reason}") from None


def _lines(stream: TextIO, file: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of the lines that are neither blank nor a comment."""
    number = 0
    try:
        while line := stream.readline(_MOST_LINE):
            number += 1
            if len(line) == _MOST_LINE:
                raise SpecError(file, f"line {number}", f"is longer than {_MOST_LINE} characters")
            if not is_printable(line.replace("\r", "")):
                raise SpecError(
                    file, f"line {number}", "has a control character; plain text would do"
                )
            if line.strip() and not line.lstrip().startswith("#"):
                yield number, line
    except UnicodeDecodeError:
        raise SpecError(file, "", "cannot be read: not a text file in UTF-8") from None
    except OSError as error:
        raise SpecError(file, "", f"cannot be read: {error.strerror}") from None


_Cells = dict[str, Any]


def _rows(lines: Iterable[tuple[int, str]], file: str) -> Iterator[tuple[int, _Cells]]:
    """Yield line number and cells of a table; a first column without a name is pandas' index."""
    columns: list[str] | None = None
    for number, line in lines:
        try:
            cells = next(csv.reader([line], strict=True))
        except csv.Error as error:
            raise SpecError(file, f"line {number}", f"is no CSV: {error}") from None
        if columns is None:
            columns = _columns([cell.strip() for cell in cells], file, number)
            yield number, dict.fromkeys(columns)
            continue
        if len(cells) != len(columns):
            raise SpecError(
                file,
                f"line {number}",
                f"has {len(cells)} cells; {len(columns)} columns are named: {_shown(columns)}",
            )
        yield number, dict(zip(columns, cells, strict=True))


def _columns(names: list[str], file: str, number: int) -> list[str]:
    for place, name in enumerate(names):
        if (not name and place) or names.count(name) > 1:
            problem = f"column {shown(name, 40)} stands there twice" if name else "has no name"
            where = problem if name else f"column {place + 1} {problem}"
            raise SpecError(file, f"line {number}", f"{where}; name each column once")
    return names


def _objects(lines: Iterable[tuple[int, str]], file: str) -> Iterator[tuple[int, _Cells]]:
    """Yield line number and object of JSON lines, the first one twice: its keys are columns."""
    first = True
    for number, line in lines:
        try:
            place = f"line {number}"
            cells = json_value(
                line, f"{file}: {place}", parse_float=str,
                object_pairs_hook=lambda pairs, place=place: _once(pairs, file, place),
            )  # fmt: skip
        except json.JSONDecodeError as error:
            raise SpecError(file, f"line {number}", f"broken JSON: {error.msg}") from None
        except ValueError:
            raise SpecError(file, f"line {number}", "has a number that is too long") from None
        if not isinstance(cells, dict):
            raise SpecError(file, f"line {number}", f"found {shown(cells)}; an object would do")
        if first:
            yield number, cells
        first = False
        yield number, cells


def _once(pairs: list[tuple[str, Any]], file: str, place: str) -> _Cells:
    """Return the object of these keys and values, none of them twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for at, key in enumerate(keys) if key in keys[:at])
        raise SpecError(file, place, f"key {shown(twice, 40)} is given twice; once would do")
    return found


# --- requests -----------------------------------------------------------------------------------


class _Reading:
    """One file of requests, line by line."""

    def __init__(self, file: str, format: str | None) -> None:
        self._file, self._name = file, format
        self._tasks: dict[str, int] = {}
        self._lines = array("q")
        self._first: int | None = None
        self._zoned: bool | None = None
        self._last = 0
        self._left_out = 0

    def requests(self, rows: Iterator[tuple[int, _Cells]]) -> Requests:
        """Return the requests of all rows; the first one names the columns."""
        columns = tuple(next(rows)[1])
        format = self._format(columns)
        if other := self._other_case(format, columns):
            columns = tuple(other.get(column, column) for column in columns)
            rows = ((n, {other.get(k, k): v for k, v in cells.items()}) for n, cells in rows)
        known = format.blocks and format.blocks in columns
        blocks: list[array[int]] | None = [] if known else None
        found = Requests((), blocks=blocks, block=format.block if blocks is not None else 0)
        for line, cells in rows:
            if len(found) == MOST_REQUESTS:
                raise self._problem(line, f"has more than {MOST_REQUESTS} requests; cut the file")
            self._add(found, format, line, cells)
        if not len(found):
            raise SpecError(self._file, "", f"has no requests below {_shown(columns)}")
        found.tasks = tuple(self._tasks)
        found.origin = Origin(self._file, format.name, self._lines, self._left_out)
        return found

    def _format(self, columns: tuple[str, ...]) -> TraceFormat:
        """Return the format that is named or whose columns are there."""
        if self._name is not None:
            self._require(FORMATS[self._name], columns)
            return FORMATS[self._name]
        lower = {column.lower() for column in columns}
        for format in FORMATS.values():
            if all(column.lower() in lower for column in format.needed):
                return format
        near = min(
            (each for each in FORMATS.values() if {*each.needed} & {*columns}),
            key=lambda each: len({*each.needed} - {*columns}),
            default=None,
        )
        if near is not None:
            self._require(near, columns)
        known = ", ".join(f"{each.name} ({_shown(each.needed)})" for each in FORMATS.values())
        raise SpecError(
            self._file, "", f"has {_shown(columns)}, the columns of no known trace; known: {known}"
        )

    def _other_case(self, format: TraceFormat, columns: tuple[str, ...]) -> dict[str, str]:
        """Return the columns that the format writes in another case -> as it writes them."""
        own = {name.lower(): name for name in (*format.needed, format.output, format.task,
                                               format.blocks, format.total)}  # fmt: skip
        found: dict[str, str] = {}
        for column in columns:
            name = own.get(column.lower(), column)
            if name in columns:
                continue
            if name in found.values():
                raise SpecError(self._file, "", f"column {name} stands there twice; once would do")
            found[column] = name
        return found

    def _require(self, format: TraceFormat, columns: tuple[str, ...]) -> None:
        lower = {column.lower() for column in columns}
        missing = [column for column in format.needed if column.lower() not in lower]
        if missing:
            hint = did_you_mean(missing[0], columns)
            raise SpecError(
                self._file,
                "",
                f"column {', '.join(missing)} is missing{hint} for the format {format.name}; "
                f"the file has {_shown(columns)}",
            )

    def _add(self, found: Requests, format: TraceFormat, line: int, cells: _Cells) -> None:
        arrival = self._arrival(format, line, cells)
        task = 0
        if format.task and format.task in cells:
            name = str(cells[format.task] or "").strip()
            if not 1 <= len(name) <= 200:
                raise self._refuse(line, cells, format.task, "write a name of 1 to 200 characters")
            task = self._tasks.setdefault(name, len(self._tasks))
        elif not self._tasks:
            self._tasks["requests"] = 0
        prompt = self._whole(line, cells, format.prompt, int(format.own))
        output = self._whole(line, cells, format.output, 0) if format.output in cells else 0
        if format.total and format.total in cells:
            self._check_total(format, line, cells, prompt + output)
        if not prompt:
            self._left_out += 1
            return
        if found.blocks is not None:
            found.blocks.append(self._blocks(line, cells, format.blocks))
        found.add(arrival, task, prompt, output)
        self._lines.append(line)

    def _check_total(self, format: TraceFormat, line: int, cells: _Cells, total: int) -> None:
        if self._whole(line, cells, format.total, 0) != total:
            would_do = f"{format.prompt} and {format.output} are {total} together"
            raise self._refuse(line, cells, format.total, would_do)

    def _arrival(self, format: TraceFormat, line: int, cells: _Cells) -> int:
        text = cells.get(format.arrival)
        usable = isinstance(text, str | int) and not isinstance(text, bool)
        arrival = read_ps(str(text), format.unit) if usable else None
        if arrival is None:
            raise self._refuse(
                line, cells, format.arrival,
                "write a time of 0 or more, as in '12.5 ms', "
                f"in {'seconds' if format.unit == 's' else format.unit}, or a date",
            )  # fmt: skip
        zoned = has_zone(str(text))
        if self._zoned is None:
            self._zoned = zoned
        elif zoned is not self._zoned:
            before, now = ("a", "none") if self._zoned else ("no", "one")
            raise self._refuse(
                line, cells, format.arrival,
                f"lines before it have {before} time zone, it has {now}; all alike would do",
            )  # fmt: skip
        if self._first is None:
            self._first = arrival if is_absolute(arrival) else 0
        arrival -= self._first
        if arrival < self._last:
            raise self._refuse(
                line, cells, format.arrival,
                f"the line before arrives at {self._last / 10**12:g} s; "
                "sort the requests by arrival",
            )  # fmt: skip
        if arrival > LATEST_PS:
            days = LATEST_PS // (86_400 * 10**12)
            raise self._refuse(line, cells, format.arrival, f"write a time of at most {days} days")
        self._last = arrival
        return arrival

    def _whole(self, line: int, cells: _Cells, column: str, least: int) -> int:
        match = _WHOLE.fullmatch(str(cells.get(column)).strip())
        if match is None or not least <= int(match[1]) <= MOST_TOKENS:
            raise self._refuse(
                line, cells, column, f"write a whole number from {least} to {MOST_TOKENS}"
            )
        return int(match[1])

    def _blocks(self, line: int, cells: _Cells, key: str) -> "array[int]":
        given = cells.get(key)
        try:
            if isinstance(given, list) and len(given) <= MOST_BLOCKS:
                return array("q", given)
        except (TypeError, OverflowError):
            pass
        raise self._refuse(
            line, cells, key, f"write a list of at most {MOST_BLOCKS} whole numbers"
        )

    def _refuse(self, line: int, cells: _Cells, column: str, would_do: str) -> SpecError:
        return self._problem(line, f"found {shown(cells.get(column), 40)}; {would_do}", column)

    def _problem(self, line: int, text: str, column: str = "") -> SpecError:
        return SpecError(self._file, f"line {line}" + (f": {column}" if column else ""), text)


def _shown(columns: Iterable[str]) -> str:
    text = ", ".join(columns)
    return text if len(text) <= 120 else text[:117] + "..."
