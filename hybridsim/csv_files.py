"""Reading CSV tables, with one clear sentence when that fails.

A table has a line of column names and then one row per line. Lines that begin with ``#`` are
comments, wherever they stand.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hybridsim.boundary.reading import read_text
from hybridsim.boundary.values import is_printable, printable
from hybridsim.errors import SpecError, did_you_mean

MOST_BYTES = 64 * 2**20
"""The largest table that is read [bytes]; the largest bundled one is a hundredth of it."""
MOST_DIGITS = 9
"""How long a size may be; the product of two such sizes fits 64 bits."""

_WHOLE = re.compile(r"([0-9]{1,18})(?:\.0*)?")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table, and where it stands."""

    file: str
    line: int
    cells: dict[str, str]

    def whole(self, column: str, least: int = 1, most: int = 10**MOST_DIGITS - 1) -> int:
        """Return a cell as a whole number.

        Raises:
            SpecError: The cell holds no whole number from ``least`` to ``most``.
        """
        match = _WHOLE.fullmatch(self.cells[column].strip())
        if match is None or not least <= int(match[1]) <= most:
            raise self.problem(column, f"write a whole number from {least} to {most}")
        return int(match[1])

    def problem(self, column: str, would_do: str) -> SpecError:
        """Return an error that names file, line and column, and what would do."""
        found = self.cells[column]
        shown = repr(found if len(found) <= 40 else found[:37] + "...")
        return SpecError(self.file, f"line {self.line}: {column}", f"found {shown}; {would_do}")


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a CSV file, as text."""

    file: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def require(self, columns: Iterable[str]) -> None:
        """Check that all of ``columns`` are there.

        Raises:
            SpecError: One is missing; the message names all that are.
        """
        missing = [column for column in columns if column not in self.columns]
        if missing:
            hint = did_you_mean(missing[0], self.columns)
            raise SpecError(
                self.file,
                "",
                f"column {', '.join(missing)} is missing{hint}; "
                f"the file has {_shown(self.columns)}",
            )


def read_table(path: Path) -> Table:
    """Return the table that a CSV file holds.

    Raises:
        SpecError: The file does not exist or is no text; it is larger than :data:`MOST_BYTES`; it
            has no column names or no rows; a column is named twice; a row is too long or short.
    """
    file = printable(str(path))
    numbered = list(_records(read_text(path, MOST_BYTES, "give a CSV file"), file))
    if not numbered:
        raise SpecError(file, "", "is empty; write a line of column names, then one row a line")
    columns = tuple(name.strip() for name in numbered[0][1])
    for name in columns:
        if not name or columns.count(name) > 1:
            problem = (
                f"column {name[:40]!r} stands there twice" if name else "a column has no name"
            )
            raise SpecError(file, f"line {numbered[0][0]}", f"{problem}; name each column once")
    rows = []
    for line, cells in numbered[1:]:
        if len(cells) != len(columns):
            raise SpecError(
                file,
                f"line {line}",
                f"has {len(cells)} cells; {len(columns)} columns are named: {_shown(columns)}",
            )
        rows.append(Row(file, line, dict(zip(columns, cells, strict=True))))
    if not rows:
        raise SpecError(file, "", f"has no rows below its column names {_shown(columns)}")
    return Table(file, columns, tuple(rows))


def _records(text: str, file: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and cells of every record that is no comment and not blank."""
    lines = text.split("\n")
    # a comment inside a quoted cell would be blanked as well: no measured table has one
    kept = ["" if line.lstrip().startswith("#") else line for line in lines]
    reader = csv.reader((line + "\n" for line in kept), strict=True)
    try:
        for cells in reader:
            if not all(map(is_printable, cells)):
                problem = "has a control character in a cell; plain text would do"
                raise SpecError(file, f"line {reader.line_num}", problem)
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise SpecError(file, f"line {reader.line_num}", f"is no CSV: {error}") from None


def _shown(columns: Iterable[str]) -> str:
    text = ", ".join(columns)
    return text if len(text) <= 120 else text[:117] + "..."
