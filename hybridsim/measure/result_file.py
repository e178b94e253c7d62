"""Reading a result back from the file that holds it."""

from pathlib import Path

from pydantic import ValidationError

from hybridsim.errors import SpecError
from hybridsim.measure.result import Result
from hybridsim.nesting import check_json_depth

MOST_BYTES = 256 * 2**20
"""The largest result that is read [bytes]."""


def read_result(path: Path) -> Result:
    """Return the result in a file, or in the ``result.json`` of a folder.

    Raises:
        SpecError: There is none, or what is there is none.
    """
    try:
        path = path / "result.json" if path.is_dir() else path
        if path.stat().st_size > MOST_BYTES:
            raise SpecError(str(path), "", f"is larger than {MOST_BYTES} B")
        text = path.read_text(encoding="utf-8")
        check_json_depth(text, str(path))
        return Result.from_json(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not text"
        problem = f"{reason}; a result.json, or the folder of hybridsim run --out, would do"
        raise SpecError(str(path), "", problem) from None
    except ValidationError:
        problem = "is no result; what hybridsim run --out wrote would do"
        raise SpecError(str(path), "", problem) from None
