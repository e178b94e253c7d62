"""The columns of a sweep's table: which results there are, and comparisons with them."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from pydantic import TypeAdapter

from hybridsim.boundary.values import decimal
from hybridsim.errors import SpecError, UnknownNameError
from hybridsim.sweeps.axes import in_base_unit, quantity
from hybridsim.units import Area, EnergySum, Power

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
PLACED = {
    "throughput_tokens_per_s": "Tokens over latency: one sequence at a time [1/s].",
    "occupancy": "Share of the devices of the used crossbars that hold weights, 0 to 1.",
    "area_mm2": "Silicon of the machine, as far as the areas of its parts are known [mm2].",
    "energy_pj": "Work and static energy of the whole run, as far as it is known [pJ].",
    "layer_by_layer_ps": "All-analog layers in turn, whatever the strategy may do, as the paper "
    "defines it [ps]; no number for a strategy for whole networks.",
}
"""Real numbers that blocks of points tell as well as whole runs do."""
INTERVALS = {
    "latency_ps": ("latency_low_ps", "latency_high_ps"),
    "overhead_percent": ("overhead_low_percent", "overhead_high_percent"),
    "energy_pj": ("energy_low_pj", "energy_high_pj"),
}
"""Column -> the ends of its 90 % interval, which are columns of their own."""
DETAILED: dict[str, Literal["text", "number"]] = {
    "bound": "text",
    **{end: "number" for ends in INTERVALS.values() for end in ends},
}
"""What takes a whole Result to find out, and so more time per point."""
TEXTS = frozenset(name for name, kind in DETAILED.items() if kind == "text")
REAL = frozenset((*PLACED, *(name for name, kind in DETAILED.items() if kind == "number")))
"""Columns that are stored as floating-point numbers; no number is none."""


def _width(ends: tuple[str, str]) -> str:
    return ends[0].replace("_low_", "_width_")


DERIVED = {
    "overhead_percent": ("latency_ps", "yardstick_ps"),
    "layer_by_layer_percent": ("latency_ps", "layer_by_layer_ps"),
    "edp_js": ("energy_pj", "latency_ps"),
    "power_w": ("energy_pj", "latency_ps"),
    **{_width(ends): ends for ends in INTERVALS.values()},
}
"""Column -> the stored columns that it is computed from."""
ACCURACY = "accuracy_percent"
"""What a study of adapters found, which no run tells."""
RESULTS = (*MEASURED, *PLACED, *DERIVED, *DETAILED, ACCURACY)


def derive(name: str, stored: Mapping[str, "pd.Series[Any]"]) -> "pd.Series[Any]":
    """Return a derived column from the stored ones; no number where one of them is none."""
    first, second = (stored[own] for own in DERIVED[name])
    if name in ("overhead_percent", "layer_by_layer_percent"):
        return (first - second) * 100 / second.where(second != 0)
    if name == "edp_js":
        return first * 1e-12 * (second * 1e-12)
    if name == "power_w":  # picojoules over picoseconds
        return first / second.where(second != 0)
    return second - first


KEPT = ("latency_ps", "yardstick_ps", "overhead_percent", "tcdm_bytes", "batch", "buffers")
"""What a study keeps unless it says otherwise."""

_COMPARISON = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(<=|>=|<|>|==|!=)\s*([^\s<>=].*?)\s*")
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_UNITS = ("bytes_per_cycle", "bytes_per_second", "cycles", "bytes", "bits", "hz", "ps")
_SCALED: dict[str, tuple[TypeAdapter[int], float]] = {
    "pj": (TypeAdapter(EnergySum), 1e-6),
    "mm2": (TypeAdapter(Area), 1e-6),
    "w": (TypeAdapter(Power), 1e-6),
}
"""Unit at the end of a column's name -> how a value with a unit is read, and its size in that."""


@dataclass(frozen=True)
class Constraint:
    """A comparison that a point must meet, as in ``overhead_percent <= 1``."""

    column: str
    sign: str
    bound: float

    def compare(self, values: Any) -> Any:
        """Return whether values meet the comparison, element by element."""
        return _OPERATORS[self.sign](values, self.bound)

    def holds(self, table: pd.DataFrame) -> "pd.Series[bool]":
        """Return, for each row, whether the comparison is true; it is false for nothing."""
        met: pd.Series[Any] = self.compare(table[self.column])
        return met.astype("boolean").fillna(False).astype(bool)

    def excess(self, value: float) -> float:
        """Return how far a value is from meeting the comparison; 0 or less meets it."""
        if self.compare(value):
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
        return decimal(text.removesuffix("%") if column.endswith("_percent") else text, "")
    except SpecError:
        scaled = _SCALED.get(column.rpartition("_")[2])
        if scaled is not None:
            return in_base_unit(scaled[0], text) * scaled[1]
        unit = next((unit for unit in _UNITS if column.endswith(f"_{unit}")), None)
        if unit is None:
            raise ValueError(f"found {text!r}; a plain number would do for {column}") from None
        return quantity(unit, text)
