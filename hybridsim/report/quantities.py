"""What columns of studies hold, by the units in their names, and how people read them."""

from typing import Literal

from hybridsim.sweeps.misses import Miss
from hybridsim.units import format_bytes, format_energy, format_ps

Held = Literal["time", "size", "percent", "energy", "number", "word"]

_SCALES: dict[str, tuple[tuple[float, str], ...]] = {
    "_ps": ((1e12, "s"), (1e9, "ms"), (1e6, "µs"), (1e3, "ns"), (1, "ps")),
    "_bytes": ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")),
    "_pj": ((1e12, "J"), (1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ"), (1, "pJ")),
    "_hz": ((1e9, "GHz"), (1e6, "MHz"), (1, "Hz")),
    "_tokens_per_s": ((1e9, "10^9 tokens/s"), (1e6, "10^6 tokens/s"), (1, "tokens/s")),
    "_percent": ((1, "%"),),
    "_mm2": ((1, "mm²"),),
    "_um2": ((1e6, "mm²"), (1, "µm²")),
    "_w": ((1, "W"), (1e-3, "mW"), (1e-6, "µW")),
    "_js": ((1, "J s"),),
    "_bits": ((1, "bit"),),
    "_bytes_per_cycle": ((1, "B/cycle"),),
    "_bytes_per_second": ((1e9, "GB/s"), (1e6, "MB/s"), (1, "B/s")),
    "_cycles": ((1, "cycles"),),
}
"""End of a column's name -> the units in which it is told, with their sizes, largest first."""
_HELD: dict[str, Held] = {"_ps": "time", "_bytes": "size", "_percent": "percent", "_pj": "energy"}
_ACRONYMS = {"tcdm": "TCDM", "edp": "EDP"}


def _end(column: str) -> str:
    """Return the longest known end of a column's name, or an empty text."""
    return max((end for end in _SCALES if column.endswith(end)), key=len, default="")


def name_of(column: str) -> str:
    """Return a column's name without its unit, as people write it."""
    words = column.removesuffix(_end(column)).split("_")
    return " ".join(_ACRONYMS.get(word, word) for word in words)


def heading(column: str) -> str:
    """Return the heading of a column of a table: with a unit where its cells have none."""
    end = _end(column)
    plain = not end or end in _HELD
    return name_of(column) if plain else f"{name_of(column)} [{_plain_unit(end)}]"


def _plain_unit(end: str) -> str:
    """Return the unit in which the numbers of a column stand."""
    return next(unit for size, unit in _SCALES[end] if size == 1)


def held_by(column: str) -> Held:
    """Return what the values of a column are."""
    return "word" if column == "bound" else _HELD.get(_end(column), "number")


def scale(column: str, most: float) -> tuple[float, str]:
    """Return the unit in which values up to ``most`` are told: its size, and its name."""
    sizes = _SCALES.get(_end(column), ((1, ""),))
    return next((own for own in sizes if most >= own[0]), sizes[-1])


def told(column: str, value: float) -> str:
    """Return one value of a column with its unit."""
    held = held_by(column)
    if held == "time":
        return format_ps(round(value)) if value >= 0 else f"-{format_ps(round(-value))}"
    if held == "size":
        return format_bytes(round(value))
    if held == "energy":
        return format_energy(round(value * 10**6))
    if _end(column) in ("_w", "_um2"):
        size, unit = scale(column, abs(value))
        return f"{value / size:,.4g} {unit}"
    unit = _SCALES.get(_end(column), ((1, ""),))[-1][1]
    number = f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"
    return f"{number} {unit}".rstrip()


def changed(column: str, before: float | None, after: float | None) -> str:
    """Return a change for people: of percentages in points, of others in percent."""
    if before is None or after is None:
        return ""
    if _end(column) == "_percent":
        return f"{after - before:+,.1f} points"
    return f"{100 * (after - before) / abs(before):+,.1f} %" if before else ""


def missed(miss: Miss) -> str:
    """Return what a point misses a constraint by, in words."""
    if miss.value is None or miss.by is None:
        return f"{miss.constraint}: there is no value"
    return f"{miss.constraint}: it has {told(miss.column, miss.value)}, so it {missed_by(miss)}"


def missed_by(miss: Miss) -> str:
    """Return the same without the constraint and the value."""
    return "has no value" if miss.by is None else f"misses by {told(miss.column, miss.by)}"
