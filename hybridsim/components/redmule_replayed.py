"""Waits of RedMulE arrays that come with the package, replayed before anybody asks for them.

Random shapes ask for tens of thousands of entries, and replaying these takes seconds in every
process. What all jobs of the arrays of bundled machines can ask for takes some kilobytes. It is
only taken while the sources are those that it was replayed with; entries of other arrays are
replayed when they are asked for (:mod:`.redmule_waits`).
"""

import gzip
import hashlib
import zlib
from functools import cache
from pathlib import Path

import numpy as np

from hybridsim.components.redmule_cycles import Array, Waits

FOLDER = Path(__file__).parent / "replayed"
"""The folder of these tables: a file for each array."""
SOURCES = ("redmule_contents", "redmule_cycles", "redmule_replay", "redmule_waits")
"""Modules that tell what an entry is."""
_STATE = 16


@cache
def state() -> bytes:
    """Return a short text that differs when a source of the tables differs."""
    content = b"\0".join(Path(__file__).with_name(f"{name}.py").read_bytes() for name in SOURCES)
    return hashlib.sha256(content).hexdigest()[:_STATE].encode()


def take(array: Array, waits: Waits) -> bool:
    """Fill in the tables of an array that comes with the package; return whether it does."""
    try:
        content = gzip.decompress(_path(array).read_bytes())
    except (OSError, EOFError, zlib.error):
        return False
    tables, begin = waits[:-1], _STATE
    if content[:begin] != state() or len(content) != begin + sum(t.nbytes for t in tables):
        return False
    for table in tables:
        kind = table.dtype.newbyteorder("<")
        table[:] = np.frombuffer(content, kind, table.size, begin).reshape(table.shape)
        begin += table.nbytes
    return True


def write(array: Array, waits: Waits) -> None:
    """Write complete tables into the folder."""
    parts = [table.astype(table.dtype.newbyteorder("<")).tobytes() for table in waits[:-1]]
    _path(array).write_bytes(gzip.compress(state() + b"".join(parts), mtime=0))


def _path(array: Array) -> Path:
    return FOLDER / f"redmule_{array.height}x{array.width}x{array.pipe_regs}.gz"
