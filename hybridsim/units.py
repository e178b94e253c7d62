"""Physical quantities: text with a unit at the boundary, integers inside.

Simulated time is an integer number of picoseconds everywhere, so that sums are exact
and two engines can be compared with ``==``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import gcd
from typing import Annotated, Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from hybridsim.described import Described
from hybridsim.errors import TooLongError

Ints = NDArray[np.int64]
IntLike = TypeVar("IntLike", int, Ints)
"""One integer, or an array of them: cost equations take either and give back the same."""

_PS_PER_UNIT = {"ps": 1, "ns": 10**3, "us": 10**6, "ms": 10**9, "s": 10**12}
_HZ_PER_UNIT = {"Hz": 1, "kHz": 10**3, "MHz": 10**6, "GHz": 10**9}
_BYTES_PER_UNIT = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30,
}  # fmt: skip
_BITS_PER_UNIT = {"bit": 1, "b": 1, "B": 8}
_BITS_PER_CYCLE = {"b/cycle": 1, "bit/cycle": 1, "B/cycle": 8}
_BYTES_PER_SECOND = {f"{unit}/s": size for unit, size in _BYTES_PER_UNIT.items()}
_CYCLES_PER_UNIT = {"cycles": 1, "cycle": 1}
_UW_PER_UNIT = {"uW": 1, "mW": 10**3, "W": 10**6}
_AJ_PER_UNIT = {
    "aJ": 1, "fJ": 10**3, "pJ": 10**6, "nJ": 10**9, "uJ": 10**12, "mJ": 10**15, "J": 10**18,
}  # fmt: skip
_AJ_PER_BYTE = {f"{unit}/B": _AJ_PER_UNIT[unit] for unit in ("aJ", "fJ", "pJ", "nJ")}
_AJ_PER_MAC = {f"{unit}/MAC": _AJ_PER_UNIT[unit] for unit in ("aJ", "fJ", "pJ", "nJ")}
_UM2_PER_UNIT = {"um2": 1, "mm2": 10**6}

_NUMBER_AND_UNIT = re.compile(r"(\d{1,30})(?:\.(\d{1,30}))?\s*([A-Za-z][A-Za-z/]*2?)", re.ASCII)
"""Longer numbers are no quantity; beyond some thousands of digits Python would not read them."""


@dataclass(frozen=True, slots=True)
class _Range:
    """The values that a quantity may have, in base units, and why no others."""

    least: int
    most: int
    why: str


def _quantity(
    text: object, scale: Mapping[str, int], example: str, within: _Range, step: int = 1
) -> int:
    """Turn ``"256 ns"`` into an integer number of base units; refuse a bare number.

    A value that is not a whole multiple of ``step`` base units is refused as well, and one that
    is out of range.
    """
    number = "a number, without sign or exponent,"
    would_do = f"write {number} and one of {', '.join(scale)}, as in {example!r}"
    match = _NUMBER_AND_UNIT.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None or match[3] not in scale:
        raise ValueError(f"found {_short(text)}; {would_do}")
    whole, fraction, unit = match[1], match[2] or "", match[3]
    value, remainder = divmod(int(whole + fraction) * scale[unit], 10 ** len(fraction) * step)
    if remainder:
        raise ValueError(
            f"found {_short(text)}, which is not a whole number of "
            f"{step if step > 1 else ''}{next(iter(scale))}; {would_do}"
        )
    if not within.least <= value <= within.most:
        low = value < within.least
        bound = _exact(within.least if low else within.most, scale, step)
        side = "least" if low else "most"
        raise ValueError(f"found {_short(text)}; at {side} {bound} would do: {within.why}")
    return int(value)


def _short(value: object, most: int = 60) -> str:
    """Return ``repr(value)``, cut to ``most`` characters."""
    shown = repr(value)
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def _reader(
    scale: Mapping[str, int], example: str, within: _Range, step: int = 1
) -> BeforeValidator:
    read = partial(_quantity, scale=scale, example=example, within=within, step=step)
    return BeforeValidator(read)


def _exact(value: int, scale: Mapping[str, int], step: int = 1) -> str:
    """Return the shortest exact text: ``"256 ns"`` for 256,000 picoseconds."""
    whole = value * step
    unit = max((u for u in scale if whole % scale[u] == 0), key=lambda u: scale[u])
    return f"{whole // scale[unit]} {unit if whole else next(iter(scale))}"


def _writer(scale: Mapping[str, int], step: int = 1) -> PlainSerializer:
    return PlainSerializer(partial(_exact, scale=scale, step=step), return_type=str)


def shown_as(
    units: Mapping[str, int],
    example: str,
    within: _Range | None = None,
    step: int = 1,
    above_zero: bool = False,
) -> WithJsonSchema:
    """Return how files write a quantity, as JSON Schema: a number and one of some units."""
    names = "|".join(re.escape(unit) for unit in units)
    ends = [_exact(end, units, step) for end in (within.least, within.most)] if within else []
    return WithJsonSchema(
        {
            "type": "string",
            "pattern": rf"^\d+(\.\d+)?\s*({names})$",
            "examples": [example],
            "x-units": list(units),
            "x-range": " to ".join(ends) or ("above 0" if above_zero else "0 or more"),
        }
    )


# Ranges keep absurd machines out, and products of what they hold within 64 bits: a work of the
# most tokens at the longest time is below 2^62 ps. Where no source is named, a bound is assumed.
_DURATION = _Range(0, 1000 * 10**12, "no single step of a chip takes longer")
Duration = Annotated[
    int,
    _reader(_PS_PER_UNIT, "256 ns", _DURATION),
    _writer(_PS_PER_UNIT),
    shown_as(_PS_PER_UNIT, "256 ns", _DURATION),
]
"""A time, in picoseconds."""
_STEP_TIME = _Range(1, 10**12, "nothing within a chip takes less or longer")
StepTime = Annotated[
    int,
    _reader(_PS_PER_UNIT, "256 ns", _STEP_TIME),
    _writer(_PS_PER_UNIT),
    shown_as(_PS_PER_UNIT, "256 ns", _STEP_TIME),
]
"""A time that is never zero, of what is done for every token, in picoseconds."""
_FREQUENCY = _Range(10**3, 10**12, "a cycle lasts from 1 ps, in which time is counted, to 1 ms")
Frequency = Annotated[
    int,
    _reader(_HZ_PER_UNIT, "500 MHz", _FREQUENCY),
    _writer(_HZ_PER_UNIT),
    shown_as(_HZ_PER_UNIT, "500 MHz", _FREQUENCY),
]
"""A frequency, in hertz."""
_SIZE = _Range(1, 2**48, "addresses of 48 bits reach no more memory")
Size = Annotated[
    int,
    _reader(_BYTES_PER_UNIT, "128 KiB", _SIZE),
    _writer(_BYTES_PER_UNIT),
    shown_as(_BYTES_PER_UNIT, "128 KiB", _SIZE),
]
"""An amount of memory, in bytes."""
_WIDTH = _Range(1, 2**16, "no port or number is wider")
Width = Annotated[
    int,
    _reader(_BITS_PER_UNIT, "256 bit", _WIDTH),
    _writer({"bit": 1}),
    shown_as(_BITS_PER_UNIT, "256 bit", _WIDTH),
]
"""The width of a port or a number, in bits."""
_BYTES_A_CYCLE = _Range(1, 2**16, "no port has more wires")
BytesPerCycle = Annotated[
    int,
    _reader(_BITS_PER_CYCLE, "8 B/cycle", _BYTES_A_CYCLE, step=8),
    _writer({"B/cycle": 8}, step=8),
    shown_as(_BITS_PER_CYCLE, "8 B/cycle", _BYTES_A_CYCLE, step=8),
]
"""A transfer rate, in bytes per clock cycle."""
_BYTES_A_SECOND = _Range(10**3, 10**15, "no memory or link is slower or faster")
BytesPerSecond = Annotated[
    int,
    _reader(_BYTES_PER_SECOND, "800 MiB/s", _BYTES_A_SECOND),
    _writer(_BYTES_PER_SECOND),
    shown_as(_BYTES_PER_SECOND, "800 MiB/s", _BYTES_A_SECOND),
]
"""A transfer rate, in bytes per second."""
_CYCLES = _Range(0, 10**6, "no latency within a chip is longer")
Cycles = Annotated[
    int,
    _reader(_CYCLES_PER_UNIT, "15 cycles", _CYCLES),
    _writer({"cycles": 1}),
    shown_as(_CYCLES_PER_UNIT, "15 cycles", _CYCLES),
]
"""A number of clock cycles."""
_POWER = _Range(0, 10**9, "no part of a chip can be cooled of more")
Power = Annotated[
    int,
    _reader(_UW_PER_UNIT, "70 mW", _POWER),
    _writer(_UW_PER_UNIT),
    shown_as(_UW_PER_UNIT, "70 mW", _POWER),
]
"""A power, in microwatts; times picoseconds it is an energy in attojoules."""
_ENERGY = _Range(0, 10**15, "no single event on a chip takes more")
Energy = Annotated[
    int,
    _reader(_AJ_PER_UNIT, "24.5 nJ", _ENERGY),
    _writer(_AJ_PER_UNIT),
    shown_as(_AJ_PER_UNIT, "24.5 nJ", _ENERGY),
]
"""An energy, in attojoules."""
_ENERGY_SUM = _Range(0, 10**30, "no run takes more")
EnergySum = Annotated[
    int,
    _reader(_AJ_PER_UNIT, "1.3 mJ", _ENERGY_SUM),
    _writer(_AJ_PER_UNIT),
    shown_as(_AJ_PER_UNIT, "1.3 mJ", _ENERGY_SUM),
]
"""What many events take together, in attojoules."""
_ENERGY_A_BYTE = _Range(0, 10**12, "no memory or link takes more")
EnergyPerByte = Annotated[
    int,
    _reader(_AJ_PER_BYTE, "1.25 pJ/B", _ENERGY_A_BYTE),
    _writer(_AJ_PER_BYTE),
    shown_as(_AJ_PER_BYTE, "1.25 pJ/B", _ENERGY_A_BYTE),
]
"""What moving or accessing a byte takes, in attojoules."""
_ENERGY_A_MAC = _Range(0, 10**12, "no multiplier takes more")
EnergyPerMac = Annotated[
    int,
    _reader(_AJ_PER_MAC, "2.65 pJ/MAC", _ENERGY_A_MAC),
    _writer(_AJ_PER_MAC),
    shown_as(_AJ_PER_MAC, "2.65 pJ/MAC", _ENERGY_A_MAC),
]
"""What a multiply-accumulate takes, in attojoules."""
_AREA = _Range(1, 10**11, "a wafer of 300 mm has 70,686 mm2")
Area = Annotated[
    int,
    _reader(_UM2_PER_UNIT, "1.5 mm2", _AREA),
    _writer(_UM2_PER_UNIT),
    shown_as(_UM2_PER_UNIT, "1.5 mm2", _AREA),
]
"""An area of silicon, in square micrometres."""


def at_most(most: int, why: str) -> AfterValidator:
    """Return a check that a number of things is no larger, and says why if it is."""

    def check(value: int) -> int:
        if value > most:
            raise ValueError(f"found {value:,}; at most {most:,} would do: {why}")
        return value

    return AfterValidator(check)


MOST_COUNT = 10**9
"""The most of anything; the product of two counts fits 64 bits."""
Count = Annotated[
    int, Field(strict=True, gt=0), at_most(MOST_COUNT, "products of two must fit 64 bits")
]
"""A number of things, at least one: written bare, without a unit."""
Parts = Annotated[Count, at_most(1024, "no chip or board has more of them")]
"""A number of equal parts of a machine, each of which is simulated on its own."""
Lines = Annotated[Count, at_most(2**16, "no array or register has more lines")]
"""A number of rows, columns, lanes or entries of a part."""


class Spec(Described):
    """Base of everything read from YAML: immutable, and a misspelt key is an error."""

    def arrays(self) -> list[Ints]:
        """Return the fields that are columns, where several Specs are described as one."""
        found: list[Ints] = []
        for value in self.__dict__.values():
            if isinstance(value, np.ndarray):
                found.append(value)
            elif isinstance(value, Spec):
                found += value.arrays()
        return found

    def taken(self, index: Any) -> Self:
        """Return the same with some entries of each field that is a column, or with one."""
        changed: dict[str, Any] = {}
        for name, value in self.__dict__.items():
            if isinstance(value, np.ndarray):
                own = value[index]
                changed[name] = own if isinstance(own, np.ndarray) else int(own)
            elif isinstance(value, Spec) and (inner := value.taken(index)) is not value:
                changed[name] = inner
        return self.model_copy(update=changed) if changed else self

    def to_text(self) -> dict[str, Any]:
        """Return plain text and numbers, with units, that read back to an equal Spec."""
        return self.model_dump(mode="json")


class Clock(Spec):
    """A clock domain."""

    frequency: Frequency
    """Cycles per second."""

    def to_ps(self, cycles: IntLike) -> IntLike:
        """Return the time that ``cycles`` take [ps], rounded up once at the end.

        Raises:
            TooLongError: An array holds a time beyond 2^63 ps (about 106 days).
        """
        frequency: Any = self.frequency  # an array where several machines are priced at once
        if isinstance(frequency, np.ndarray):
            return _to_ps_at(cycles, frequency)  # type: ignore[return-value]
        common = gcd(10**12, frequency)
        ps, per = 10**12 // common, frequency // common
        if isinstance(cycles, np.ndarray) and cycles.max(initial=0) > (2**63 - 1) // ps:
            raise TooLongError(_TOO_LONG)
        return cycles * ps if per == 1 else ceil_div(cycles * ps, per)


_TOO_LONG = (
    "a part of the machine takes longer than 106 days for its work; shorter times, faster clocks "
    "or fewer tokens would do"
)


def _to_ps_at(cycles: Any, frequency: Ints) -> Ints:
    """Return the time of cycles at several frequencies [ps], each rounded up.

    Raises:
        TooLongError: It is beyond 2^63 ps.
    """
    if np.max(cycles, initial=0) <= (2**63 - 1) // 10**12:
        few: Ints = ceil_div(cycles * 10**12, frequency)
        return few
    common = np.gcd(10**12, frequency)
    ps, per = 10**12 // common, frequency // common
    if np.any(cycles > (2**63 - 1) // ps):
        raise TooLongError(_TOO_LONG)
    time: Ints = ceil_div(cycles * ps, per)
    return time


def ceil_div(a: IntLike, b: IntLike | int) -> IntLike:
    """Return ``a / b`` rounded up, for integers with ``b > 0``."""
    return -(-a // b)


def in_whole_ps(size: IntLike, bandwidth: IntLike | int) -> IntLike:
    """Return the bytes that a channel carries in the whole picoseconds that ``size`` bytes take.

    Above 1 TB/s that may be more than ``size``.
    """
    return ceil_div(size * 10**12, bandwidth) * bandwidth // 10**12


def format_ps(ps: int) -> str:
    """Return a time for people: three to four digits and a unit, as in ``12.3 us``."""
    for unit, size in reversed(_PS_PER_UNIT.items()):
        if ps >= size:
            value = ps / size
            digits = max(0, 3 - len(str(int(value))))
            return f"{value:.{digits}f} {unit}"
    return f"{ps} ps"


def format_energy(aj: int) -> str:
    """Return an energy in attojoules for people: three to four digits and a unit."""
    for unit, size in reversed(_AJ_PER_UNIT.items()):
        if aj >= size:
            value = aj / size
            return f"{value:.{max(0, 3 - len(str(int(value))))}f} {unit}"
    return f"{aj} aJ"


def format_share(share: float, digits: int = 0) -> str:
    """Return a share of one for people, as in ``53 %``, with some digits behind the point."""
    return f"{100 * share:,.{digits}f} %"


def format_bytes(size: int) -> str:
    """Return an amount of memory for people, as in ``172 KiB``."""
    for unit in ("GiB", "MiB", "KiB"):
        if size >= _BYTES_PER_UNIT[unit]:
            return f"{size / _BYTES_PER_UNIT[unit]:.4g} {unit}"
    return f"{size} B"
