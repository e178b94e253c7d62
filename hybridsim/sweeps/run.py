"""Running a study: evaluate what is not recorded yet, then say what all of it shows."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hybridsim.errors import InputError
from hybridsim.nesting import json_value
from hybridsim.sweeps.answer_files import write_answers
from hybridsim.sweeps.answers import best_rows, build_table
from hybridsim.sweeps.audits import Audit, audited
from hybridsim.sweeps.chunks import evaluate_all
from hybridsim.sweeps.evaluate import Done, work_on
from hybridsim.sweeps.executors import open_executor
from hybridsim.sweeps.inputs import Inputs, read_inputs
from hybridsim.sweeps.journal import Journal
from hybridsim.sweeps.misses import met_by, nearest
from hybridsim.sweeps.model_version import model_version
from hybridsim.sweeps.recorded import Rows, Span
from hybridsim.sweeps.sensitivity import total_shares, variance_shares
from hybridsim.sweeps.study import MOST_POINTS, Study, read_study
from hybridsim.units import Ints

Progress = Callable[[int, int, int], None]
"""Called with the points done, those of them that were recorded before, and all points."""


class SweepInterrupted(KeyboardInterrupt):
    """Ctrl-C was pressed; every point that was finished is recorded, if there is a folder."""

    def __init__(self, done: int, points: int) -> None:
        self.done, self.points = done, points
        super().__init__(f"interrupted after {done} of {points} points")


@dataclass(frozen=True)
class SampledShares:
    """What each axis explains, estimated from a sample: a row per axis, a column per objective."""

    rows: int
    """Rows of the sample: each is a point of two samples, and one more for each axis."""
    complete: int
    """Those of which all points have a result, from which the shares are."""
    alone: pd.DataFrame
    with_others: pd.DataFrame
    alone_error: pd.DataFrame
    """Half of the width of the 90 % interval."""
    with_others_error: pd.DataFrame


@dataclass(frozen=True)
class Counts:
    """How many points of a sweep are what."""

    points: int
    with_result: int
    feasible: int
    met: Mapping[str, int]
    """Constraint -> points with a result that meet it, whatever the others."""


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
    sampled: SampledShares | None = None
    """Of a sample that was drawn to tell what matters; None for anything else."""

    @property
    def whole(self) -> bool:
        """Whether all points of the grid are there: what a search looked at has no shares."""
        return len(self.table) == len(self.inputs)

    @property
    def counts(self) -> Counts:
        """How many points there are, and are what."""
        table = self.table
        ran, feasible = int((table["problem"] == "").sum()), int(table["feasible"].sum())
        return Counts(len(table), ran, feasible, met_by(self.inputs, table))

    def summary(self) -> dict[str, Any]:
        """Return what the sweep says, without how long it took, as plain values."""
        table, study, counts = self.table, self.inputs.study, self.counts
        rows = table.drop(columns=["problem", "feasible", "pareto"])
        near = nearest(self.inputs, table)
        return {
            "study": study.name,
            "question": study.question,
            "model_version": model_version(),
            "points": counts.points,
            "with_result": counts.with_result,
            "feasible": counts.feasible,
            "objectives": dict(study.objectives),
            "constraints": list(study.constraints),
            "constraints_met": dict(counts.met),
            "nearest": near
            and {
                "point": plain_rows(rows.iloc[[near.row]])[0],
                "misses": [asdict(miss) for miss in near.misses],
            },
            "per": list(study.per),
            "pareto": plain_rows(rows[table["pareto"]]),
            "best": {
                name: plain_rows(rows.iloc[places])
                for name, places in best_rows(self.inputs, table).items()
            },
            **self.told_shares(),
            "audit": self.audit
            and {"points": self.audit.points, "differences": list(self.audit.differences)},
        }

    def told_shares(self) -> dict[str, Any]:
        """Return the shares of the axes, with their errors where they are of a sample."""
        own = self.sampled
        if own is not None:
            return {
                "variance_share": _plain(own.alone),
                "total_effect_share": _plain(own.with_others),
                "variance_share_error": _plain(own.alone_error),
                "total_effect_share_error": _plain(own.with_others_error),
                "sample": {"rows": own.rows, "complete": own.complete, "grid": len(self.inputs)},
            }
        found = (variance_shares, total_shares) if self.whole else ()
        told = [_plain(of(self.inputs, self.table)) for of in found] or [{}, {}]
        return dict(zip(("variance_share", "total_effect_share"), told, strict=True))


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
    span = Span.of(inputs)
    check_size(span)
    with Journal(out) if out is not None else nullcontext() as journal, until_ctrl_c() as stopped:
        recorder = Recorder(span, journal, progress)
        checked = None
        if recorder.left or audit:
            with open_executor(executor) as (pool, workers):
                recorder.evaluate(pool, workers, stopped)
                if audit:
                    checked = audited(inputs, recorder.found(), audit, pool, workers, stopped)
                    if checked is None:
                        raise SweepInterrupted(len(inputs), len(inputs))
        table = build_table(inputs, recorder.found())
        result = SweepResult(inputs, table, checked, recorder.before, time.perf_counter() - start)
        if journal is not None:
            journal.finish()
            write_answers(journal.folder, inputs, table, result.summary())
    return result


@dataclass(frozen=True)
class ShardResult:
    """What a shard of a sweep recorded."""

    inputs: Inputs
    number: int
    shards: int
    points: int
    recorded_before: int
    seconds: float


def run_shard(
    inputs: Inputs,
    shard: tuple[int, int],
    out: Path,
    executor: str = "in-process",
    progress: Progress | None = None,
) -> ShardResult:
    """Evaluate shard ``i`` of ``n`` of a study into a folder of its own, which is merged later.

    Raises:
        InputError: The folder or the executor cannot be used as they are.
        SweepInterrupted: Ctrl-C was pressed.
    """
    start = time.perf_counter()
    span = Span.of(inputs, shard)
    check_size(span)
    with Journal(out) as journal, until_ctrl_c() as stopped:
        recorder = Recorder(span, journal, progress)
        if recorder.left:
            with open_executor(executor) as (pool, workers):
                recorder.evaluate(pool, workers, stopped)
        journal.finish()
    seconds = time.perf_counter() - start
    return ShardResult(inputs, *shard, len(span), recorder.before, seconds)


def check_size(span: Span) -> None:
    """Refuse more points than one table holds.

    Raises:
        InputError: There are more.
    """
    if len(span) > MOST_POINTS:
        raise InputError(
            f"axes: make {len(span):,} points, and one table or shard holds {MOST_POINTS:,}; "
            "--shard i/N with a larger N would do"
        )


def plain_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as plain values, None for what is missing."""
    text = table.to_json(orient="records", double_precision=15)
    rows: list[dict[str, Any]] = json_value(text, "table")
    return rows


