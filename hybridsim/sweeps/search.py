"""Searching a study with Optuna instead of evaluating all of its points."""

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from hybridsim.errors import InputError
from hybridsim.sweeps.answers import build_table, objective_values
from hybridsim.sweeps.axes import Axis
from hybridsim.sweeps.evaluate import make_evaluator
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.journal import Journal, disk_errors
from hybridsim.sweeps.model_version import model_version
from hybridsim.sweeps.run import (
    Found,
    Progress,
    SweepInterrupted,
    SweepResult,
    look_up,
    until_ctrl_c,
    write_answers,
)
from hybridsim.sweeps.study import study_constraints
from hybridsim.sweeps.whole_runs import Columns

MOST_REPEATS = 20
"""How often the sampler may ask for known points before it is given an unknown one."""

_DIRECTIONS: dict[str, Literal["minimize", "maximize"]] = {
    "minimise": "minimize", "maximise": "maximize",
}  # fmt: skip


@dataclass
class _Points:
    """The points that are known, by index, and a way to know more."""

    inputs: Inputs
    journal: Journal | None
    rows: dict[int, Columns] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._evaluator = make_evaluator(self.inputs, "compiled")
        for indices, columns in look_up(self.inputs, self.journal)[0]:
            for i, index in enumerate(indices.tolist()):
                self.rows[index] = {name: [column[i]] for name, column in columns.items()}

    def row(self, index: int) -> Columns:
        """Return the columns of one point, computed and recorded unless they are known."""
        if index not in self.rows:
            indices = np.array([index])
            columns = self._evaluator.evaluate(indices)
            if self.journal is not None:
                self.journal.append(self.inputs.keys(indices), columns)
            self.rows[index] = columns
        return self.rows[index]

    def found(self, indices: list[int]) -> Found:
        """Return what is known of some points."""
        return [(np.array([index]), self.rows[index]) for index in sorted(indices)]


