"""Files from anywhere: read no further than a budget, and never a pipe or a device.

What hybridsim wrote itself has its checksum in the file :data:`SUMS` of its folder, in the format
of ``sha256sum``; it is verified when it is read back.
"""

import hashlib
import math
import os
import re
import stat
from pathlib import Path
from typing import Any, NoReturn

from hybridsim.boundary.values import is_printable, printable, unprintable
from hybridsim.errors import SpecError
from hybridsim.nesting import json_value

MOST_BYTES = 2**20
"""The largest file that a person writes [bytes]; the largest bundled one is a thousandth of it."""
MOST_OWN_BYTES = 256 * 2**20
"""The largest file that is read back [bytes]."""
MOST_DIGITS = 18
"""How long a whole number may be; 18 digits always fit 64 bits."""
MOST_OWN_DIGITS = 40
"""The same in a file that is read back; an energy may have more than 64 bits."""
SUMS = "SHA256SUMS"
"""Name of the file of checksums in a folder of results; ``sha256sum -c`` reads it too."""

_SUM = re.compile(r"([0-9a-f]{64})  ([^/\n]{1,255})")


def read_bytes(path: Path, most: int = MOST_BYTES, would_do: str = "") -> bytes:
    """Return what is in a file, read no further than ``most`` bytes.

    ``would_do`` is said where there is no file: what to give instead.

    Raises:
        SpecError: There is none, it is no file but a folder, a pipe or a device, it is larger, or
            the disk refuses.
    """
    file = printable(str(path))
    hint = would_do and f"; {would_do}"
    try:
        # a pipe that nobody writes to must not hold the program up when it is opened
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
        with open(os.open(path, flags), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise SpecError(file, "", f"is not a file but a pipe or a device{hint}")
            raw = stream.read(most + 1)
    except IsADirectoryError:
        raise SpecError(file, "", f"is a folder, not a file{hint}") from None
    except FileNotFoundError:
        raise SpecError(file, "", f"does not exist{hint}") from None
    except (OSError, ValueError) as error:
        raise SpecError(_short(file), "", f"cannot be read: {_reason(error)}{hint}") from None
    if len(raw) > most:
        from hybridsim.units import format_bytes  # numpy and pydantic, which list needs not

        limit = format_bytes(most)
        raise SpecError(file, "", f"is larger than {limit}; at most {limit} would do")
    return raw


def read_text(path: Path, most: int = MOST_BYTES, would_do: str = "") -> str:
    """Return the text in a file; a byte order mark is left out.

    Raises:
        SpecError: As :func:`read_bytes`, or it is not UTF-8.
    """
    return decoded(read_bytes(path, most, would_do), path)


def decoded(raw: bytes, path: Path) -> str:
    """Return bytes of a file as text, with ``\\n`` at the end of each line.

    Raises:
        SpecError: They are not UTF-8.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = f"byte {error.start} is not UTF-8 text"
        raise SpecError(printable(str(path)), "", problem) from None
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def read_own(path: Path, most: int = MOST_OWN_BYTES, would_do: str = "") -> bytes:
    """Return a file that hybridsim wrote, checked against its sum where there is one.

    Raises:
        SpecError: As :func:`read_bytes`, or as :func:`check_sum`.
    """
    raw = read_bytes(path, most, would_do)
    check_sum(path, raw)
    return raw


def read_json(path: Path, most: int = MOST_BYTES, would_do: str = "") -> Any:
    """Return what a JSON file says, read strictly.

    Raises:
        SpecError: As :func:`read_text`; it is broken or too deep; a key is given twice; or a
            number is not finite or has too many digits.
    """
    return json_of(read_text(path, most, would_do), printable(str(path)))


def read_own_json(path: Path, would_do: str = "") -> Any:
    """Return what a JSON file says that hybridsim wrote; see :func:`read_own`.

    NaN stands there for what is not known.

    Raises:
        SpecError: As :func:`read_own` and :func:`read_json`.
    """
    text = decoded(read_own(path, would_do=would_do), path)
    return json_of(text, printable(str(path)), MOST_OWN_DIGITS, nan=True)


def json_of(text: str | bytes, file: str, digits: int = MOST_DIGITS, nan: bool = False) -> Any:
    """Return what a JSON text says, read strictly; whole numbers have at most ``digits`` digits.

    ``nan`` lets NaN pass.

    Raises:
        SpecError: As :func:`read_json`.
    """

    def refuse(literal: str) -> NoReturn:
        problem = f"found the number {literal[:40]}; a finite number would do"
        raise SpecError(file, _line_of(literal, text), problem)

    def constant(literal: str) -> float:
        return math.nan if nan and literal == "NaN" else refuse(literal)

    def whole(number: str) -> int:
        if len(number) <= digits:
            return int(number)
        problem = f"found a number of {len(number)} characters; at most {digits} would do"
        raise SpecError(file, _line_of(number, text), problem)

    def number(literal: str) -> float:
        value = float(literal)
        return value if math.isfinite(value) else refuse(literal)

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for place, key in enumerate(keys) if key in keys[:place])
            problem = f"key {printable(twice)[:60]!r} is given twice; once would do"
            raise SpecError(file, "", problem)
        return found

    hooks: dict[str, Any] = {"object_pairs_hook": mapping, "parse_constant": constant}
    try:
        data = json_value(text, file, parse_int=whole, parse_float=number, **hooks)
    except ValueError as error:
        line, column = getattr(error, "lineno", 1), getattr(error, "colno", 1)
        problem = f"broken JSON: {getattr(error, 'msg', 'it cannot be read')}"
        raise SpecError(file, f"line {line}, column {column}", problem) from None
    _check_texts(data, file)
    return data


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[-+.\w]+')


def _line_of(literal: str, text: str | bytes) -> str:
    """Return the line of a JSON text in which a number stands first."""
    whole = text if isinstance(text, str) else text.decode(errors="replace")
    found = next((token for token in _TOKEN.finditer(whole) if token[0] == literal), None)
    return f"line {whole.count(chr(10), 0, found.start()) + 1}" if found else ""


def _check_texts(data: Any, file: str) -> None:
    """Refuse control characters in any text of a JSON document: a terminal would obey them."""
    stack = [data]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            stack += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            stack += value
        elif isinstance(value, str) and not is_printable(value):
            raise SpecError(file, "", unprintable(value))


# --- checksums ------------------------------------------------------------------------------


def sum_of(raw: bytes) -> str:
    """Return the checksum of a file's content, as hexadecimal digits."""
    return hashlib.sha256(raw).hexdigest()


def read_sums(folder: Path) -> dict[str, set[str]]:
    """Return name -> checksums of the files in a folder of results; none without such a list.

    A file has two while it is replaced.

    Raises:
        SpecError: The list is broken.
    """
    path = folder / SUMS
    if not path.exists():
        return {}
    found: dict[str, set[str]] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        match = _SUM.fullmatch(line)
        if match is None:
            problem = "is no checksum and name; write the results again"
            raise SpecError(printable(str(path)), f"line {number}", problem)
        found.setdefault(match[2], set()).add(match[1])
    return found


def check_sum(path: Path, raw: bytes) -> None:
    """Refuse a file that has changed since hybridsim wrote it; one that is not listed may be new.

    Raises:
        SpecError: Its content is not what the list beside it says, or that list is broken.
    """
    known = read_sums(path.parent).get(path.name)
    if known is not None and sum_of(raw) not in known:
        problem = (
            f"has changed since it was written: its checksum is not the one in {SUMS} beside it; "
            "write it again, or delete its line there if the change is yours"
        )
        raise SpecError(printable(str(path)), "", problem)


def verify(path: Path) -> None:
    """Refuse a file that another reader is to take, if it has changed since hybridsim wrote it.

    Raises:
        SpecError: As :func:`check_sum`.
    """
    if path.name in read_sums(path.parent):
        check_sum(path, read_bytes(path, MOST_OWN_BYTES))


# --- what lies there ------------------------------------------------------------------------


def is_file(path: Path) -> bool:
    """Return whether a file lies there; a path that no file system takes leads nowhere."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Return whether a folder lies there; a path that no file system takes leads nowhere."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or "not a path that a file can have"


def _short(file: str) -> str:
    return file if len(file) <= 200 else file[:197] + "..."
