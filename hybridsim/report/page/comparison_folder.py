"""The files of a comparison, from which its page is written again."""

from pathlib import Path
from typing import Any

import pandas as pd

from hybridsim.errors import SpecError
from hybridsim.nesting import json_value
from hybridsim.report.page.comparison_page import ACTIVITY, comparison_page

COMPARISON = "comparison.json"
"""Name of the file in a folder of results."""
_ACTIVITY: dict[str, Any] = {
    "strategy": str,
    "part": str,
    "start_ps": "int64",
    "end_ps": "int64",
    "busy": "float64",
}


def comparison_of_folder(folder: Path) -> str:
    """Return the page of the comparison whose files lie in a folder.

    Raises:
        SpecError: A file is missing, or is not what ``hybridsim compare --out`` wrote.
    """
    path = folder / COMPARISON
    try:
        document = json_value(path.read_text(encoding="utf-8"), str(path))
        path = folder / ACTIVITY
        activity = pd.read_csv(path, dtype=_ACTIVITY, keep_default_na=False)
        path = folder / COMPARISON
        return comparison_page(document, activity)
    except OSError as error:
        reason = error.strerror or "is unreadable"
        raise SpecError(str(path), "", f"{reason}; hybridsim compare --out writes it") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SpecError(
            str(path), "", "is not what hybridsim compare --out wrote; compare again"
        ) from None
