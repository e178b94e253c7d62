"""The tensors of a safetensors file: names, shapes and sizes, without a single weight."""

import re
from dataclasses import dataclass
from math import prod
from pathlib import Path

from hybridsim.boundary.reading import verify
from hybridsim.errors import InputError, SpecError, installing

MOST_TENSORS = 200_000
"""The most tensors of a file: adapters of all experts of the largest models have fewer."""
MOST_HEADER = 2**26
"""The longest header that is read [bytes]; 200,000 long names take less."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor as the header describes it."""

    name: str
    shape: tuple[int, ...]
    stored_bytes: int

    @property
    def numbers(self) -> int:
        """Its elements."""
        return prod(self.shape)


def cut(name: str, most: int = 160) -> str:
    """Return a name for a message: printable, and without its middle if it is long."""
    plain = "".join(c if c.isprintable() else "?" for c in name)
    half = most // 2
    return plain if len(plain) <= most else f"{plain[:half]}...{plain[-half:]}"


def tensors_of(file: Path) -> tuple[Tensor, ...]:
    """Return the tensors of a safetensors file, sorted by name.

    Raises:
        SpecError: There is no such file, it is none of this format, or a tensor is empty.
        InputError: The package ``safetensors`` is not installed.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise InputError(
            f"reading adapters needs the package safetensors; {installing('serve')} would do"
        ) from None
    _check_header(file)
    verify(file)
    found = []
    try:
        with safe_open(str(file), framework="numpy") as tensors:
            for name in sorted(tensors.keys()):
                part = tensors.get_slice(name)
                shape = tuple(part.get_shape())
                size = -(-prod(shape) * _bits(part.get_dtype()) // 8)
                found.append(Tensor(name, shape, size))
    except (SafetensorError, OSError, UnicodeError) as error:
        reason = cut(" ".join(str(error).split()), 120)
        raise SpecError(str(file), "", f"is no safetensors file: {reason}") from None
    for tensor in found:
        if not tensor.numbers:
            sizes = " x ".join(map(str, tensor.shape))
            problem = f"has no element (shape {sizes}); an adapter that was saved whole would do"
            raise SpecError(str(file), cut(tensor.name), problem)
    return tuple(found)


def _check_header(file: Path) -> None:
    """Refuse what is no regular file, and a header longer than its file or than is read.

    Raises:
        SpecError: It is one of these.
    """
    if not file.exists():
        raise SpecError(str(file), "", "no such file; PEFT writes it beside its config")
    if not file.is_file():
        raise SpecError(str(file), "", "is no regular file; the one that PEFT wrote would do")
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            header = int.from_bytes(opened.read(8), "little")
    except OSError as error:
        raise SpecError(str(file), "", f"cannot be read: {error.strerror}") from None
    if size < 8 or header > size - 8:
        problem = (
            f"is no safetensors file: its header has {header:,} bytes, the file has {size:,}; "
            "a file that was copied whole would do"
        )
        raise SpecError(str(file), "", problem)
    if header > MOST_HEADER:
        problem = f"has a header of {header:,} bytes; at most {MOST_HEADER:,} would do"
        raise SpecError(str(file), "", problem)


def _bits(dtype: str) -> int:
    """Return the bits of one number of a safetensors type such as ``BF16``; a BOOL takes 8."""
    digits = re.search(r"\d+", dtype)
    return int(digits[0]) if digits else 8
