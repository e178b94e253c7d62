"""Texts, numbers and paths that a person writes on the command line, read strictly."""

import math
import re
from pathlib import Path

from hybridsim.errors import SpecError

MOST_CHARACTERS = 4096
"""The longest text that an option takes; Linux takes no longer path either."""
MOST_NAME_BYTES = 255
"""The longest name of a file in a folder, as common file systems have it [bytes]."""
MOST_DIGITS = 18
"""How long a whole number may be; 18 digits always fit 64 bits."""

_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,4})?")
# C0 but for line breaks and tabs, DEL, C1, lone surrogates (bytes that are no UTF-8)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def printable(text: str) -> str:
    """Return a text whose control characters are written out, as a terminal must not obey them.

    Line breaks and tabs stay; bytes that are no UTF-8 are written out too.
    """
    return _UNPRINTABLE.sub(lambda found: repr(found[0])[1:-1], text)


def is_printable(text: str) -> bool:
    """Return whether a text has no control characters but line breaks and tabs."""
    return _UNPRINTABLE.search(text) is None


def unprintable(text: str) -> str:
    """Return what is wrong with a text that is not printable."""
    return f"found a control character in '{printable(text)[:60]}'; plain text would do"


def text_of(text: str, option: str) -> str:
    """Return a text that an option was given.

    Raises:
        SpecError: It is longer than :data:`MOST_CHARACTERS`, or has a control character.
    """
    if len(text) > MOST_CHARACTERS:
        problem = f"found {len(text):,} characters; at most {MOST_CHARACTERS:,} would do"
        raise SpecError(option, "", problem)
    if not is_printable(text):
        raise SpecError(option, "", unprintable(text))
    return text


def path_of(text: str, option: str) -> Path:
    """Return a path that an option was given.

    Raises:
        SpecError: It is empty, too long for a file system, or has a control character.
    """
    path = Path(text_of(text, option))
    if not text.strip():
        raise SpecError(option, "", "found nothing; a path would do, as in ./results")
    longest = max((len(part.encode()) for part in path.parts), default=0)
    if longest > MOST_NAME_BYTES:
        problem = f"found a name of {longest:,} bytes; at most {MOST_NAME_BYTES} would do"
        raise SpecError(option, "", problem)
    return path


def whole(text: str, option: str, least: int | None = None, most: int | None = None) -> int:
    """Return a whole number that an option was given, in plain decimal.

    Raises:
        SpecError: It is none, has more than :data:`MOST_DIGITS` digits, or is out of range.
    """
    plain = text.strip()
    long = len(plain) > MOST_DIGITS
    value = int(plain) if _WHOLE.fullmatch(plain) and not long else None
    below = value is not None and least is not None and value < least
    above = value is not None and most is not None and value > most
    if value is None or below or above:
        wanted = "a whole number" + _range(least, most)
        digits = f", with at most {MOST_DIGITS} digits" if long else ""
        problem = f"found {printable(text)[:40]!r}; {wanted} would do{digits}"
        raise SpecError(option, "", problem)
    return value


def decimal(
    text: str, option: str, least: float | None = None, most: float | None = None
) -> float:
    """Return a number that an option was given, in plain decimal; an exponent may follow.

    Raises:
        SpecError: It is none, not finite, or out of range.
    """
    plain = text.strip()
    value = float(plain) if len(plain) <= 60 and _DECIMAL.fullmatch(plain) else math.inf
    below, above = least is not None and value < least, most is not None and value > most
    if not math.isfinite(value) or below or above:
        problem = f"found {printable(text)[:40]!r}; a number{_range(least, most)} would do"
        raise SpecError(option, "", problem if below or above else f"{problem}, as in 0.7")
    return value


def _range(least: float | None, most: float | None) -> str:
    if least is None and most is None:
        return ""
    if most is None:
        return f" of {least:,} or more"
    return f" of at most {most:,}" if least is None else f" from {least:,} to {most:,}"
