"""Study files: what is varied, what must hold, what is sought, what is kept.

Studies in the words of earlier releases are read as well.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from hybridsim._old_names import in_silence, new_column, new_path, with_new_keys, with_new_paths
from hybridsim.boundary.reading import read_own_json
from hybridsim.errors import InputError, SpecError
from hybridsim.outside import names_a_file
from hybridsim.specs import read_yaml_mapping, validate
from hybridsim.sweeps.accuracy import AccuracyOfAxis, AccuracyTable
from hybridsim.sweeps.axes import Axis, expand_axes
from hybridsim.sweeps.columns import (
    ACCURACY,
    KEPT,
    RESULTS,
    TEXTS,
    Constraint,
    known_column,
    new_constraint,
    parse_constraint,
)
from hybridsim.units import Count, Spec

MOST_POINTS = 100_000_000
"""The most points of one table; studies of more are run in shards."""
MOST_OF_ALL = 10**15
"""The most points of a study; their numbers fit 64 bits many times."""

Text = Annotated[str, Field(min_length=1, max_length=1000)]


def _accuracy_tag(given: Any) -> str:
    table = "axes" in given if isinstance(given, Mapping) else isinstance(given, AccuracyTable)
    return "AccuracyTable" if table else "AccuracyOfAxis"


_Accuracy = Annotated[
    Annotated[AccuracyOfAxis, Tag("AccuracyOfAxis")]
    | Annotated[AccuracyTable, Tag("AccuracyTable")],
    Discriminator(_accuracy_tag),
]


class Study(Spec):
    """A grid of runs and what is asked of them."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\\-]{0,59}$")]
    """Name of the study: letters, digits, ``_``, ``.`` and ``-``."""
    question: str = ""
    """What the study answers, for people."""
    machine: Text | None = None
    """Bundled machine or YAML file, maybe with ``:variant``; left out where an axis sets it."""
    network: Text | None = None
    """Bundled network or file; left out where an axis sets it."""
    tokens: Count | None = None
    """Tokens per sequence; the network's own unless given."""
    strategy: Text | dict[str, Any] = "token_parallel"
    """Strategy by name, or a mapping of ``kind`` and its options."""
    set: dict[str, Any] = Field(default={})
    """Path -> value for all points."""
    axes: Annotated[dict[str, Any], Field(min_length=1)]
    """Name -> a list of values, a range (from, to, step), a geometric range (from, to, and factor
    or points), or named groups of settings."""
    constraints: tuple[Text, ...] = ()
    """Comparisons that a point must meet, as in ``overhead_percent <= 1``."""
    objectives: Annotated[dict[str, Literal["minimise", "maximise"]], Field(min_length=1)]
    """Column -> what is better."""
    per: tuple[Text, ...] = ()
    """Axes that are given, not chosen: each combination of their values has a Pareto front and
    best points of its own."""
    keep: Annotated[tuple[Text, ...], Field(min_length=1)] = KEPT
    """Result columns of the table."""
    accuracy: _Accuracy | None = None
    """Where ``accuracy_percent`` comes from, if the study asks for it: results of ``hybridsim
    adapt``, or a table that is written out (``axes``, ``percent``, ``source``)."""

    @property
    def accuracy_axes(self) -> tuple[str, ...]:
        """The axes on which accuracy depends."""
        if self.accuracy is None:
            return ()
        own = self.accuracy
        return own.axes if isinstance(own, AccuracyTable) else (own.axis,)

    @model_validator(mode="before")
    @classmethod
    def _by_names_of_today(cls, given: Any) -> Any:
        return _by_names_of_today(given)

    @field_validator("strategy")
    @classmethod
    def _has_a_kind(cls, given: str | dict[str, Any]) -> str | dict[str, Any]:
        if isinstance(given, dict) and not isinstance(given.get("kind"), str):
            raise ValueError("key 'kind' is missing: the name of the strategy")
        return given

    @field_validator("set")
    @classmethod
    def _sets_fields(cls, given: dict[str, Any]) -> dict[str, Any]:
        for path in given:
            head = path.partition(".")[0]
            if path == "adapters":
                continue
            if "." not in path or head in ("network", "machine", "tokens"):
                raise ValueError(
                    f"{path!r} is no path; a field of the machine, strategy.* or adapters.* "
                    "would do"
                )
        return given


