"""What kind of answer lies in a folder of results, and that no other kind is written into it."""

from collections.abc import Mapping
from pathlib import Path

from hybridsim.boundary.values import printable
from hybridsim.boundary.writing import check_place
from hybridsim.errors import SpecError

KINDS: Mapping[str, tuple[str, ...]] = {
    "run": ("result.json",),
    "comparison": ("comparison.json",),
    "comparison of results": ("difference.json",),
    "sweep": ("sweep.json", "search.json", "sample.json", "answers.json", "part-*.parquet"),
    "design": ("design.json", "points/part-*.parquet"),
    "service": ("service.json",),
    "codesign": ("codesign.json",),
    "generation": ("generation.json",),
    "study of adapters": ("journal.jsonl",),
}
"""Kind of answer -> what a folder of it holds, finished or not: patterns of files."""


def check_folder(folder: Path, kind: str) -> None:
    """Refuse a place for answers of a kind, before any work is done.

    An answer of the same kind may lie there: it is replaced, or gone on with.

    Raises:
        SpecError: As :func:`check_place`, or an answer of another kind lies there.
    """
    check_place(folder)
    for other, patterns in KINDS.items():
        if other != kind and any(any(folder.glob(pattern)) for pattern in patterns):
            problem = f"holds a {other}, beside which no {kind} goes; another folder would do"
            raise SpecError("--out", printable(str(folder)), problem)
