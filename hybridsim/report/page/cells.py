"""Tables as data: columns that say what they hold, and rows with both number and text."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hybridsim.units import format_bytes, format_energy, format_ps, format_share

Kind = Literal[
    "text",
    "word",
    "count",
    "time",
    "size",
    "percent",
    "share",
    "energy",
    "number",
    "since",
    "decibels",
]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its key in the data, its heading, and what its values are."""

    key: str
    label: str
    kind: Kind = "text"
    about: str = ""
    """What the values mean, for people."""

    @property
    def numeric(self) -> bool:
        """Whether values are numbers, which stand to the right and sort by size."""
        return self.kind not in ("text", "word")


@dataclass(frozen=True, slots=True)
class Cell:
    """One value: for a program, and as people read it."""

    value: Any
    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a page."""

    name: str
    """Identifier on the page, and the name of its CSV file."""
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


def table(
    name: str, title: str, columns: Sequence[Column], records: Iterable[Mapping[str, Any]]
) -> Table:
    """Return a table of records; a record without a value has an empty cell."""
    rows = tuple(tuple(_cell(c, record.get(c.key)) for c in columns) for record in records)
    return Table(name, title, tuple(columns), rows)


def _cell(column: Column, value: Any) -> Cell:
    return Cell("", "") if value is None else Cell(value, shown(column.kind, value))


def micro(text: str) -> str:
    """Return text in which amounts have the sign of micro, for which terminals write a ``u``."""
    return re.sub(r"(?:(?<=\d )|(?<=\d)|(?<=\[))u(?=(?:s|J|W)\b|m²)", "µ", text)


def shown(kind: Kind, value: Any) -> str:
    """Return a value as people read it."""
    return micro(_shown(kind, value))


def _shown(kind: Kind, value: Any) -> str:
    if kind == "time":
        return format_ps(int(value)) if value >= 0 else f"-{format_ps(-int(value))}"
    if kind == "size":
        return format_bytes(int(value))
    if kind == "percent":
        return percent(value)
    if kind == "energy":
        return format_energy(round(value * 10**6))  # picojoules
    if kind == "share":
        return format_share(value, 1)
    if kind == "count":
        return f"{value:,}"
    if kind == "decibels":
        return f"{value:.1f} dB"
    if kind == "since":
        # imported on use: pages without noise need none of it
        from hybridsim.analog.times import format_time

        return format_time(value)
    if kind == "number":
        return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    return str(value).replace("_", " ") if kind == "word" else str(value)


ACRONYMS = {"dma": "DMA", "tcdm": "TCDM", "sram": "SRAM", "dram": "DRAM"}
"""Parts that people write in capitals."""


def part_name(part: str) -> str:
    """Return a kind of part as people write it."""
    name, colon, sort = part.partition(":")
    return ACRONYMS.get(name, name.replace("_", " ")) + colon + sort


def percent(value: float) -> str:
    """Return a percentage with three digits where that says more than one decimal."""
    return f"{value:.2f} %" if abs(value) < 10 else f"{value:.1f} %"


def short_names(names: Iterable[str], most: int) -> dict[str, str]:
    """Return names as they fit into ``most`` characters: cut in the middle, and never two as one.

    Pages do the same for the names along the axes of charts (``hybridsim.short``).
    """
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        taken = {*found.values()}
        cuts = [name] if len(name) <= most else []
        cuts += [
            f"{name[: most - 1 - back]}\u2026{name[-back:]}" for back in range(most // 2, most)
        ]
        cuts += [f"{cuts[0][: most - 1 - len(str(k))]}\u2026{k}" for k in range(2, len(taken) + 3)]
        found[name] = next(cut for cut in cuts if cut not in taken)
    return found
