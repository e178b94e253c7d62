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
import pandas as pd
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from hybridsim.errors import InputError
from hybridsim.sweeps.answer_files import write_answers
from hybridsim.sweeps.answers import build_table, objective_values
from hybridsim.sweeps.axes import Axis
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.journal import Journal, disk_errors
from hybridsim.sweeps.known import Known
from hybridsim.sweeps.model_version import model_version
from hybridsim.sweeps.recorded import Span
from hybridsim.sweeps.run import (
    Progress,
    SweepInterrupted,
    SweepResult,
    check_size,
    until_ctrl_c,
)
from hybridsim.sweeps.study import study_constraints
from hybridsim.sweeps.whole_runs import Columns

LOG = "optuna.log"
"""Name of the file that Optuna's dashboard shows."""
MOST_REPEATS = 20
"""How often the sampler may ask for known points before it is given an unknown one."""

MISSED = 1e12
"""How far a point is from a comparison with something that it has no value of."""

_DIRECTIONS: dict[str, Literal["minimize", "maximize"]] = {
    "minimise": "minimize", "maximise": "maximize",
}  # fmt: skip


def search(
    inputs: Inputs,
    trials: int,
    out: Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> SweepResult:
    """Return the points that a multi-objective search looks at, ``trials`` of each case.

    Optuna's tree-structured Parzen estimator proposes; a case is a combination of the axes that
    the study calls ``per``. With ``out``, points are kept, and the same call, with more trials or
    not, goes on to what it would have found in one go. As many trials as there are points find the
    exhaustive front.

    Raises:
        InputError: ``trials`` is below 1, or the folder cannot be used.
        SweepInterrupted: Ctrl-C was pressed.
    """
    if trials < 1:
        raise InputError(f"--trials: found {trials}; 1 or more would do")
    check_size(Span.of(inputs))
    start = perf_counter()
    report = progress or (lambda done, recorded, points: None)
    chosen: list[int] = []
    with (
        Journal(out) if out is not None else nullcontext() as journal,
        _quiet_optuna(),
        until_ctrl_c() as stopped,
    ):
        points = Known(inputs, journal)
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
            write_answers(journal.folder, inputs, table, result.summary(), "search")
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
    points: Known,
    trials: int,
    seed: int,
    storage: Any,
    stopped: Callable[[], bool],
) -> Iterator[int]:
    """Look at points of a case until there are enough different ones; yield each."""
    study = optuna.create_study(
        storage=storage,
        study_name=case.name,
        directions=[_DIRECTIONS[d] for d in case.inputs.study.objectives.values()],
    )
    space, tried, repeats = case.distributions(), 0, 0
    while len(case.seen) < min(trials, case.size) and not stopped():
        # chance depends on how many trials there were alone, not on what TPE drew before
        chance = np.random.SeedSequence([seed, tried])
        study.sampler = TPESampler(seed=int(chance.generate_state(1)[0]))
        if repeats >= MOST_REPEATS:
            study.enqueue_trial(_unknown(case, np.random.default_rng(chance)))
        trial = study.ask(space)
        index = case.index(trial.params)
        tried += 1
        repeats = repeats + 1 if index in case.seen else 0
        _tell(case, study, trial, points.row(index))
        if index not in case.seen:
            case.seen.append(index)
            yield index


def _tell(case: _Case, study: optuna.Study, trial: optuna.Trial, row: Columns) -> None:
    table = build_table(case.inputs, [(np.array([case.index(trial.params)]), row)])
    values = objective_values(case.inputs, table)[0]
    if np.isnan(values).any():
        study.tell(trial, state=TrialState.FAIL)
        return
    constraints = study_constraints(case.inputs.study, case.inputs.axes)
    for text, constraint in zip(case.inputs.study.constraints, constraints, strict=True):
        value = table[constraint.column].iloc[0]
        missed = MISSED if pd.isna(value) else constraint.excess(float(value))
        trial.set_constraint(text, missed)
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
    """Return where Optuna keeps trials: a new log for its dashboard, which nobody else reads.

    A search that goes on asks for its first trials again, and finds their points recorded.
    """
    if out is None:
        return InMemoryStorage()
    with disk_errors(out):
        for name in (LOG, f"{LOG}.lock"):
            (out / name).unlink(missing_ok=True)
        return JournalStorage(JournalFileBackend(str(out / LOG)))


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
