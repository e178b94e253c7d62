"""Merging shards: the parts of several folders into one, and from there as if one had run."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hybridsim.errors import InputError, SpecError
from hybridsim.sweeps.answer_files import write_answers
from hybridsim.sweeps.answers import build_table
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.journal import Journal, disk_errors, parts_of
from hybridsim.sweeps.parts import Recorded
from hybridsim.sweeps.recorded import Span, taken
from hybridsim.sweeps.run import (
    Progress,
    SweepInterrupted,
    SweepResult,
    check_size,
    until_ctrl_c,
)


def merge(
    inputs: Inputs, shards: Sequence[Path], out: Path, progress: Progress | None = None
) -> SweepResult:
    """Bring the parts of shards into ``out``, and return what a sweep of the whole study does.

    A merge may be killed and begun again. Shards stay as they are.

    Raises:
        InputError: A shard is of another study, another model or none; points are missing; or a
            folder cannot be used.
        SweepInterrupted: Ctrl-C was pressed.
    """
    start = time.perf_counter()
    span = Span.of(inputs)
    check_size(span)
    _check(span, shards, out)
    report = progress or (lambda done, recorded, points: None)
    with Journal(out) as journal, until_ctrl_c() as stopped:
        done = span.nothing_done()
        for _ in span.rows(journal, (), done):
            pass
        before = int(np.count_nonzero(done))
        for recorded in parts_of_shards(inputs, shards, None):
            if stopped():
                raise SweepInterrupted(int(np.count_nonzero(done)), len(span))
            rows = span.new(recorded.points, done)
            if len(rows):
                journal.add(
                    Recorded(
                        recorded.study, recorded.points[rows], recorded.keys[rows],
                        taken(recorded, rows),
                    )
                )  # fmt: skip
            report(int(np.count_nonzero(done)), before, len(span))
        journal.finish()
        names = (*inputs.columns, "problem")
        table = build_table(inputs, span.rows(journal, names, span.nothing_done()))
        result = SweepResult(inputs, table, None, before, time.perf_counter() - start)
        write_answers(out, inputs, table, result.summary())
    return result


def _check(span: Span, shards: Sequence[Path], out: Path) -> None:
    """Refuse what would not make a whole, before anything is written.

    Raises:
        InputError: As :func:`merge`.
    """
    check_apart(shards, out)
    done = span.nothing_done()
    for recorded in parts_of_shards(span.inputs, shards, ()):
        span.new(recorded.points, done)
    if out.is_dir():
        for part in parts_of(out):
            if (recorded := part.read(())).study == span.inputs.study_key:
                span.new(recorded.points, done)
    if not done.all():
        first = span.cases.at(np.array([span.first + int(np.argmin(done))]))
        raise InputError(
            f"merge: {np.count_nonzero(~done):,} of {len(done):,} points are missing, as "
            f"{span.inputs.labels(int(first[0]))}; all shards, each run to its end, would do"
        )


def check_apart(shards: Sequence[Path], out: Path) -> None:
    """Refuse to merge into a shard.

    Raises:
        InputError: ``out`` is one.
    """
    if any(folder.resolve() == out.resolve() for folder in shards):
        raise InputError(f"merge: {out} is one of the shards; give another folder to merge into")


def parts_of_shards(
    inputs: Inputs, shards: Sequence[Path], names: Sequence[str] | None
) -> Iterator[Recorded]:
    """Yield what shards recorded, part by part.

    Raises:
        SpecError: A shard is of another study, or there is nothing in it.
    """
    for folder in shards:
        with disk_errors(folder):
            found = parts_of(folder) if folder.is_dir() else []
        if not found:
            problem = "holds no recorded points; a folder of sweep --shard would do"
            raise SpecError(str(folder), "", problem)
        for part in found:
            recorded = part.read(names)
            if recorded.study != inputs.study_key:
                raise SpecError(
                    str(part.path), "", f"is not of the study {inputs.study.name}, as it "
                    "and its machines, its networks and this version of hybridsim are now; "
                    "shards of one study would do",
                )  # fmt: skip
            yield recorded
