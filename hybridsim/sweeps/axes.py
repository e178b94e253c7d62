"""Axes of a study: what varies, expanded into values in a stable order.

An axis is a list of values, a range, a geometric range, or named groups of settings that change
together. A value goes to a *path*: ``network``, ``machine``, ``tokens``, ``strategy``,
``strategy.*``, ``adapters`` (``own`` or ``none``), ``adapters.*``, or a field of the
machine, as ``hybridsim run --set`` takes it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import numpy as np
from pydantic import TypeAdapter, ValidationError

from hybridsim._old_names import new_path, with_new_paths
from hybridsim.errors import SpecError, did_you_mean
from hybridsim.specs import shown
from hybridsim.units import (
    BytesPerCycle,
    BytesPerSecond,
    Cycles,
    Duration,
    Frequency,
    Ints,
    Size,
    Width,
)

MOST_VALUES = 1_000_000
"""The most values of one axis."""

_QUANTITIES: dict[str, TypeAdapter[int]] = {
    "ps": TypeAdapter(Duration),
    "hz": TypeAdapter(Frequency),
    "bytes": TypeAdapter(Size),
    "bits": TypeAdapter(Width),
    "bytes_per_cycle": TypeAdapter(BytesPerCycle),
    "bytes_per_second": TypeAdapter(BytesPerSecond),
    "cycles": TypeAdapter(Cycles),
}
"""Unit as it stands at the end of a column's name -> how a value with a unit is read."""

_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z][A-Za-z/]*)?", re.ASCII)
_RANGE_KEYS = ({"from", "to", "step"}, {"from", "to", "factor"}, {"from", "to", "points"})
_HEADS = ("network", "machine", "tokens", "strategy", "adapters")


@dataclass(frozen=True)
class Axis:
    """One varied quantity: for each of its values, the settings that it makes."""

    name: str
    labels: tuple[str, ...]
    """What each value is called in tables."""
    settings: tuple[Mapping[str, Any], ...]
    """Path -> value, for each value of the axis."""
    numbers: Ints | None
    """The values as integers in base units (ps, Hz, bytes, ...), or None for text and groups."""
    column: str
    """The name of the axis in tables, with the unit."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths that the axis sets."""
        return tuple(dict.fromkeys(path for group in self.settings for path in group))


def expand_axes(axes: Mapping[str, Any], file: str) -> tuple[Axis, ...]:
    """Return the axes of a study file with all their values.

    Raises:
        SpecError: An axis has no values, the same value twice, a range without sense, or two
            axes set the same path.
    """
    expanded = tuple(_expand(name, given, file) for name, given in axes.items())
    owner: dict[str, str] = {}
    for axis in expanded:
        for path in axis.paths:
            if path in owner:
                problem = f"sets {path!r}, which axis {owner[path]!r} sets already"
                raise SpecError(file, f"axes.{axis.name}", problem)
            owner[path] = axis.name
    return expanded


def base_units(values: Sequence[Any]) -> tuple[str, Ints] | None:
    """Return the unit and the values as integers in base units, or None if they are neither.

    Bare whole numbers have the unit ``""``.
    """
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return "", np.array(values, np.int64)
    if not all(isinstance(value, str) for value in values):
        return None
    for unit, adapter in _QUANTITIES.items():
        try:
            return unit, np.array([adapter.validate_python(v) for v in values], np.int64)
        except (ValidationError, OverflowError):
            continue
    return None


def quantity(unit: str, text: str) -> int:
    """Return a value with a unit as an integer in the base unit ``unit``.

    Raises:
        ValueError: The text is no such quantity.
    """
    return in_base_unit(_QUANTITIES[unit], text)


def in_base_unit(reader: TypeAdapter[int], text: str) -> int:
    """Return what a value with a unit is in base units.

    Raises:
        ValueError: The text is no such quantity.
    """
    try:
        return reader.validate_python(text)
    except ValidationError as error:
        raise ValueError(str(error.errors()[0].get("ctx", {}).get("error", error))) from None


def _expand(name: str, given: Any, file: str) -> Axis:
    place = f"axes.{name}"
    if isinstance(given, list):
        return _of_values(name, given, file, place)
    if not isinstance(given, dict) or not given:
        problem = f"found {shown(given)}; write a list, from/to/step, or named groups of settings"
        raise SpecError(file, place, problem)
    if {"from", "to", "step", "factor", "points"} & set(given):
        return _of_values(name, list(_range_values(given, file, place)), file, place)
    return _of_groups(name, given, file, place)


