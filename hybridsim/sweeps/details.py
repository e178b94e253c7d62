"""Columns that are read off a whole result. To add one: its line here and in ``DETAILED``."""

from collections.abc import Callable, Mapping

from hybridsim.errors import InputError
from hybridsim.measure.result import Result

DETAILS: Mapping[str, Callable[[Result], int | float | str | None]] = {
    "bound": lambda result: result.bound,
}
"""Column -> how it is read; None where the machine does not say what the column needs."""


def detail(name: str, result: Result) -> int | float | str:
    """Return one column of a result.

    Raises:
        InputError: The machine lacks what the column is computed from.
    """
    value = DETAILS[name](result)
    if value is None:
        raise InputError(
            f"{name}: machine {result.machine} does not give what it is computed from; add that "
            f"to the machine, or leave {name} out of the study"
        )
    return value
