"""HARP's published rows kind by kind: how far each kind is, and how far it was before."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hybridsim.csv_files import Row, Table, read_table
from hybridsim.validation.harp import COLUMNS, read_case

NOT_SIMULATED = "not simulated"
ERRORS = ("error_percent", "energy_error_percent")
"""Columns of a comparison, of latency and of energy."""
MEASURES = ("rows", "latency_median", "latency_worst", "energies", "energy_worst")
"""Columns of the table of kinds: counts, and absolute errors in percent."""


def kinds(compared: pd.DataFrame, before: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return a row per kind of row: :data:`MEASURES`, and those of ``before`` with that suffix.

    What is mapped for another objective than latency is a kind, generated tokens are one, and
    FlashAttention is one; all else is told apart by its strategy. A kind is what a row is now.
    """
    names = [_kind(row) for row in compared.to_dict("records")]
    found = _measured(compared, names)
    if before is not None:
        earlier = _measured(before, names).drop(columns="rows")
        found = found.join(earlier.add_suffix("_before"))
    return found.rename_axis("kind").reset_index()


def _kind(row: Mapping[Any, Any]) -> str:
    if row["reason"]:
        return NOT_SIMULATED
    case = read_case(row)
    objective = dict(case.overrides)["tile.sharing"]
    if objective != "latency":
        return f"mapped for {objective}"
    if case.past:
        return "generated tokens"
    return "flash" if dict(case.options).get("flash") else case.strategy


def _measured(compared: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return :data:`MEASURES` by kind, in the order of the rows."""
    latency, energy = (compared[name].abs().groupby(list(names), sort=False) for name in ERRORS)
    each = (latency.size(), latency.median(), latency.max(), energy.count(), energy.max())
    return pd.DataFrame(dict(zip(MEASURES, each, strict=True)))


def read_before(path: Path) -> Table:
    """Return what ``validate harp --csv`` printed before.

    Raises:
        SpecError: The file is no such table.
    """
    table = read_table(path)
    table.require((*COLUMNS, *ERRORS))
    for row in table.rows:
        for name in ERRORS:
            _percent(row, name)
    return table


def errors_before(table: Table, compared: pd.DataFrame) -> pd.DataFrame:
    """Return :data:`ERRORS` of the same rows; a row that is not in the table has none."""
    known = {tuple(row.cells[name] for name in COLUMNS): row for row in table.rows}
    found = []
    for row in compared.to_dict("records"):
        earlier = known.get(tuple(str(row[name]) for name in COLUMNS))
        found.append({name: earlier and _percent(earlier, name) for name in ERRORS})
    return pd.DataFrame(found, columns=list(ERRORS)).astype(float)


def _percent(row: Row, column: str) -> float | None:
    text = row.cells[column].strip()
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise row.problem(column, "write a number of percent, or nothing") from None
