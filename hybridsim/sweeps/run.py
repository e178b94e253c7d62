"""Running a study: evaluate what is not recorded yet, then say what all of it shows."""

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from hybridsim.errors import InputError
from hybridsim.nesting import json_value
from hybridsim.sweeps.answers import best_rows, build_table, variance_shares
from hybridsim.sweeps.cases import Cases
from hybridsim.sweeps.chunks import evaluate_all
from hybridsim.sweeps.evaluate import Done, work_on
from hybridsim.sweeps.executors import open_executor
from hybridsim.sweeps.inputs import Inputs, Keys, read_inputs
from hybridsim.sweeps.journal import Journal, disk_errors, write_whole
from hybridsim.sweeps.model_version import model_version
from hybridsim.sweeps.study import Study, read_study
from hybridsim.units import Ints

KEYS_AT_ONCE = 2**18
"""Points whose keys are held at the same time while recorded ones are looked up."""

Progress = Callable[[int, int, int], None]
"""Called with the points done, those of them that were recorded before, and all points."""
Found = list[tuple[Ints, Mapping[str, Any]]]


class SweepInterrupted(KeyboardInterrupt):
    """Ctrl-C was pressed; every point that was finished is recorded, if there is a folder."""

    def __init__(self, done: int, points: int) -> None:
        self.done, self.points = done, points
        super().__init__(f"interrupted after {done} of {points} points")


@dataclass(frozen=True)
class Audit:
    """Points that were computed again on the reference engine."""

    points: int
    differences: tuple[str, ...]
    """One sentence per column of a point that is not the same."""


@dataclass(frozen=True)
class SweepResult:
    """All that a sweep found."""

    inputs: Inputs
    table: pd.DataFrame
    """One row per point; see :func:`hybridsim.sweeps.answers.build_table`."""
    audit: Audit | None
    recorded_before: int
    """Points that an earlier run of the same study, into the same folder, had recorded."""
    seconds: float

    @property
    def whole(self) -> bool:
        """Whether all points of the grid are there: a sample has no variance shares."""
        return len(self.table) == len(self.inputs)

    def summary(self) -> dict[str, Any]:
        """Return what the sweep says, without how long it took, as plain values."""
        table, study = self.table, self.inputs.study
        rows = table.drop(columns=["problem", "feasible", "pareto"])
        shares = variance_shares(self.inputs, table) if self.whole else pd.DataFrame()
        return {
            "study": study.name,
            "question": study.question,
            "model_version": model_version(),
            "points": len(table),
            "with_result": int((table["problem"] == "").sum()),
            "feasible": int(table["feasible"].sum()),
            "objectives": dict(study.objectives),
            "constraints": list(study.constraints),
            "per": list(study.per),
            "pareto": plain_rows(rows[table["pareto"]]),
            "best": {
                name: plain_rows(rows.iloc[places])
                for name, places in best_rows(self.inputs, table).items()
            },
            "variance_share": {str(name): shares[name].to_dict() for name in shares},
            "audit": self.audit
            and {"points": self.audit.points, "differences": list(self.audit.differences)},
        }


def sweep(
    study: Study | str | Path,
    out: str | Path | None = None,
    executor: str = "in-process",
    audit: float = 0.0,
) -> pd.DataFrame:
    """Return one row per point of a study, units in the column names.

    ``out`` is a folder in which every finished point is recorded: the same call goes on where an
    earlier one ended. ``executor`` is ``in-process``, ``processes:N``, ``dask``, ``dask:N`` or
    ``dask://host:port``. ``audit`` is the share of points, 0 to 1, that are computed again on
    SimPy; the summary with its outcome is in ``.attrs``.

    Raises:
        InputError: The study, the folder or the executor cannot be used as they are.
        SweepInterrupted: Ctrl-C was pressed.
    """
    described = study if isinstance(study, Study) else read_study(Path(study))
    folder = None if out is None else Path(out)
    result = run_study(read_inputs(described, described.name), folder, executor, audit)
    result.table.attrs.update(result.summary())
    return result.table


def run_study(
    inputs: Inputs,
    out: Path | None = None,
    executor: str = "in-process",
    audit: float = 0.0,
    progress: Progress | None = None,
) -> SweepResult:
    """Evaluate every point of a study that is not recorded in ``out``, and return all of them.

    Raises:
        InputError: The folder or the executor cannot be used as they are.
        SweepInterrupted: Ctrl-C was pressed.
    """
    if not 0 <= audit <= 1:
        raise InputError(f"--audit: found {audit:.4g}; a share of 0 to 100 % would do")
    start = time.perf_counter()
    with Journal(out) if out is not None else nullcontext() as journal, until_ctrl_c() as stopped:
        found, left = look_up(inputs, journal)
        before = len(inputs) - len(left)
        report = progress or (lambda done, recorded, points: None)
        report(before, before, len(inputs))
        checked = None
        if len(left) or audit:
            with open_executor(executor) as (pool, workers):
                progressing = _Recorder(inputs, journal, found, before, report)
                work, (left, begins) = work_on(inputs), Cases(inputs).in_order(left)
                if not evaluate_all(work, left, pool, workers, progressing, stopped, begins):
                    raise SweepInterrupted(progressing.done, len(inputs))
                if audit:
                    checked = _audit(inputs, found, audit, pool, workers, stopped)
        table = build_table(inputs, found)
        result = SweepResult(inputs, table, checked, before, time.perf_counter() - start)
        if journal is not None:
            journal.finish()
            write_answers(journal.folder, result)
    return result