def fixed_settings(study: Study) -> dict[str, Any]:
    """Return path -> value of all that is the same for every point."""
    given = {"network": study.network, "machine": study.machine, "tokens": study.tokens}
    fixed = {path: value for path, value in given.items() if value is not None}
    options = {"kind": study.strategy} if isinstance(study.strategy, str) else study.strategy
    fixed["strategy"] = options["kind"]
    fixed |= {f"strategy.{name}": v for name, v in options.items() if name != "kind"}
    return fixed | study.set


def read_study(path: Path) -> Study:
    """Return the study that a YAML file, or ``study.yaml`` in a folder, describes.

    Files of machines and networks are looked for beside the study first.

    Raises:
        SpecError: The file does not describe a study.
    """
    file = path / "study.yaml" if path.is_dir() else path
    study = validate(Study, read_yaml_mapping(file), str(file))
    study_axes(study, str(file))
    return _with_files(study, file.parent)


STUDY = "study.json"
"""The study beside the answers of a sweep, as it was read."""


def read_written_study(folder: Path) -> Study:
    """Return the study that hybridsim wrote beside the answers of a sweep.

    Raises:
        SpecError: The file cannot be read, or does not describe a study.
    """
    path = folder / STUDY
    document = read_own_json(path, "hybridsim sweep --out writes it")
    with in_silence():
        return validate(Study, document, str(path))


def study_text(study: Study) -> str:
    """Return a study as the file from which it is read again."""
    return study.model_dump_json(indent=2) + "\n"


def study_axes(study: Study, file: str) -> tuple[Axis, ...]:
    """Return the expanded axes, after checking the whole study.

    Raises:
        SpecError: An axis, a constraint, an objective or a column to keep has no sense, or
            machine or network are set nowhere.
    """
    axes = expand_axes(study.axes, file)
    points = 1
    for axis in axes:
        points *= len(axis)
    if points > MOST_OF_ALL:
        raise SpecError(file, "axes", f"make {points:,} points; at most {MOST_OF_ALL:,} would do")
    fixed = fixed_settings(study)
    varied = {path for axis in axes for path in axis.paths}
    for path in varied & set(fixed) - {"strategy", "tokens"}:
        raise SpecError(file, "axes", f"vary {path!r}, which the study sets already")
    for what in ("machine", "network"):
        setting = [axis for axis in axes if what in axis.paths]
        everywhere = all(what in group for axis in setting for group in axis.settings)
        if what not in fixed and not (what in varied and everywhere):
            raise SpecError(file, "", f"key {what!r} is missing, and not every point sets it")
    for axis in axes:
        if axis.column in (*RESULTS, "problem", "feasible", "pareto"):
            raise SpecError(file, f"axes.{axis.name}", "has the name of a result")
    for name in study.per:
        _placed(file, "per", partial(known_column, name, [a.name for a in axes], "axis"))
    _check_columns(study, axes, file)
    return axes


def study_constraints(study: Study, axes: tuple[Axis, ...]) -> tuple[Constraint, ...]:
    """Return the comparisons of a checked study."""
    return tuple(parse_constraint(text, numeric_columns(axes)) for text in study.constraints)


def asked_columns(study: Study, axes: tuple[Axis, ...]) -> set[str]:
    """Return the columns that a study keeps, seeks or compares."""
    constraints = study_constraints(study, axes)
    return {*study.keep, *study.objectives, *(c.column for c in constraints)}