def search(
    inputs: Inputs,
    trials: int,
    out: Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> SweepResult:
    """Return the points that a multi-objective search looks at, ``trials`` of each case.

    Optuna's tree-structured Parzen estimator proposes; a case is a combination of the axes that
    the study calls ``per``. With ``out``, trials and points are kept, and the same call with more
    trials goes on. As many trials as there are points find the exhaustive front.

    Raises:
        InputError: ``trials`` is below 1, or the folder cannot be used.
        SweepInterrupted: Ctrl-C was pressed.
    """
    if trials < 1:
        raise InputError(f"--trials: found {trials}; 1 or more would do")
    start = perf_counter()
    report = progress or (lambda done, recorded, points: None)
    chosen: list[int] = []
    with (
        Journal(out) if out is not None else nullcontext() as journal,
        _quiet_optuna(),
        until_ctrl_c() as stopped,
    ):
        points = _Points(inputs, journal)
        before = len(points.rows)
        storage = _storage(out)
        cases = list(_cases(inputs))
        wanted = sum(min(trials, case.size) for case in cases)
        for case in cases:
            looked_at = _search_case(case, points, trials, seed, storage, stopped)
            for _ in looked_at:
                report(len(chosen) + len(case.seen), before, wanted)
            chosen += case.seen
            if stopped():
                raise SweepInterrupted(len(chosen), wanted)
        table = build_table(inputs, points.found(chosen))
        result = SweepResult(inputs, table, None, before, perf_counter() - start)
        if journal is not None:
            journal.finish()
            write_answers(journal.folder, result, "search")
    return result


@dataclass
class _Case:
    """The part of a grid in which the axes that are given have one value each."""

    inputs: Inputs
    fixed: dict[str, int]
    """Given axis -> index of its value."""
    seen: list[int] = field(default_factory=list)
    """Points that were looked at, in order."""

    @property
    def free(self) -> list[Axis]:
        """The axes that are searched."""
        return [axis for axis in self.inputs.axes if axis.name not in self.fixed]

    @property
    def size(self) -> int:
        """Points of the case."""
        return int(np.prod([len(axis) for axis in self.free], dtype=np.int64))

    @property
    def name(self) -> str:
        """A name that is another one for other inputs, so that trials never mix."""
        study = self.inputs.study
        every = self.inputs.keys(np.array([0, len(self.inputs) - 1])).tolist()
        space = [[axis.name, *axis.labels] for axis in self.inputs.axes]
        told = [every, space, study.objectives, study.constraints, model_version(), self.fixed]
        digest = hashlib.blake2b(json.dumps(told).encode(), digest_size=8).hexdigest()
        return f"{study.name}-{digest}"

    def distributions(self) -> dict[str, Any]:
        """Return what the sampler may choose: places on ordered axes, names on others."""
        return {
            axis.name: IntDistribution(0, len(axis) - 1)
            if axis.numbers is not None and (np.diff(axis.numbers) > 0).all()
            else CategoricalDistribution(axis.labels)
            for axis in self.free
        }

    def index(self, chosen: dict[str, Any]) -> int:
        """Return the point that the sampler has chosen."""
        places: list[int] = []
        for axis in self.inputs.axes:
            value: Any = self.fixed.get(axis.name, chosen.get(axis.name))
            places.append(axis.labels.index(value) if isinstance(value, str) else value)
        return int(np.ravel_multi_index(places, self.inputs.shape))

    def parameters(self, place: int) -> dict[str, Any]:
        """Return what the sampler would have chosen for a point of the case."""
        places = np.unravel_index(place, [len(axis) for axis in self.free])
        space = self.distributions()
        return {
            axis.name: int(i) if isinstance(space[axis.name], IntDistribution) else axis.labels[i]
            for axis, i in zip(self.free, places, strict=True)
        }


def _cases(inputs: Inputs) -> Iterator[_Case]:
    given = [axis for axis in inputs.axes if axis.name in inputs.study.per]
    for places in product(*(range(len(axis)) for axis in given)):
        yield _Case(inputs, {axis.name: i for axis, i in zip(given, places, strict=True)})


def _search_case(
    case: _Case,
    points: _Points,
    trials: int,
    seed: int,
    storage: Any,
    stopped: Callable[[], bool],
) -> Iterator[int]:
    """Look at points of a case until there are enough different ones; yield each."""
    sampler = TPESampler(seed=seed)
    study = optuna.create_study(
        storage=storage,
        sampler=sampler,
        study_name=case.name,
        directions=[_DIRECTIONS[d] for d in case.inputs.study.objectives.values()],
        load_if_exists=True,
    )
    _take_up(case, study)
    random = np.random.default_rng([seed, len(case.seen)])
    space, repeats = case.distributions(), 0
    while len(case.seen) < min(trials, case.size) and not stopped():
        if repeats >= MOST_REPEATS:
            study.enqueue_trial(_unknown(case, random))
        trial = study.ask(space)
        index = case.index(trial.params)
        repeats = repeats + 1 if index in case.seen else 0
        _tell(case, study, trial, points.row(index))
        if index not in case.seen:
            case.seen.append(index)
            yield index


def _take_up(case: _Case, study: optuna.Study) -> None:
    """Go on where an earlier process ended: what it had not finished is given up."""
    for trial in study.get_trials(deepcopy=False):
        if trial.state in (TrialState.RUNNING, TrialState.WAITING):
            if trial.state == TrialState.RUNNING:
                study.tell(trial.number, state=TrialState.FAIL)
            continue
        if len(trial.params) < len(case.free):  # the process died before it had chosen
            continue
        index = case.index(trial.params)
        if index not in case.seen:
            case.seen.append(index)


def _tell(case: _Case, study: optuna.Study, trial: optuna.Trial, row: Columns) -> None:
    table = build_table(case.inputs, [(np.array([case.index(trial.params)]), row)])
    values = objective_values(case.inputs, table)[0]
    if np.isnan(values).any():
        study.tell(trial, state=TrialState.FAIL)
        return
    constraints = study_constraints(case.inputs.study, case.inputs.axes)
    for text, constraint in zip(case.inputs.study.constraints, constraints, strict=True):
        trial.set_constraint(text, constraint.excess(float(table[constraint.column].iloc[0])))
    signs = [1 if d == "minimise" else -1 for d in case.inputs.study.objectives.values()]
    study.tell(trial, [float(v) * sign for v, sign in zip(values, signs, strict=True)])


def _unknown(case: _Case, random: np.random.Generator) -> dict[str, Any]:
    """Return a random point of the case that was not looked at."""
    known = set(case.seen)
    while True:
        parameters = case.parameters(int(random.integers(case.size)))
        if case.index(parameters) not in known:
            return parameters


def _storage(out: Path | None) -> Any:
    if out is None:
        return InMemoryStorage()
    with disk_errors(out):
        return JournalStorage(JournalFileBackend(str(out / "optuna.log")))


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Keep Optuna from logging, and from warning of what is used here on purpose."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
