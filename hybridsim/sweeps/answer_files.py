"""The answers of a sweep as files, with checksums by which they are read again."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hybridsim._old_names import COLUMNS
from hybridsim.boundary.reading import read_own, read_own_json
from hybridsim.boundary.writing import write_all
from hybridsim.errors import SpecError
from hybridsim.sweeps.answers import best_rows
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.study import STUDY, study_text

TABLE, SUMMARY = "sweep.parquet", "sweep.json"
_WRITES = "hybridsim sweep --out writes it"


def write_answers(
    folder: Path,
    inputs: Inputs,
    table: pd.DataFrame,
    summary: Mapping[str, Any],
    name: str = "sweep",
) -> None:
    """Write the table and what it says; the same study leaves the same bytes.

    A sweep also leaves its study. All of it is written, with checksums, or nothing.

    Raises:
        SpecError: The disk refuses.
    """
    text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    files = {
        f"{name}.parquet": table.to_parquet(index=False),
        f"{name}.json": text.encode(),
        f"{name}_pareto.csv": _front(table).to_csv(index=False).encode(),
        f"{name}_best.csv": _best(inputs, table).to_csv(index=False).encode(),
    }
    if name == "sweep":
        files[STUDY] = study_text(inputs.study).encode()
    write_all(folder, files)


def read_answers(folder: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the table and the summary of a sweep.

    Raises:
        SpecError: A file is missing, or is not what ``hybridsim sweep --out`` wrote.
    """
    summary = read_own_json(folder / SUMMARY, _WRITES)
    path = folder / TABLE
    try:
        table = pd.read_parquet(io.BytesIO(read_own(path, would_do=_WRITES)))
    except (ValueError, OSError):
        problem = "is not what hybridsim sweep --out wrote; sweep again"
        raise SpecError(str(path), "", problem) from None
    return table.rename(columns=COLUMNS), summary


def _front(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the Pareto front, without what is the same for all of them."""
    return table[table["pareto"]].drop(columns=["problem", "feasible", "pareto"])


def _best(inputs: Inputs, table: pd.DataFrame) -> pd.DataFrame:
    """Return the best rows, and what they are best in."""
    found = best_rows(inputs, table)
    rows = [row for places in found.values() for row in places]
    best = table.drop(columns=["problem", "feasible", "pareto"]).iloc[rows].copy()
    best.insert(0, "best", [name for name, places in found.items() for _ in places])
    return best
