"""That no kind of answer is written into a folder that holds another kind."""

from collections.abc import Callable, Iterable
from pathlib import Path

from hybridsim.boundary.values import printable
from hybridsim.boundary.writing import check_place
from hybridsim.errors import SpecError
from hybridsim.records import record


@record(frozen=True)
class Kind:
    """A kind of answer that a folder holds; who writes it says what it is."""

    name: str
    files: tuple[str, ...]
    """What a folder of it holds, finished or not: patterns of files, one of which is there."""

    def lies_in(self, folder: Path) -> bool:
        """Return whether a folder holds an answer of this kind."""
        return any(any(folder.glob(pattern)) for pattern in self.files)


def check_folder(folder: Path, kind: Kind, every: Callable[[], Iterable[Kind]]) -> None:
    """Refuse a place for answers of a kind, before any work is done.

    An answer of the same kind may lie there: it is replaced, or gone on with. ``every`` returns
    all kinds; it is asked where something else lies there.

    Raises:
        SpecError: As :func:`check_place`, or an answer of another kind lies there.
    """
    check_place(folder)
    if kind.lies_in(folder) or not folder.is_dir() or not any(folder.iterdir()):
        return
    for other in every():
        if other != kind and other.lies_in(folder):
            problem = f"holds a {other.name}, beside which no {kind.name} goes"
            raise SpecError("--out", printable(str(folder)), f"{problem}; another folder would do")
