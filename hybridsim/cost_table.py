"""One question to one component model, asked for every row of a table at once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from hybridsim.arch import Machine
from hybridsim.cost import Question, ask, find
from hybridsim.csv_files import Row, Table
from hybridsim.errors import InputError, SpecError, UnknownNameError

LARGEST_PRODUCT = 2**40
"""Sizes whose product is larger are answered one by one, in integers of any length: a time in
picoseconds, thousands of times the product, might not fit the 64 bits of an array."""

Texts = tuple[tuple[str, str], ...]
Names = tuple[str, ...]


@dataclass(frozen=True)
class AnsweredTable:
    """A table with the answers of a model behind its own columns."""

    table: Table
    names: tuple[str, ...]
    """Columns of the answers; a name that the table has already begins with ``answer.``."""
    answers: tuple[Mapping[str, Any], ...]
    """The answer for each row."""

    def lines(self) -> Iterator[list[str]]:
        """Yield the cells of the header and of every row; a missing value is an empty cell."""
        taken = self.table.columns
        renamed = [f"answer.{name}" if name in taken else name for name in self.names]
        yield [*taken, *renamed]
        for row, answer in zip(self.table.rows, self.answers, strict=True):
            own = [row.cells[column] for column in taken]
            yield own + [_cell(answer.get(name)) for name in self.names]


def answer_table(
    machine: Machine,
    component: str,
    operation: str,
    table: Table,
    constants: Mapping[str, Any],
) -> AnsweredTable:
    """Ask a question for every row; columns are named like its arguments, others are kept.

    ``constants`` are arguments that hold for all rows.

    Raises:
        SpecError: A column is missing, or a cell or a whole row cannot be answered; the message
            names file, line and column.
        InputError: An argument is given as a column and as a constant.
    """
    question = find(component, operation)
    for name in constants:
        if name not in question.arguments:
            what = f"{component} {operation}: argument"
            raise UnknownNameError(what, name, question.arguments)
        if name in table.columns:
            raise InputError(f"{table.file}: column {name} and {name}=... are the same argument")
    table.require(name for name in question.sizes if name not in constants)
    answers: list[Mapping[str, Any]] = [{}] * len(table.rows)
    for (texts, numbers), members in _alike(question, table).items():
        rows = [table.rows[index] for index in members]
        asked = _Asked(machine, component, operation, {**constants, **dict(texts)})
        for index, answer in zip(members, asked.together(rows, numbers), strict=True):
            answers[index] = answer
    names = dict.fromkeys(name for answer in answers for name in answer)
    return AnsweredTable(table, tuple(names), tuple(answers))


def flat(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return an answer without nesting; names are joined by dots."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{above}.{key}" if above else key
        found |= flat(value, name) if isinstance(value, Mapping) else {name: value}
    return found


@dataclass(frozen=True)
class _Asked:
    """A question with all that its rows have in common."""

    machine: Machine
    component: str
    operation: str
    common: Mapping[str, Any]

    def together(self, rows: list[Row], numbers: Names) -> Iterator[Mapping[str, Any]]:
        """Yield the answer for each row: all at once, or one by one where sizes are huge."""
        sizes = {name: [row.whole(name) for row in rows] for name in numbers}
        if any(prod(each) > LARGEST_PRODUCT for each in zip(*sizes.values(), strict=True)):
            yield from (self._one(row, sizes, index) for index, row in enumerate(rows))
            return
        arrays = {name: np.array(column, np.int64) for name, column in sizes.items()}
        try:
            answer = flat(ask(self.machine, self.component, self.operation, self._with(arrays)))
        except (InputError, OverflowError):
            # one row is at fault, or too long for an array: they are asked one after the other
            yield from (self._one(row, sizes, index) for index, row in enumerate(rows))
            return
        for index in range(len(rows)):
            yield {name: _item(value, index) for name, value in answer.items()}

    def _one(self, row: Row, sizes: Mapping[str, list[int]], index: int) -> Mapping[str, Any]:
        values = {name: column[index] for name, column in sizes.items()}
        try:
            return flat(ask(self.machine, self.component, self.operation, self._with(values)))
        except InputError as error:
            raise SpecError(row.file, f"line {row.line}", str(error)) from None

    def _with(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {**self.common, **values}


def _alike(question: Question, table: Table) -> dict[tuple[Texts, Names], list[int]]:
    """Group rows by their texts and by which numbers they give: each group is asked together."""
    groups: dict[tuple[Texts, Names], list[int]] = {}
    for index, row in enumerate(table.rows):
        texts = tuple(
            (name, row.cells[name].strip())
            for name, value in question.defaults.items()
            if not isinstance(value, int) and row.cells.get(name, "").strip()
        )
        groups.setdefault((texts, _given_numbers(question, row)), []).append(index)
    return groups


def _given_numbers(question: Question, row: Row) -> Names:
    """Return the arguments that a row gives as numbers; an empty option is not given."""
    options = [name for name, value in question.defaults.items() if isinstance(value, int)]
    return tuple(name for name in question.sizes if name in row.cells) + tuple(
        name for name in options if row.cells.get(name, "").strip()
    )


def _item(value: Any, index: int) -> Any:
    """Return one row's part of an answer; what is the same for all rows is no array."""
    if isinstance(value, np.ndarray):
        return value[index].item() if value.dtype != object else value[index]
    return value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    return str(value)
