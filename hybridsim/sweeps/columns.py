"""The columns of a sweep's table: which results there are, and comparisons with them."""

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from hybridsim.errors import UnknownNameError
from hybridsim.sweeps.axes import quantity

MEASURED = {
    "latency_ps": "Start to end of the whole run [ps].",
    "yardstick_ps": "The same network without adapter work, streamed where the strategy streams "
    "[ps]; for a strategy for whole networks its own run without adapters.",
    "tcdm_bytes": "The most scratchpad that anything takes on a cluster [bytes].",
    "batch": "Tokens per batch, the least of all adapted layers.",
    "buffers": "Batches in flight on the cluster, the least of all adapted layers.",
    "tiles": "Tiles that hold weights.",
    "crossbars": "Crossbars that hold weights.",
    "tasks": "Tasks that the engine executed.",
}
"""Whole numbers that every point is stored with, where they are asked for."""
DERIVED = {
    "overhead_percent": ("latency_ps", "yardstick_ps"),
}
"""Column -> the measured columns that it is computed from."""
INTERVALS = {
    "latency_ps": ("latency_low_ps", "latency_high_ps"),
    "overhead_percent": ("overhead_low_percent", "overhead_high_percent"),
}
"""Column -> the ends of its 90 % interval, which are columns of their own."""
DETAILED: dict[str, Literal["text", "number"]] = {
    "bound": "text",
    **{end: "number" for ends in INTERVALS.values() for end in ends},
}
"""What takes a whole Result to find out, and so more time per point; see ``sweep/details.py``."""
TEXTS = frozenset(name for name, kind in DETAILED.items() if kind == "text")
RESULTS = (*MEASURED, *DERIVED, *DETAILED)
KEPT = ("latency_ps", "yardstick_ps", "overhead_percent", "tcdm_bytes", "batch", "buffers")
"""What a study keeps unless it says otherwise."""

_COMPARISON = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(<=|>=|<|>|==|!=)\s*(\S.*?)\s*")
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_UNITS = ("bytes_per_cycle", "bytes_per_second", "cycles", "bytes", "bits", "hz", "ps")


@dataclass(frozen=True)
class Constraint:
    """A comparison that a point must meet, as in ``overhead_percent <= 1``."""

    column: str
    sign: str
    bound: float

    def holds(self, table: pd.DataFrame) -> "pd.Series[bool]":
        """Return, for each row, whether the comparison is true; it is false for nothing."""
        met: pd.Series[Any] = _OPERATORS[self.sign](table[self.column], self.bound)
        return met.astype("boolean").fillna(False).astype(bool)

    def excess(self, value: float) -> float:
        """Return how far a value is from meeting the comparison; 0 or less meets it."""
        if _OPERATORS[self.sign](value, self.bound):
            return 0.0
        return max(abs(value - self.bound), 1e-12)


def parse_constraint(text: str, columns: Iterable[str]) -> Constraint:
    """Return a comparison of a numeric column with a number; a unit is allowed where it has one.

    Raises:
        ValueError: The text is no comparison, or its value has no sense for the column.
        UnknownNameError: There is no such column.
    """
    match = _COMPARISON.fullmatch(text)
    if match is None:
        raise ValueError(f"found {text!r}; write a comparison, as in 'overhead_percent <= 1'")
    name, sign, value = match.groups()
    return Constraint(known_column(name, columns, "column"), sign, _bound(name, value))


def new_constraint(text: str, new: Callable[[str], str]) -> str:
    """Return a comparison with another name of its column; what is no comparison as it is."""
    match = _COMPARISON.fullmatch(text)
    return text if match is None else text.replace(match[1], new(match[1]), 1)


def known_column(name: str, columns: Iterable[str], what: str) -> str:
    """Return the name, if there is such a column.

    Raises:
        UnknownNameError: There is not.
    """
    names = list(columns)
    if name not in names:
        raise UnknownNameError(what, name, names)
    return name


def _bound(column: str, text: str) -> float:
    try:
        return float(text.removesuffix("%") if column.endswith("_percent") else text)
    except ValueError:
        unit = next((unit for unit in _UNITS if column.endswith(f"_{unit}")), None)
        if unit is None:
            raise ValueError(f"found {text!r}; a plain number would do for {column}") from None
        return quantity(unit, text)