def _of_values(name: str, values: list[Any], file: str, place: str) -> Axis:
    if not values:
        raise SpecError(file, place, "has no values; one or more would do")
    _check_count(len(values), file, place)
    for i, value in enumerate(values):
        if isinstance(value, dict | list):
            problem = f"found {shown(value)}; a number or text would do"
            raise SpecError(file, f"{place}[{i}]", problem)
    labels = tuple("null" if value is None else str(value) for value in values)
    _check_path(new_path(name), file, place)
    found = base_units(values)
    told = labels if found is None else found[1].tolist()
    seen = set()
    for value, label in zip(told, labels, strict=True):
        if value in seen:
            raise SpecError(file, place, f"value {label!r} is given twice; once would do")
        seen.add(value)
    unit, numbers = found or ("", None)
    column = f"{name}_{unit}" if unit else name
    path = new_path(name)
    return Axis(name, labels, tuple({path: value} for value in values), numbers, column)


def _of_groups(name: str, groups: dict[str, Any], file: str, place: str) -> Axis:
    for label, group in groups.items():
        if not isinstance(group, dict) or not group:
            problem = f"found {shown(group)}; write the settings of the group as path: value"
            raise SpecError(file, f"{place}.{label}", problem)
        for path in group:
            _check_path(new_path(path), file, f"{place}.{label}")
    try:
        settings = tuple(with_new_paths(group) for group in groups.values())
    except ValueError as error:
        raise SpecError(file, place, str(error)) from None
    return Axis(name, tuple(groups), settings, None, name)


def _check_path(path: str, file: str, place: str) -> None:
    """Refuse what cannot be a path; whether the machine has it is seen when it is built."""
    head = path.partition(".")[0]
    if path in _HEADS or ("." in path and head not in ("network", "machine", "tokens")):
        return
    guess = did_you_mean(path, _HEADS)
    raise SpecError(
        file,
        place,
        f"{path!r} is no path{guess}; network, machine, tokens, strategy, strategy.*, "
        "adapters, adapters.* or a field of the machine, as in tile.rows, would do",
    )


def _range_values(given: dict[str, Any], file: str, place: str) -> Iterator[Any]:
    """Yield the values of a range, the last one included if a step falls on it.

    Values of a geometric range are rounded to whole numbers of the unit in which they are
    written, and each is told once.
    """
    if set(given) not in _RANGE_KEYS:
        problem = f"found the keys {', '.join(given)}; from, to and one of step, factor, points"
        raise SpecError(file, place, f"{problem} would do")
    first, unit = _number(given["from"], file, f"{place}.from")
    last, unit_of_last = _number(given["to"], file, f"{place}.to")
    if unit != unit_of_last or not 0 < first <= last:
        problem = "from and to must be above 0, in the same unit, and in rising order"
        raise SpecError(file, place, problem)
    for value in _numbers(given, first, last, unit, file, place):
        yield int(value) if not unit else f"{_decimal(value)} {unit}"


def _numbers(
    given: dict[str, Any], first: Fraction, last: Fraction, unit: str, file: str, place: str
) -> list[Fraction]:
    if "step" in given:
        step, unit_of_step = _number(given["step"], file, f"{place}.step")
        if unit_of_step != unit or step <= 0:
            raise SpecError(file, f"{place}.step", "must be above 0, in the unit of from and to")
        if not unit and (first.denominator > 1 or step.denominator > 1):
            raise SpecError(file, place, "a range without a unit is one of whole numbers")
        count = int((last - first) / step) + 1
        _check_count(count, file, place)
        return [first + i * step for i in range(count)]
    if "factor" in given:
        factor, unit_of_factor = _number(given["factor"], file, f"{place}.factor")
        if unit_of_factor or factor <= 1:
            raise SpecError(file, f"{place}.factor", "must be a number above 1, without a unit")
        values = [first]
        while (following := values[-1] * factor) <= last:
            values.append(following)
            _check_count(len(values), file, place)
    else:
        points = given["points"]
        if not isinstance(points, int) or isinstance(points, bool) or points < 2:
            raise SpecError(file, f"{place}.points", "must be a whole number of 2 or more")
        _check_count(points, file, place)
        ratio = float(last / first)
        values = [first * Fraction(ratio ** (i / (points - 1))) for i in range(points)]
    return list(dict.fromkeys(max(Fraction(1), Fraction(round(value))) for value in values))


def _check_count(count: int, file: str, place: str) -> None:
    if count > MOST_VALUES:
        raise SpecError(file, place, f"has {count:,} values; at most {MOST_VALUES:,} would do")


def _number(value: Any, file: str, place: str) -> tuple[Fraction, str]:
    text = str(value) if isinstance(value, int | float) else value
    match = _NUMBER.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None or isinstance(value, bool):
        problem = f"found {shown(value)}; a number, or a number and a unit, would do"
        raise SpecError(file, place, problem)
    return Fraction(match[1]), match[2] or ""


def _decimal(value: Fraction) -> str:
    """Return a number as plain decimal text; it has one, being made of decimals."""
    if value.denominator == 1:
        return str(value.numerator)
    digits = 0
    while (value * 10**digits).denominator != 1:
        digits += 1
    text = str(cast(int, (value * 10**digits).numerator)).rjust(digits + 1, "0")
    return f"{text[:-digits]}.{text[-digits:]}"