def _plain(shares: pd.DataFrame) -> dict[str, dict[str, float]]:
    rows = [str(axis) for axis in shares.index]
    return {str(name): dict(zip(rows, shares[name].tolist(), strict=True)) for name in shares}


class Recorder:
    """Points of a study as they come in: into the journal, or kept where there is none."""

    def __init__(self, span: Span, journal: Journal | None, progress: Progress | None) -> None:
        """Look up what the journal holds already.

        Raises:
            SpecError: A part of the journal is damaged.
        """
        self._span, self._journal = span, journal
        self._kept: list[Rows] = []
        done = span.nothing_done()
        if journal is not None:
            for _ in span.rows(journal, (), done):
                pass
        self.left = span.left(done)
        self.before = self.done = len(span) - len(self.left)
        self._progress = progress or (lambda done, recorded, points: None)
        self._progress(self.before, self.before, len(span))

    def evaluate(self, pool: Executor, workers: int, stopped: Callable[[], bool]) -> None:
        """Evaluate what is left.

        Raises:
            SweepInterrupted: It was stopped.
        """
        work = work_on(self._span.inputs)
        if not evaluate_all(work, self.left, pool, workers, self._record, stopped):
            raise SweepInterrupted(self.done, len(self._span))

    def _record(self, indices: Ints, done: Done) -> None:
        if self._journal is not None:
            self._journal.append(self._span.inputs, indices, done.columns)
        else:
            self._kept.append((indices, done.columns))
        self.done += len(indices)
        self._progress(self.done, self.before, len(self._span))

    def found(self) -> Iterator[Rows]:
        """Yield all points that are recorded.

        Raises:
            SpecError: A part of the journal is damaged.
        """
        if self._journal is None:
            yield from self._kept
        else:
            names = (*self._span.inputs.columns, "problem")
            yield from self._span.rows(self._journal, names, self._span.nothing_done())


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
