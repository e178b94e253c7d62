"""Physical quantities: text with a unit at the boundary, integers inside.

Simulated time is an integer number of picoseconds everywhere, so that sums are exact
and two engines can be compared with ``==``.
"""

import re
from collections.abc import Mapping
from functools import partial
from math import gcd
from typing import Annotated, Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

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
_CYCLES_PER_UNIT = {"cycle": 1, "cycles": 1}
_UW_PER_UNIT = {"uW": 1, "mW": 10**3, "W": 10**6}
_AJ_PER_UNIT = {
    "aJ": 1, "fJ": 10**3, "pJ": 10**6, "nJ": 10**9, "uJ": 10**12, "mJ": 10**15, "J": 10**18,
}  # fmt: skip
_AJ_PER_BYTE = {f"{unit}/B": _AJ_PER_UNIT[unit] for unit in ("aJ", "fJ", "pJ", "nJ")}
_AJ_PER_MAC = {f"{unit}/MAC": _AJ_PER_UNIT[unit] for unit in ("aJ", "fJ", "pJ", "nJ")}
_UM2_PER_UNIT = {"um2": 1, "mm2": 10**6}

_NUMBER_AND_UNIT = re.compile(r"(\d{1,30})(?:\.(\d{1,30}))?\s*([A-Za-z][A-Za-z/]*2?)")
"""Longer numbers are no quantity; beyond some thousands of digits Python would not read them."""


def _quantity(text: object, scale: Mapping[str, int], example: str, step: int = 1) -> int:
    """Turn ``"256 ns"`` into an integer number of base units; refuse a bare number.

    A value that is not a whole multiple of ``step`` base units is refused as well.
    """
    would_do = f"write a number of 0 or more and one of {', '.join(scale)}, as in {example!r}"
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
    return int(value)


def _short(value: object, most: int = 60) -> str:
    """Return ``repr(value)``, cut to ``most`` characters."""
    shown = repr(value)
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def _reader(scale: Mapping[str, int], example: str, step: int = 1) -> BeforeValidator:
    return BeforeValidator(partial(_quantity, scale=scale, example=example, step=step))


def _exact(value: int, scale: Mapping[str, int], step: int = 1) -> str:
    """Return the shortest exact text: ``"256 ns"`` for 256,000 picoseconds."""
    whole = value * step
    unit = max((u for u in scale if whole % scale[u] == 0), key=lambda u: scale[u])
    return f"{whole // scale[unit]} {unit if whole else next(iter(scale))}"


def _writer(scale: Mapping[str, int], step: int = 1) -> PlainSerializer:
    return PlainSerializer(partial(_exact, scale=scale, step=step), return_type=str)


Duration = Annotated[int, _reader(_PS_PER_UNIT, "256 ns"), _writer(_PS_PER_UNIT)]
"""A time, in picoseconds."""
Frequency = Annotated[int, _reader(_HZ_PER_UNIT, "500 MHz"), Field(gt=0), _writer(_HZ_PER_UNIT)]
"""A frequency, in hertz."""
Size = Annotated[int, _reader(_BYTES_PER_UNIT, "128 KiB"), Field(gt=0), _writer(_BYTES_PER_UNIT)]
"""An amount of memory, in bytes."""
Width = Annotated[int, _reader(_BITS_PER_UNIT, "256 bit"), Field(gt=0), _writer({"bit": 1})]
"""The width of a port or a number, in bits."""
BytesPerCycle = Annotated[
    int,
    _reader(_BITS_PER_CYCLE, "8 B/cycle", step=8),
    Field(gt=0),
    _writer({"B/cycle": 8}, step=8),
]
"""A transfer rate, in bytes per clock cycle."""
BytesPerSecond = Annotated[
    int,
    _reader(_BYTES_PER_SECOND, "800 MiB/s"),
    Field(gt=0),
    _writer(_BYTES_PER_SECOND),
]
"""A transfer rate, in bytes per second."""
Cycles = Annotated[int, _reader(_CYCLES_PER_UNIT, "15 cycles"), _writer({"cycles": 1})]
"""A number of clock cycles."""
Power = Annotated[int, _reader(_UW_PER_UNIT, "70 mW"), _writer(_UW_PER_UNIT)]
"""A power, in microwatts; times picoseconds it is an energy in attojoules."""
Energy = Annotated[int, _reader(_AJ_PER_UNIT, "24.5 nJ"), _writer(_AJ_PER_UNIT)]
"""An energy, in attojoules."""
EnergyPerByte = Annotated[int, _reader(_AJ_PER_BYTE, "1.25 pJ/B"), _writer(_AJ_PER_BYTE)]
"""What moving or accessing a byte takes, in attojoules."""
EnergyPerMac = Annotated[int, _reader(_AJ_PER_MAC, "2.65 pJ/MAC"), _writer(_AJ_PER_MAC)]
"""What a multiply-accumulate takes, in attojoules."""
Area = Annotated[int, _reader(_UM2_PER_UNIT, "1.5 mm2"), Field(gt=0), _writer(_UM2_PER_UNIT)]
"""An area of silicon, in square micrometres."""
Count = Annotated[int, Field(strict=True, gt=0)]
"""A number of things, at least one: written bare, without a unit."""


class Spec(BaseModel):
    """Base of everything read from YAML: immutable, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

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

    def to_ps(self, cycles: IntLike) -> IntLike:
        """Return the time that ``cycles`` take [ps], rounded up once at the end.

        Raises:
            OverflowError: An array holds a time beyond 2^63 ps (about 106 days).
        """
        frequency: Any = self.frequency  # an array where several machines are priced at once
        if isinstance(frequency, np.ndarray):
            return _to_ps_at(cycles, frequency)  # type: ignore[return-value]
        common = gcd(10**12, frequency)
        ps, per = 10**12 // common, frequency // common
        if isinstance(cycles, np.ndarray) and cycles.max(initial=0) > (2**63 - 1) // ps:
            raise OverflowError("a time beyond 2^63 ps does not fit an array")
        return cycles * ps if per == 1 else ceil_div(cycles * ps, per)


def _to_ps_at(cycles: Any, frequency: Ints) -> Ints:
    """Return the time of cycles at several frequencies [ps], each rounded up.

    Raises:
        OverflowError: It is beyond 2^63 ps.
    """
    if np.max(cycles, initial=0) <= (2**63 - 1) // 10**12:
        few: Ints = ceil_div(cycles * 10**12, frequency)
        return few
    common = np.gcd(10**12, frequency)
    ps, per = 10**12 // common, frequency // common
    if np.any(cycles > (2**63 - 1) // ps):
        raise OverflowError("a time beyond 2^63 ps does not fit an array")
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


def format_bytes(size: int) -> str:
    """Return an amount of memory for people, as in ``172 KiB``."""
    for unit in ("GiB", "MiB", "KiB"):
        if size >= _BYTES_PER_UNIT[unit]:
            return f"{size / _BYTES_PER_UNIT[unit]:.4g} {unit}"
    return f"{size} B"
