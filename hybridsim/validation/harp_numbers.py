"""Numbers as a row of HARP's results has them, with units and remarks in the text."""

import re

from hybridsim.errors import UnsupportedError

_NUMBER = re.compile(r"(\d{1,12})(?:\.(\d{1,6}))?\s*([A-Za-z/+]*)")


def count(name: str, text: str) -> int:
    """Return a number of 0 or more."""
    match = _NUMBER.match(text.strip())
    if match is None or (match[2] and int(match[2])):
        raise UnsupportedError(f"parameter {name}={text} is no whole number")
    return int(match[1])


def whole(name: str, text: str) -> int:
    """Return a number of 1 or more."""
    found = count(name, text)
    if not found:
        raise UnsupportedError(f"parameter {name}={text} is no number of 1 or more")
    return found


def bytes_(name: str, text: str, unit: str) -> int:
    """Return a size in bytes; a unit in the text wins, KB and MB being KiB and MiB."""
    match = _NUMBER.match(text.strip())
    scale = {"": "", "B": "B", "KB": "KiB", "KIB": "KiB", "MB": "MiB", "MIB": "MiB"}
    if match is None or match[3].upper() not in scale:
        raise UnsupportedError(f"parameter {name}={text} is no size")
    factor = {"B": 1, "KiB": 2**10, "MiB": 2**20}[scale[match[3].upper()] or unit]
    fraction = match[2] or "0"
    size: int = int(match[1]) * factor + int(fraction) * factor // 10 ** len(fraction)
    if not size:
        raise UnsupportedError(f"parameter {name}={text} is no number of 1 or more")
    return size


def link_bits(text: str, unit: str) -> int:
    """Return the width of the link in bits; a unit in the text wins."""
    match = _NUMBER.match(text.strip())
    in_bytes = bool(match and match[3].startswith("B")) or unit == "B"
    bits = whole("link", text) * (8 if in_bytes else 1)
    if bits % 8:
        raise UnsupportedError(f"parameter link={text} is no whole number of bytes")
    return bits


def keys(text: str) -> int:
    """Return the keys of a generated token, its own among them.

    ``512(+1)`` are 513, as HARP's reloads show: 2 x 513 x 768 bytes of GPT-2 after 512 tokens.
    A plain number has the token in it.
    """
    own = re.search(r"\d\s*\(?\s*\+\s*(\d{1,12})\b", text)
    return count("prefill", text) + (int(own[1]) if own else 0)