def look_up(inputs: Inputs, journal: Journal | None) -> tuple[Found, Ints]:
    """Return what the journal holds of a study, and the points that it does not hold."""
    everything = np.arange(len(inputs), dtype=np.int64)
    parts = [] if journal is None else [p for p in journal.recorded() if _answers(inputs, p[1])]
    if not parts:
        return [], everything
    keys: Keys = np.concatenate([part[0] for part in parts])
    order = np.argsort(keys[:, 0], kind="stable")
    rows = {
        name: np.concatenate([part[1][name] for part in parts])
        for name in (*inputs.columns, "problem")
    }
    found: Found = []
    left = []
    for first in range(0, len(inputs), KEYS_AT_ONCE):
        indices = everything[first : first + KEYS_AT_ONCE]
        wanted = inputs.keys(indices)
        place = np.searchsorted(keys[:, 0], wanted[:, 0], sorter=order)
        row = order[np.minimum(place, len(order) - 1)]
        known = (keys[row] == wanted).all(axis=1)
        found.append((indices[known], {name: rows[name][row[known]] for name in rows}))
        left.append(indices[~known])
    return found, np.concatenate(left)


def plain_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as plain values, None for what is missing."""
    text = table.to_json(orient="records", double_precision=15)
    rows: list[dict[str, Any]] = json_value(text, "table")
    return rows


def _answers(inputs: Inputs, columns: Mapping[str, Any]) -> bool:
    return {*inputs.columns, "problem"} <= set(columns)


@dataclass
class _Recorder:
    """Takes finished chunks: into the journal first, then into what was found."""

    inputs: Inputs
    journal: Journal | None
    found: Found
    before: int
    progress: Progress
    done: int = field(init=False)

    def __post_init__(self) -> None:
        self.done = self.before

    def __call__(self, indices: Ints, done: Done) -> None:
        if self.journal is not None:
            self.journal.append(self.inputs.keys(indices), done.columns)
        self.found.append((indices, done.columns))
        self.done += len(indices)
        self.progress(self.done, self.before, len(self.inputs))


def _audit(
    inputs: Inputs, found: Found, share: float, pool: Any, workers: int, stopped: Any
) -> Audit:
    """Compute a share of the points again on SimPy, always the same ones, and compare."""
    count = math.ceil(share * len(inputs))
    lanes = np.concatenate(
        [
            inputs.keys(np.arange(first, min(first + KEYS_AT_ONCE, len(inputs))))[:, 0]
            for first in range(0, len(inputs), KEYS_AT_ONCE)
        ]
    )
    chosen = np.sort(np.argsort(lanes, kind="stable")[:count])
    again: Found = []

    def record(indices: Ints, done: Done) -> None:
        again.append((indices, done.columns))

    if not evaluate_all(work_on(inputs, "reference"), chosen, pool, workers, record, stopped):
        raise SweepInterrupted(len(inputs), len(inputs))
    swept = _by_index(found, chosen)
    differences = []
    for indices, columns in again:
        for i, index in enumerate(indices.tolist()):
            for name, column in columns.items():
                if column[i] != swept[index][name]:
                    differences.append(
                        f"{inputs.labels(index)}: {name} is {column[i]} on SimPy, "
                        f"{swept[index][name]} in the sweep"
                    )
    return Audit(len(chosen), tuple(differences))


def _by_index(found: Found, chosen: Ints) -> dict[int, dict[str, Any]]:
    """Return the rows of some points."""
    rows = {}
    for indices, columns in found:
        for i in np.flatnonzero(np.isin(indices, chosen)).tolist():
            rows[int(indices[i])] = {name: column[i] for name, column in columns.items()}
    return rows


def write_answers(folder: Path, result: SweepResult, name: str = "sweep") -> None:
    """Write the table and what it says; the same study leaves the same bytes."""
    summary = json.dumps(result.summary(), indent=2, ensure_ascii=False) + "\n"
    with disk_errors(folder):
        write_whole(
            folder / f"{name}.parquet", lambda file: result.table.to_parquet(file, index=False)
        )
        write_whole(folder / f"{name}.json", lambda file: file.write(summary.encode()))
        for kind, rows in (("pareto", _front(result)), ("best", _best(result))):
            text = rows.to_csv(index=False).encode()
            write_whole(folder / f"{name}_{kind}.csv", partial(_put, text))


def _put(text: bytes, file: BinaryIO) -> None:
    file.write(text)


def _front(result: SweepResult) -> pd.DataFrame:
    """Return the rows of the Pareto front, without what is the same for all of them."""
    table = result.table
    return table[table["pareto"]].drop(columns=["problem", "feasible", "pareto"])


def _best(result: SweepResult) -> pd.DataFrame:
    """Return the best rows, and what they are best in."""
    table = result.table.drop(columns=["problem", "feasible", "pareto"])
    found = best_rows(result.inputs, result.table)
    rows = [row for places in found.values() for row in places]
    best = table.iloc[rows].copy()
    best.insert(0, "best", [name for name, places in found.items() for _ in places])
    return best


@contextmanager
def until_ctrl_c() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether Ctrl-C was pressed; pressed twice, it ends at once."""
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return

    def press(*_: object) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)
