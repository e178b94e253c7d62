"""Accuracy as a column of a study: read from what ``hybridsim adapt`` found, or written out."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from hybridsim.analog.times import ElapsedTime, format_time
from hybridsim.csv_files import Row, read_table
from hybridsim.errors import SpecError
from hybridsim.units import Spec

TABLE = "accuracy.csv"
COLUMNS = ("arm", "time", "accuracy_percent")
"""What a row of the table must say."""


class AccuracyOfAxis(Spec):
    """Which adapters each value of an axis stands for, and where their accuracy is."""

    results: Annotated[str, Field(min_length=1, max_length=1000)]
    """Folder written by ``hybridsim adapt``, beside the study."""
    after: ElapsedTime
    """The time since programming at which accuracy counts; the results must have it."""
    axis: Annotated[str, Field(min_length=1, max_length=1000)]
    """The axis that chooses the adapters, such as ``adapters.rank``."""
    arms: Annotated[dict[str, str], Field(min_length=1)]
    """Value of the axis -> arm of the results; values that are not here have no accuracy."""


class AccuracyTable(Spec):
    """Accuracies that the study itself writes out, for combinations of values of some axes."""

    axes: Annotated[tuple[str, ...], Field(min_length=1)]
    """The axes on which accuracy depends."""
    percent: Annotated[dict[str, Annotated[float, Field(ge=0, le=100)]], Field(max_length=10**6)]
    """Values of these axes, as in ``rank8, 256 ns`` -> accuracy [%]; combinations that are not
    here have none."""
    source: Annotated[str, Field(min_length=10)]
    """What the accuracies were read from, and when after programming they hold."""


SEPARATOR = ", "
"""Between the values of axes where they stand together."""


def accuracy_by_label(given: AccuracyOfAxis, file: str) -> dict[str, float]:
    """Return label of a value of the axis -> accuracy of its adapters [%].

    Raises:
        SpecError: The results lack a table, an arm or the time.
    """
    table, time = Path(given.results) / TABLE, format_time(given.after)
    rows = read_table(table)
    rows.require(COLUMNS)
    found = {row.cells["arm"]: row for row in rows.rows if row.cells["time"] == time}
    if not found:
        raise SpecError(file, "accuracy.after", f"{table} has no row for {time}")
    by_label = {}
    for label, arm in given.arms.items():
        if arm not in found:
            known = ", ".join(found)
            problem = f"{table} has no arm {arm!r} at {time}; one of {known} would do"
            raise SpecError(file, f"accuracy.arms.{label}", problem)
        by_label[label] = _percent(found[arm])
    return by_label


def _percent(row: Row) -> float:
    try:
        value = float(row.cells["accuracy_percent"])
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise row.problem("accuracy_percent", "0 to 100 % would do")
    return value