def numeric_columns(axes: tuple[Axis, ...]) -> list[str]:
    """Return the columns that can be compared: results, and axes of numbers."""
    own = [axis.column for axis in axes if axis.numbers is not None]
    return [name for name in RESULTS if name not in TEXTS] + own


def _check_columns(study: Study, axes: tuple[Axis, ...], file: str) -> None:
    numeric = numeric_columns(axes)
    for i, text in enumerate(study.constraints):
        _placed(file, f"constraints[{i}]", partial(parse_constraint, text, numeric))
    for name in study.objectives:
        _placed(file, "objectives", partial(known_column, name, numeric, "objective"))
    for name in study.keep:
        _placed(file, "keep", partial(known_column, name, RESULTS, "column"))
    _check_accuracy(study, axes, file)


def _check_accuracy(study: Study, axes: tuple[Axis, ...], file: str) -> None:
    given = study.accuracy
    if given is None:
        if ACCURACY in asked_columns(study, axes):
            problem = f"key 'accuracy' is missing, which says where {ACCURACY} comes from"
            raise SpecError(file, "", problem)
        return
    for name in given.axes if isinstance(given, AccuracyTable) else ():
        check = partial(known_column, name, [axis.name for axis in axes], "axis")
        _placed(file, "accuracy.axes", check)
    if isinstance(given, AccuracyTable):
        return
    own = next((axis for axis in axes if axis.name == given.axis), None)
    if own is None:
        names = ", ".join(axis.name for axis in axes)
        raise SpecError(file, "accuracy.axis", f"found {given.axis!r}; one of {names} would do")
    for label in given.arms:
        if label not in own.labels:
            problem = f"axis {own.name} has no value {label!r}; one of its values would do"
            raise SpecError(file, "accuracy.arms", problem)


def _placed(file: str, place: str, check: Any) -> None:
    try:
        check()
    except (InputError, ValueError) as error:
        raise SpecError(file, place, str(error)) from None


def _with_files(study: Study, folder: Path) -> Study:
    """Return the study with files of machines, networks and strategies beside it by their path."""

    def beside(name: Any) -> Any:
        if not isinstance(name, str):
            return name
        if names_a_file(name):  # a strategy in a file of one's own
            file = folder / name.rpartition(":")[0]
            return str(folder / name) if file.is_file() else name
        base, colon, variant = name.partition(":")
        found = (folder / base).exists() and ("/" in base or "." in base)
        return f"{folder / base}{colon}{variant}" if found else name

    def in_group(path: str, value: Any) -> Any:
        return beside(value) if path in ("machine", "network", "strategy") else value

    axes: dict[str, Any] = {}
    for name, given in study.axes.items():
        if name in ("machine", "network", "strategy") and isinstance(given, list):
            axes[name] = [beside(value) for value in given]
        elif isinstance(given, dict):
            axes[name] = {
                label: {path: in_group(path, value) for path, value in group.items()}
                if isinstance(group, dict)
                else group
                for label, group in given.items()
            }
        else:
            axes[name] = given
    strategy = study.strategy
    if isinstance(strategy, dict):
        strategy = strategy | {"kind": beside(strategy["kind"])}
    changes = {
        "machine": beside(study.machine),
        "network": beside(study.network),
        "strategy": beside(strategy),
        "axes": axes,
    }
    if isinstance(study.accuracy, AccuracyOfAxis):
        results = str(folder / study.accuracy.results)  # an absolute path stays what it is
        changes["accuracy"] = study.accuracy.model_copy(update={"results": results})
    return study.model_copy(update=changes)


# --- words of earlier releases ----------------------------------------------------------------

_ONE = {"scheduler": "strategy", "strategy": "scheduler"}
"""Heads of paths that mean the same."""


def _by_names_of_today(study: Any) -> Any:
    """Return a study as it was read, with the words of today; anything else as it is.

    Axes keep the names that the study gives them, and so do the columns of its table.

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
