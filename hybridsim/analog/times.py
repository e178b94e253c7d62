"""Time since programming: text such as ``1y`` at the boundary, seconds inside.

These are the seconds to years over which devices drift, not the picoseconds of a simulated run.
"""

import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

SECONDS = {
    "s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800, "mo": 2_592_000, "y": 31_536_000,
}  # fmt: skip
"""Seconds per unit. A month has 30 days and a year 365, as in the times that the paper's code
evaluates (2,592,000 s and 31,536,000 s)."""
STANDARD_TIMES = ("0s", "1h", "1d", "1mo", "1y", "10y")
"""The times at which studies look at a chip."""
LONGEST = 1000 * SECONDS["y"]
"""The longest time that is accepted [s]; the drift model was measured over hours to months."""

_TIME = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*([a-z]+)", re.ASCII)


def parse_time(text: object) -> float:
    """Return the seconds that a text such as ``0s``, ``1h``, ``1d``, ``1mo`` or ``10y`` means.

    Raises:
        ValueError: It is no number with a unit, or longer than a thousand years.
    """
    match = _TIME.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None or match[2] not in SECONDS:
        shown = repr(text)[:60]
        raise ValueError(
            f"found {shown}; write a number and one of {', '.join(SECONDS)}, as in '1y'"
        )
    seconds = Fraction(match[1]) * SECONDS[match[2]]
    if seconds > LONGEST:
        raise ValueError(f"found {text!r}; at most 1000y would do")
    return float(seconds)


def format_time(seconds: float) -> str:
    """Return the shortest text that reads back to the same time: ``1y`` for 31,536,000 s."""
    for unit, size in sorted(SECONDS.items(), key=lambda item: -item[1]):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


ElapsedTime = Annotated[
    float, BeforeValidator(parse_time), PlainSerializer(format_time, return_type=str)
]
"""A time since programming, in seconds; text with a unit in files."""


def in_order(labels: Iterable[str]) -> list[str]:
    """Return times as :func:`format_time` writes them, each once, shortest first.

    What is no time, such as ``digital``, comes before all of them.
    """
    places: dict[str, float] = {}
    for label in labels:
        try:
            places[label] = parse_time(label)
        except ValueError:
            places[label] = -1.0
    return sorted(places, key=places.__getitem__)
