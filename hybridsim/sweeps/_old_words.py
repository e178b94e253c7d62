"""Studies in the words of earlier releases: keys, paths and columns by their names of today.

Axes keep the names that the study gives them, and so do the columns of its table.
"""

from collections.abc import Callable, Mapping
from typing import Any

from hybridsim._old_names import new_column, new_path, with_new_keys, with_new_paths
from hybridsim.sweeps.columns import RESULTS, new_constraint

_ONE = {"scheduler": "strategy", "strategy": "scheduler"}
"""Heads of paths that mean the same."""


def by_names_of_today(study: Any) -> Any:
    """Return a study as it was read, with the words of today; anything else as it is.

    Raises:
        ValueError: Something is given by its old name and by that of today.
    """
    found = with_new_keys(study, {"scheduler": "strategy"})
    if not isinstance(found, Mapping):
        return found
    axes = found.get("axes")
    names = list(axes) if isinstance(axes, Mapping) else []

    def column(name: str) -> str:
        return _axis(new_column(name, RESULTS), names)

    def constraint(text: str) -> str:
        return new_constraint(text, column)

    changes: dict[str, Callable[[Any], Any]] = {
        "set": lambda given: with_new_paths(given) if isinstance(given, Mapping) else given,
        "per": lambda given: _each(given, lambda name: _axis(name, names)),
        "keep": lambda given: _each(given, column),
        "objectives": lambda given: _each_key(given, column),
        "constraints": lambda given: _each(given, constraint),
    }
    return dict(found) | {key: changes[key](found[key]) for key in changes if key in found}


def _axis(name: str, axes: list[str]) -> str:
    """Return an axis by the name that the study gives it; any other name as it is."""
    head, dot, rest = name.partition(".")
    other = f"{_ONE.get(head, head)}{dot}{rest}"
    if name in axes or other not in axes:
        return name
    new_path(name)
    return other


def _each(given: Any, change: Callable[[str], str]) -> Any:
    if not isinstance(given, list | tuple):
        return given
    return [change(one) if isinstance(one, str) else one for one in given]


def _each_key(given: Any, change: Callable[[str], str]) -> Any:
    if not isinstance(given, Mapping):
        return given
    return {change(key) if isinstance(key, str) else key: value for key, value in given.items()}
