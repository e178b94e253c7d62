"""When a request arrives, as files of many origins write it: exact to the picosecond.

A time is a number with a unit (``12.5 ms``), a bare number in the unit of its file, or a date
(``2023-11-16 18:15:46.6805900``, ISO 8601). Numbers may have any number of decimals, and an
exponent; what is finer than a picosecond is rounded to the nearest.
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, DecimalException
from functools import lru_cache

PS_PER_UNIT = {"s": 10**12, "ms": 10**9, "us": 10**6, "ns": 10**3, "ps": 1}
_EPOCH_PS = 10**8 * 10**12
"""A first arrival later than this (three years) is a time since 1970."""
_MOST_CHARACTERS = 4096
_NUMBER = re.compile(r"\+?((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,6})?)\s*([a-z]*)")
_DATE = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[ T]([0-9]{2}:[0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?)?"
    r"\s*(Z|UTC|[-+][0-9]{2}(?::?[0-9]{2})?)?"
)
_EXACT = Context(prec=_MOST_CHARACTERS + 64, Emin=-(10**7), Emax=10**7)
_UNIX = datetime(1970, 1, 1, tzinfo=UTC)


def read_ps(text: str, unit: str = "s") -> int | None:
    """Return a time [ps], or None where the text is no time of 0 or more; dates are since 1970.

    ``unit`` is that of a bare number.
    """
    text = text.strip()
    if len(text) > _MOST_CHARACTERS:
        return None
    match = _NUMBER.fullmatch(text)
    if match is None:
        return _date_ps(text)
    scale = PS_PER_UNIT.get(match[2] or unit)
    return None if scale is None else _whole(match[1], scale)


def has_zone(text: str) -> bool:
    """Return whether a text is a date that names its time zone."""
    match = _DATE.fullmatch(text.strip()) if "-" in text else None
    return match is not None and match[5] is not None


def is_absolute(first_ps: int) -> bool:
    """Return whether a first arrival is a time since 1970, rather than since a trace began."""
    return first_ps > _EPOCH_PS


def _whole(number: str, scale: int) -> int | None:
    """Return ``number * scale``, rounded to the nearest whole number, half to even."""
    if "." not in number and number.isdecimal() and len(number) < 30:
        return int(number) * scale
    try:
        value = Decimal(number)
        if value.adjusted() > 40:
            return None
        product = _EXACT.multiply(value, Decimal(scale))
        return int(product.to_integral_value(ROUND_HALF_EVEN, _EXACT))
    except DecimalException:
        return None


def _date_ps(text: str) -> int | None:
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    minute = _minute_ps(match[1], match[2] or "00:00", match[5] or "Z")
    fraction = _whole(f"0.{match[4]}", 10**12) if match[4] else 0
    second = int(match[3] or 0)
    if minute is None or fraction is None or second > 60:
        return None
    return minute + second * 10**12 + fraction


@lru_cache(maxsize=64)
def _minute_ps(day: str, minute: str, zone: str) -> int | None:
    """Return a minute since 1970 [ps]; a time without a zone is taken for UTC."""
    try:
        moment = datetime.fromisoformat(f"{day}T{minute}:00+00:00") - _UNIX
    except ValueError:
        return None
    if zone not in ("Z", "UTC"):
        hours, minutes = int(zone[1:3]), int(zone[3:].lstrip(":") or 0)
        away = timedelta(hours=hours, minutes=minutes)
        moment = moment - away if zone[0] == "+" else moment + away
    seconds = moment.days * 86_400 + moment.seconds
    return seconds * 10**12 if seconds >= 0 else None
