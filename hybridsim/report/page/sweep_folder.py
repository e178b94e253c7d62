"""The files of a sweep, from which its page is written again."""

from pathlib import Path

import pandas as pd

from hybridsim.errors import InputError, SpecError
from hybridsim.nesting import json_value
from hybridsim.report.page.file_names import STUDY
from hybridsim.report.page.sweep_page import sweep_page
from hybridsim.specs import validate
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.run import Audit, SweepResult
from hybridsim.sweeps.study import Study, study_axes

TABLE = "sweep.parquet"
SUMMARY = "sweep.json"


def study_text(study: Study) -> str:
    """Return a study as the file from which its page can be written again."""
    return study.model_dump_json(indent=2) + "\n"


def sweep_of_folder(folder: Path) -> str:
    """Return the page of the sweep whose files lie in a folder.

    Raises:
        SpecError: A file is missing, or is not what ``hybridsim sweep --out`` wrote.
    """
    path = folder / STUDY
    try:
        document = json_value(path.read_text(encoding="utf-8"), str(path))
        study = validate(Study, document, str(path))
        axes = study_axes(study, str(path))
        path = folder / SUMMARY
        summary = json_value(path.read_text(encoding="utf-8"), str(path))
        audit = summary["audit"] and Audit(
            summary["audit"]["points"], tuple(summary["audit"]["differences"])
        )
        path = folder / TABLE
        table = pd.read_parquet(path)
        result = SweepResult(Inputs(study, axes, {}, {}, {}), table, audit, len(table), 0.0)
        return sweep_page(result, summary["model_version"])
    except OSError as error:
        reason = error.strerror or "is unreadable"
        raise SpecError(str(path), "", f"{reason}; hybridsim sweep --out writes it") from None
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SpecError(
            str(path), "", "is not what hybridsim sweep --out wrote; sweep again"
        ) from None
