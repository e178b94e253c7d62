"""Rows of columns that agree, found in one pass: what they lead to is worked out once for all."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hybridsim.compiling import FEW, compiled, using
from hybridsim.units import Ints


class Alike(NamedTuple):
    """The different rows of some columns, in the order in which they first appear."""

    first: Ints
    """Where each of them is for the first time."""
    which: Ints
    """Which of them every row is."""


def alike(columns: Sequence[Ints], rows: int) -> Alike:
    """Return which of so many rows agree in all of some columns; all do without a column."""
    telling = [column for column in columns if (column != column[:1]).any()]
    if not telling or not rows:
        return Alike(np.zeros(min(rows, 1), np.int64), np.zeros(rows, np.int64))
    stacked = np.stack(telling).astype(np.int64, copy=False)
    if rows < FEW:
        known: dict[tuple[int, ...], int] = {}
        which = [known.setdefault(tuple(row), len(known)) for row in stacked.T.tolist()]
        return Alike(np.unique(which, return_index=True)[1], np.array(which, np.int64))
    first, which_of = np.empty(rows, np.int64), np.empty(rows, np.int64)
    table = np.full(1 << (2 * rows - 1).bit_length(), -1, np.int64)
    found = compiled(number_rows)(stacked, table, first, which_of)
    return Alike(first[:found], which_of)


def groups(columns: Sequence[Ints]) -> list[Ints]:
    """Return the places of rows that agree in all columns, ascending, group by group."""
    first, which = alike(columns, len(columns[0]))
    return members(which, len(first))


def members(which: Ints, count: int) -> list[Ints]:
    """Return the places of each of so many numbers, ascending."""
    if count <= 1:
        return [np.arange(len(which))] * count
    # short numbers are sorted by their digits, which takes a tenth of the time
    short = which.astype(np.uint16) if count <= 1 << 16 else which
    cuts = np.cumsum(np.bincount(which, minlength=count))[:-1]
    return np.split(np.argsort(short, kind="stable"), cuts)


@using()
def number_rows(columns: Ints, table: Ints, first: Ints, which: Ints) -> int:
    """Number the different rows of columns, shape (columns, rows); return how many there are.

    ``table`` is full of -1, and its length a power of two, twice as many as rows.
    """
    count, mask = 0, len(table) - 1
    for i in range(len(which)):
        # what is next to each other often agrees, as in a grid
        same = i > 0
        for c in range(len(columns)):
            if same and columns[c, i] != columns[c, i - 1]:
                same = False
        if same:
            which[i] = which[i - 1]
            continue
        mixed = 0
        for c in range(len(columns)):
            mixed = (mixed ^ columns[c, i]) * -7046029254386353131  # 2^64 / golden ratio, odd
            mixed ^= mixed >> 32
        place = mixed & mask
        while True:
            known = table[place]
            if known < 0:
                table[place] = which[i] = count
                first[count] = i
                count += 1
                break
            same, at = True, first[known]
            for c in range(len(columns)):
                if columns[c, i] != columns[c, at]:
                    same = False
                    break
            if same:
                which[i] = known
                break
            place = (place + 1) & mask
    return count
