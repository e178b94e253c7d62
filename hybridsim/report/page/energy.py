"""Energy of a run, where its result knows it."""

from typing import Any

from hybridsim.metrics.result import Result
from hybridsim.report.page.cells import Cell, Column, Table
from hybridsim.report.page.origins import flat

_COLUMNS = (Column("path", "part"), Column("value", "value", "number"))


def energy_table(result: Result) -> Table | None:
    """Return every figure of the energy of a result, or None where it has none."""
    found: Any = result.model_dump(mode="json").get("energy")
    if not found:
        return None
    leaves = flat(found if isinstance(found, dict) else {"energy": found})
    rows = tuple((Cell(path, path), Cell(value, _text(value))) for path, value in leaves)
    return Table("energy", "Energy", _COLUMNS, rows)


def _text(value: Any) -> str:
    return f"{value:,.6g}" if isinstance(value, (int, float)) else str(value)
